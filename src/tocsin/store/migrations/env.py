"""Run migrations on the connection that ``migrate`` holds, in its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from tocsin.store.tables import Document, Instant, Serial, metadata


def _render(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    """Name our own types in a new migration, instead of what they are made of."""
    if kind == "type":
        if isinstance(value, Document | Instant):
            return f"{type(value).__name__}()"
        if value is Serial:
            return "Serial"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=_render,
    user_module_prefix="",
)
context.run_migrations()
