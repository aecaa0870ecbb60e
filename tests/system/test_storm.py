"""A terminal's taps through storms on the air: whatever breaks, the auditor is content once it is calm again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from settlement.audit.auditor import findings_text
from sim.carrier.storm import Gust
from sim.trial import IP, LINKS, TAPS, Trial, try_link
from sync.clock import Clock

SEED = 20261122
CLOCK = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)


def weather(link: str, folder: Path, *, taps: int, seconds: float, stormy: bool, seed: int) -> Trial:
    home = folder / "home"
    trial = try_link(link, home=home, taps=taps, seconds=seconds, stormy=stormy, seed=seed, clock=CLOCK, say=print)
    print(trial.line(), findings_text(trial.findings), sep="\n")
    return trial


def test_taps_arrive_once_through_a_short_storm_over_ip(tmp_path: Path) -> None:
    trial = weather(IP, tmp_path, taps=200, seconds=8.0, stormy=True, seed=1)  # a restart, an outage, a lost send
    assert trial.content
    assert trial.happened, "a storm without a gust proves nothing"


@pytest.mark.slow
@pytest.mark.parametrize("link", LINKS)
def test_two_thousand_taps_arrive_once_through_a_storm(link: str, tmp_path: Path) -> None:
    stormy = weather(link, tmp_path / "storm", taps=TAPS, seconds=100.0, stormy=True, seed=SEED)
    calm = weather(link, tmp_path / "calm", taps=TAPS, seconds=100.0, stormy=False, seed=SEED)
    assert stormy.content
    assert calm.content
    assert stormy.happened.keys() >= (set(Gust) if link != IP else {Gust.OUTAGE, Gust.SERVER_RESTART})
