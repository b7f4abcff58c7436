"""Room on the disk, and a ballast that is given up when there is none.

A full disk refuses everything, deleting included. So a part of it is held by a file that nobody
needs. When the disk is full that file goes, and new webhooks are refused while what was accepted
uses its room: incidents go on escalating. When somebody makes room, all is as before.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger("disk")

#: The ballast, and the most of a small disk that it takes.
BALLAST = 32 * 2**20
_PART = 20

#: The share of a disk from which on its owner is told.
_NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as it is."""

    total: int
    free: int

    @property
    def is_nearly_full(self) -> bool:
        """Whether its owner should make room."""
        return self.free < (1 - _NEARLY) * self.total

    @property
    def ballast(self) -> int:
        """How much of it is held."""
        return min(BALLAST, self.total // _PART)


def disk_of(folder: Path) -> Disk:
    """Look at the disk that a folder is on, as whoever runs this may use it."""
    found = os.statvfs(folder)
    return Disk(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)


class Room:
    """The ballast of a folder. Call ``tend`` often."""

    def __init__(self, folder: Path) -> None:
        """Look after the disk that a folder is on."""
        self.folder = folder
        self._path = folder / "ballast"
        self._turn = threading.Lock()
        #: Whether what is left is for what was accepted already.
        self.is_short = False

    def tend(self) -> Disk:
        """Give the ballast up if the disk is full, make it if there is room. Raises OSError."""
        with self._turn:
            disk = disk_of(self.folder)
            floor = disk.ballast // 4
            if self._path.exists():
                if disk.free < floor:
                    self._path.unlink(missing_ok=True)
                    self.is_short = True
                    log.error("the disk is full: the ballast was given up", folder=str(self.folder))
            elif disk.free >= 2 * disk.ballast:
                self._make(disk.ballast)
            # Others may share the folder, and have done either.
            is_held = self._path.exists()
            self.is_short = not is_held and disk_of(self.folder).free < disk.ballast + floor
            return disk

    def _make(self, size: int) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
