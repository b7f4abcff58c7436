"""A Sentry to practise with: its API, its webhooks and its faults, in a process of its own.

For the demo and for tests. It knows nothing of Tocsin, as Sentry does not; what it does is what is
known of Sentry's own behaviour: trailing slashes, ``Link`` cursors, scopes, rate limits, webhooks
that are sent once with one second of patience. ``/_control/`` makes things happen in it.
"""
