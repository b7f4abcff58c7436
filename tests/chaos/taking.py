"""Webhooks, while what takes them is killed, cut off or flooded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.ledger import Ledger, Template, flood, steady
from tests.chaos.providers import Provider
from tests.chaos.proxy import Proxy, to_any, to_socket
from tests.chaos.rig import (
    PATIENCE,
    Rig,
    ask,
    is_idle,
    is_whole,
    keys,
    number,
    readyz,
    rss_mib,
    running,
    start,
    until,
)
from tests.chaos.verdict import Test, Verdict
from tests.outside import Tocsin

#: Ann hears of what is urgent, and of nothing else: a warning is an incident, and no page.
QUIET = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods: [{{name: hook, channel: webhook, address: "{base}/ok/ann"}}]
    notification_rules: [{{urgency: high, after: 0s, contact_method: hook}}]
escalation_policies:
  - {{name: default, steps: [{{targets: [{{user: ann@example.com}}], wait: 1h}}]}}
services: [{{name: checkout, escalation_policy: default}}]
integrations: [{{name: sentry, service: checkout, routing_key: key-of-sentry}}]
"""
PATH = "/in/key-of-sentry"
WARNING = Template(PATH, level="warning")
ERROR = Template(PATH, level="error")


async def settle(verdict: Verdict, tocsin: Tocsin, ledger: Ledger) -> None:
    """Wait until all is processed, and compare with what clients were told."""
    await until(lambda: is_idle(tocsin), "all processed", 600)
    there = Counter(keys(tocsin))
    lost = ledger.accepted.keys() - there.keys()
    twice = [key for key, count in there.items() if count > 1]
    verdict.note(accepted=len(ledger.accepted), lost=len(lost), twice=len(twice))
    verdict.must(not lost, f"accepted and lost: {sorted(lost)[:5]}")
    verdict.must(not twice, f"incidents that are there twice: {twice[:5]}")
    verdict.must(is_whole(tocsin), "the database is damaged")


async def killed(rig: Rig) -> Verdict:
    """R1."""
    verdict = Verdict()
    for engine in ("sqlite", "postgresql"):
        verdict.merged(engine, await _killed(rig, engine))
    return verdict


async def _killed(rig: Rig, engine: str) -> Verdict:
    verdict, ledger = Verdict(), Ledger()
    async with Provider() as provider:
        tocsin = await rig.fresh(engine, QUIET.format(base=provider.base))
        await start(tocsin)
        stops, kills = asyncio.Event(), rig.size(2, 50)
        issues = map(str, itertools.takewhile(lambda _: not stops.is_set(), itertools.count()))
        flooding = asyncio.create_task(
            flood(tocsin.port, WARNING, issues, retries=True, ledger=ledger)
        )
        slowest = 0.0
        for _ in range(kills):
            await asyncio.sleep(rig.random.uniform(1.0, 1.8))
            tocsin.kill()
            began = time.perf_counter()
            await start(tocsin)
            slowest = max(slowest, time.perf_counter() - began)
        stops.set()
        await flooding
        verdict.note(kills=kills, ready_seconds_max=slowest)
        await settle(verdict, tocsin, ledger)
        tocsin.end()
    # Two seconds of processor time, of which a busy machine gives as little as it likes.
    verdict.within(slowest, PATIENCE if rig.is_quick else 3, "a start")
    verdict.must(len(ledger.accepted) > kills * 20, "too few to mean anything")
    return verdict


async def restarted(rig: Rig) -> Verdict:
    """R4."""
    verdict = Verdict()
    tocsin = await rig.fresh("postgresql", QUIET.format(base="http://127.0.0.1:9"))
    async with running(tocsin):
        async with steady(tocsin.port, WARNING, 200) as ledger:
            await asyncio.sleep(1)
            count = rig.size(2, 20)
            for turn in range(count):
                await asyncio.to_thread(rig.postgres.stop, ("immediate", "fast")[turn % 2])
                await asyncio.sleep(rig.random.uniform(0.0, 1.5))
                await asyncio.to_thread(rig.postgres.start)
                await asyncio.sleep(rig.random.uniform(1.0, 3.0))
        drained = await until(lambda: readyz(tocsin)["spool_depth"] == 0, "the spool empty", 60)
        slowest = max(ledger.seconds)
        verdict.note(
            restarts=count, not_202=sum(ledger.others.values()), max_seconds=slowest,
            p99_seconds=ledger.percentile(0.99), drained_seconds=drained,
        )  # fmt: skip
        await settle(verdict, tocsin, ledger)
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.within(slowest, rig.seconds(1), "an answer")
    verdict.within(drained, rig.seconds(10), "emptying the spool")
    return verdict


