"""The running till: events in from reader and cashier, commands carried out one at a time, the screen told after each.

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

from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.purse import CardProfile, CardUnreadable, PsamLost, PsamUnusable
from drivers.reader import Reader, ReaderLost
from terminal.downlink import Downlink, DownlinkUnreadable
from terminal.events import (
    CardCommand,
    CashierEvent,
    ChargePurse,
    CloseShift,
    Command,
    GiveUpTorn,
    OpenShift,
    PsamLooked,
    ReadBalance,
    RecordCash,
    RefundPurse,
    ReportShift,
    ResolveTorn,
    ReverseSale,
    SaleEnded,
    SignOn,
    Ticked,
    TillEvent,
    TillFailed,
    TrainPurse,
    Trouble,
    VerdictRead,
)
from terminal.inquiry import Inquiry
from terminal.journal import Journal, JournalDamaged, JournalInUse, JournalUnwritable
from terminal.psam import PsamForeign, PsamLocked, PsamSlot
from terminal.result import NotPaid, Result, ShiftReported, Torn, Unresolved
from terminal.rules import Limits, Terms
from terminal.sale import Sale
from terminal.shiftbook import Shiftbook
from terminal.standing import Standing, StandingSource
from terminal.till import Till
from terminal.usage import Usage
from wire.configuration import Configuration
from wire.record import TapTime

_TICK_S: Final = 0.5  # clock and upload state move without events; and a missing PSAM is looked for so often
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
    """Where the till shows itself. Both are called by the till's loop, which waits for them: they only hand over."""

    def show(self, till: Till, standing: Standing) -> None:
        """Draw the present state; called after every event and twice a second. The till changes after that."""
        ...

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """A command came to this result, so long after all that it needed was there; `show` came just before."""
        ...


