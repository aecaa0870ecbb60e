"""How the till stands: what a cashier has to have in sight all the time, gathered off the tap's path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from terminal.downlink import Acknowledged, Downlink, DownlinkUnreadable, LinkState
from terminal.journal import JournalReader
from terminal.rules import Offline
from terminal.totals import ShiftTotals
from wire.configuration import Configuration
from wire.hotlist import EMPTY_HOTLIST
from wire.money import Fen
from wire.record import TapTime

_LINKS_AGAIN_S: Final = 2  # the daemon writes them no oftener than it looks


@dataclass(frozen=True, slots=True)
class DeviceNotice:
    """A device around the till that does not work: a name in `terminal.words.codes`, and why, for the technician."""

    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Read-only; made twice a second and after every event. Ages in seconds; None: never, or nothing to tell."""

    terminal: str
    merchant: str = ""  # as the configuration names them; empty: nothing came down
    outlet: str = ""
    at: TapTime  # the clock, and what set it (`at.quality`)
    sealed: int
    unsent: int
    unsent_fen: int
    receipt_age_s: int | None = None
    hotlist_version: int = 0
    hotlist_cards: int = 0
    hotlist_age_s: int | None = None
    configuration_version: int = 0  # of the one in force
    downlink_fault: str | None = None
    link: str | None = None  # the link that the daemon uses now; None: none
    link_faults: tuple[tuple[str, str], ...] = ()  # links that fail: name, and words for the technician
    offline_s_left: int | None = None  # until OFFLINE_TOO_LONG; None: no limit
    offline_fen_left: Fen | None = None  # until OFFLINE_TOO_MUCH; None: no limit
    shift: ShiftTotals | None = None  # None: no shift is open
    devices: tuple[DeviceNotice, ...] = ()  # what does not work around the till


class StandingSource:
    """Gathers it; to be called from the till's loop alone."""

    def __init__(self, journal: JournalReader, downlink: Downlink, now: Callable[[], TapTime]) -> None:
        self._journal = journal
        self._downlink = downlink
        self._now = now
        self._acknowledged = Acknowledged(None, None)
        self._enrolled_at_utc_s: int | None = None
        self._heard_since_s: tuple[int | None, int] | None = None  # what is known of it, and the uptime since when
        self._hotlist = EMPTY_HOTLIST
        self._hotlist_at_utc_s: int | None = None
        self._links = LinkState()
        self._links_at_s: int | None = None
        self._fault: str | None = None
        self._sent_fen = 0

    def look(self) -> None:
        """Read what the daemon has written since; what was read before stands if it cannot be."""
        at = self._now()
        self._fault = None
        try:
            self._acknowledged, self._hotlist = self._downlink.acknowledged(), self._downlink.hotlist()
            self._hotlist_at_utc_s = self._downlink.hotlist_received_at_utc_s()
            self._enrolled_at_utc_s = self._downlink.enrolled_at_utc_s()
            if self._links_at_s is None or at.uptime_s - self._links_at_s >= _LINKS_AGAIN_S:
                self._links, self._links_at_s = self._downlink.links(), at.uptime_s
        except DownlinkUnreadable as error:
            self._fault = str(error)
        if self._heard_since_s is None or self._heard_since_s[0] != self._heard_at_utc_s:
            self._heard_since_s = self._heard_at_utc_s, at.uptime_s
        self._sent_fen = self._journal.total_before_fen(self._next_seq)

    def offline(self) -> Offline:
        """How far the till is on its own in this moment, by what was read last.

        At least as long as nothing new was heard in this run: a clock that was set back must not stop the counting.
        """
        now, heard = self._now(), self._heard_at_utc_s
        silent_s = 0 if heard is None else now.utc_s - heard
        since_s = now.uptime_s if self._heard_since_s is None else self._heard_since_s[1]
        return Offline(max(silent_s, now.uptime_s - since_s), self._journal.head().total_fen - self._sent_fen)

    def read(self, configuration: Configuration | None, shift: ShiftTotals | None) -> Standing:
        """The state of this moment, by what was read last; `configuration` is the one in force."""
        head, at, offline = self._journal.head(), self._now(), self.offline()
        heard = self._acknowledged.heard_at_utc_s
        s_max = None if configuration is None else configuration.offline_s_max
        fen_max = None if configuration is None else configuration.offline_fen_max
        return Standing(
            terminal=self._journal.terminal.hex(),
            merchant="" if configuration is None else configuration.merchant_name.zh,
            outlet="" if configuration is None else configuration.outlet_name.zh,
            at=at,
            sealed=head.seq,
            unsent=head.seq + 1 - self._next_seq,
            unsent_fen=offline.unsent_fen,
            receipt_age_s=None if heard is None else max(at.utc_s - heard, 0),
            hotlist_version=self._hotlist.version,
            hotlist_cards=len(self._hotlist.cards),
            hotlist_age_s=None if self._hotlist_at_utc_s is None else max(at.utc_s - self._hotlist_at_utc_s, 0),
            configuration_version=0 if configuration is None else configuration.version,
            downlink_fault=self._fault,
            link=self._links.link,
            link_faults=self._links.faults,
            offline_s_left=None if s_max is None else max(s_max - offline.silent_s, 0),
            offline_fen_left=None if fen_max is None else Fen(max(fen_max - offline.unsent_fen, 0)),
            shift=shift,
        )

    @property
    def _heard_at_utc_s(self) -> int | None:
        """When the server was last heard, or first knew this terminal."""
        return self._acknowledged.heard_at_utc_s or self._enrolled_at_utc_s

    @property
    def _next_seq(self) -> int:
        """The first number that the server lacks, if the journal is the one that it knows."""
        return min(max(self._acknowledged.next_seq, 1), self._journal.head().seq + 1)
