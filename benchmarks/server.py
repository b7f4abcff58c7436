"""The server under load: as it is, or the same one answering 202 without keeping anything.

    python -m benchmarks.server [--without-storage]

Settings come from the environment, as for ``tocsin serve``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from tocsin import logs
from tocsin.boot import Parts, open_store, run, serving
from tocsin.config import load
from tocsin.store.inbox import Arrival
from tocsin.web.app import Web


def main() -> None:
    """Serve until a signal."""
    if "--without-storage" in sys.argv:

        def put(_web: Web, arrivals: Sequence[Arrival]) -> list[str]:
            return [arrival.id for arrival in arrivals]

        Web._put = put  # type: ignore[method-assign]
    logs.configure("json")
    settings = load()
    with serving(settings):
        store = open_store(settings, serves=True)
        asyncio.run(run(store, Parts()))
        store.close()


if __name__ == "__main__":
    main()
