"""``python -m tocsin.fake_sentry``: the fake Sentry as a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from tocsin.fake_sentry.server import FakeSentry, build_server


def main() -> None:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(prog="python -m tocsin.fake_sentry", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--state", type=Path, help="JSON: what is done at the start, deed by deed")
    parser.add_argument(
        "--end-with-input", action="store_true", help="end when the standard input is closed"
    )
    options = parser.parse_args()
    fake = FakeSentry()
    server = build_server(fake, options.port)
    port = server.server_address[1]
    fake.world.url = f"http://127.0.0.1:{port}"
    if options.state is not None:
        for name, said in json.loads(options.state.read_text("utf-8")):
            fake.control.do(name, said)
    sys.stdout.write(json.dumps({"port": port, "url": fake.world.url}) + "\n")
    sys.stdout.flush()
    if options.end_with_input:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _end_with_input() -> None:
    """Whoever started us is gone when nobody holds the other end."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
