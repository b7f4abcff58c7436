"""The fake Sentry of the demo: a process of its own, and a hand to let things happen in it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tocsin.cli.demo.show import Sent

#: How long it may take to answer, and to end.
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Practice:
    """A hand on a fake Sentry that runs."""

    url: str
    port: int

    def do(self, deed: str, **said: Any) -> Any:
        """Let something happen; return what the fake says of it."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            line.request("POST", f"/_control/{deed}", body=json.dumps(said).encode())
            answer = line.getresponse()
            told = json.loads(answer.read())
        finally:
            line.close()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the fake Sentry refused {deed}: {told}")
        return told

    def sent(self) -> list[Sent]:
        """Return the webhooks that it has sent or dropped, in order, up to one that waits."""
        found = []
        for one in self.do("webhooks")["webhooks"]:
            if one["state"] == "waiting":
                break
            what = f"{one['resource']}.{one['action']}"
            status = one["answers"][-1] if one["answers"] else 0
            found.append(Sent(what, one["state"] == "dropped", status))
        return found


@contextmanager
def practice() -> Iterator[Practice]:
    """Run a fake Sentry until the block ends, or this process does."""
    # Ctrl-C is for us: it ends when we let it.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tocsin.fake_sentry", "--end-with-input"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the fake Sentry did not start: what it said is above")
        said = json.loads(line)
        yield Practice(said["url"], said["port"])
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.terminate()
        process.wait(_PATIENCE)
