"""A terminal without data: urgent taps go up by short message, a lost card comes down; then data, and the auditor.

Both modems are simulated, the server's smstools is the real one, the programs are the production programs.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from settlement.audit.auditor import findings_text
from sim.carrier.smsc import Conditions
from sim.smstrial import PACE_S, STORMY, SmsTrial, try_sms
from sync.clock import Clock

CLOCK = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)


def trial(
    home: Path, *, taps: int, pace_s: float, conditions: Conditions, seed: int, restarts: int, links: tuple[str, ...]
) -> SmsTrial:
    print(f"seed {seed}")
    tried = try_sms(
        home=home,
        taps=taps,
        pace_s=pace_s,
        conditions=conditions,
        seed=seed,
        restarts=restarts,
        links=links,
        clock=CLOCK,
        say=print,
    )
    print(tried.line(), findings_text(tried.findings), sep="\n")
    return tried


def test_urgent_taps_and_a_lost_card_pass_by_doubled_messages(tmp_path: Path) -> None:
    doubled = Conditions(delay_s=(0.05, 0.2), duplication=1.0)
    tried = trial(tmp_path / "home", taps=4, pace_s=0.0, conditions=doubled, seed=1, restarts=0, links=("sms",))
    assert tried.content
    assert tried.pushes == 1
    assert tried.counts.duplicated == tried.counts.submitted
    with closing(sqlite3.connect(tmp_path / "home" / "settlement" / "canteen.db")) as db:
        shown = db.execute("SELECT by_sms, length(pushed_mark) FROM sms_contact").fetchall()
    assert shown == [(0, 0)]  # the session over data said that it has the list: no further message is due


@pytest.mark.slow
def test_messages_lost_doubled_and_overtaken_lose_no_tap(tmp_path: Path) -> None:
    tried = trial(
        tmp_path / "home",
        taps=12,
        pace_s=PACE_S,
        conditions=STORMY,
        seed=5,
        restarts=1,
        links=("ip", "sms"),
    )
    assert tried.content
    assert tried.counts.duplicated > 0
