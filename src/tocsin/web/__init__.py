"""The edge where requests come in."""
