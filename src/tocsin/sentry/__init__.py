"""Sentry: what it sends, and what it is asked and told."""
