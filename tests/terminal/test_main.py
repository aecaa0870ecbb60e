"""The command line: looking at a journal, and every fault as one line with its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from terminal.__main__ import build_parser, main
from terminal.journal import Journal
from tests.terminal.conftest import INTENT, TERMINAL, make_uplink
from wire.money import Fen
from wire.record import Mac2, Refusal

TOML = '[reader]\ncard = "a"\npsam = "b"\n[limits]\ntap_fen_max = 100\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation whose journal has two sealed taps and an open one."""
    (tmp_path / "terminal").mkdir()
    journal = Journal.open_for(tmp_path / "terminal" / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    journal.refuse_tap(replace(INTENT, amount_fen=Fen(5)), Refusal.EXPIRED)
    journal.open_tap(INTENT)
    journal.close()
    return tmp_path


def run(home: Path, *words: str) -> int:
    return main([*words, "--home", str(home)])


def test_list_shows_every_tap_and_the_open_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "journal", "list") == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("号 tap")
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert [line.split(maxsplit=6)[6].split("  ")[0] for line in lines] == [
        "成功 DEBITED",
        "拒绝 REFUSED EXPIRED",
        "未完 OPEN",
    ]


def test_long_journal_is_listed_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "terminal").mkdir()
    journal = Journal.open_for(tmp_path / "terminal" / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    assert run(tmp_path, "journal", "list") == 0
    assert capsys.readouterr().out == "没有交易 no taps\n"
    with journal._db:  # one commit for all
        for _ in range(1001):
            journal.refuse_tap(INTENT, Refusal.EXPIRED)
    journal.close()
    assert run(tmp_path, "journal", "list") == 0
    numbers = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert numbers == list(range(1, 1002))


def test_journal_commands_change_nothing(home: Path) -> None:
    before = (home / "terminal" / "journal.db").read_bytes()
    for words in (["list"], ["list", "--json"], ["show", "1"], ["verify"]):
        run(home, "journal", *words)
    assert (home / "terminal" / "journal.db").read_bytes() == before


def break_journal(folder: Path) -> None:
    (folder / "journal.db").write_bytes(b"garbage" * 1000)


def lose_config(folder: Path) -> None:
    (folder / "terminal.toml").unlink(missing_ok=True)


def write_config(folder: Path) -> None:
    (folder / "terminal.toml").write_text(TOML)


def enrol_and_break(folder: Path) -> None:
    write_config(folder)
    make_uplink(folder / "uplink.db").close()
    break_journal(folder)


@pytest.mark.parametrize(
    ("prepare", "words", "code"),
    [
        (break_journal, ["journal", "list"], "journal-damaged"),
        (break_journal, ["journal", "verify"], "journal-damaged"),
        (lose_config, ["run", "--json"], "config-invalid"),
        (write_config, ["run", "--json"], "not-enrolled"),
        (enrol_and_break, ["run", "--json"], "journal-damaged"),
    ],
)
def test_faults_are_one_line_with_their_code(
    home: Path, prepare: Callable[[Path], None], words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(home / "terminal")
    assert run(home, *words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("campus-terminal: ")
    assert line.endswith(f"[{code}]")


def test_missing_home_is_a_missing_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "journal", "list") == 1
    assert capsys.readouterr().err.rstrip().endswith("[journal-missing]")


def test_screen_without_a_terminal_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(home / "terminal")
    assert run(home, "run") == 2
    assert "--json" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["dance"], ["journal"], ["journal", "delete"]])
def test_wrong_usage_is_refused_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(words)
    assert ended.value.code == 2
