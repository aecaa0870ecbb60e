"""The running till: events in from reader and keyboard, commands carried out one at a time, the screen told after each.

Everything that can wait for a device does so in a thread that only puts events into one queue; card, PSAM and journal
are touched by the loop alone, so that a tap is never in two hands.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from drivers.channel import CardRemoved, ReaderFault
from drivers.purse import CardProfile, CardUnreadable, PsamLost, PsamUnusable
from drivers.reader import Reader, ReaderLost
from terminal.downlink import Downlink, DownlinkUnreadable
from terminal.journal import Journal, JournalDamaged, JournalInUse, JournalUnwritable
from terminal.psam import PsamForeign, PsamLocked, PsamSlot
from terminal.result import NotPaid, SaleResult, Torn, Unresolved
from terminal.rules import Limits
from terminal.sale import Sale
from terminal.till import (
    CashierEvent,
    ChargePurse,
    Command,
    GiveUpTorn,
    PsamLooked,
    ResolveTorn,
    SaleEnded,
    Till,
    TillEvent,
    TillFailed,
    Trouble,
    VerdictRead,
)
from wire.record import TapTime

_REDRAW_S: Final = 0.5  # clock and upload state move without events; and a missing PSAM is looked for so often
_WATCH_AGAIN_S: Final = 1.0  # after the watch on the reader ended as it never should
_PSAM_GONE: Final = frozenset({PsamLost.code, PsamUnusable.code})


_SALE_FAULTS: Final = (
    CardRemoved,
    ReaderFault,
    CardUnreadable,
    PsamLost,
    PsamUnusable,
    PsamForeign,
    DownlinkUnreadable,
)


@dataclass(frozen=True, slots=True)
class Stop:
    """The program is asked to end; what is under way is finished first."""


@dataclass(frozen=True, slots=True)
class Redraw:
    """Something that only the screen knows has changed, such as a half-typed amount."""


class Screen(Protocol):
    """Where the till shows itself."""

    def show(self, till: Till) -> None:
        """Draw the present state; called after every event and twice a second."""
        ...

    def ended(self, result: SaleResult, elapsed_ms: float) -> None:
        """A sale came to this result, so long after card and amount were both there."""
        ...


class Program:
    """One till on one reader, from start to `Stop`."""

    def __init__(
        self,
        *,
        journal: Journal,
        downlink: Downlink,
        reader: Reader,
        psam: PsamSlot,
        profile: CardProfile,
        limits: Limits,
        now: Callable[[], TapTime],
        monotonic_s: Callable[[], float],
    ) -> None:
        # A SimpleQueue, because a signal handler may put while the loop gets.
        self.events: queue.SimpleQueue[TillEvent | Redraw | Stop] = queue.SimpleQueue()
        self._journal = journal
        self._downlink = downlink
        self._reader = reader
        self._psam = psam
        self._profile = profile
        self._limits = limits
        self._now = now
        self._monotonic_s = monotonic_s
        self._sale: Sale | None = None
        self._ending = threading.Event()

    def run(self, screen: Screen) -> None:
        """Serve until `Stop`; a tap that is under way then is finished first."""
        till = Till(self._journal.opened_tap())
        watcher = threading.Thread(target=self._watch_reader, name="reader", daemon=True)
        watcher.start()
        try:
            self._serve(till, screen)
        finally:
            self._ending.set()
            self._reader.stop()
            watcher.join()
            self._psam.close()

    def _serve(self, till: Till, screen: Screen) -> None:
        till.handle(self._look_after_psam())  # powered before the first card comes, since that takes time
        while True:
            till.handle(self._read_verdict(till))
            screen.show(till)
            try:
                event = self.events.get(timeout=_REDRAW_S)
            except queue.Empty:
                till.handle(self._look_after_psam())
                continue
            if isinstance(event, Stop):
                return
            if isinstance(event, Redraw):
                continue
            began_s = self._monotonic_s()
            command = till.handle(event)
            while command is not None:
                following = self._carry_out(command)
                elapsed_ms = (self._monotonic_s() - began_s) * 1000
                command = till.handle(following)
                if isinstance(following, SaleEnded):
                    self._forget_cashier()  # before anybody can have seen the result
                    screen.show(till)
                    screen.ended(following.result, elapsed_ms)

    def _forget_cashier(self) -> None:
        """What the cashier pressed before seeing how a sale ended was not meant for what is on the screen now."""
        kept = [event for event in self._waiting() if not isinstance(event, CashierEvent)]
        for event in kept:
            self.events.put(event)

    def _waiting(self) -> Iterator[TillEvent | Redraw | Stop]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self.events.get_nowait()

    def _look_after_psam(self) -> PsamLooked | TillFailed:
        """Connect the PSAM if it is not; one that is connected is left alone, for it may hold a torn tap's session."""
        try:
            self._psam.ensure()
        except PsamLocked as error:
            return TillFailed(str(error))
        except (PsamLost, PsamUnusable, PsamForeign) as error:
            return PsamLooked(Trouble(error.code, str(error)))
        return PsamLooked(None)

    def _read_verdict(self, till: Till) -> VerdictRead:
        try:
            verdict = self._downlink.verdict()
        except DownlinkUnreadable:
            return VerdictRead(till.verdict)  # no sale is made without the hotlist, which is in the same file
        return VerdictRead(None if verdict is None else Trouble(verdict.code, verdict.words))

    def _carry_out(self, command: Command) -> TillEvent:
        """Do what the till decided; every fault becomes an event that says what is the case now."""
        try:
            return SaleEnded(self._attempt(command))
        except (JournalUnwritable, JournalDamaged, JournalInUse, PsamLocked) as error:
            return TillFailed(str(error))

    def _attempt(self, command: Command) -> SaleResult:
        if isinstance(command, GiveUpTorn):  # needs neither card nor PSAM, which may be what is broken
            return Unresolved(self._journal.seal_unknown(command.tap))
        try:
            return self._do(command)
        except _SALE_FAULTS as error:
            tap = self._journal.opened_tap()
            return NotPaid(str(error), error.code) if tap is None else Torn(tap, str(error), error.code)

    def _do(self, command: ChargePurse | ResolveTorn) -> SaleResult:
        sale = self._ready_sale()
        with self._reader.connect() as card:
            match command:
                case ChargePurse(amount_fen, not_from):
                    result = sale.charge(card, amount_fen, not_from=not_from)
                    if isinstance(result, NotPaid) and result.code in _PSAM_GONE:
                        # It lost its power or its pcscd since the last tap. No tap is open, and the card is still here.
                        result = self._ready_sale().charge(card, amount_fen, not_from=not_from)
                    return result
                case ResolveTorn(tap):
                    return sale.resolve(card, tap)

    def _ready_sale(self) -> Sale:
        """The sale machinery over a PSAM that answers; made anew when the PSAM had to be connected again."""
        identity = self._psam.ensure()
        # The same PSAM powered up anew has another identity object: it can no longer check an earlier tap's MAC2.
        if self._sale is None or self._sale.psam is not identity:
            self._sale = Sale(
                journal=self._journal,
                psam_channel=self._psam,
                psam=identity,
                profile=self._profile,
                limits=self._limits_in_force,
                hotlist=self._downlink.hotlist,
                now=self._now,
            )
        return self._sale

    def _limits_in_force(self) -> Limits:
        configuration = self._downlink.configuration()
        return self._limits if configuration is None else Limits(tap_fen_max=configuration.others.tap_fen_max)

    def _watch_reader(self) -> None:
        """Pass on what the reader tells; whatever ends that but `Stop`, the till is told, and the watch begins anew."""
        while not self._ending.is_set():
            why = "the watch on the reader ended"
            try:
                for event in self._reader.events():
                    self.events.put(event)
            except Exception as error:  # noqa: BLE001  a bug in a driver must not end the watch unseen
                why = f"{why}: {error!r}"
            self.events.put(ReaderLost(why, ReaderFault.code))
            self._ending.wait(_WATCH_AGAIN_S)