async def severed(rig: Rig) -> Verdict:
    """R5."""
    verdict, wanted = Verdict(), rig.size(50, 5_000)
    async with Proxy(to_socket(rig.postgres.socket)) as proxy:
        behind = await rig.fresh("postgresql", QUIET.format(base="http://127.0.0.1:9"))
        url = behind.environment["TOCSIN_DATABASE_URL"]
        name = url.partition("@/")[2].partition("?")[0]
        tocsin = rig.tocsin(f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}?sslmode=disable")
        async with running(tocsin):
            proxy.cuts = lambda said: b"COMMIT" in said and rig.random.random() < 0.3
            ledger, issues = Ledger(), map(str, itertools.count())
            while proxy.cut_count < wanted and not ledger.others:
                some = itertools.islice(issues, 100)
                await flood(tocsin.port, WARNING, some, connections=4, ledger=ledger)
            proxy.cuts = lambda _said: False
            await until(lambda: readyz(tocsin)["spool_depth"] == 0, "the spool empty")
            verdict.note(cuts=proxy.cut_count, not_202=sum(ledger.others.values()))
            await settle(verdict, behind, ledger)
        found = ask(
            behind,
            "SELECT count(*) FROM (SELECT dedup_key FROM deliveries GROUP BY dedup_key"
            " HAVING count(*) > 1) AS twice",
        )
    verdict.note(kept_twice=int(found[0][0]))
    verdict.must(found[0][0] == 0, "a delivery is there twice")
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    return verdict


async def swallowed(rig: Rig) -> Verdict:
    """A network that takes all and gives nothing back."""
    verdict = Verdict()
    async with Proxy(to_socket(rig.postgres.socket)) as proxy:
        behind = await rig.fresh("postgresql", QUIET.format(base="http://127.0.0.1:9"))
        url = behind.environment["TOCSIN_DATABASE_URL"]
        name = url.partition("@/")[2].partition("?")[0]
        tocsin = rig.tocsin(f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}?sslmode=disable")
        async with running(tocsin):
            async with steady(tocsin.port, WARNING, 100) as ledger:
                for _ in range(rig.size(2, 10)):
                    await asyncio.sleep(1)
                    proxy.flows.clear()
                    await asyncio.sleep(3)
                    proxy.flows.set()
            drained = await until(lambda: readyz(tocsin)["spool_depth"] == 0, "the spool empty")
            verdict.note(
                not_202=sum(ledger.others.values()), max_seconds=max(ledger.seconds),
                drained_seconds=drained,
            )  # fmt: skip
            await settle(verdict, behind, ledger)
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.within(max(ledger.seconds), rig.seconds(1), "an answer")
    return verdict


async def storm(rig: Rig) -> Verdict:
    """R10."""
    verdict, count = Verdict(), rig.size(2_000, 100_000)
    async with Provider() as provider:
        tocsin = await rig.fresh("postgresql", QUIET.format(base=provider.base))
        async with running(tocsin):
            ledger = Ledger()
            for_all = Template(PATH, level="error")
            await flood(tocsin.port, for_all, itertools.repeat("1", count), ledger=ledger)
            began = time.perf_counter()
            await until(lambda: is_idle(tocsin), "all processed", 300)
            drained = time.perf_counter() - began
            incidents = number(tocsin, "SELECT count(*) FROM incidents")
            seen = number(tocsin, "SELECT sum(occurrence_count) FROM incidents")
            bodies = number(tocsin, "SELECT count(*) FROM delivery_bodies")
            await asyncio.sleep(1)
            verdict.note(
                events=count, not_202=sum(ledger.others.values()), incidents=incidents,
                seen=seen, bodies=bodies, pages=len(provider.pages()),
                p99_seconds=ledger.percentile(0.99), rss_mib=rss_mib(tocsin),
                drained_seconds=drained,
            )  # fmt: skip
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.must((incidents, seen) == (1, count), "not one incident that counts all")
    verdict.must(bodies <= 100, "more bodies kept than a hundred")
    verdict.must(len(provider.pages()) == 1, "not one page")
    verdict.must(verdict.figures["rss_mib"] <= 400, "too much memory")
    verdict.within(drained, rig.seconds(60), "processing the rest")
    return verdict


