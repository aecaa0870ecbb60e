"""A top-up point of the simulated campus: the real program over a real pcscd, and the real desk."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from sim.campus import Campus
from sim.card.faults import Fault
from sim.crowd import Student
from sim.process import Child, ChildFailed
from sim.report import audit_campus, wait_until_booked
from sim.topups import TORN, collect, top_up
from wire.money import Fen

RESULT_S_MAX = 30.0


def test_cards_torn_in_every_way_are_loaded_once_and_the_auditor_is_content(copied_home: Path) -> None:
    with Campus(copied_home, monotonic_s=time.monotonic, say=lambda line: None) as campus:
        for student, torn in zip(campus.students[6:], (None, *TORN), strict=False):
            before_fen = student.balance_fen
            put_back = top_up(campus, student, Fen(20_00), Random(1), torn=torn)
            assert (put_back > 0) is (torn is not None)
            assert student.balance_fen == before_fen + 20_00
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        findings = audit_campus(campus)
        assert [finding for finding in findings if not finding.holds] == []


def result(till: Child, wanted: str) -> None:
    while (line := till.line(RESULT_S_MAX)) is not None:
        said = json.loads(line)
        if said["event"] == "result":
            assert said["kind"] == wanted, said
            return
    raise AssertionError("the till said nothing")


def buy_and_undo(campus: Campus, student: Student, amount: str) -> None:
    with ExitStack() as stack:
        till, hand = campus.start_till(stack), campus.hand()
        stack.callback(hand.take_away)
        for number, (line, kind) in enumerate(((amount, "Approved"), ('{"do": "undo"}', "Reversed"))):
            till.say(line)
            hand.present(student, Random(number))
            result(till, kind)
            hand.take_away()


@pytest.mark.parametrize("torn", [None, *(pytest.param(fault, marks=pytest.mark.slow) for fault in TORN)])
def test_undone_sale_is_collected_once_and_the_card_has_it_back(copied_home: Path, torn: Fault | None) -> None:
    with Campus(copied_home, monotonic_s=time.monotonic, say=lambda line: None) as campus:
        student = campus.students[6]
        before_fen = student.balance_fen
        buy_and_undo(campus, student, "3.50")
        assert student.balance_fen == before_fen - 3_50
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        put_back = collect(campus, student, Random(1), torn=torn)
        assert (put_back > 0) is (torn is not None)
        assert student.balance_fen == before_fen
        with pytest.raises(ChildFailed):
            collect(campus, student, Random(2))
        assert student.balance_fen == before_fen
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        findings = audit_campus(campus)
        assert [finding for finding in findings if not finding.holds] == []
