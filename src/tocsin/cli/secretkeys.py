"""``tocsin secrets``: which key sealed what, and sealing it anew with the first."""

from __future__ import annotations

from typing import Annotated

import typer

secrets_app = typer.Typer(help="Secret keys.", no_args_is_help=True)


@secrets_app.command()
def rotate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which key sealed how much.")
    ] = False,
) -> None:
    """Seal every secret in the database anew with the first key, while servers go on.

    First put the new key before the old one in TOCSIN_SECRET_KEYS (or on the first line of the file
    secret-keys), and start every server anew, one at a time: they go on with the old key until this
    is run. Stopped half way, it is run again.
    """
    from tocsin.cli.rotating import rotate_keys

    rotate_keys(dry_run=dry_run)
