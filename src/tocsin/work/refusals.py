"""Why a change of what people set up is refused; the message is one sentence with a remedy."""

from __future__ import annotations


class Conflict(Exception):
    """Something that is there stands in the way; the message names it."""


class Forbidden(Exception):
    """Who asks may do such things, but not this one."""


class Invalid(ValueError):
    """What is asked for makes no sense; the message says how to make it right."""
