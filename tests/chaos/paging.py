"""Pages, while who sends them is killed or frozen, and while providers are of no use."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, TextClause, text

from tests.chaos.ledger import Ledger, Template, flood
from tests.chaos.providers import Call, Provider
from tests.chaos.rig import Rig, ask, is_idle, number, rss_mib, running, start, tell, until
from tests.chaos.taking import ERROR, PATH
from tests.chaos.verdict import Test, Verdict
from tests.outside import MailServer, Tocsin, mail_server

PEOPLE = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods: [{{name: hook, channel: webhook, address: "{base}/ok/ann"}}]
  - email: bob@example.com
    name: Bob
    contact_methods: [{{name: hook, channel: webhook, address: "{base}/ok/bob"}}]
  - email: cat@example.com
    name: Cat
    contact_methods: [{{name: mail, channel: email, address: cat@example.com}}]
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: {wait}}}
      - {{targets: [{{user: bob@example.com}}], wait: 24h}}
  - {{name: mailed, steps: [{{targets: [{{user: cat@example.com}}], wait: 24h}}]}}
services:
  - {{name: checkout, escalation_policy: default}}
  - {{name: stormy, escalation_policy: mailed}}
integrations:
  - {{name: sentry, service: checkout, routing_key: key-of-sentry}}
  - {{name: stormy, service: stormy, routing_key: key-of-storms}}
fallback: {{user: bob@example.com}}
"""

#: Attempts of which nobody learnt how they went.
UNFINISHED = "SELECT count(*) FROM attempts WHERE finished_at IS NULL"
MAILED = (
    "SELECT sent_at FROM notifications WHERE state = 'sent' AND service_id IS NOT NULL"
    " AND contact_method_id IN (SELECT id FROM contact_methods WHERE channel = 'email')"
)
QUARTER = timedelta(minutes=15)
PENDING = "SELECT count(*) FROM notifications WHERE state = 'pending'"

#: What was written of an attempt after another had begun.
STALE = (
    "SELECT count(*) FROM attempts AS a JOIN attempts AS b ON b.notification_id = a.notification_id"
    " AND b.number = a.number + 1 WHERE a.finished_at > b.started_at"
)


def _by_key(provider: Provider) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for call in provider.pages():
        found.setdefault(call.key.rpartition(":")[2], set()).add(call.id)
    return found


def _check(verdict: Verdict, provider: Provider, issues: set[str], in_flight: int) -> None:
    """Each issue is paged; what goes out again is what was in flight, by the same id."""
    by_key = _by_key(provider)
    missed = issues - by_key.keys()
    other_ids = [key for key, ids in by_key.items() if len(ids) > 1]
    extra = len(provider.pages()) - len(by_key)
    verdict.note(pages=len(provider.pages()), missed=len(missed), extra=extra, in_flight=in_flight)
    verdict.must(not missed, f"never paged: {sorted(missed)[:5]}")
    verdict.must(extra <= in_flight, "more went out again than was in flight")
    verdict.must(not other_ids, "what went out again has another id")


async def killed(rig: Rig) -> Verdict:
    """R2."""
    verdict = Verdict()
    for engine in ("sqlite", "postgresql")[rig.is_quick :]:
        verdict.merged(engine, await _killed(rig, engine))
    return verdict


async def _killed(rig: Rig, engine: str) -> Verdict:
    verdict, kills = Verdict(), rig.size(2, 50)
    async with Provider(delay=0.05) as provider:
        tocsin = await rig.fresh(engine, PEOPLE.format(base=provider.base, wait="24h"))
        await start(tocsin)
        ledger, stops = Ledger(), asyncio.Event()
        most = rig.size(300, 5_000)
        issues = map(
            str, itertools.takewhile(lambda n: n < most and not stops.is_set(), itertools.count())
        )
        flooding = asyncio.create_task(
            flood(tocsin.port, ERROR, issues, connections=2, retries=True, ledger=ledger)
        )
        for _ in range(kills):
            await asyncio.sleep(rig.random.uniform(0.3, 0.9))
            tocsin.kill()
            await start(tocsin)
        stops.set()
        await flooding
        await until(lambda: is_idle(tocsin), "all processed")
        await until(lambda: number(tocsin, PENDING) == 0, "all sent")
        verdict.note(kills=kills, issues=len(ledger.accepted))
        _check(verdict, provider, set(ledger.accepted), number(tocsin, UNFINISHED))
        tocsin.end()
    return verdict


