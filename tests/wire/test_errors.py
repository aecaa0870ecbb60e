"""Every typed fault of the wire has a stable code of its own."""

from __future__ import annotations

import re

# Importing the modules is what makes their faults known.
from wire import batch, enrolment, frame, messages, money, receipt, session, signature
from wire.errors import CampusError

MODULES = (batch, enrolment, frame, messages, money, receipt, session, signature)


def _wire_faults() -> list[type[CampusError]]:
    return [fault for fault in CampusError.__subclasses__() if fault.__module__.startswith("wire.")]


def test_faults_have_distinct_readable_codes() -> None:
    codes = [fault.code for fault in _wire_faults()]
    assert len(codes) == len(set(codes)) >= 6
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", code) for code in codes)


def test_faults_that_a_second_try_may_cure_say_so() -> None:
    assert {fault.code for fault in _wire_faults() if fault.retryable} == {"frame-corrupt"}
    assert len(MODULES) == 8
