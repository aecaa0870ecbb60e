"""A seeded stream of taps at the real till, without a screen: who taps, what came of it, and how long it took.

The till is driven as a cashier would, an amount and then a card; a card that has to come again comes again. Left out:
the auditor's verdict (`sim.audit`).
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from random import Random
from typing import Final

from sim.campus import Campus, Hand
from sim.crowd import Purchase, Student, Trait, purchases
from sim.pcsc.slot import POLL_S
from sim.process import Child, ChildFailed
from sim.topups import drawn_fault, top_up
from terminal.journal import JournalMissing, JournalReader
from wire.ids import CardId
from wire.money import Fen, format_fen

RESULT_S_MAX: Final = 8.0  # far beyond any tap, a busy machine's too
READER_S_MAX: Final = 30.0  # from the till's start to its first word about the reader
PRESENTATIONS_MAX: Final = 4  # of one card for one purchase
_LOAD_FEN: Final = Fen(50_00)
_LOAD_SHARE: Final = 0.05  # of purchases before which the student thinks of it
_AGAIN: Final = frozenset({"NotPaid", "Torn", "WrongCard", "StillThere"})


@dataclass(slots=True)
class Tally:
    """What a run of taps came to."""

    approved: int = 0
    approved_fen: int = 0
    recovered: int = 0
    loads: int = 0
    loads_fen: int = 0
    loads_torn: int = 0
    other: Counter[str] = field(default_factory=Counter)
    elapsed_ms: list[float] = field(default_factory=list)

    @property
    def taps(self) -> int:
        """All purchases that came to an end."""
        return self.approved + self.other.total()


class Cashier:
    """Types amounts, has cards presented, reads what the till says."""

    def __init__(self, campus: Campus, till: Child, hand: Hand, rng: Random) -> None:
        self._campus = campus
        self._till = till
        self._hand = hand
        self._rng = rng
        self.tally = Tally()

    def finish_torn(self, students: Sequence[Student]) -> None:
        """Have the card of an interrupted sale presented again, if an earlier run left one."""
        card = self._torn_card()
        if card is None:
            return
        student = next((student for student in students if student.card == card), None)
        if student is None:
            raise ChildFailed(f"the till waits for card {card} to end an interrupted sale, and nobody here has it")
        result = self._present(student)
        for _ in range(PRESENTATIONS_MAX - 1):
            if result["kind"] not in _AGAIN or self._torn_card() is None:
                break
            result = self._present(student)
        self.tally.recovered += 1
        if result["kind"] == "NotPaid":
            self._till.say("cancel")  # the customer of that day has not come back to pay

    def serve(self, purchase: Purchase) -> None:
        """One purchase, to its end."""
        self._till.say(format_fen(purchase.amount_fen))
        result = self._present(purchase.student)
        for _ in range(PRESENTATIONS_MAX - 1):
            if result["kind"] not in _AGAIN:
                break
            result = self._present(purchase.student)
        if result["kind"] == "Approved":
            self.tally.approved += 1
            self.tally.approved_fen += purchase.amount_fen
            self.tally.elapsed_ms.append(float(str(result["ms"])))
            return
        self.tally.other[str(result.get("refusal", result["kind"]))] += 1
        self._till.say("cancel")

    def _present(self, student: Student) -> dict[str, object]:
        """Hold the card to the reader, and again if the till does not take notice, as anybody would."""
        for _ in range(PRESENTATIONS_MAX):
            self._hand.present(student, Random(self._rng.random()))
            try:
                result = self._result()
            finally:
                self._hand.take_away()
            if result is not None:
                return result
        raise ChildFailed(f"the till took no notice of a card that was presented {PRESENTATIONS_MAX} times")

    def _result(self) -> dict[str, object] | None:
        while (line := self._till.line(RESULT_S_MAX)) is not None:
            said: dict[str, object] = json.loads(line)
            if said["event"] == "result":
                return said
            self._campus.check_children()
        return None

    def _torn_card(self) -> CardId | None:
        try:
            with closing(JournalReader.open(self._campus.terminal_folder / "journal.db")) as journal:
                tap = journal.opened_tap()
        except JournalMissing:
            return None
        return None if tap is None else tap.card


def run_taps(campus: Campus, *, count: int, seed: int, progress: Callable[[int, Tally], None]) -> Tally:
    """`count` purchases at a till of their own; `ChildFailed` as soon as any program ends that should not."""
    rng, load_rng = Random(seed), Random(~seed)  # so that who buys what does not hang on who tops up
    with ExitStack() as stack:
        till = campus.start_till(stack)
        hand = campus.hand()
        stack.callback(hand.take_away)
        _wait_for_reader(till)
        cashier = Cashier(campus, till, hand, rng)
        cashier.finish_torn(campus.students)
        for number, purchase in enumerate(purchases(campus.students, rng, count), start=1):
            if _wants_load(purchase, load_rng):
                _load(campus, purchase.student, load_rng, cashier.tally)
            cashier.serve(purchase)
            campus.check_children()
            progress(number, cashier.tally)
        return cashier.tally


def _wants_load(purchase: Purchase, rng: Random) -> bool:
    """Whoever cannot pay tops up first, and others now and then; a lost card is not taken to the desk."""
    if purchase.student.trait not in (Trait.ORDINARY, Trait.NEARLY_EMPTY):
        return False
    thought_of_it = rng.random() < _LOAD_SHARE
    return thought_of_it or purchase.student.balance_fen < purchase.amount_fen <= _LOAD_FEN


def _load(campus: Campus, student: Student, rng: Random, tally: Tally) -> None:
    tally.loads_torn += top_up(campus, student, _LOAD_FEN, rng, torn=drawn_fault(rng))
    tally.loads += 1
    tally.loads_fen += _LOAD_FEN


def _wait_for_reader(till: Child) -> None:
    while (line := till.line(READER_S_MAX)) is not None:
        if json.loads(line).get("fault") is None:
            return
    raise ChildFailed("the till did not find its reader")


def tally_lines(tally: Tally) -> list[str]:
    """The till's side of the report."""
    other = ", ".join(f"{count} {name}" for name, count in sorted(tally.other.items()))
    lines = [
        f"  taps         {tally.taps}: {tally.approved} approved ({format_fen(tally.approved_fen)}), "
        f"{tally.other.total()} not" + (f" ({other})" if other else "")
    ]
    if tally.loads:
        times = "1 time" if tally.loads == 1 else f"{tally.loads} times"
        torn = f", {tally.loads_torn} torn out and put back" if tally.loads_torn else ""
        lines.append(f"  topped up    {times} ({format_fen(tally.loads_fen)}){torn}")
    if tally.recovered:
        lines.append(f"  recovered    {tally.recovered} interrupted sale of an earlier run, with its card")
    if tally.elapsed_ms:
        ordered = sorted(tally.elapsed_ms)
        p95 = ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
        lines.append(
            f"  time a tap   median {statistics.median(ordered):.1f} ms, p95 {p95:.1f} ms, card and amount to sealed "
            f"(the simulated reader notices a card every {POLL_S} s)"
        )
    return lines
