"""Sentry: what it sends, and (one day) what it is asked and told."""
