"""The commands, as an operator and as a supervisor use them."""

from __future__ import annotations

import argparse
import json
import os
import select
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import build_parser, main
from settlement.authority import SERVER_NAME
from settlement.ledger import store
from settlement.ledger.entries import Source, opening_for
from settlement.settings import Home
from settlement.store.database import Database, open_reader, open_writer
from wire.enrolment import Ticket, parse_ticket_text
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import CardId, Stream
from wire.messages import Challenge, Identify, Message, Receipt, Upload, Welcome
from wire.money import Fen
from wire.session import Role, Session

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20
HEADER = "issuer,asn,opening_balance_fen,opening_counter"
ISSUER, ASN = "1000000000000001", "00000000000000000001"


@contextmanager
def process(home: Home, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process that said it is ready, and the line it said so with."""
    command = [sys.executable, "-m", "settlement", *words, "--home", str(home.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            ready, _, _ = select.select([child.stdout], [], [], DEADLINE_S)
            line = child.stdout.readline().strip() if ready else ""
            if not line:
                child.kill()
                raise AssertionError(f"it did not start: {child.communicate()[1]}")
            yield child, line
        finally:
            if child.poll() is None:
                child.kill()
            child.communicate()


def ended(child: subprocess.Popen[str]) -> int:
    child.send_signal(signal.SIGTERM)
    return child.wait(DEADLINE_S)


def free_port(home: Home) -> None:
    home.settings.write_text("[streams.canteen]\nport = 0\n")


def run(capsys: pytest.CaptureFixture[str], home: Home, *words: str) -> tuple[int, str, str]:
    code = main([*words, "--home", str(home.root)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_help_of_ticket_says_what_each_option_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["ticket", "--help"])
    assert "where its taps go" in capsys.readouterr().out


# What a script would not read: it starts something that runs on, or says in one line what it did or made.
WITHOUT_JSON = {
    "init", "ticket", "import-cards", "assign", "export", "confirm", "declare-finished", "close-day", "restore",
    "stream", "top-up", "web", "ledger",
}  # fmt: skip


def commands() -> dict[str, argparse.ArgumentParser]:
    [subs] = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(subs.choices)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_examples_that_can_be_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    said, _, examples = capsys.readouterr().out.partition("examples:\n")
    assert "--home" in said
    lines = [line.strip() for line in examples.strip().splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" | ")[0])
        assert words[:2] == ["campus-settlement", name]
        build_parser().parse_args(words[1:])


def test_every_command_that_a_script_would_read_has_json() -> None:
    without = {name for name, parser in commands().items() if "--json" not in parser.format_help()}
    assert without == WITHOUT_JSON


def test_init_says_what_it_made_and_changes_nothing_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.root.parent.mkdir()
    code, out, _ = run(capsys, home, "init")
    assert code == 0
    for made in ("certificate authority", "issuer keys", "canteen database", "ledger database"):
        assert made in out
    kept = {path: path.read_bytes() for path in home.folder.rglob("*.*") if path.suffix not in (".db-shm", ".db-wal")}
    assert run(capsys, home, "init") == (0, f"{home.folder}: everything was there already\n", "")
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_ticket_is_for_the_named_terminal_and_stream(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, home, "ticket", "--terminal", "000000000101", "--stream", "shops")
    assert code == 0
    public = bytes.fromhex(home.ticket_public_key.read_text())
    ticket = Ticket.open(parse_ticket_text(out), public)
    assert (ticket.terminal.hex(), ticket.stream, ticket.epoch) == ("000000000101", Stream.SHOPS, 1)
    _, out, _ = run(capsys, home, "ticket", "--terminal", "000000000101", "--stream", "canteen")
    assert Ticket.open(parse_ticket_text(out), public).epoch == 2


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["ticket", "--terminal", "12", "--stream", "shops"], "12 hexadecimal digits"),
        (["ask", "12", "log"], "12 hexadecimal digits"),
        (["ticket", "--terminal", "000000000101", "--stream", "shops", "--days", "0"], "--days must be"),
        (["hotlist", "add"], "needs ISSUER and ASN"),
        (["hotlist", "add", "1", "2"], "issuer must have 16 digits"),
    ],
)
def test_wrong_usage_is_explained_in_one_line(
    home: Home, capsys: pytest.CaptureFixture[str], words: list[str], fault: str
) -> None:
    code, _, err = run(capsys, home, *words)
    assert code == 2
    assert fault in err
    assert err.count("\n") == 1


def test_cards_are_imported_once_and_a_bad_file_not_at_all(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cards.csv"
    file.write_text(f"\ufeff{HEADER}\n{ISSUER},{ASN},5000,0\n", encoding="utf-8")
    assert run(capsys, home, "import-cards", str(file))[:2] == (0, "1 card registered, 0 were there already\n")
    assert run(capsys, home, "import-cards", str(file))[:2] == (0, "0 cards registered, 1 was there already\n")
    file.write_text(f"{HEADER}\n{ISSUER},{ASN},x,0\n")
    code, _, err = run(capsys, home, "import-cards", str(file))
    assert code == 1
    assert "line 2: opening_balance_fen" in err


def test_ask_puts_a_request_and_says_that_no_answer_came_yet(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = "000000000101"
    status, _, words = run(capsys, home, "ask", terminal, "log")
    assert (status, "[terminal-not-asked]" in words) == (1, True)
    assert "was not asked for anything yet" in run(capsys, home, "ask", terminal)[1]
    run(capsys, home, "ticket", "--terminal", terminal, "--stream", "canteen")
    assert "request 1: terminal 000000000101 is asked for its log" in run(capsys, home, "ask", terminal, "log")[1]
    assert "no answer came yet" in run(capsys, home, "ask", terminal)[1]


def test_hotlist_is_changed_and_listed_with_masked_cards(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert "changed, the hotlist is version 1" in run(capsys, home, "hotlist", "add", ISSUER, ASN)[1]
    assert "nothing to change" in run(capsys, home, "hotlist", "add", ISSUER, ASN)[1]
    assert run(capsys, home, "hotlist", "list")[1] == "version 1: 1 card\n••0001\n"
    assert "version 2" in run(capsys, home, "hotlist", "remove", ISSUER, ASN)[1]
    assert json.loads(run(capsys, home, "hotlist", "list", "--json")[1]) == {"version": 2, "cards": []}


def test_command_without_a_home_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, Home(tmp_path), "report")
    assert code == 1
    assert "settings-invalid" in err
    assert "init" in err


def test_card_file_that_cannot_be_read_is_a_typed_fault(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.xls").write_bytes(b"\xd0\xcf\x11\xe0" * 100)
    for name in ("nofile.csv", "", "table.xls"):
        code, _, err = run(capsys, home, "import-cards", str(tmp_path / name))
        assert code == 1
        assert err.startswith(f"campus-settlement: {tmp_path / name} ")
        assert err.endswith(" [card-file-unreadable]\n")


@pytest.mark.parametrize("command", [["stream", "canteen"], ["init"]])
def test_passphrase_file_that_is_missing_or_empty_is_a_typed_fault(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    if command == ["init"]:
        home.sealed_keys.unlink()  # init wants the passphrase when it makes them
    (tmp_path / "empty").write_text("\n")
    for name, fault in (("nonexistent", "cannot be read: No such file or directory"), ("empty", "is empty")):
        code, _, err = run(capsys, home, *command, "--passphrase-file", str(tmp_path / name))
        assert code == 1
        assert f"the passphrase file {tmp_path / name} {fault} [passphrase-unreadable]" in err


def test_report_of_a_ledger_out_of_balance_ends_with_status_1(
    home: Home, ledger_db: Database, capsys: pytest.CaptureFixture[str], numbered_card: Callable[[int], CardId]
) -> None:
    opening = opening_for(
        numbered_card(1), balance_fen=Fen(100), counter=0, source=Source("onecard", 1), opened_at_utc_s=1
    )
    with ledger_db.transaction():
        store.post(ledger_db, [opening])
    assert run(capsys, home, "report")[0] == 0
    ledger_db.execute(
        "INSERT INTO other_posting (id, entry_id, account_id, amount_fen, accounting_day)"
        " VALUES (9, 1, 1001, 5, 20991231)"
    )
    code, out, _ = run(capsys, home, "report")
    assert (code, "ENTRIES OUT OF BALANCE: 1\n" in out) == (1, True)
    code, out, _ = run(capsys, home, "report", "--json")
    assert (code, json.loads(out)["unbalanced_entries"]) == (1, [1])


def test_wrong_passphrase_is_a_typed_fault(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong").write_text("wrong")
    code, _, err = run(capsys, home, "stream", "canteen", "--passphrase-file", str(tmp_path / "wrong"))
    assert code == 1
    assert "passphrase-wrong" in err


def test_stream_process_names_its_port_serves_and_ends_cleanly(home: Home) -> None:
    free_port(home)
    with process(home, "stream", "canteen") as (child, line):
        host, _, port = line.removeprefix("listening on ").rpartition(":")
        with socket.create_connection((host, int(port)), DEADLINE_S):
            assert ended(child) == 0


def test_second_process_on_the_same_stream_is_refused_with_the_first_ones_pid(home: Home) -> None:
    free_port(home)
    with process(home, "stream", "canteen") as (child, _):
        command = [sys.executable, "-m", "settlement", "stream", "canteen", "--home", str(home.root)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert second.returncode == 1
        assert f"canteen.db is written by process {child.pid}" in second.stderr
        assert "[database-in-use]" in second.stderr


def test_ledger_process_posts_what_comes_while_it_runs_and_goes_on_after_a_kill(
    home: Home, canteen: StreamDriver, till: FakeTill, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free_port(home)
    (tmp_path / "cards.csv").write_text(f"{HEADER}\n{ISSUER},{ASN},50000,0\n")
    assert run(capsys, home, "import-cards", str(tmp_path / "cards.csv"))[0] == 0
    canteen.enrol(till)
    for _ in range(40):
        till.tap(10)
    canteen.accept(till.batch(1, 21))
    with process(home, "ledger") as (child, line):
        assert line == "ledger ready"
        wait_for_taps(home, child, 20)
        child.kill()
        assert child.wait(DEADLINE_S) == -signal.SIGKILL
    canteen.accept(till.batch(21))
    with process(home, "ledger") as (child, _):
        wait_for_taps(home, child, 40)
        assert ended(child) == 0
    with open_reader(home.database("ledger"), "ledger") as db:
        booked = db.query("SELECT seq FROM entry WHERE kind = 2 ORDER BY seq", into=int)
        assert booked == [record.tap_id.seq for record in till.records]
        assert store.unbalanced_entries(db) == []


@contextmanager
def connected(home: Home, line: str) -> Iterator[tuple[Callable[..., None], Callable[[], Message]]]:
    """A terminal's session with a stream process: how to say and how to hear a message."""
    host, _, port = line.removeprefix("listening on ").rpartition(":")
    context = ssl.create_default_context(cafile=str(home.authority / "ca.pem"))
    session = Session(Role.CLIENT)
    waiting: list[Message] = []
    with (
        socket.create_connection((host, int(port)), DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=SERVER_NAME) as link,
    ):

        def say(*messages: Message) -> None:
            link.sendall(b"".join(session.send(message) for message in messages))

        def hear() -> Message:
            while not waiting:
                data = link.recv(65_536)
                assert data, "the server closed"
                waiting.extend(session.receive(data))
            return waiting.pop(0)

        yield say, hear


def identified(till: FakeTill, challenge: Message) -> Identify:
    assert isinstance(challenge, Challenge)
    identify = Identify(
        terminal=till.terminal,
        epoch=till.epoch,
        head_seq=len(till.records),
        total_fen=till.total_fen,
        hotlist_mark=EMPTY_HOTLIST.mark,
    )
    return identify.signed(till.key, challenge.nonce)


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 15])
def test_stream_killed_during_an_upload_has_all_of_the_batch_or_nothing_and_takes_it_again(
    home: Home, canteen: StreamDriver, till: FakeTill, delay_ms: int
) -> None:
    free_port(home)
    canteen.enrol(till)
    canteen.db.close()
    for _ in range(300):
        till.tap(10)
    with process(home, "stream", "canteen") as (child, line), connected(home, line) as (say, hear):
        say(identified(till, hear()), Upload(till.batch()))
        with suppress(subprocess.TimeoutExpired):
            child.wait(delay_ms / 1000)
        child.kill()
        child.wait(DEADLINE_S)
    assert taps_of(home) in (0, 300)
    with process(home, "stream", "canteen") as (child, line):
        with connected(home, line) as (say, hear):
            say(identified(till, hear()), Upload(till.batch()))
            assert isinstance(hear(), Welcome)
            receipt = hear()
            assert isinstance(receipt, Receipt)
            assert receipt.receipt.cursor.next_seq == 301
        assert ended(child) == 0
    assert taps_of(home) == 300


def taps_of(home: Home) -> int:
    with open_reader(home.database("canteen"), "canteen") as db:
        return db.number("SELECT count(*) FROM tap")


def test_lock_of_a_killed_process_is_free(home: Home) -> None:
    with process(home, "ledger") as (child, _):
        os.kill(child.pid, signal.SIGKILL)
        child.wait(DEADLINE_S)
    open_writer(home.database("ledger"), "ledger").close()


def wait_for_taps(home: Home, child: subprocess.Popen[str], count: int) -> None:
    """Poll the ledger, with a deadline and an eye on the process."""
    for _ in range(DEADLINE_S * 20):
        with open_reader(home.database("ledger"), "ledger") as db:
            if db.number("SELECT count(*) FROM entry WHERE kind = 2") >= count:
                return
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError("the ledger ended by itself")
    raise AssertionError(f"the ledger did not post {count} taps in time")
