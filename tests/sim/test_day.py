"""A cashier's day at the real screen under a pilot: everything a till can do, and the Z-report equals the journal."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from textual.events import Key
from textual.pilot import Pilot

from drivers.channel import ReaderMissing
from sim.booth import Booth
from sim.card.flaws import Flaw, Mute
from sim.crowd import crowd
from sim.day import (
    CASHIER,
    PIN,
    SUPERVISOR,
    Day,
    Expected,
    Hold,
    Lift,
    Paper,
    Press,
    Printed,
    See,
    Step,
    day_configuration,
)
from sim.devices.printer import SimulatedPrinter
from sim.svg import text_of
from terminal.standing import DeviceNotice
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of
from tests.terminal.screen.conftest import in_loop
from wire.configuration import CardClass, ClassLimits, Name
from wire.money import Fen, format_fen
from wire.record import Outcome, TapKind, TapRecord
from wire.shift import ShiftReport, add_up

SALES = 17
PATIENCE_S = 15.0
WORDS_ZH = WORDS[Language.ZH_HANS]
TAP = re.compile(WORDS[Language.ZH_HANS].tap_and_card.partition("{seq}")[0] + r"(\d+)")


class Cashier:
    """Carries the steps out; reads the screen as a person would."""

    def __init__(self, booth: Booth, pilot: Pilot[None], printer: SimulatedPrinter | None = None) -> None:
        self._booth = booth
        self._printer = printer
        self._pilot = pilot
        self._last_tap = 0

    async def do(self, step: Step) -> None:
        app = self._booth.screen.app
        match step:
            case Press(keys):
                for key in keys:
                    enter = key == "\n"
                    app.post_message(Key("enter", "\r") if enter else Key(key, key))
                await self._pilot.pause(0.06)  # a burst is over
            case Hold(card, torn):
                self._booth.hold(card, torn=torn)
            case Lift():
                self._booth.lift()
            case Paper(there):
                put_paper(self._printer, there=there)
            case See() | Printed():
                deadline_s = time.monotonic() + PATIENCE_S
                while not (self.sees(step) if isinstance(step, See) else is_printed(self._printer, step)):
                    assert time.monotonic() < deadline_s, f"{step} is not on:\n{text_of(app)}"
                    await self._pilot.pause(0.005)

    def sees(self, step: See) -> bool:
        text = text_of(self._booth.screen.app)
        if not step.fits(text):
            return False
        if step.new_tap:
            found = TAP.search(text)
            if found is None or int(found[1]) <= self._last_tap:
                return False
            self._last_tap = int(found[1])
        return True


def put_paper(printer: SimulatedPrinter | None, *, there: bool) -> None:
    """A new roll, or the end of the one that is in."""
    assert printer is not None, "the day has a printer"
    with printer.lock:
        printer.engine.lines_left = None if there else 0


def is_printed(printer: SimulatedPrinter | None, step: Printed) -> bool:
    assert printer is not None, "the day has a printer"
    assert printer.error is None
    return step.text in printer.text()


def check_paper(printer: SimulatedPrinter, records: Sequence[TapRecord]) -> None:
    """Every sale's receipt is on paper, those too for which there was none at first."""
    paper = printer.text()
    sales = [record for record in records if record.kind is TapKind.SALE and record.outcome is Outcome.DEBITED]
    missing = [record.tap_id.seq for record in sales if record.tac.hex().upper() not in paper.upper()]
    assert not missing, f"no receipt of taps {missing}"


def check_report(report: ShiftReport, expected: Expected) -> None:
    """The Z-report says what the script knows; meals cost what the hour says, so sales may come to more."""
    sales = report.of(TapKind.SALE, Outcome.DEBITED)
    reversal, refund = report.of(TapKind.REVERSAL, Outcome.DEBITED), report.of(TapKind.REFUND, Outcome.DEBITED)
    assert sales.count == expected.sales
    assert sales.amount_fen + sales.subsidy_fen >= expected.sales_fen
    assert (reversal.count, reversal.credit_fen + reversal.subsidy_fen) == (expected.reversals, expected.reversed_fen)
    assert (refund.count, refund.credit_fen) == (expected.refunds, expected.refunded_fen)
    assert (report.cash_count, report.cash_fen) == (expected.cash, expected.cash_fen)
    refused = sum(report.of(kind, Outcome.REFUSED).count for kind in TapKind)
    assert refused == sum(expected.refusals.values())
    assert report.counted_cash_fen == report.expected_cash_fen


