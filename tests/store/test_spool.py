"""The spool: what is kept on this machine's disk outlasts whoever kept it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.builders import NOW
from tocsin.core.model import DeliveryStatus
from tocsin.core.plans import Integration, Route
from tocsin.store.db import new_id
from tocsin.store.inbox import Arrival
from tocsin.store.kept import KeptKeys
from tocsin.store.spool import Full, Load, Spool, load_of
from tocsin.store.vault import Vault

MANY = 2**20


def arrival(body: bytes = b"{}") -> Arrival:
    return Arrival(
        id=new_id("del", NOW), integration_id="int_1", received_at=NOW, url_style="native",
        resource="issue", status=DeliveryStatus.ACCEPTED, http_status=202, reason=None,
        dedup_key="sentry:issue:1", headers='[["a", "b"]]', body=body, key="k", body_key=None,
    )  # fmt: skip


@contextlib.contextmanager
def spool(folder: Path, max_bytes: int = MANY) -> Iterator[Spool]:
    made = Spool(folder, max_bytes)
    try:
        yield made
    finally:
        made.close()


def die_with(folder: Path, count: int, *, inherits: bool = True) -> list[str]:
    """Let another process keep some and be killed; return their ids."""
    program = f"""
import os, signal
from pathlib import Path
from tests.store.test_spool import arrival
from tocsin.store import spool
if not {inherits}:
    spool._inherited = lambda folder: None
made = spool.Spool(Path({str(folder)!r}), {MANY})
kept = [arrival() for _ in range({count})]
made.keep(kept)
print(*(one.id for one in kept), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.split()


def test_what_is_kept_comes_back_whole_and_in_order(tmp_path: Path):
    kept = [arrival(bytes([n])) for n in range(9)]
    with spool(tmp_path) as mine:
        mine.keep(kept[:4])
        mine.keep(kept[4:])
        assert mine.load == Load(waiting=9)
        assert mine.oldest() == kept
        mine.forget([one.id for one in kept[:5]])
        assert mine.oldest() == kept[5:]
        assert mine.load == Load(waiting=4)


def test_to_keep_the_same_twice_keeps_it_once(tmp_path: Path):
    one, other = arrival(), arrival()
    with spool(tmp_path) as mine:
        mine.keep([one])
        mine.keep([one, other])
        assert mine.load == Load(waiting=2)
        mine.forget([one.id, other.id])
        assert mine.load == Load()
        assert mine.has_room


def test_a_spool_that_is_full_keeps_all_it_has_and_takes_no_more(tmp_path: Path):
    with spool(tmp_path, max_bytes=5_000) as mine:
        mine.keep([arrival(b"x" * 4_000)])
        with pytest.raises(Full):
            mine.keep([arrival(b"x" * 4_000)])
        assert len(mine.oldest()) == 1
        mine.forget([mine.oldest()[0].id])
        mine.keep([arrival(b"x" * 4_000)])


def test_large_requests_are_handed_over_few_at_a_time(tmp_path: Path):
    """So that emptying a spool never takes much memory."""
    kept = [arrival(b"x" * 3_000_000) for _ in range(4)]
    with spool(tmp_path, max_bytes=2**24) as mine:
        mine.keep(kept)
        assert mine.oldest() == kept[:2]


def test_whoever_starts_next_has_what_a_killed_process_left(tmp_path: Path):
    ids = die_with(tmp_path, 3)
    assert load_of(tmp_path) == Load(waiting=3)
    with spool(tmp_path) as mine:
        assert [one.id for one in mine.oldest()] == ids


def test_what_several_left_goes_to_one_and_is_in_order(tmp_path: Path):
    ids = sorted(die_with(tmp_path, 2) + die_with(tmp_path, 3, inherits=False))
    with spool(tmp_path) as mine, spool(tmp_path) as other:
        assert len(mine.oldest()) + len(other.oldest()) == 5, "both start, and each inherits one"
    with spool(tmp_path) as mine:
        mine.adopt()
        assert [one.id for one in mine.oldest()] == ids
        assert len(list(tmp_path.glob("*.spool"))) == 1
        mine.forget(ids)
    assert list(tmp_path.iterdir()) == []


def test_nobody_takes_from_one_that_lives(tmp_path: Path):
    with spool(tmp_path) as mine, spool(tmp_path) as other:
        mine.keep([arrival()])
        assert other.adopt() == 0
        assert mine.load == Load(waiting=1)
        assert load_of(tmp_path) == Load(waiting=1)


def test_a_file_that_cannot_be_read_is_put_away_and_stops_nobody(tmp_path: Path):
    die_with(tmp_path, 1)
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(b"this is no database" * 100)
    (tmp_path / f"{path.name}-wal").write_bytes(b"nor this")
    with spool(tmp_path) as mine:
        mine.keep([arrival()])
    left = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert left[f"{path.stem}.damaged"].startswith(b"this is no database")


def test_what_was_refused_stays_and_is_handed_over_no_more(tmp_path: Path):
    bad, good = arrival(), arrival()
    with spool(tmp_path) as mine:
        mine.keep([bad, good])
        mine.set_aside(bad.id, "it is wrong")
        assert mine.oldest() == [good]
        assert mine.load == Load(waiting=1, refused=1)
        mine.forget([good.id])
    assert load_of(tmp_path) == Load(refused=1)


def test_only_its_owner_reads_it(tmp_path: Path):
    with spool(tmp_path) as mine:
        mine.keep([arrival()])
        modes = {one.stat().st_mode & 0o077 for one in tmp_path.glob("*.spool*")}
        assert modes == {0}


# -- routing keys, kept ---------------------------------------------------------------------------


INTEGRATION = Integration(
    id="int_1", name="sentry", service_id="svc_1", source="sentry", dialect="auto",
    signing_secrets=("the-secret",), sentry_url=None, is_enabled=True, is_replay_strict=True,
    routes=(Route(project=("a",), tags=(("t", ("v",)),)),),
)  # fmt: skip


def test_keys_are_known_again_and_the_file_says_nothing(tmp_path: Path, vault: Vault):
    kept = KeptKeys(tmp_path / "kept-keys", vault)
    assert kept.load() is None
    kept.save({"hash": "int_1"}, {"int_1": INTEGRATION})
    known = kept.load()
    assert known is not None
    assert known.keys == {"hash": "int_1"}
    assert known.integrations == {"int_1": INTEGRATION}
    assert b"the-secret" not in (tmp_path / "kept-keys").read_bytes()
    assert (tmp_path / "kept-keys").stat().st_mode & 0o077 == 0
    kept.save({}, {})
    assert [one.name for one in tmp_path.iterdir()] == ["kept-keys"]


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff"])
def test_a_file_that_others_made_is_none(tmp_path: Path, vault: Vault, content: bytes):
    (tmp_path / "kept-keys").write_bytes(content)
    assert KeptKeys(tmp_path / "kept-keys", vault).load() is None


def test_keys_kept_with_another_secret_key_are_not_known(
    tmp_path: Path, vault: Vault, fresh_key: str
):
    KeptKeys(tmp_path / "kept-keys", Vault([fresh_key])).save({}, {"int_1": INTEGRATION})
    assert KeptKeys(tmp_path / "kept-keys", vault).load() is None


def test_an_arrival_with_all_there_is_comes_back_the_same():
    one = msgspec.structs.replace(arrival(b"\x00\xff"), body_key="sha256:0", reason="ä")
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Arrival)
    assert again == one
    assert again.received_at - NOW == timedelta()
