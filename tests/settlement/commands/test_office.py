"""Decisions as people take them at the command line, with no ledger running: the command carries them out itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import main
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database
from wire.ids import CardId
from wire.money import Fen

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.settlement.conftest import FakeTill, StreamDriver


def run(home: Home, *arguments: str) -> int:
    return main([*arguments, "--home", str(home.root)])


@pytest.fixture
def suspended(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    till: FakeTill,
    numbered_card: Callable[[int], CardId],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A tap with a wrong TAC, and one that the terminal has not brought yet."""
    opening = PurseOpening(card=numbered_card(1), balance_fen=Fen(9_000), counter=0)
    import_cards(onecard_db, [opening], now_utc_s=1_764_000_000)
    canteen.enrol(till)
    till.tap(500, wrong_tac=True)
    canteen.accept(till.batch())
    canteen.db.execute("UPDATE terminal SET heard_seq = 9")
    canteen.db.close()
    onecard_db.close()
    assert run(home, "close-day", "2025-11-25") == 0
    assert "closed up to 2" in capsys.readouterr().out


@pytest.mark.usefixtures("suspended")
def test_item_is_listed_shown_resolved_and_confirmed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "suspense", "list") == 0
    assert "TAC_WRONG" in capsys.readouterr().out
    resolve = ["suspense", "resolve", "1", "--how", "write-off", "--reason", "tried out", "--by", "Li Na"]
    assert run(home, *resolve) == 0
    assert "proposal 2" in capsys.readouterr().out  # the close was the first decision
    run(home, "suspense", "list", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["item"], row["proposals"], row["amount_fen"]) == (1, [2], 500)
    assert run(home, "confirm", "2", "--by", "LI NA") == 1
    assert "another person" in capsys.readouterr().err
    run(home, "suspense", "show", "1")
    assert "proposal 2: write-off, by Li Na: tried out" in capsys.readouterr().out
    assert run(home, "confirm", "2", "--by", "Wang Wei") == 0
    assert "item 1" in capsys.readouterr().out
    assert run(home, *resolve) == 1
    assert "resolved already [decision-invalid]" in capsys.readouterr().err
    run(home, "suspense", "show", "1", "--json")
    assert "Wang Wei" in json.loads(capsys.readouterr().out)["resolved"]
    run(home, "suspense", "list")
    assert capsys.readouterr().out == "nothing waits for an explanation\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["suspense", "show"], "needs the item's number"),
        (["suspense", "resolve", "1"], "needs --how, --reason and --by"),
        (["suspense", "resolve", "1", "--how", "assign", "--reason", "x", "--by", "y"], "--to goes with"),
        (["declare-finished", "000000000101", "0", "--reason", "x", "--by", "y"], "from 1 to 65535"),
    ],
)
def test_wrong_usage_is_named(home: Home, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, *arguments) == 2
    assert words in capsys.readouterr().err


def test_day_that_is_not_over_is_not_closed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "close-day", "2999-01-01") == 1
    assert "not over yet [decision-invalid]" in capsys.readouterr().err


@pytest.mark.usefixtures("suspended")
def test_terminal_that_is_lost_is_waited_for_no_more(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def waited_for() -> list[bool]:
        run(home, "report", "--json")
        return [row["declared_finished"] for row in json.loads(capsys.readouterr().out)["terminals"]]

    assert waited_for() == [False]
    assert run(home, "declare-finished", "000000000101", "1", "--reason", "burnt", "--by", "Li Na") == 0
    run(home, "suspense", "list")
    assert "proposal 2 waits: terminal 000000000101 epoch 1 is finished" in capsys.readouterr().out
    assert run(home, "confirm", "2", "--by", "Wang Wei") == 0
    capsys.readouterr()
    assert waited_for() == [True]


@pytest.mark.usefixtures("suspended")
def test_closed_books_are_shown_for_people_and_for_scripts(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "trial-balance") == 0
    assert "1010  cash points" in capsys.readouterr().out
    assert run(home, "trial-balance", "--json", "--from", "2025-01-01") == 0
    trial = json.loads(capsys.readouterr().out)
    assert (trial["right"], trial["first_day"]) == (True, 20251125)
    assert run(home, "roll-forward") == 0
    assert "in suspense: 1" in capsys.readouterr().out
    assert run(home, "roll-forward", "--json", "--from", "2025-01-01") == 0
    roll = json.loads(capsys.readouterr().out)
    assert (roll["taken_over_fen"], roll["closing_fen"], roll["right"]) == (9_000, 9_000, True)
    assert run(home, "statements") == 0
    assert capsys.readouterr().out == "no statements\n"
    assert run(home, "trial-balance", "--to", "2025-01-01") == 1
    assert "[no-closed-day]" in capsys.readouterr().err
    assert run(home, "close-day", "2025-11-25") == 0
    assert "closed already" in capsys.readouterr().out


@pytest.mark.usefixtures("suspended")
def test_card_is_shown_with_its_line_masked_and_closed_days_are_exported(
    home: Home, numbered_card: Callable[[int], CardId], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = numbered_card(1)
    assert run(home, "card", card.issuer.hex(), card.asn.hex()) == 0
    out = capsys.readouterr().out
    assert "90.00 yuan by the books" in out
    assert "SUSPENSE item 1, TAC_WRONG" in out
    assert card.asn.hex() not in out
    assert run(home, "card", card.issuer.hex(), card.asn.hex(), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["steps"]) == 2
    for form, target in (("csv", "folder"), ("xlsx", "file.xlsx"), ("beancount", "file.beancount")):
        assert run(home, "export", "--format", form, "--from", "2025-01-01", str(tmp_path / target)) == 0
        assert (tmp_path / target).exists()
        assert run(home, "export", "--format", form, str(tmp_path / target)) == 2
    assert run(home, "card", "1", "2") == 2


@pytest.mark.usefixtures("suspended")
def test_audit_has_nothing_to_object_to_after_people_decided(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "suspense", "resolve", "1", "--how", "post", "--reason", "x", "--by", "a") == 0
    assert run(home, "confirm", "2", "--by", "b") == 0
    assert run(home, "audit") == 0
    assert "verdict: content" in capsys.readouterr().out
