"""A tiny term goes through the server: closed with all of its taps, the same for the same seed, told and ended well."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from settlement.settings import Home
from settlement.store.database import open_reader
from sim import term
from sim.__main__ import build_parser
from sim.campus import HomeUnusable
from sim.termreport import PARTS, Row, Summary, line, summary_json, summary_lines
from sim.termtaps import MakerFailed, MakerProcess, Plan, TapMaker, issuer_keys
from wire.batch import SignedBatch, decode_batch

PLAN = Plan(seed=7, taps=1500, students=40, days=4)


def run(home: Home, plan: Plan, *, as_json: bool = False) -> list[str]:
    said: list[str] = []
    term.run(home, plan, clock=time.monotonic, say=said.append, progress=lambda _: None, as_json=as_json)
    return said


def maker(home: Home, plan: Plan = PLAN) -> AbstractContextManager[MakerProcess]:
    return MakerProcess(plan, home, clock=time.monotonic)


def days_of(home: Home, plan: Plan) -> list[list[SignedBatch]]:
    """Made in this process, as nobody takes them."""
    taps = TapMaker(plan, issuer_keys(home))
    return [[decode_batch(raw) for _, raw in taps.day(day)] for day in range(plan.days)]


def row(number: int, us_a_tap: float, *, taps: int = 1_000_000) -> Row:
    return Row(
        total=number * 1_000_000,
        taps=taps,
        days=12,
        seconds=dict.fromkeys(PARTS, us_a_tap * taps / 1e6) | {"waited": 0.0},
        disk_bytes=number * 400_000_000,
        disk_added_bytes=400_000_000,
        server_kib=300 * 1024,
        maker_kib=120 * 1024,
    )


def test_every_day_is_closed_with_all_of_its_taps(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    said = run(home, PLAN)
    batches = [batch for day in days_of(home, PLAN) for batch in day]
    assert sum(batch.count for batch in batches) == 1500
    with open_reader(home.place("ledger"), "ledger") as db:
        sold = "FROM entry WHERE ttsn IS NOT NULL"
        assert db.number(f"SELECT sum(amount_fen) {sold}") == sum(batch.total_fen for batch in batches)
        assert 1400 < db.number(f"SELECT count(*) {sold}") < 1500  # the others were refused
        assert db.number(f"SELECT count(*) {sold} AND subsidy_fen > 0") > 0
        assert db.number("SELECT count(*) FROM day_close") == 4
        assert db.number("SELECT count(*) FROM suspense_item") == 0
    assert said[1].startswith("     1,500     4")
    assert said[2].startswith("1,500 taps on 4 days")


def test_the_same_seed_gives_the_same_books(tmp_path: Path) -> None:
    def chain_hash(name: str) -> bytes:
        home = Home(tmp_path / name)
        run(home, Plan(seed=7, taps=60, students=10, days=2))
        with open_reader(home.place("ledger"), "ledger") as db:
            [found] = db.query("SELECT chain_hash FROM day_close ORDER BY number DESC LIMIT 1", into=bytes)
        return found

    assert chain_hash("one") == chain_hash("other")


def test_the_process_ahead_makes_what_is_made_without_one_and_another_seed_something_else(tmp_path: Path) -> None:
    home = Home(tmp_path)
    PLAN.make_issuer_keys(home)
    with maker(home) as process:
        days = [process.next_day() for _ in range(PLAN.days)]
    made = [[raw for _, raw in day.batches] for day in days]
    assert made == [[batch.raw for batch in day] for day in days_of(home, PLAN)]
    assert made != [[batch.raw for batch in day] for day in days_of(home, replace(PLAN, seed=8))]
    assert [day.taps for day in days] == [sum(batch.count for batch in day) for day in days_of(home, PLAN)]


def test_a_weekend_has_fewer_taps_and_no_tap_is_lost_between_days() -> None:
    plan = Plan(seed=1, taps=10_000_000)
    days = [plan.taps_before(day + 1) - plan.taps_before(day) for day in range(plan.days)]
    assert sum(days) == 10_000_000
    assert max(days[4:6]) < min(days[:4])


def test_taps_that_cannot_be_made_are_reported_with_the_reason(tmp_path: Path) -> None:
    home = Home(tmp_path)
    PLAN.make_issuer_keys(home)
    home.passphrase.write_text("another\n")
    with maker(home) as process, pytest.raises(MakerFailed, match="passphrase-wrong"):
        process.next_day()


def test_a_killed_maker_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    PLAN.make_issuer_keys(home)
    with maker(home) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(MakerFailed, match="status -9"):
            process.next_day()


def test_a_term_that_is_left_early_tells_what_was_done_and_ends_the_maker(tmp_path: Path) -> None:
    said: list[str] = []

    def interrupt(words: str) -> None:
        if words.startswith("day 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        term.run(Home(tmp_path / "home"), PLAN, clock=time.monotonic, say=said.append, progress=interrupt, as_json=True)
    told, whole = map(json.loads, said)
    assert (told["days"], whole["days"]) == (2, 2)
    assert told["taps"] == whole["taps"] == PLAN.taps_before(2)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(HomeUnusable, match=r"not empty \(mine.txt\)"):
        run(Home(tmp_path), PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(HomeUnusable, match="Not a directory"):
        run(Home(tmp_path / "mine.txt"), PLAN)


def test_the_summary_compares_the_last_million_with_the_first() -> None:
    rows = [row(1, 10.0), row(2, 11.0), row(3, 12.5), row(4, 99.0, taps=400_000)]
    summary = Summary(rows=rows, ready_s=5.0, whole_s=200.0)
    lines = "\n".join(summary_lines(summary))
    assert "3,400,000 taps on 48 days in 200.0 s, 17,000 taps a second" in lines
    assert "from the 1st million to the 3rd" in lines
    assert "booked       10.0 ->     12.5   x 1.25" in lines
    assert json.loads(summary_json(summary))["growth"]["booked"] == 1.25
    assert json.loads(summary_json(summary))["growth"]["waited"] is None
    assert "1,000,000    12" in line(rows[0])


def test_a_summary_of_one_million_tells_of_no_growth() -> None:
    assert "growth" not in "".join(summary_lines(Summary(rows=[row(1, 10.0)], ready_s=5.0, whole_s=60.0)))
    assert summary_lines(Summary(rows=[], ready_s=0.0, whole_s=1.0)) == ["no day was closed"]


@pytest.mark.parametrize("taps", ["0", "-1", "many", "300000001"])
def test_a_number_of_taps_that_no_term_has_is_refused(taps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["term", "--home", "x", "--taps", taps])
    assert "a term has 1 to 300,000,000 taps" in capsys.readouterr().err
