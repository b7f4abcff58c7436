"""``tocsin demo``: a Tocsin of its own, a fake Sentry, four telephones, and you watch."""