async def rolled(rig: Rig) -> Verdict:
    """R13."""
    verdict = Verdict()
    one = await rig.fresh("postgresql", QUIET.format(base="http://127.0.0.1:9"))
    two = rig.beside(one)
    count, failures, resting = rig.size(2, 20), 0, set[int]()
    async with running(one, two), Proxy(to_any([one.port, two.port], resting)) as proxy:
        async with steady(proxy.port, WARNING, rig.size(50, 200), keeps=False) as ledger:
            for turn in range(count):
                tocsin = (one, two)[turn % 2]
                resting.add(tocsin.port)
                await asyncio.sleep(1)
                failures += await asyncio.to_thread(tocsin.stop) != 0
                await start(tocsin)
                resting.clear()
            await asyncio.sleep(0.5)
        verdict.note(
            restarts=count, not_202=sum(ledger.others.values()), max_seconds=max(ledger.seconds)
        )
        await settle(verdict, one, ledger)
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.must(not failures, "a process did not end in good order")
    return verdict


async def shuffled(rig: Rig) -> Verdict:
    """R19."""
    verdict = Verdict()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/scenarios/test_machine.py"]
    environment = {} if rig.is_quick else {"TOCSIN_TEST_FULL": "1"}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    verdict.note(profile="some hundred steps" if rig.is_quick else "10,000 steps")
    verdict.must(process.returncode == 0, said.decode(errors="replace")[-2_000:])
    return verdict


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