class Program:
    """One till on one reader, from start to `Stop`."""

    def __init__(
        self,
        *,
        journal: Journal,
        usage: Usage,
        downlink: Downlink,
        reader: Reader,
        psam: PsamSlot,
        profile: CardProfile,
        limits: Limits,
        now: Callable[[], TapTime],
        monotonic_s: Callable[[], float],
        events: queue.SimpleQueue[TillEvent | Redraw | Stop] | None = None,
    ) -> None:
        # A SimpleQueue, because a signal handler may put while the loop gets. A screen may be there before the till is.
        self.events = queue.SimpleQueue[TillEvent | Redraw | Stop]() if events is None else events
        self._journal = journal
        self._usage = usage
        self._downlink = downlink
        self._reader = reader
        self._psam = psam
        self._profile = profile
        self._limits = limits
        self._now = now
        self._monotonic_s = monotonic_s
        self._standing = StandingSource(journal, downlink, now)
        self._shifts = Shiftbook(journal)
        self._configuration: Configuration | None = None  # the one that the till has taken up
        self._sale: Sale | None = None
        self._ending = threading.Event()

    def run(self, screen: Screen) -> None:
        """Serve until `Stop`; a tap that is under way then is finished first."""
        shift = self._shifts.catch_up()
        till = Till(
            self._journal.opened_tap(),
            cashier=None if shift is None else shift.cashier,
            last_sale=self._shifts.last_sale,
        )
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
        self._tick(till, screen)  # the PSAM is powered before the first card comes, since that takes time
        ticked_s = self._monotonic_s()
        while True:
            self._show(till, screen)
            event: TillEvent | Redraw | Stop | None = None
            with contextlib.suppress(queue.Empty):
                event = self.events.get(timeout=max(ticked_s + _TICK_S - self._monotonic_s(), 0))
            if isinstance(event, Stop):
                return
            if event is not None and not isinstance(event, Redraw):
                self._handle(till, event, screen)
            if self._monotonic_s() - ticked_s >= _TICK_S:
                self._tick(till, screen)
                ticked_s = self._monotonic_s()

    def _handle(self, till: Till, event: TillEvent, screen: Screen) -> None:
        began_s = self._monotonic_s()
        command = till.handle(event)
        while command is not None:
            self._configuration = till.configuration
            by_card = isinstance(command, CardCommand)
            if by_card:
                till.working = True
                self._show(till, screen)
            following = self._carry_out(command)
            elapsed_ms = (self._monotonic_s() - began_s) * 1000
            till.working = False
            command = till.handle(following)
            if isinstance(following, SaleEnded):
                if by_card:
                    self._forget_cashier()  # before anybody can have seen the result
                self._show(till, screen)
                screen.ended(following.result, elapsed_ms)

    def _tick(self, till: Till, screen: Screen) -> None:
        """What changes by itself; between taps."""
        self._handle(till, self._look_after_psam(), screen)
        self._standing.look()
        try:
            configuration = self._downlink.configuration()
        except DownlinkUnreadable:
            configuration = till.configuration  # no sale is made without the hotlist, which is in the same file
        self._handle(till, self._read_verdict(till), screen)
        self._handle(till, Ticked(self._now(), configuration), screen)

    def _show(self, till: Till, screen: Screen) -> None:
        screen.show(till, self._standing.read(till.configuration, self._shifts.catch_up()))

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
            return TillFailed(f"{error} [{error.code}]")
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
            return TillFailed(f"{error} [{error.code}]")

    def _attempt(self, command: Command) -> Result:
        match command:
            case GiveUpTorn(tap):  # needs neither card nor PSAM, which may be what is broken
                return Unresolved(self._journal.seal_unknown(tap))
            case OpenShift(cashier, opening_cash_fen):
                return self._shifts.open(cashier, opening_cash_fen, self._now())
            case CloseShift(counted_cash_fen):
                return self._shifts.close(counted_cash_fen, self._now())
            case RecordCash(amount_fen):
                return self._shifts.take_cash(amount_fen, self._now())
            case ReportShift():
                totals = self._shifts.catch_up()
                assert totals is not None, "an X-report is asked for in a shift"
                return ShiftReported(totals)
        try:
            return self._meet_card(command)
        except _SALE_FAULTS as error:
            open_tap = self._journal.opened_tap()
            return NotPaid(str(error), error.code) if open_tap is None else Torn(open_tap, str(error), error.code)

    def _meet_card(self, command: CardCommand) -> Result:
        if isinstance(command, TrainPurse | ReadBalance):  # which need no PSAM
            inquiry = Inquiry(self._journal, self._usage, self._profile, self._terms, self._now)
            with self._reader.connect() as card:
                return inquiry.train(card, command.offer) if isinstance(command, TrainPurse) else inquiry.balance(card)
        sale = self._ready_sale()
        with self._reader.connect() as card:
            result = _sell(sale, card, command)
            if isinstance(result, NotPaid) and result.code in _PSAM_GONE:
                # It lost its power or its pcscd since the last tap. No tap is open, and the card is still here.
                result = _sell(self._ready_sale(), card, command)
            return result

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
                terms=self._terms,
                usage=self._usage,
                now=self._now,
            )
        return self._sale

    def _terms(self) -> Terms:
        return Terms(
            hotlist=self._downlink.hotlist(),
            limits=self._limits,
            configuration=self._configuration,
            offline=self._standing.offline(),
        )

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


def _sell(
    sale: Sale, card: CardChannel, command: ChargePurse | ReverseSale | RefundPurse | SignOn | ResolveTorn
) -> Result:
    match command:
        case ChargePurse(offer, not_from, again_for, just_left):
            return sale.charge(card, offer, not_from=not_from, again_for=again_for, just_left=just_left)
        case ReverseSale(of, allowed_by):
            return sale.reverse(card, of, allowed_by=allowed_by)
        case RefundPurse(credit_fen, refers_to, allowed_by):
            return sale.refund(card, credit_fen, refers_to=refers_to, allowed_by=allowed_by)
        case SignOn(role, digits):
            return sale.sign_on(card, role, digits)
        case ResolveTorn(tap):
            return sale.resolve(card, tap)
