"""Many at once while all goes well, one at a time when something does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Do up to so many things in a transaction of its own, noting in the list what was taken up;
#: return how many were done.
Batch = Callable[[int, list[T]], int]


def batch_or_each(batch: Batch[T], size: int, fail: Callable[[T, Exception], None]) -> int:
    """Do a batch; return how many were done.

    If it fails, nothing of it was saved: its things are done one by one, and what fails alone is
    handed to ``fail``, so that one thing that cannot be done never holds up the others.
    """
    try:
        return batch(size, [])
    except Exception:  # noqa: BLE001, S110 - each is tried by itself below, and told if it fails
        pass
    done = 0
    for _ in range(size):
        taken: list[T] = []
        try:
            count = batch(1, taken)
        except Exception as error:
            if not taken:
                raise
            fail(taken[-1], error)
            count = 1
        if count == 0:
            break
        done += count
    return done