@in_loop
async def test_cashiers_day_ends_in_a_z_report_that_equals_the_journal(tmp_path: Path) -> None:
    day = Day(sales=SALES, seed=1)
    with (
        SimulatedPrinter(tmp_path / "printer") as printer,
        Booth(tmp_path, day_configuration(), monotonic_s=time.monotonic, printer=printer.link) as booth,
    ):
        async with booth.running(size=(100, 30)) as pilot:
            cashier = Cashier(booth, pilot, printer)
            for step in day.steps():
                await cashier.do(step)
            report = booth.journal.reports(1, 1)[0]
            sales = report.of(TapKind.SALE, Outcome.DEBITED)
            for fact in (str(sales.count), format_fen(sales.amount_fen + sales.subsidy_fen)):
                assert fact in text_of(booth.screen.app)
        records = booth.journal.records(report.first_seq, report.next_seq - report.first_seq)
        assert report.taps == add_up(records)
        assert {record.reason for record in records if record.outcome is Outcome.REFUSED} == set(day.expected.refusals)
        check_report(report, day.expected)
        check_paper(printer, records)


NOBODY, LIMITED, STARVED = 7, 8, 9  # classes that may not pay here, once a meal, and little a day
FUTURE, WORN, GUEST, EATER, SAVER, MUTE = 6, 7, 8, 9, 10, 11  # students with other cards than the crowd's
PLAIN = ClassLimits(tap_fen_max=Fen(100_00))
STRICT = replace(
    day_configuration(),
    staff=(),
    classes=(
        CardClass(NOBODY, Name("外来卡"), replace(PLAIN, tap_fen_max=Fen(0))),
        CardClass(LIMITED, Name("限次卡"), replace(PLAIN, meal_count_max=1)),
        CardClass(STARVED, Name("限额卡"), replace(PLAIN, day_fen_max=Fen(10_00))),
    ),
    products=(),
    periods=tuple(replace(period, class_prices=()) for period in day_configuration().periods),
    subsidies=(),
    offline_s_max=7 * 86_400,
    offline_fen_max=Fen(40_00),
)


def sale(card: int, amount: str, *seen: str) -> list[Step]:
    return [Press(f"{amount}\n"), See((WORDS_ZH.present_card,)), Hold(card), See(seen), Lift(), Press("-")]


def told(name: str) -> tuple[str, str]:
    """A code's headline and number, as they stand on the screen."""
    code = code_of(name, name)
    return code.advice(Language.ZH_HANS).headline, WORDS_ZH.say_code.format(number=code.number)


@in_loop
async def test_other_refusals_and_faults_are_told_with_their_numbers_and_pass(tmp_path: Path) -> None:
    students = {student.number: student for student in crowd(tmp_path)}
    with Booth(tmp_path, STRICT, monotonic_s=time.monotonic) as booth:
        booth.issue(students[FUTURE], card_class=0, valid_from=bytes.fromhex("20900101"))
        booth.issue(students[WORN], card_class=0, opening_counter=0xFFFF)
        for number, card_class in ((GUEST, NOBODY), (EATER, LIMITED), (SAVER, STARVED)):
            booth.issue(students[number], card_class=card_class)
        booth.chips[MUTE] = Mute()
        async with booth.running(size=(80, 24)) as pilot:
            cashier = Cashier(booth, pilot)

            async def do(*steps: Step) -> None:
                for step in steps:
                    await cashier.do(step)

            await do(See((WORDS_ZH.type_amount,)))
            await do(*sale(FUTURE, "5", *told("NOT_YET_VALID")), *sale(WORN, "5", *told("COUNTER_EXHAUSTED")))
            await do(*sale(GUEST, "5", *told("OVER_CLASS_LIMIT")))
            await do(*sale(EATER, "5", WORDS_ZH.approved), *sale(EATER, "6", *told("OVER_MEAL_LIMIT")))
            await do(*sale(SAVER, "6", WORDS_ZH.approved), *sale(SAVER, "7", *told("OVER_DAY_LIMIT")))
            await do(*sale(1, "35", *told("OFFLINE_TOO_MUCH")), *sale(MUTE, "5", *told("card-mute")))
            booth.ahead_s = 8 * 86_400
            await do(*sale(1, "5", *told("OFFLINE_TOO_LONG")))
            booth.reader.lose(ReaderMissing("no reader of this name"))
            await do(See(told("reader-missing")))
            booth.reader.find()
            await do(See((WORDS_ZH.type_amount,)))
            booth.notices.append(DeviceNotice("printer-no-paper", "paper out"))
            await do(Press("5\n"), See((told("printer-no-paper")[0], WORDS_ZH.code.format(number=501))))
        reasons = [record.reason for record in booth.journal.records(1, 100) if record.outcome is Outcome.REFUSED]
        assert len(reasons) == len(set(reasons)) == 7


