"""A cashier's day at the real screen under a pilot: everything a till can do, and the Z-report equals the journal."""

from __future__ import annotations

import re
import time
from pathlib import Path

from textual.events import Key
from textual.pilot import Pilot

from sim.booth import Booth
from sim.day import Day, Expected, Hold, Lift, Press, See, Step, day_configuration
from sim.svg import text_of
from terminal.words import WORDS
from terminal.words.catalogue import Language
from tests.terminal.screen.conftest import in_loop
from wire.money import format_fen
from wire.record import Outcome, TapKind
from wire.shift import ShiftReport, add_up

SALES = 25
PATIENCE_S = 15.0
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