async def power_cut(rig: Rig) -> Verdict:
    """R3, by what is synced before each 202 is sent."""
    from tests.chaos.trace import violations

    verdict = Verdict()
    tocsin = await rig.fresh("sqlite", QUIET.format(base="http://127.0.0.1:9"))
    async with running(tocsin):
        trace = rig.folder / "trace"
        tracing = await asyncio.create_subprocess_exec(
            "strace", "-f", "-ttt", "-s", "64", "-p", str(tocsin.pid), "-o", str(trace),
            "-e", "trace=fdatasync,fsync,sendto,write,writev",
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.sleep(2)
        count = rig.size(500, 10_000)
        ledger = await flood(tocsin.port, WARNING, map(str, range(count)), connections=1)
        await asyncio.sleep(1)
        with contextlib.suppress(ProcessLookupError):
            tracing.terminate()
        await tracing.wait()
    answers, unsynced = violations(trace)
    verdict.note(accepted=len(ledger.accepted), answers=answers, before_a_sync=unsynced)
    verdict.must(answers >= count, "the trace does not show every answer")
    verdict.must(unsynced == 0, "a 202 was sent before a sync")
    return verdict


async def _do(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise OSError(f"{command[0]} failed")


async def full_disk(rig: Rig) -> Verdict:
    """R6."""
    verdict, folder = Verdict(), rig.folder / "small"
    folder.mkdir()
    await _do("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    try:
        async with Provider() as provider:
            tocsin = rig.tocsin(f"sqlite:///{folder / 'tocsin.db'}", folder)
            configuration = rig.folder / "configuration.yaml"
            configuration.write_text(ESCALATING.format(base=provider.base), "utf-8")
            done = tocsin.program("apply", str(configuration))
            verdict.must(done.returncode == 0, done.stderr)
            async with running(tocsin):
                await _fill_up(verdict, rig, tocsin, provider, folder)
                tocsin.end()
    finally:
        await _do("umount", "-l", str(folder))
    return verdict


#: Ann, and twenty seconds later Bob, who is told of warnings too.
ESCALATING = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods: [{{name: hook, channel: webhook, address: "{base}/ok/ann"}}]
  - email: bob@example.com
    name: Bob
    contact_methods: [{{name: hook, channel: webhook, address: "{base}/ok/bob"}}]
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: 20s}}
      - {{targets: [{{user: bob@example.com}}], wait: 24h}}
services: [{{name: checkout, escalation_policy: default}}]
integrations: [{{name: sentry, service: checkout, routing_key: key-of-sentry}}]
fallback: {{user: bob@example.com}}
"""


async def _fill_up(
    verdict: Verdict, rig: Rig, tocsin: Tocsin, provider: Provider, folder: Path
) -> None:
    ledger, count = Ledger(), rig.size(50, 200)
    await flood(tocsin.port, ERROR, map(str, range(count)), ledger=ledger)
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 2**16)
    refused = Ledger()
    ends = time.perf_counter() + rig.size(30, 60)
    for at in itertools.count():
        await flood(tocsin.port, WARNING, [f"{10**7 + at}"], connections=1, ledger=refused)
        if time.perf_counter() > ends:
            break
        await asyncio.sleep(0.1)
    alive = (await asyncio.to_thread(tocsin.request, "GET", "/healthz")).status
    bobs = len(provider.pages("/ok/bob"))
    warned = [call.data["reason"] for call in provider.calls if call.type == "tocsin.warning"]
    filler.unlink()
    began, again = time.perf_counter(), Ledger()
    while not again.accepted and time.perf_counter() - began < 30:
        await flood(tocsin.port, WARNING, ["88888888"], connections=1, ledger=again)
        await asyncio.sleep(0.05)
    healed = time.perf_counter() - began
    ledger.accepted |= refused.accepted | again.accepted
    verdict.note(
        refused=sum(refused.others.values()), escalated_meanwhile=bobs,
        warned=" ".join(sorted(set(warned))),
        healed_seconds=healed,
    )  # fmt: skip
    verdict.must(set(refused.others) == {503}, "what was not taken was answered otherwise than 503")
    verdict.must(alive == 200, "it died")
    verdict.must(bobs == count, "what was accepted did not escalate")
    verdict.must("disk" in warned, "nobody was told")
    verdict.within(healed, rig.seconds(5), "to heal")
    await settle(verdict, tocsin, ledger)


#: Webhooks before the first backup.
ENOUGH = 100


async def backed_up(rig: Rig) -> Verdict:
    """R14."""
    verdict = Verdict()
    for engine in ("sqlite", "postgresql")[rig.is_quick :]:
        verdict.merged(engine, await _backed_up(rig, engine))
    return verdict


async def _backed_up(rig: Rig, engine: str) -> Verdict:
    verdict, count = Verdict(), rig.size(1, 10)
    tocsin = await rig.fresh(engine, QUIET.format(base="http://127.0.0.1:9"))
    _give_programs(rig, tocsin)
    folder, took = Path(tempfile.mkdtemp(dir=rig.folder)), []
    copies: list[tuple[Path, set[str]]] = []
    async with running(tocsin), steady(tocsin.port, WARNING, 200) as ledger:
        for turn in range(count):
            await asyncio.sleep(rig.random.uniform(0.5, 1.5))
            await until(lambda: len(ledger.accepted) > ENOUGH, "webhooks to save")
            file, began = folder / str(turn), time.perf_counter()
            copies.append((file, set(ledger.accepted)))
            done = await asyncio.to_thread(tocsin.program, "backup", str(file))
            verdict.must(done.returncode == 0, done.stderr)
            took.append(time.perf_counter() - began)
    missing, damaged = 0, 0
    for file, before in copies:
        lost, is_good = await _restored(rig, engine, file, before)
        missing, damaged = missing + lost, damaged + (not is_good)
    verdict.note(
        backups=count, webhooks_before_the_last=len(copies[-1][1]), missing=missing,
        damaged=damaged, not_202=sum(ledger.others.values()), seconds_max=max(took),
    )  # fmt: skip
    verdict.must(missing == 0, "accepted before a backup and not in it")
    verdict.must(damaged == 0, "a backup is damaged")
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.must(len(copies[-1][1]) >= ENOUGH, "too few to mean anything")
    return verdict


async def _restored(rig: Rig, engine: str, file: Path, before: set[str]) -> tuple[int, bool]:
    """Restore a backup elsewhere and let it go on; return what is missing, and if it is whole."""
    folder = Path(tempfile.mkdtemp(dir=rig.folder))
    there = rig.tocsin(rig.url(engine, folder), folder)
    _give_programs(rig, there)
    done = await asyncio.to_thread(there.program, "restore", str(file))
    if done.returncode:
        raise AssertionError(done.stderr)
    async with running(there):
        await until(lambda: is_idle(there), "all processed")
        return len(before - set(keys(there))), is_whole(there)


def _give_programs(rig: Rig, tocsin: Tocsin) -> None:
    tocsin.environment["PATH"] = f"{rig.postgres.programs}:{tocsin.environment['PATH']}"


TESTS = (
    Test("R1", "kill -9 of the server under 16 clients", ("G1", "G3", "G4"), killed),
    Test("R3a", "each 202 comes after a sync (strace)", ("G1",), power_cut, only_full=True,
         needs="strace"),
    Test("R4", "PostgreSQL stopped and started under 200 requests a second", ("G2", "G3"),
         restarted),
    Test("R4b", "a network to PostgreSQL that swallows everything for seconds", ("G2", "G3"),
         swallowed),
    Test("R5", "connections cut between a COMMIT and its answer", ("G3", "G4"), severed),
    Test("R6", "a full disk", ("G1", "G3", "G10"), full_disk, only_full=True,
         needs="mount"),
    Test("R10", "a storm of one issue", ("G4", "G9"), storm),
    Test("R13", "servers taken out of the balancer and replaced, under load", ("G2", "G3"), rolled,
         row=1),
    Test("R14", "backups under 200 requests a second, restored elsewhere", ("G3",), backed_up,
         row=1),
    Test("R19", "any order, any repeats, against a model", ("G4",), shuffled, only_full=True),
)  # fmt: skip
