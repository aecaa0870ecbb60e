"""The till for a program instead of a person: what happens as one JSON object a line, both ways.

A line in is an amount of yuan, `cancel`, or an object with `do`; all of them stand in TERMINAL.md.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final, TextIO

from drivers.load import PIN_DIGITS
from terminal.basket import COUNT_MAX, Mode, Offer
from terminal.events import (
    AmountEntered,
    BalancePressed,
    CancelPressed,
    CashierEvent,
    CashPressed,
    CloseShiftPressed,
    CodeScanned,
    ConfirmPressed,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    PinEntered,
    ProductPressed,
    RefundPressed,
    TillEvent,
    TrainingPressed,
    UndoPressed,
    XReportPressed,
)
from terminal.program import Redraw, Stop
from terminal.result import (
    Approved,
    BalanceRead,
    CashTaken,
    NotPaid,
    ProofRefused,
    Refunded,
    Refused,
    Result,
    Reversed,
    ShiftClosed,
    ShiftOpened,
    ShiftReported,
    SignedOn,
    Torn,
    Trained,
    Unresolved,
)
from terminal.standing import Standing
from terminal.till import Till
from terminal.totals import ShiftTotals
from wire.errors import CampusError
from wire.ids import SEQ_MAX
from wire.money import FEN_MAX, AmountUnreadable, Fen, parse_yuan
from wire.record import TapRecord

Fact = object  # what JSON can say
_CODE_MAX: Final = 200


class LineUnreadable(CampusError):
    """A line in means nothing here."""

    code = "line-unreadable"


class _Fields:
    """The fields of one line; each is asked for once, and none may be left."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._left = dict(fields)

    def number(self, name: str, *, least: int, most: int, otherwise: int | None = None) -> int:
        """A whole number in these bounds."""
        value = self._left.pop(name, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise LineUnreadable(f"{name} is a whole number from {least} to {most}")
        return value

    def text(self, name: str, *, most: int) -> str:
        """A text of one character or more."""
        value = self._left.pop(name, None)
        if not isinstance(value, str) or not 0 < len(value) <= most:
            raise LineUnreadable(f"{name} is a text of at most {most} characters")
        return value

    def finish(self) -> None:
        """Raise unless every field was asked for."""
        if self._left:
            raise LineUnreadable(f"{', '.join(sorted(self._left))[:50]} means nothing here")


def _mode(fields: _Fields) -> CashierEvent:
    name = fields.text("mode", most=20)
    if name not in (mode.name.lower() for mode in Mode):
        raise LineUnreadable(f"mode is one of {', '.join(mode.name.lower() for mode in Mode)}")
    return ModeChosen(Mode[name.upper()])


_EVENTS: Final[Mapping[str, Callable[[_Fields], CashierEvent]]] = {
    "amount": lambda fields: AmountEntered(Fen(fields.number("fen", least=0, most=FEN_MAX))),
    "balance": lambda _: BalancePressed(),
    "cancel": lambda _: CancelPressed(),
    "cash": lambda _: CashPressed(),
    "close-shift": lambda _: CloseShiftPressed(),
    "confirm": lambda _: ConfirmPressed(),
    "meals": lambda fields: MealsEntered(fields.number("count", least=1, most=COUNT_MAX)),
    "mode": _mode,
    "pin": lambda fields: PinEntered(fields.text("digits", most=PIN_DIGITS[-1])),
    "product": lambda fields: ProductPressed(
        fields.number("number", least=0, most=0xFFFF), fields.number("count", least=1, most=COUNT_MAX, otherwise=1)
    ),
    "refund": lambda fields: RefundPressed(fields.number("seq", least=0, most=SEQ_MAX, otherwise=0)),
    "remove": lambda fields: LineRemoved(fields.number("number", least=0, most=0xFFFF)),
    "scan": lambda fields: CodeScanned(fields.text("code", most=_CODE_MAX)),
    "training": lambda _: TrainingPressed(),
    "undo": lambda _: UndoPressed(),
    "x-report": lambda _: XReportPressed(),
}


def read_line(line: str) -> CashierEvent:
    """What a line in means; `LineUnreadable` or `AmountUnreadable` for one that means nothing."""
    if line == "cancel":
        return CancelPressed()
    if not line.startswith("{"):
        if (amount_fen := parse_yuan(line)) == 0:
            raise AmountUnreadable("an amount is at least 0.01")
        return AmountEntered(amount_fen)
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineUnreadable("it is no JSON object") from error
    what = found.pop("do", None)
    if not isinstance(what, str) or what not in _EVENTS:
        raise LineUnreadable(f"do is one of {', '.join(_EVENTS)}")
    fields = _Fields(found)
    event = _EVENTS[what](fields)
    fields.finish()
    return event


def waiting_line(till: Till) -> dict[str, Fact]:
    """What the till waits for, and all that decides what an event would do now."""
    trouble = till.reader_fault or till.verdict or till.psam_fault
    return {
        "event": "waiting",
        "for": till.phase.name.lower(),
        "fault": till.failure or (None if trouble is None else f"{trouble.why} [{trouble.code}]"),
        "mode": till.selling.mode.name.lower(),
        "offer": _offer(till.offer),
        "notice": till.notice,
        "training": till.training,
        "shift": till.cashier is not None,
        "configuration": 0 if till.configuration is None else till.configuration.version,
    }


def result_line(result: Result, elapsed_ms: float) -> dict[str, Fact]:
    """How a command came out; cards are masked."""
    return {"event": "result", "kind": type(result).__name__, "ms": round(elapsed_ms, 3), **_facts(result)}


def _facts(result: Result) -> dict[str, Fact]:
    match result:
        case Approved(record, balance_fen, _) | Reversed(record, balance_fen) | Refunded(record, balance_fen):
            return {**_tap(record), "balance_fen": balance_fen}
        case SignedOn(record) | ProofRefused(record) | Unresolved(record):
            return _tap(record)
        case Torn(record, _, code):
            return {**_tap(record), "code": code}
        case Refused(refusal, card, balance_fen, tries_left):
            tries = {} if tries_left is None else {"tries_left": tries_left}
            return {"refusal": refusal.name, "card": str(card), "balance_fen": balance_fen, **tries}
        case NotPaid(_, code):
            return {"code": code} if code else {}
        case BalanceRead():
            return {
                "card": str(result.card),
                "card_class": result.card_class,
                "balance_fen": result.balance_fen,
                "subsidy_left_fen": result.subsidy_left_fen,
                "taps": [_tap(record) for record in result.taps],
                "log": [{"amount_fen": one.amount_fen, "tti": one.tti, "date": one.date} for one in result.log],
            }
        case Trained(refusal, card, amount_fen, subsidy_fen, balance_fen):
            return {
                "refusal": None if refusal is None else refusal.name,
                "card": str(card),
                "amount_fen": amount_fen,
                "subsidy_fen": subsidy_fen,
                "balance_fen": balance_fen,
            }
        case CashTaken(number, amount_fen, _):
            return {"number": number, "amount_fen": amount_fen}
        case ShiftOpened(number, cashier, _, opening_cash_fen):
            return {"number": number, "cashier": str(cashier), "opening_cash_fen": opening_cash_fen}
        case ShiftReported(totals):
            return totals_facts(totals)
        case ShiftClosed(totals, counted_cash_fen, _):
            return {**totals_facts(totals), "counted_cash_fen": counted_cash_fen}
    return {}


def totals_facts(totals: ShiftTotals) -> dict[str, Fact]:
    """An X- or Z-report's numbers."""
    return {
        "number": totals.number,
        "cashier": str(totals.cashier),
        "opening_cash_fen": totals.opening_cash_fen,
        "cash_count": totals.cash_count,
        "cash_fen": totals.cash_fen,
        "expected_cash_fen": totals.expected_cash_fen,
        "taps": [
            {"kind": kind.name, "outcome": outcome.name, **asdict(sums)}
            for (kind, outcome), sums in sorted(totals.taps.items())
        ],
    }


def _tap(record: TapRecord) -> dict[str, Fact]:
    """The tap's facts; zeros and what goes without saying are left out."""
    facts = {
        "subsidy_fen": record.subsidy_fen,
        "credit_fen": record.credit_fen,
        "refers_to": record.refers_to,
    }
    return {
        "seq": record.tap_id.seq,
        "tap": record.kind.name,
        "card": str(record.card),
        "amount_fen": record.amount_fen,
        **{name: value for name, value in facts.items() if value},
    }


def _offer(offer: Offer | None) -> Fact:
    if offer is None:
        return None
    lines = [{"number": line.number, "count": line.count, "each_fen": line.each_fen} for line in offer.lines]
    return {"prices_fen": list(offer.prices_fen), "lines": lines}


class JsonScreen:
    """Lines out for a program; its lines in become events, and their end stops the till."""

    def __init__(
        self, events: queue.SimpleQueue[TillEvent | Redraw | Stop], lines_in: TextIO, lines_out: TextIO
    ) -> None:
        self._events = events
        self._in = lines_in
        self._out = lines_out
        self._shown = ""
        self._writing = threading.Lock()  # both the till's loop and the thread below write lines
        threading.Thread(target=self._read_lines, name="lines", daemon=True).start()

    def show(self, till: Till, standing: Standing) -> None:
        """Tell what the till waits for, when that has changed."""
        state = json.dumps(waiting_line(till))
        if state != self._shown:
            self._shown = state
            self._write(state)

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """Tell how a command came out."""
        self._write(json.dumps(result_line(result, elapsed_ms)))

    def _read_lines(self) -> None:
        for line in self._in:
            try:
                self._events.put(read_line(line.strip()))
            except (LineUnreadable, AmountUnreadable) as error:
                self._write(json.dumps({"event": "unreadable", "text": str(error), "code": error.code}))
        self._events.put(Stop())

    def _write(self, line: str) -> None:
        with self._writing:
            self._out.write(line + "\n")
            self._out.flush()
