"""A top-up point of the simulated campus: the real program over a real pcscd, and the real desk."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from sim.campus import Campus
from sim.report import audit_campus, wait_until_booked
from sim.topups import TORN, top_up
from sync.clock import Clock
from wire.money import Fen

CLOCK = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)


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
