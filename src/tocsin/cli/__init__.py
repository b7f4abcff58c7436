"""What a person types.

Every command imports only what it needs, when it is run: ``tocsin --help`` must not wait for a
database driver. What can go wrong is caught in one place and told in one sentence.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the program; exit 0 done, 1 a check failed or nothing matched, 2 wrong usage."""
    from tocsin.cli.app import app

    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        from tocsin.cli.errors import explain
        from tocsin.core.text import visible

        sentence = explain(error)
        if sentence is None:
            raise
        print(visible(sentence), file=sys.stderr)
        sys.exit(1)
    finally:
        _let_go()


def _let_go() -> None:
    """Let what cannot be written at the end (a full disk under the log) be no failure."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
