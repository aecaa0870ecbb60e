"""The self-test: well, with every part in trouble, beside a running till, and with nothing attached at all."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.channel import ReaderFault, ReaderMissing
from drivers.reader import Reader
from sim.card.chip import PoweredCard
from sim.devices.printer import SimulatedPrinter
from sim.pcsc.local import LocalReader
from terminal.selftest import PARTS, Finding, Selftest, State, Surroundings, till_runs
from tests.terminal.conftest import INTENT, NOON, World, make_uplink
from wire.record import ClockQuality, Mac2

TOML = '[reader]\ncard = "card"\npsam = "psam"\n[limits]\ntap_fen_max = 10000\n'
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"
AT_NOON = {"terminal.toml": TOML, "terminal.key": PEM, "operator.pub": "00" * 32 + "\n", "ca.pem": "certificate\n"}


class Bench:
    """A terminal that is well, and how it is looked at."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.world = world
        for name, text in AT_NOON.items():
            (folder / name).write_text(text)
        (folder / "terminal.key").chmod(0o600)
        self.uplink = make_uplink(folder / "uplink.db")
        with self.uplink:
            self.uplink.execute("CREATE TABLE links_seen (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
            self.uplink.execute("""INSERT INTO links_seen VALUES (1, '{"link": "ip"}')""")
        self.card: PoweredCard | None = None
        self.psam: PoweredCard | None = world.psam
        self.lost: ReaderFault | None = None
        self.quality = ClockQuality.NETWORK
        self.utc_s = float(NOON.utc_s + 60)

    def findings(self) -> dict[str, Finding]:
        around = Surroundings(
            folder=self.folder,
            reader=self._reader,
            utc_s=lambda: self.utc_s,
            monotonic_s=time.monotonic,
            clock_quality=lambda: self.quality,
        )
        return {finding.part: finding for finding in Selftest(around).findings()}

    def _reader(self, name: str) -> Reader:
        reader, chip = LocalReader(), self.card if name == "card" else self.psam
        if chip is not None:
            reader.insert(chip)
        if name == "card" and self.lost is not None:
            reader.lose(self.lost)
        return reader


@pytest.fixture
def bench(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("terminal.selftest._CARD_S", 0.1)
    world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    world.journal.close()
    made = Bench(tmp_path, world)
    yield made
    made.uplink.close()


def code(bench: Bench, part: str) -> str:
    finding = bench.findings()[part]
    assert finding.state is State.FAULT
    return finding.code


def test_terminal_that_is_well_has_no_fault(bench: Bench) -> None:
    bench.card = bench.world.card().chip
    found = bench.findings()
    assert list(found) == list(PARTS)
    states = {part: finding.state for part, finding in found.items()}
    devices = ("printer", "display", "keypad", "scanner", "signals", "voice")
    assert {part for part, state in states.items() if state is State.ABSENT} == set(devices)
    assert {part for part, state in states.items() if state is State.WELL} == set(PARTS) - set(devices)
    assert "1 taps" in found["journal"].detail


def test_every_finding_is_said_in_both_languages(bench: Bench) -> None:
    for finding in bench.findings().values():
        zh, en = PARTS[finding.part]
        assert finding.lines()[0].startswith(f"{zh} {en}: {finding.state.value[0]}")
    lines = Finding("reader", State.FAULT, "reader-missing", "no such reader").lines()
    assert lines[0] == "读卡器 card reader: 故障 FAULT [reader-missing]"
    assert len(lines) == 4


def test_without_a_card_it_asks_for_one(bench: Bench) -> None:
    finding = bench.findings()["card"]
    assert (finding.state, finding.code) == (State.SKIPPED, "no-card")
    assert "put a card on the reader" in "\n".join(finding.lines())


def test_nothing_attached_and_nothing_set_up_is_told_part_by_part(tmp_path: Path) -> None:
    around = Surroundings(
        folder=tmp_path,
        reader=lambda name: LocalReader(),
        utc_s=time.time,
        monotonic_s=time.monotonic,
        clock_quality=lambda: ClockQuality.UNSET,
    )
    found = {finding.part: finding for finding in Selftest(around).findings()}
    assert found["config"].code == "config-invalid"
    assert found["enrolment"].code == "not-enrolled"
    assert found["keys"].code == "key-unreadable"
    assert found["clock"].code == "clock-unset"
    assert found["journal"].state is State.SKIPPED
    assert {found[part].code for part in ("reader", "card", "psam", "printer", "voice")} == {"depends"}
    assert found["link"].code == "no-link"


def test_reader_that_is_lost_and_psam_that_is_pulled_out_are_told(bench: Bench) -> None:
    bench.lost, bench.psam = ReaderMissing("there is no such reader"), None
    assert code(bench, "reader") == "reader-missing"
    assert code(bench, "psam") == "psam-lost"


def test_psam_of_another_terminal_and_card_that_is_none_are_told(bench: Bench) -> None:
    bench.card, bench.psam = bench.psam, bench.world.card().chip
    assert code(bench, "card") == "card-unreadable"
    assert code(bench, "psam") == "psam-unusable"


def test_running_till_keeps_its_devices_and_the_rest_is_tested(
    bench: Bench, open_journal: Callable[[], object]
) -> None:
    assert not till_runs(bench.folder)
    open_journal()
    assert till_runs(bench.folder)
    found = bench.findings()
    assert {part for part, finding in found.items() if finding.code == "till-runs"} == {"reader", "card", "psam"}
    assert found["journal"].state is State.WELL
    assert "the till is using it" in "\n".join(found["psam"].lines())


@pytest.mark.parametrize(("number", "told"), [(errno.EROFS, "disk-read-only"), (errno.ENOSPC, "disk-full")])
def test_disk_that_takes_no_writes_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("terminal.selftest.os.write", refuse)
    assert code(bench, "disk") == told


def test_disk_that_is_nearly_full_or_slow_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.selftest.FSYNC_S_MAX", 0.0)
    assert code(bench, "disk") == "disk-slow"
    monkeypatch.setattr("terminal.selftest.FREE_BYTES_MIN", 1 << 60)
    assert code(bench, "disk") == "disk-full"


def test_clock_that_went_back_or_was_never_set_is_told(bench: Bench) -> None:
    bench.utc_s = NOON.utc_s - 3_600
    assert code(bench, "clock") == "clock-gone-back"
    bench.utc_s, bench.quality = NOON.utc_s + 60, ClockQuality.UNSET
    assert code(bench, "clock") == "clock-unset"


@pytest.mark.parametrize("name", ["terminal.key", "operator.pub", "ca.pem"])
def test_key_that_is_missing_is_named(bench: Bench, name: str) -> None:
    (bench.folder / name).unlink()
    finding = bench.findings()["keys"]
    assert (finding.code, name in finding.detail) == ("key-unreadable", True)


@pytest.mark.parametrize(("name", "text"), [("terminal.key", "no key"), ("operator.pub", "00"), ("operator.pub", "zz")])
def test_key_that_is_garbage_is_named(bench: Bench, name: str, text: str) -> None:
    (bench.folder / name).write_text(text)
    assert name in bench.findings()["keys"].detail


def test_key_that_others_may_read_is_told(bench: Bench) -> None:
    (bench.folder / "terminal.key").chmod(0o644)
    assert "chmod 600" in bench.findings()["keys"].detail


def test_damaged_journal_is_told(bench: Bench) -> None:
    path = bench.folder / "journal.db"
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)
    path.write_bytes(data)
    assert code(bench, "journal") == "journal-damaged"


def test_journal_that_lacks_what_the_server_has_is_told(bench: Bench) -> None:
    with bench.uplink:
        bench.uplink.execute("INSERT INTO cursor VALUES (1, 1, 9, ?, 1700000000)", (bytes(32),))
    assert code(bench, "journal") == "journal-lost"


def test_links_that_fail_are_told_as_the_daemon_saw_them(bench: Bench) -> None:
    with bench.uplink:
        bench.uplink.execute(
            """UPDATE links_seen SET body = '{"link": null, "technician": {"sms": "the SIM wants a PUK"}}'"""
        )
    finding = bench.findings()["link"]
    assert finding.code == "no-link"
    assert "PUK" in finding.detail


def test_configured_devices_are_looked_at(bench: Bench, tmp_path: Path) -> None:
    toml = TOML + f'[devices]\nprinter = "{tmp_path}/printer"\ndisplay = "{tmp_path}/none"\nkeypad = "No Such Pad"\n'
    (bench.folder / "terminal.toml").write_text(toml + 'signals_chip = "/dev/gpiochip99"\nsignals_red = 1\n')
    with SimulatedPrinter(tmp_path / "printer") as printer:
        found = bench.findings()
        assert found["printer"].state is State.WELL
        with printer.lock:
            printer.engine.lines_left = 0
        assert code(bench, "printer") == "paper-out"
    assert {found[part].code for part in ("display", "keypad", "signals")} == {"device-missing"}


def test_part_that_hangs_does_not_hold_up_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.selftest._PART_S_MAX", 0.05)
    monkeypatch.setattr("terminal.selftest._CARD_S", 0.5)
    found = bench.findings()
    assert found["reader"].code == "no-answer"
    assert len(found) == len(PARTS)


def test_finding_for_programs_has_stable_names() -> None:
    finding = Finding("psam", State.FAULT, "psam-lost", "gone")
    assert finding.as_json() == {"part": "psam", "state": "fault", "code": "psam-lost", "detail": "gone"}
    assert replace(finding, state=State.SKIPPED, code="till-runs").as_json()["state"] == "skipped"
