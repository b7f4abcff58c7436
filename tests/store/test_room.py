"""The ballast: on a full disk there is room for what was accepted, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.store import room as module
from tocsin.store.room import BALLAST, Disk, Room

MIB = 2**20


class Pretended:
    """A disk of a certain size, on which the ballast takes room as any file does."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder = folder
        self.total = total
        self.others = 0

    def look(self, _folder: Path) -> Disk:
        ballast = self.folder / "ballast"
        held = ballast.stat().st_size if ballast.exists() else 0
        return Disk(total=self.total, free=max(0, self.total - self.others - held))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    made = Pretended(tmp_path, 1000 * MIB)
    monkeypatch.setattr(module, "disk_of", made.look)
    return made


def test_the_ballast_is_really_there(tmp_path: Path):
    Room(tmp_path).tend()
    held = (tmp_path / "ballast").stat()
    assert held.st_size <= BALLAST
    assert held.st_blocks * 512 >= held.st_size > 0


def test_on_a_full_disk_it_is_given_up_and_comes_back_with_room(disk: Pretended, tmp_path: Path):
    room = Room(tmp_path)
    assert not room.tend().is_nearly_full
    assert not room.is_short
    disk.others = disk.total - BALLAST - MIB
    assert room.tend().is_nearly_full
    assert not (tmp_path / "ballast").exists()
    assert room.is_short, "what it held is for what was accepted"
    disk.others = disk.total - BALLAST
    room.tend()
    assert room.is_short
    disk.others = disk.total - 2 * BALLAST + MIB
    room.tend()
    assert not room.is_short, "there is room again"
    disk.others = 0
    room.tend()
    assert (tmp_path / "ballast").exists()


def test_on_a_disk_that_was_full_from_the_start_there_is_none_and_nothing_is_taken(
    disk: Pretended, tmp_path: Path
):
    disk.others = disk.total - MIB
    room = Room(tmp_path)
    room.tend()
    assert room.is_short
    assert list(tmp_path.iterdir()) == []


def test_two_processes_share_one(disk: Pretended, tmp_path: Path):
    one, two = Room(tmp_path), Room(tmp_path)
    one.tend()
    two.tend()
    disk.others = disk.total - BALLAST - MIB
    one.tend()
    two.tend()
    assert one.is_short
    assert two.is_short


def test_a_small_disk_gives_a_small_ballast():
    assert Disk(total=64 * MIB, free=0).ballast == 64 * MIB // 20
