"""Ways to send: one small file each, and a row in ``base.REGISTRY``'s table."""
