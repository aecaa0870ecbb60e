"""The commands on merchants, outlets and terminals, as an operator types them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from settlement.__main__ import main
from settlement.settings import Home
from tests.settlement.onecard.test_campusfile import CAMPUS

TERMINAL = "000000000101"
STAFF_DOUBT = "LOOK AGAIN: outlet 21: staff card ••0009 of 王芳 is not registered; see import-cards"
IN_FORCE = "in force; connected terminals have it in seconds\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "campus.toml"
    made.write_text(CAMPUS, encoding="utf-8")
    return made


class Operator:
    """Types commands."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        assert self.status(*words)[0] == 0
        return self._said

    def status(self, *words: str) -> tuple[int, str]:
        code = main([*words, "--home", str(self._home.root)])
        said = self._capsys.readouterr()
        self._said = said.out
        return code, said.err


@pytest.fixture
def operator(home: Home, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(home, capsys)


def test_file_is_tried_then_put_in_force_and_the_same_again_changes_nothing(operator: Operator, file: Path) -> None:
    tried = operator("configure", str(file), "--dry-run")
    assert "merchant 12 饮食服务中心 (Catering): is new\n" in tried
    assert "outlet 21 第一食堂 (Canteen 1) (canteen, merchant 12): version 1, a new outlet\n" in tried
    assert "  + products: 2, from 1.50 to 3.20\n" in tried
    assert tried.endswith(f"{STAFF_DOUBT}\nnothing was put in force: --dry-run\n")
    assert operator("configure", str(file)) == tried.replace("nothing was put in force: --dry-run\n", IN_FORCE)
    assert operator("configure", str(file)) == "the file says what is in force already\n"
    assert json.loads(operator("configure", str(file), "--json")) == {"in_force": True, "merchants": [], "outlets": []}
    file.write_text(CAMPUS.replace("fen = 150", "fen = 160"), encoding="utf-8")
    assert operator("configure", str(file)) == (
        "outlet 21 第一食堂 (Canteen 1) (canteen, merchant 12): version 2\n"
        f"  ~ product 1: price 1.50 -> 1.60\n{IN_FORCE}"
    )
    history = operator("outlets", "21")
    assert history.startswith("outlet 21 (canteen, merchant 12)\nversion 1, ")
    assert history.endswith("  ~ product 1: price 1.50 -> 1.60\n")
    versions = json.loads(operator("outlets", "21", "--json"))["versions"]
    assert [version["changes"][-1] for version in versions] == ["+ staff cards: 1", "~ product 1: price 1.50 -> 1.60"]


def test_what_may_not_be_meant_is_told_last_where_it_is_read(operator: Operator, file: Path) -> None:
    operator("configure", str(file))
    dropped = CAMPUS[: CAMPUS.index("[[outlets.products]]")] + CAMPUS[CAMPUS.index("[[outlets.periods]]") :]
    file.write_text(dropped, encoding="utf-8-sig")  # as Windows writes it
    doubt = "all of 2 products are gone"
    assert operator("configure", str(file), "--dry-run").splitlines()[-2] == f"LOOK AGAIN: outlet 21: {doubt}"
    [told] = json.loads(operator("configure", str(file), "--json"))["outlets"]
    assert told["doubts"] == [doubt]


def test_file_with_faults_is_refused_with_each_line(operator: Operator, file: Path, tmp_path: Path) -> None:
    file.write_text(CAMPUS.replace("fen = 150", "fen = 0").replace("fen = 320", "fen = 0"), encoding="utf-8")
    status, words = operator.status("configure", str(file))
    assert status == 1
    assert [line.count("line ") for line in words.splitlines()] == [1, 1]
    assert "[configuration-invalid]" in words
    status, words = operator.status("configure", str(tmp_path / "none.toml"))
    assert (status, "cannot be read" in words) == (1, True)


def test_merchants_and_outlets_are_listed(operator: Operator, file: Path) -> None:
    operator("configure", str(file))
    assert "   12  饮食服务中心 (Catering)  outlets: 21\n" in operator("merchants")
    assert "    1  学费 (Tuition)  outlets: 1\n" in operator("merchants")
    [catering] = [row for row in json.loads(operator("merchants", "--json")) if row["merchant"] == 12]
    assert catering == {"merchant": 12, "name": "饮食服务中心", "name_en": "Catering", "outlets": [21]}
    assert "   21  canteen     第一食堂  merchant 12  version 1\n" in operator("outlets")
    assert "    2  canteen     食堂  merchant 2  not configured" in operator("outlets")
    assert "not configured" in operator("outlets", "2")
    rows = {row["outlet"]: row for row in json.loads(operator("outlets", "--json"))}
    assert (rows[21]["version"], rows[21]["products"], rows[2]["version"]) == (1, 2, 0)
    assert operator.status("outlets", "99")[0] == 1


def test_terminal_moves_to_another_outlet_now_or_on_a_day_to_come(operator: Operator, file: Path) -> None:
    operator("configure", str(file))
    assert operator("terminals") == "no terminal was given a ticket yet\n"
    operator("ticket", "--terminal", TERMINAL, "--stream", "canteen")
    operator("ticket", "--terminal", "000000000501", "--stream", "top-up")
    assert "epoch 1  outlet 2  merchant 2\n" in operator("terminals")
    assert operator("assign", TERMINAL, "21") == f"terminal {TERMINAL} stands in outlet 21 from now on\n"
    assert operator("assign", TERMINAL, "21") == f"terminal {TERMINAL} stands in outlet 21 already\n"
    day = (datetime.now(UTC) + timedelta(days=40)).date().isoformat()
    assert f"from {day} on" in operator("assign", TERMINAL, "2", "--from", day)
    assert f"outlet 21  merchant 12  outlet 2 from {day} 00:00\n" in operator("terminals")
    rows = {row["terminal"]: row for row in json.loads(operator("terminals", "--json"))}
    assert [move["outlet"] for move in rows[TERMINAL]["moves"]] == [2]
    assert "outlet" not in rows["000000000501"]


def test_ticket_for_an_outlet_is_one_of_its_stream(operator: Operator, file: Path) -> None:
    operator("configure", str(file))
    operator("ticket", "--terminal", TERMINAL, "--outlet", "22")
    [row] = json.loads(operator("terminals", "--json"))
    assert (row["stream"], row["outlet"], row["merchant"]) == ("shops", 22, 3)
    status, words = operator.status("assign", TERMINAL, "21")
    assert (status, "it needs a ticket with --outlet 21 [assignment-refused]" in words) == (1, True)
    assert "[outlet-unknown]" in operator.status("ticket", "--terminal", TERMINAL, "--outlet", "99")[1]


@pytest.mark.parametrize(("day", "status"), [("2020-01-01", 1), ("tomorrow", 2), ("2027-02-30", 2)])
def test_beginning_in_the_past_or_on_no_day_is_refused(operator: Operator, day: str, status: int) -> None:
    operator("ticket", "--terminal", TERMINAL, "--stream", "canteen")
    assert operator.status("assign", TERMINAL, "1", "--from", day)[0] == status
