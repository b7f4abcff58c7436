"""Use cases: load, ask the core, save its effects, in one transaction (sending: two)."""
