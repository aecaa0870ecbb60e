"""What stands on the screen while a till cannot start: why, with its code; and the start again, until it can.

A till that nobody can sell at still says what to do, and goes on by itself once that is done. Left out: mending
anything; a journal that is damaged, lost or foreign is never touched (DEVICES.md, "When the till cannot start").
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Final, TypeVar

from terminal.events import TillEvent, TillFailed
from terminal.journal import JournalDamaged, JournalReader
from terminal.program import Redraw, Screen, Stop
from terminal.standing import DeviceNotice, Standing
from terminal.till import Till
from wire.errors import CampusError
from wire.record import TapTime

RETRY_S: Final = 5.0  # a damaged journal is read whole at each try
_SET_ASIDE: Final = "campus-terminal journal set-aside"
CLOCK_BACK_S: Final = 60  # less is a clock that was set right

Events = queue.SimpleQueue[TillEvent | Redraw | Stop]

_Started = TypeVar("_Started")


def started(
    start: Callable[[], _Started], screen: Screen, events: Events, *, now: Callable[[], TapTime]
) -> _Started | None:
    """What `start` gives once it can; until then the screen says why not. None: `Stop` came first."""
    while True:
        try:
            return start()
        except CampusError as error:
            way_on = f"; {_SET_ASIDE}" if isinstance(error, JournalDamaged) else ""
            fault = f"{error}{way_on} [{error.code}]"
        till = Till(None)
        till.handle(TillFailed(fault))
        screen.show(till, Standing(terminal="", at=now(), sealed=0, unsent=0, unsent_fen=0))
        if _stopped(events):
            return None


def _stopped(events: Events) -> bool:
    """Whether `Stop` came before it is time to try again; what else was pressed is forgotten."""
    try:
        while True:
            if isinstance(events.get(timeout=RETRY_S), Stop):
                return True
    except queue.Empty:
        return False


def clock_notice(journal: JournalReader, now: Callable[[], TapTime]) -> Callable[[], list[DeviceNotice]]:
    """Tells, as long as it is so, that the clock is before the last tap of an earlier run."""
    head = journal.head().seq
    last_utc_s = journal.records(head, 1)[0].opened_at.utc_s if head else 0

    def notices() -> list[DeviceNotice]:
        behind_s = last_utc_s - now().utc_s
        if behind_s <= CLOCK_BACK_S:
            return []
        return [DeviceNotice("clock-gone-back", f"{behind_s} s before the last tap of the journal")]

    return notices
