"""A cashier's day at the real screen under a pilot: everything a till can do, and the Z-report equals the journal."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

from textual.events import Key
from textual.pilot import Pilot

from drivers.channel import ReaderMissing
from sim.booth import Booth
from sim.card.flaws import Mute
from sim.crowd import crowd
from sim.day import Day, Expected, Hold, Lift, Press, See, Step, day_configuration
from sim.svg import text_of
from terminal.standing import DeviceNotice
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of
from tests.terminal.screen.conftest import in_loop
from wire.configuration import CardClass, ClassLimits, Name
from wire.money import Fen, format_fen
from wire.record import Outcome, TapKind
from wire.shift import ShiftReport, add_up

SALES = 25
PATIENCE_S = 15.0
WORDS_ZH = WORDS[Language.ZH_HANS]
TAP = re.compile(WORDS[Language.ZH_HANS].tap_and_card.partition("{seq}")[0] + r"(\d+)")


class Cashier:
    """Carries the steps out; reads the screen as a person would."""

    def __init__(self, booth: Booth, pilot: Pilot[None]) -> None:
        self._booth = booth
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
            case See():
                deadline_s = time.monotonic() + PATIENCE_S
                while not self.sees(step):
                    assert time.monotonic() < deadline_s, f"{step} is not on:\n{text_of(app)}"
                    await self._pilot.pause(0.005)

    def sees(self, step: See) -> bool:
        text = text_of(self._booth.screen.app)
        if not all(wanted in text for wanted in step.texts):
            return False
        if step.new_tap:
            found = TAP.search(text)
            if found is None or int(found[1]) <= self._last_tap:
                return False
            self._last_tap = int(found[1])
        return True


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
    with Booth(tmp_path, day_configuration(), monotonic_s=time.monotonic) as booth:
        async with booth.running(size=(100, 30)) as pilot:
            cashier = Cashier(booth, pilot)
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
