"""What a start does when something goes away under it."""

from __future__ import annotations

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
