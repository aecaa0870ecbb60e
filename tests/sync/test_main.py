"""`campus-syncd` as a process: enrol, run until SIGTERM, status; exit codes and words."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.__main__ import build_parser, main
from sync.identity import load_key, load_operator_key, load_sms_key
from sync.store import UplinkReader, UplinkStore
from tests.sync.conftest import OPERATOR
from wire.enrolment import Ticket, ticket_text
from wire.ids import Stream, TerminalId
from wire.receipt import Rejection
from wire.signature import public_bytes

if TYPE_CHECKING:
    from tests.sync.conftest import Authority, Server, Till

ROOT = Path(__file__).parents[2]
TERMINAL = TerminalId(bytes.fromhex("112233445566"))


@pytest.fixture
def home(folder: Path, server: Server, authority: Authority) -> Path:
    """A home whose terminal knows its server and was never enrolled."""
    (folder / "terminal.toml").write_text(f'[uplink]\nhost = "127.0.0.1"\nport = {server.port}\nlinger_s = 0.05\n')
    (folder / "ca.pem").write_bytes(authority.ca.read_bytes())
    return folder.parent


@pytest.fixture
def ticket() -> str:
    says = Ticket(terminal=TERMINAL, stream=Stream.CANTEEN, epoch=1, expires_utc_s=1)
    return ticket_text(says.issue(Ed25519PrivateKey.from_private_bytes(bytes(32))))


Run = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start the daemon as a process and wait until it says that it is ready."""
    processes: list[subprocess.Popen[str]] = []

    def start(home: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sync", "run", "--home", str(home)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "uplink ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def _enrol(home: Path, ticket: str) -> int:
    return main(["enrol", "--home", str(home), ticket])


def test_enrol_makes_a_key_and_a_second_time_changes_nothing(
    home: Path, ticket: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _enrol(home, ticket) == 0
    assert "terminal 112233445566 is enrolled with the canteen stream, epoch 1" in capsys.readouterr().out
    key = load_key(home / "terminal" / "terminal.key")
    assert list(server.tickets.values()) == [public_bytes(key)]
    assert load_sms_key(home / "terminal" / "sms.key") == bytes(range(16))
    assert load_operator_key(home / "terminal" / "operator.pub") == public_bytes(OPERATOR)
    (home / "ticket.txt").write_text(ticket.lower())
    assert main(["enrol", "--home", str(home), "--ticket-file", str(home / "ticket.txt")]) == 0
    assert "already enrolled with this ticket; the server knows it" in capsys.readouterr().out
    assert public_bytes(load_key(home / "terminal" / "terminal.key")) == public_bytes(key)


def test_enrol_again_makes_the_terminal_known_to_a_restored_server_beside_a_running_daemon(
    home: Path, ticket: str, server: Server
) -> None:
    _enrol(home, ticket)
    known = dict(server.tickets)
    server.tickets.clear()
    daemon = UplinkStore.open_or_make(home / "terminal" / "uplink.db")
    before = (daemon.enrolment(), daemon.cursor())
    assert _enrol(home, ticket) == 0
    assert server.tickets == known
    assert (daemon.enrolment(), daemon.cursor()) == before
    daemon.close()


def test_enrol_again_without_a_server_says_that_the_terminal_is_enrolled(
    home: Path, ticket: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _enrol(home, ticket)
    server.stop()
    assert _enrol(home, ticket) == 0
    words = capsys.readouterr().out
    assert "already enrolled with this ticket; the server could not be asked: no connection" in words
    assert "[link-down]" in words
    server.start()
    server.greeting = Rejection.BUSY
    assert _enrol(home, ticket) == 0
    assert "BUSY: " in capsys.readouterr().out


def test_enrol_again_that_the_server_refuses_is_a_fault(
    home: Path, ticket: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _enrol(home, ticket)
    [raw] = server.tickets
    server.tickets[raw] = bytes(32)
    assert _enrol(home, ticket) == 1
    assert "TICKET_SPENT: " in capsys.readouterr().err


def test_enrol_with_another_ticket_is_refused(
    home: Path, ticket: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _enrol(home, ticket)
    other = Ticket(terminal=TERMINAL, stream=Stream.SHOPS, epoch=1, expires_utc_s=1)
    text = ticket_text(other.issue(Ed25519PrivateKey.from_private_bytes(bytes(32))))
    assert _enrol(home, text) == 1
    assert "[already-enrolled]" in capsys.readouterr().err
    assert len(server.tickets) == 1


def test_enrol_with_a_spent_ticket_says_what_to_do(
    home: Path, ticket: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _enrol(home, ticket)
    [raw] = server.tickets
    server.tickets[raw] = bytes(32)
    (home / "terminal" / "uplink.db").unlink()
    assert _enrol(home, ticket) == 1
    assert "TICKET_SPENT: " in (words := capsys.readouterr().err)
    assert "ask for a new one" in words


@pytest.mark.parametrize("text", ["hello", "MFRGG-ZDFMZ"])
def test_enrol_with_a_damaged_ticket_sends_nothing(
    text: str, home: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _enrol(home, text) == 1
    assert "[ticket-unreadable]" in capsys.readouterr().err
    assert server.tickets == {}


def test_run_without_enrolment_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--home", str(home)]) == 1
    assert "[not-enrolled]" in capsys.readouterr().err
    assert not (home / "terminal" / "uplink.db").exists()


def test_run_carries_taps_and_ends_cleanly_on_sigterm(
    home: Path, ticket: str, server: Server, till: Till, run: Run, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    _enrol(home, ticket)
    server.public_key = public_bytes(load_key(home / "terminal" / "terminal.key"))
    till.tap(2)
    process = run(home)
    reader = UplinkReader.open(home / "terminal" / "uplink.db")
    wait_until(lambda: reader.cursor().next_seq == 3)
    reader.close()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=5)
    assert process.returncode == 0
    assert "receipt for taps 1 to 2, 13.00 yuan" in said


def test_run_is_told_to_stop_while_the_server_is_silent_and_ends_in_time(
    home: Path, ticket: str, server: Server, till: Till, run: Run, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    _enrol(home, ticket)
    server.public_key = public_bytes(load_key(home / "terminal" / "terminal.key"))
    server.spoil("SILENCE")
    till.tap(1)
    process = run(home)
    wait_until(lambda: len(server.uploads) == 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=4)
    assert process.returncode == 0
    reader = UplinkReader.open(home / "terminal" / "uplink.db")
    assert reader.unanswered() == server.uploads[0]
    reader.close()


def test_run_outlives_a_full_disk_and_goes_on_when_there_is_room(
    home: Path, ticket: str, server: Server, till: Till, run: Run, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    _enrol(home, ticket)
    server.public_key = public_bytes(load_key(home / "terminal" / "terminal.key"))
    till.tap(1)
    process = run(home)
    reader = UplinkReader.open(home / "terminal" / "uplink.db")
    wait_until(lambda: reader.cursor().next_seq == 2)
    unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    till.tap(2)
    assert process.stderr is not None
    said = next(line for line in process.stderr if "[uplink-unwritable]" in line)
    assert "connecting again" in said or "trying again in" in said
    assert (reader.cursor().next_seq, len(server.uploads)) == (2, 1)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    wait_until(lambda: reader.cursor().next_seq == 4)
    reader.close()
    assert process.poll() is None


def test_second_daemon_is_refused_while_status_still_answers(
    home: Path, ticket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _enrol(home, ticket)
    store = UplinkStore.open_or_make(home / "terminal" / "uplink.db")
    assert main(["run", "--home", str(home)]) == 1
    assert "[uplink-in-use]" in capsys.readouterr().err
    assert main(["status", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["enrolment"]["stream"] == "canteen"
    store.close()


def test_status_before_anything_happened_is_in_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--home", str(home)]) == 0
    assert "not enrolled yet" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["enrol", "run", "status"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "campus-syncd run --home home" in build_parser().format_help()
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"campus-syncd {command}" in capsys.readouterr().out.partition("examples:")[2]
