"""Load from a second process on the loopback interface: wrk, or our own generator without it."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Result:
    """What one run measured; latencies in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    max: float
    not_2xx: int
    broken: int

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


def generator() -> str:
    """Name the generator there is."""
    return "wrk" if shutil.which("wrk") else "the built-in generator (slower than wrk)"


def run(port: int, path: str, requests: Path, connections: int, seconds: int) -> Result:
    """Send the prepared requests over so many connections, for so long."""
    if shutil.which("wrk"):
        command = [
            "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "wrk.lua"),
            f"http://127.0.0.1:{port}{path}", "--", str(requests),
        ]  # fmt: skip
    else:
        command = [
            sys.executable, "-m", "benchmarks.load", str(port), path, str(requests),
            str(connections), str(seconds),
        ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return Result(**json.loads(line.removeprefix("RESULT ")))


async def _generate(port: int, path: str, requests: Path, connections: int, seconds: int) -> None:
    lines = requests.read_bytes().splitlines()
    rows = itertools.cycle(lines)
    latencies: list[float] = []
    refused = broken = 0
    ends = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal refused, broken
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < ends:
            signature, _, body = next(rows).partition(b"\t")
            began = time.perf_counter()
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Sentry-Hook-Resource: issue\r\nSentry-Hook-Signature: %b\r\n"
                b"Request-ID: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (path.encode(), signature, uuid.uuid4().hex.encode(), len(body), body)
            )
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError):
                broken += 1
                return
            refused += head[9:10] != b"2"
            latencies.append((time.perf_counter() - began) * 1000)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    took = time.perf_counter() - began
    latencies.sort()
    result = {
        "requests": len(latencies),
        "seconds": took,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[int(len(latencies) * 0.99)],
        "max": latencies[-1],
        "not_2xx": refused,
        "broken": broken,
    }
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    _, port_, path_, requests_, connections_, seconds_ = sys.argv
    asyncio.run(_generate(int(port_), path_, Path(requests_), int(connections_), int(seconds_)))
