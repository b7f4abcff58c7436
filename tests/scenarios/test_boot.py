"""What a start does when something goes away under it."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.world import World
from tocsin import boot
from tocsin.config import load
from tocsin.store.kept import KeptKeys
from tocsin.work.accounts import Accounts


def test_a_database_that_goes_away_while_the_first_link_is_made_ends_nothing(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def gone(_self: Accounts, _now: datetime) -> str | None:
        raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    store = boot.Store(
        settings=load({}),
        database=world.database,
        vault=world.vault,
        plans=world.plans,
        kept=KeptKeys(tmp_path / "kept", world.vault),
    )
    boot._say_how_to_begin(store)
    assert "/setup/" in capsys.readouterr().out
    monkeypatch.setattr(Accounts, "setup_link", gone)
    boot._say_how_to_begin(store)
    assert "/setup/" not in capsys.readouterr().out


def test_types_that_several_threads_read_first_at_once_end_nothing():
    """To end the process, in C, is what msgspec does where it was not told of them before."""
    code = """
import sys, threading, msgspec
from tocsin import boot
boot.know_shapes("tocsin.web.app")
sys.setswitchinterval(1e-6)
for shape in [one for one in boot._structs(msgspec.Struct) if one.__module__.startswith("tocsin.")]:
    together = threading.Barrier(4)
    def read():
        together.wait()
        try:
            msgspec.convert({name: None for name in shape.__struct_fields__}, shape)
        except msgspec.ValidationError:
            pass
    threads = [threading.Thread(target=read) for _ in range(4)]
    [one.start() for one in threads]
    [one.join() for one in threads]
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