async def raced(rig: Rig) -> Verdict:
    """R7."""
    verdict, count = Verdict(), rig.size(300, 10_000)
    async with Provider() as provider:
        web = await rig.fresh("postgresql", PEOPLE.format(base=provider.base, wait="24h"))
        workers = [rig.beside(web) for _ in range(3)]
        await start(web, "--only", "web")
        first = {str(n) for n in range(count)}
        await flood(web.port, ERROR, sorted(first))
        for worker in workers:
            worker.start("--only", "worker", until_ready=False)
        await until(lambda: is_idle(web) and number(web, PENDING) == 0, "all paged", 300)
        verdict.note(steps=count, pages_without_faults=len(provider.pages()))
        verdict.must(len(provider.pages()) == count, "not one page for each")
        # And now one of them stops where it stands, for longer than a lease.
        provider.delay = 0.2
        zombie = rig.random.choice(workers)
        second = {f"{10**7 + n}" for n in range(count // 5)}
        flooding = asyncio.create_task(flood(web.port, ERROR, sorted(second), connections=4))
        await until(lambda: len(provider.pages()) > count + len(second) // 4, "pages again")
        zombie.signal(signal.SIGSTOP)
        await flooding
        await asyncio.sleep(23)
        zombie.signal(signal.SIGCONT)
        await until(lambda: is_idle(web) and number(web, PENDING) == 0, "all paged", 120)
        await asyncio.sleep(2)
        _check(verdict, provider, first | second, number(web, UNFINISHED))
        stale = number(web, STALE)
        verdict.note(stale_writes=stale)
        verdict.must(stale == 0, "the one that was frozen wrote over what others did")
        for one in (web, *workers):
            one.end()
    return verdict


async def stormed(rig: Rig) -> Verdict:
    """R11."""
    verdict, count = Verdict(), rig.size(5_000, 100_000)
    with mail_server() as mails:
        async with Provider() as provider:
            tocsin = await rig.fresh(
                "postgresql",
                PEOPLE.format(base=provider.base, wait="24h"),
                smtp_url=f"smtp://127.0.0.1:{mails.port}?from=tocsin@example.com",
            )
            async with running(tocsin):
                await _storm(verdict, rig, tocsin, provider, mails, count)
    return verdict


async def _storm(
    verdict: Verdict, rig: Rig, tocsin: Tocsin, provider: Provider, mails: MailServer, count: int
) -> None:
    began = time.perf_counter()
    stormy = Template("/in/key-of-storms", level="error")
    flooding = asyncio.create_task(flood(tocsin.port, stormy, map(str, range(count))))
    first = await until(lambda: mails.mails, "the first page of the storm", 60)
    await asyncio.sleep(1)
    critical = Template(PATH, level="fatal")
    sent_at = time.perf_counter()
    await flood(tocsin.port, critical, ["critical-1"], connections=1)
    await until(provider.pages, "the page of the other service", 60)
    other = provider.pages()[0].at - sent_at
    ledger = await flooding
    await until(lambda: is_idle(tocsin), "all processed", 1_200)
    lasted = time.perf_counter() - began
    await asyncio.sleep(max(0.0, 20 - lasted))
    went = [_instant(at) for (at,) in ask(tocsin, MAILED)]
    most = max(sum(at <= other < at + QUARTER for other in went) for at in went)
    verdict.note(
        issues=count, not_202=sum(ledger.others.values()), first_page_seconds=first,
        other_service_seconds=other, messages=len(mails.mails), storm_seconds=lasted,
        messages_in_15_minutes=most, rss_mib=rss_mib(tocsin),
    )  # fmt: skip
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.within(first, rig.seconds(10), "the first page")
    verdict.within(other, rig.seconds(5), "the other service's page")
    verdict.must(most <= 5, "more than 5 messages to one person in 15 minutes")


BAD = ("hang", "drip", "big", "429", "500", "reset", "tls", "name")


def _dead_people(base: str, count: int) -> str:
    secure = base.replace("http:", "https:")
    addresses = {"tls": f"{secure}/ok", "name": "http://nobody.invalid/x"}
    lines = ["users:"]
    for n in range(count):
        way = BAD[n % len(BAD)]
        address = addresses.get(way, f"{base}/{way}/{n}")
        lines.append(
            f"  - {{email: u{n}@example.com, name: U{n}, contact_methods:"
            f' [{{name: hook, channel: webhook, address: "{address}"}}]}}'
        )
    good = f'{{name: hook, channel: webhook, address: "{base}/ok/good"}}'
    lines += [
        f"  - {{email: good@example.com, name: Good, contact_methods: [{good}]}}",
        "  - email: gone@example.com",
        "    name: Gone",
        "    contact_methods:",
        f'      - {{name: old, channel: webhook, address: "{base}/410/gone"}}',
        f'      - {{name: new, channel: webhook, address: "{base}/ok/gone"}}',
    ]
    names = [f"u{n}" for n in range(count)] + ["good", "gone"]
    targets = ", ".join(f"{{user: {name}@example.com}}" for name in names)
    lines += [
        "escalation_policies:",
        f"  - {{name: default, steps: [{{targets: [{targets}], wait: 24h}}]}}",
        "services: [{name: checkout, escalation_policy: default}]",
        "integrations: [{name: sentry, service: checkout, routing_key: key-of-sentry}]",
    ]
    return "\n".join(lines) + "\n"


async def dead(rig: Rig) -> Verdict:
    """R12."""
    verdict = Verdict()
    async with Provider() as provider:
        tocsin = await rig.fresh("sqlite", _dead_people(provider.base, 60))
        async with running(tocsin):
            began = time.perf_counter()
            await flood(tocsin.port, ERROR, ["1"], connections=1)
            await until(lambda: provider.pages("/ok/good"), "the good one paged", 60)
            good = provider.pages("/ok/good")[0].at - began
            await until(lambda: provider.pages("/ok/gone"), "another way found", 60)
            another = provider.pages("/ok/gone")[0].at - began
            await until(lambda: number(tocsin, UNFINISHED) == 0, "all attempts ended", 60)
            spans = [
                (_instant(end) - _instant(start_)).total_seconds()
                for start_, end in ask(
                    tocsin,
                    "SELECT started_at, finished_at FROM attempts WHERE finished_at IS NOT NULL",
                )
            ]
            waits = ask(
                tocsin,
                "SELECT a.finished_at, j.due_at FROM attempts AS a JOIN jobs AS j"
                " ON j.subject_id = a.notification_id"
                " WHERE a.detail LIKE 'HTTP 429%' AND a.number = 1 AND j.failures = 1",
            )
            kept = [(_instant(due) - _instant(at)).total_seconds() for at, due in waits]
            verdict.note(
                dead=60, good_seconds=good, other_way_seconds=another,
                longest_attempt_seconds=max(spans),
                retry_after_kept=bool(kept) and min(kept) >= 39,
                answer_bytes_taken=provider.handed_over,
            )  # fmt: skip
    verdict.within(good, rig.seconds(1), "the page to the good provider")
    verdict.within(another, rig.seconds(15), "the next contact method")
    verdict.within(max(spans), rig.seconds(11), "an attempt")
    verdict.must(bool(kept) and min(kept) >= 39, "Retry-After was not kept")
    # 64 KiB are read; what is beyond lies in the buffers of the two kernels.
    verdict.must(provider.handed_over < 8_000_000, "an endless answer was read on")
    return verdict


def _instant(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


async def audited(rig: Rig) -> Verdict:
    """R16."""
    verdict = Verdict()
    async with Provider() as provider:
        url = f"{provider.base}/ok/beat"
        web = await rig.fresh(
            "postgresql", PEOPLE.format(base=provider.base, wait="15s"), heartbeat_url=url
        )
        worker = rig.tocsin(web.environment["TOCSIN_DATABASE_URL"])
        await start(web, "--only", "web")
        worker.start("--only", "worker", until_ready=False)
        await flood(web.port, ERROR, ["1"], connections=1)
        await until(lambda: provider.pages("/ok/ann"), "the first page")
        await until(lambda: provider.gets, "the heartbeat")
        worker.kill()
        overdue_at = provider.pages("/ok/ann")[0].at + 15 + 60
        if rig.is_quick:
            await _go_by(web, 60)
            overdue_at -= 60

        def warned() -> list[Call]:
            return [call for call in provider.calls if call.type == "tocsin.warning"]

        await until(warned, "the warning", 300)
        told_at = warned()[0].at
        # Long enough for a heart that beats once a minute to show that it does.
        silent_until = max(told_at, provider.gets[-1]) + 75
        await asyncio.sleep(silent_until - time.perf_counter())
        beats = [at for at in provider.gets if at > told_at]
        gauge = (
            b"tocsin_overdue_steps 1.0"
            in (await asyncio.to_thread(web.request, "GET", "/metrics")).body
        )
        verdict.note(
            seconds_after_overdue=told_at - overdue_at, whom=warned()[0].data["user"]["name"],
            beats_after=len(beats), gauge=gauge,
        )  # fmt: skip
        web.end()
    verdict.within(told_at - overdue_at, rig.seconds(90), "to tell it")
    verdict.must(not beats, "the heart went on")
    verdict.must(gauge, "the gauge says nothing")
    return verdict


async def _go_by(tocsin: Tocsin, seconds: int) -> None:
    """Let time go by, as it were: all that was to happen is so much longer due."""
    for table, column in (("jobs", "due_at"), ("incidents", "escalation_next_at")):
        late = text(f"UPDATE {table} SET {column} = {column} - :by * interval '1 second'")
        await asyncio.to_thread(tell, tocsin, partial(_execute, late.bindparams(by=seconds)))


def _execute(statement: TextClause, connection: Connection) -> None:
    connection.execute(statement)


async def outage(rig: Rig) -> Verdict:
    """R17."""
    verdict, count = Verdict(), 100
    async with Provider() as provider:
        tocsin = await rig.fresh("postgresql", PEOPLE.format(base=provider.base, wait="10m"))
        await start(tocsin)
        await flood(tocsin.port, ERROR, map(str, range(count)))
        await until(lambda: len(provider.pages("/ok/ann")) == count, "the first steps")
        await asyncio.to_thread(tocsin.stop)
        await _go_by(tocsin, 30 * 60)
        before = time.perf_counter()
        await start(tocsin)
        ready = time.perf_counter()
        await until(lambda: len(provider.pages("/ok/bob")) >= count, "the steps that were due", 60)
        handled = time.perf_counter() - ready
        await asyncio.sleep(3)
        bobs, anns = len(provider.pages("/ok/bob")), len(provider.pages("/ok/ann"))
        unfinished = number(tocsin, UNFINISHED)
        verdict.note(
            escalations=count, ready_seconds=ready - before, handled_seconds=handled,
            pages_of_the_step=bobs, repeated=anns - count,
            unfinished=unfinished, ids=len(provider.ids()),
        )  # fmt: skip
        tocsin.end()
    verdict.within(handled, rig.seconds(10), "what was due")
    verdict.must((bobs, anns) == (count, count), "not one page for each")
    return verdict


async def acknowledged(rig: Rig) -> Verdict:
    """R18."""
    verdict, count = Verdict(), rig.size(50, 10_000)
    acked: dict[str, float] = {}
    issues = map(str, itertools.count())
    async with Provider() as provider:
        # The longer, the more of them are still to come when it is known when.
        wait, racers = f"{rig.size(6, 4)}s", rig.size(50, 100)
        tocsin = await rig.fresh("postgresql", PEOPLE.format(base=provider.base, wait=wait))
        done = await asyncio.to_thread(tocsin.program, "key", "create", "--name", "chaos")
        headers = {
            "Authorization": f"Bearer {done.stdout.strip()}",
            "Content-Type": "application/json",
        }

        async def one(id_: str, due: datetime) -> None:
            at = _instant(due) + timedelta(milliseconds=rig.random.uniform(-50, 50))
            await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
            path = f"/api/v1/incidents/{id_}/acknowledge"
            answer = await asyncio.to_thread(tocsin.request, "POST", path, b"{}", headers)
            if answer.status == 200:
                acked[id_] = time.time()

        async with running(tocsin):
            for _ in range(4 * count // racers):
                if len(acked) >= count * (0.5 if rig.is_quick else 1):
                    break
                await flood(tocsin.port, ERROR, itertools.islice(issues, racers), connections=8)
                await until(lambda: is_idle(tocsin), "all open", 60)
                rows = await asyncio.to_thread(
                    ask, tocsin,
                    "SELECT id, escalation_next_at FROM incidents WHERE status = 'triggered'"
                    " AND escalation_step = 1",
                )  # fmt: skip
                await asyncio.gather(*(one(id_, due) for id_, due in rows))
            await asyncio.sleep(2)
            begun = ask(
                tocsin,
                "SELECT n.incident_id, a.started_at FROM attempts AS a JOIN notifications AS n"
                " ON n.id = a.notification_id WHERE n.step = 2 AND n.type = 'incident.page'",
            )
    late = [id_ for id_, at in begun if _instant(at).timestamp() > acked.get(id_, float("inf"))]
    verdict.note(trials=len(acked), paged_before=len(begun), begun_after=len(late))
    verdict.must(len(acked) >= (1 if rig.is_quick else count), "too few races")
    verdict.must(not late, "a page was begun after the acknowledgement")
    return verdict


async def skewed(rig: Rig) -> Verdict:
    """R8."""
    verdict, count = Verdict(), rig.size(50, 500)
    async with Provider() as provider:
        one = await rig.fresh("postgresql", PEOPLE.format(base=provider.base, wait="20s"))
        tocsins = [one, rig.beside(one), rig.beside(one)]
        clocks = [rig.folder / f"skew-{at}" for at in range(3)]
        for tocsin, clock, by in zip(tocsins, clocks, (300, -300, 0), strict=True):
            clock.write_text(str(by), "ascii")
            tocsin.module, tocsin.environment["SKEW"] = "tests.chaos.skewed", str(clock)
        async with running(*tocsins):
            for at, tocsin in enumerate(tocsins):
                issues = [str(10**7 * (at + 1) + n) for n in range(count // 3)]
                await flood(tocsin.port, ERROR, issues, connections=4)
            await asyncio.sleep(3)
            for clock, by in zip(clocks, (3600, -3600, 86_400), strict=True):
                clock.write_text(str(by), "ascii")
            sent = count // 3 * 3
            await until(lambda: len(provider.pages("/ok/bob")) >= sent, "the second steps", 60)
            await asyncio.sleep(3)
    first = {call.key: call.at for call in provider.pages("/ok/ann")}
    waits = [call.at - first[call.key] - 20 for call in provider.pages("/ok/bob")]
    verdict.note(
        steps=sent, early_seconds=-min(waits), late_seconds=max(waits),
        extra=len(provider.pages()) - 2 * sent,
    )  # fmt: skip
    verdict.must(min(waits) >= -rig.size(8, 2), "a step was taken early")
    verdict.within(max(waits), rig.seconds(10), "from when a step was due, to take it,")
    verdict.must(len(provider.pages()) == 2 * sent, "a page went out twice")
    return verdict


TESTS = (
    Test("R2", "kill -9 of the sender", ("G5",), killed),
    Test("R7", "three workers at once; one is frozen past its lease", ("G5",), raced, row=1),
    Test("R8", "clocks five minutes apart, that jump by an hour and by a day", ("G5",), skewed,
         row=1),
    Test("R11", "a storm of many issues, and one critical elsewhere", ("G6", "G7"), stormed,
         only_full=True),
    Test("R12", "60 dead providers and a good one", ("G7",), dead, row=1),
    Test("R16", "all workers killed", ("G10",), audited, row=2),
    Test("R17", "half an hour of outage with 100 armed escalations", ("G5",), outage, row=1),
    Test("R18", "acknowledged within 50 ms of the next step", ("G8",), acknowledged, row=1),
)  # fmt: skip