class Watch:
    """Seconds that may stand still: then nothing happens by itself."""

    def __init__(self) -> None:
        self.stopped_s: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.stopped_s is None else self.stopped_s

    def stop(self) -> None:
        self.stopped_s = time.monotonic()


BLOCKED, PURSELESS, EARLIER, LATER = 6, 7, 8, 9
UNDO_S, SIX_HOURS_S = 400, 6 * 3_600


@in_loop
async def test_refusals_of_staff_undo_refund_and_a_meal_that_is_over_are_told_with_their_numbers(
    tmp_path: Path,
) -> None:
    students, watch = {student.number: student for student in crowd(tmp_path)}, Watch()
    with Booth(tmp_path, day_configuration(), monotonic_s=watch) as booth:
        booth.issue(students[BLOCKED], flaw=Flaw.BLOCKED)
        booth.issue(students[PURSELESS], purchase_key_index=2)
        async with booth.running(size=(80, 24)) as pilot:
            cashier = Cashier(booth, pilot)

            async def do(*steps: Step) -> None:
                for step in steps:
                    await cashier.do(step)

            async def at_once_later(card: int, seconds: float, *seen: str) -> None:
                """The card comes before the till has looked at the clock again."""
                watch.stop()
                await pilot.pause(0.05)  # a look that had begun is over
                booth.ahead_s += seconds
                await do(Hold(card), See(seen), Lift())
                watch.stopped_s = None

            def staff(card: int, digits: str, who: str, *seen: str) -> list[Step]:
                return [Press(f"{digits}\n"), See((who,)), Hold(card), See(seen), Lift()]

            wanted = WORDS_ZH.staff_card_cashier
            await do(See((WORDS_ZH.pin_cashier,)), *staff(EARLIER, PIN, wanted, *told("NOT_A_CASHIER")))
            for left in (2, 1):
                tries = WORDS_ZH.tries_left.format(count=left)
                await do(*staff(CASHIER, "000000", wanted, *told("PIN_WRONG"), tries))
            await do(*staff(CASHIER, "000000", wanted, *told("PIN_LOCKED")))
            await do(*staff(CASHIER, PIN, wanted, *told("PIN_LOCKED")))
            await do(*staff(SUPERVISOR, PIN, wanted, WORDS_ZH.opening_cash), Press("0\n"))
            await do(See((WORDS_ZH.shift_opened.format(number=1),)), Press("-"))
            await do(*sale(BLOCKED, "5", *told("CARD_BLOCKED")), *sale(PURSELESS, "5", *told("NO_PURSE")))
            await do(*sale(EARLIER, "8", WORDS_ZH.approved))
            for card, amount in ((LATER, "1"), (EARLIER, "8.01")):  # another card; more than it paid
                await do(Press("-"), Press("/3"), See((WORDS_ZH.refund_seq,)), Press("8\n"))
                await do(*staff(SUPERVISOR, PIN, WORDS_ZH.staff_card_supervisor, WORDS_ZH.refund_amount))
                await do(Press(f"{amount}\n"), See((WORDS_ZH.refund_card,)))
                await do(Hold(card), See(told("REFUND_NOT_ALLOWED")), Lift())
            await do(Press("-"), Press("/2"), See((WORDS_ZH.undo_card,)))
            await at_once_later(EARLIER, UNDO_S, *told("REVERSAL_NOT_ALLOWED"))
            await do(Press("-"), Press("/74"), See((WORDS_ZH.meals.format(count=1),)))
            await at_once_later(LATER, SIX_HOURS_S, *told("NOT_SOLD_NOW"))
