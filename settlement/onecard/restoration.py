"""Numbers that were given out and then lost with a restored database: none of them is given out again.

The registry knows when it was restored, and from when the copy was. Between the two it may have given out numbers, so
after that it leaves out more than it can have given in that time. A second restore from the same copy comes later, and
leaves out more than the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.store.database import Database

_ADD: Final = "INSERT INTO restoration (taken_at_utc_s, restored_at_utc_s) VALUES (%s, %s)"
_SINCE: Final = "SELECT taken_at_utc_s, restored_at_utc_s FROM restoration ORDER BY id DESC LIMIT 1"
_CLOCK_S: Final = 3_600  # clocks are set, and differ


def note_restoration(db: Database, *, taken_at_utc_s: int, now_utc_s: int) -> None:
    """Keep that the registry is as of `taken_at_utc_s` again."""
    db.execute(_ADD, (taken_at_utc_s, now_utc_s))


def numbers_lost(db: Database, *, given_at_utc_s: int, each_s: int) -> int:
    """How many numbers to leave out after one that was given out then, if one takes `each_s` at least on the average.

    0 unless the registry was restored since.
    """
    for since in db.query(_SINCE, into=_Restoration):
        if given_at_utc_s <= since.restored_at_utc_s:
            return (max(since.restored_at_utc_s - since.taken_at_utc_s, 0) + _CLOCK_S) // each_s
    return 0


@dataclass(frozen=True, slots=True)
class _Restoration:
    taken_at_utc_s: int
    restored_at_utc_s: int
