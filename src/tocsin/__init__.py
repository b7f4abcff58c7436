"""Tocsin: a Sentry webhook becomes an alert, an incident, and a page to the right person."""

from __future__ import annotations

__version__ = "0.1.0"
