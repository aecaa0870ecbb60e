"""`campus-terminal selftest`: every part of the terminal looked at once, in plain words, for a technician on a ladder.

It changes nothing and takes no money. While the till runs, what the till holds is not tested, and that is said. Left
out: the way to the server, which `campus-syncd doctor` walks; here stands what the daemon saw last.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from drivers.printer import ReceiptPrinter
from drivers.purse import read_purse
from drivers.reader import CardPresented, CardSilent, Reader, ReaderLost
from terminal import devices
from terminal.config import TerminalConfig, load_config
from terminal.devices import DevicesConfig
from terminal.downlink import Downlink, NotEnrolled
from terminal.journal import JournalDamaged, JournalMissing, JournalReader
from terminal.psam import PsamSlot
from terminal.words.catalogue import Language
from terminal.words.codes import NUMBERS, code_of
from wire.errors import CampusError
from wire.ids import TerminalId
from wire.record import ClockQuality

FREE_BYTES_MIN: Final = 50_000_000  # a year's journal of a busy till has 40 MB
FSYNC_S_MAX: Final = 0.25  # a tap has two of them; above that a queue forms
_PART_S_MAX: Final = 15.0  # whatever hangs, the test goes on
_CARD_S: Final = 1.0  # a reader tells at once what lies on it
_KEY_BYTES: Final = 32

_FILE_TROUBLES: Final = {
    errno.EROFS: ("disk-read-only", "the disk takes no writes: it was mounted read-only, often after an error"),
    errno.ENOSPC: ("disk-full", "the disk is full"),
}


class State(Enum):
    """How a part is: the words for it in Chinese and English."""

    WELL = ("正常", "well")
    FAULT = ("故障", "FAULT")
    SKIPPED = ("未测", "not tested")
    ABSENT = ("未配置", "not configured")


PARTS: Final = {
    "config": ("配置文件", "configuration file"),
    "enrolment": ("终端登记", "enrolment"),
    "keys": ("密钥", "keys"),
    "disk": ("存储", "disk"),
    "clock": ("时钟", "clock"),
    "journal": ("流水", "journal"),
    "reader": ("读卡器", "card reader"),
    "card": ("卡片", "card"),
    "psam": ("安全模块", "security module"),
    "link": ("上传链路", "uplink"),
    "printer": ("打印机", "receipt printer"),
    "display": ("顾客屏", "customer display"),
    "keypad": ("数字键盘", "number pad"),
    "scanner": ("扫码枪", "scanner"),
    "signals": ("灯和蜂鸣器", "lamps and buzzer"),
    "voice": ("语音", "voice"),
}

_SKIPPED: Final = {
    "till-runs": ("收款程序正在使用", "the till is using it; stop the till to have it tested"),
    "no-card": ("请放一张卡再测", "put a card on the reader and test again"),
    "no-journal": ("还没有流水", "the till has not been started yet"),
    "depends": ("先排除上面的故障", "see to the fault above first"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: `code` is the fault's or the reason for not testing, empty if it is well; `detail` is technical."""

    part: str
    state: State
    code: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs; part, state and code are stable."""
        return {"part": self.part, "state": self.state.name.lower(), "code": self.code, "detail": self.detail}

    def lines(self) -> list[str]:
        """For people, in both languages."""
        zh, en = PARTS[self.part]
        code = f" [{self.code}]" if self.state is State.FAULT else ""
        found = [f"{zh} {en}: {self.state.value[0]} {self.state.value[1]}{code}"]
        if self.state is State.SKIPPED:
            found.append(f"    {'; '.join(_SKIPPED[self.code])}")
        if self.state is State.FAULT and self.code in NUMBERS:
            advice = [code_of(self.code, self.code).advice(language) for language in Language]
            found += [f"    {one.headline}. {one.technician}" for one in advice]
        if self.detail:
            found.append(f"    {self.detail}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a self-test looks at the terminal with."""

    folder: Path
    reader: Callable[[str], Reader]
    utc_s: Callable[[], float]
    monotonic_s: Callable[[], float]
    clock_quality: Callable[[], ClockQuality]


class Selftest:
    """One look at everything, part by part."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._folder = around.folder
        self._config: TerminalConfig | None = None
        self._terminal: TerminalId | None = None

    def findings(self) -> Iterator[Finding]:
        """Each as it is found."""
        runs = till_runs(self._folder)
        with contextlib.closing(Downlink(self._folder / "uplink.db")) as downlink:
            for part, look in self._looks(downlink, runs=runs).items():
                yield self._bounded(part, look)

    def _looks(self, downlink: Downlink, *, runs: bool) -> dict[str, Callable[[], Finding]]:
        return {
            "config": self._look_at_config,
            "enrolment": lambda: self._look_at_enrolment(downlink),
            "keys": self._look_at_keys,
            "disk": self._look_at_disk,
            "clock": self._look_at_clock,
            "journal": lambda: self._look_at_journal(downlink),
            "reader": lambda: _running("reader") if runs else self._look_at_reader(),
            "card": lambda: _running("card") if runs else self._look_at_card(),
            "psam": lambda: _running("psam") if runs else self._look_at_psam(),
            "link": lambda: _look_at_link(downlink),
            **{part: self._device(part, runs=runs) for part in _DEVICES},
        }

    def _bounded(self, part: str, look: Callable[[], Finding]) -> Finding:
        """The finding, or that there was none in time; whatever a device does, the test goes on."""
        found: list[Finding] = []

        def run() -> None:
            try:
                found.append(look())
            except CampusError as error:
                found.append(Finding(part, State.FAULT, error.code, str(error)))

        thread = threading.Thread(target=run, name=part, daemon=True)
        thread.start()
        thread.join(_PART_S_MAX)
        return found[0] if found else Finding(part, State.FAULT, "no-answer", f"nothing within {_PART_S_MAX:.0f} s")

    def _look_at_config(self) -> Finding:
        self._config = load_config(self._folder / "terminal.toml")
        return Finding("config", State.WELL)

    def _look_at_enrolment(self, downlink: Downlink) -> Finding:
        try:
            enrolment = downlink.enrolment()
        except NotEnrolled as error:
            return Finding("enrolment", State.FAULT, error.code, str(error))
        self._terminal = enrolment.terminal
        verdict = downlink.verdict()
        if verdict is not None:
            return Finding("enrolment", State.FAULT, verdict.code, verdict.words)
        who = f"terminal {enrolment.terminal.hex()}, epoch {enrolment.epoch}, {enrolment.stream.label}"
        return Finding("enrolment", State.WELL, detail=who)

    def _look_at_keys(self) -> Finding:
        for name, problem in (
            ("terminal.key", _private_key_problem(self._folder / "terminal.key")),
            ("operator.pub", _hex_problem(self._folder / "operator.pub")),
            ("ca.pem", "" if (self._folder / "ca.pem").is_file() else "is missing"),
        ):
            if problem:
                return Finding("keys", State.FAULT, "key-unreadable", f"{name} {problem}")
        return Finding("keys", State.WELL)

    def _look_at_disk(self) -> Finding:
        probe, began_s = self._folder / "selftest.tmp", self._around.monotonic_s()
        try:
            space = os.statvfs(self._folder)
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, bytes(4_096))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            probe.unlink()
        except OSError as error:
            code, words = _FILE_TROUBLES.get(error.errno or 0, ("disk-unwritable", str(error)))
            return Finding("disk", State.FAULT, code, words)
        took_s, free = self._around.monotonic_s() - began_s, space.f_bavail * space.f_frsize
        detail = f"{free // 1_000_000} MB free, a write is safe after {took_s * 1000:.1f} ms"
        if free < FREE_BYTES_MIN:
            return Finding("disk", State.FAULT, "disk-full", detail)
        return Finding("disk", State.FAULT if took_s > FSYNC_S_MAX else State.WELL, _slow(took_s), detail)

    def _look_at_clock(self) -> Finding:
        quality, now_s = self._around.clock_quality(), self._around.utc_s()
        with contextlib.suppress(CampusError):
            journal = JournalReader.open(self._folder / "journal.db")
            try:
                last = journal.records(journal.head().seq, 1) if journal.head().seq else []
            finally:
                journal.close()
            if last and last[0].opened_at.utc_s > now_s + 1 and last[0].opened_at.quality >= quality:
                return Finding("clock", State.FAULT, "clock-gone-back", "the last tap is later than now")
        if quality is ClockQuality.UNSET:
            return Finding("clock", State.FAULT, "clock-unset", "nothing has set the clock since the start")
        return Finding("clock", State.WELL, detail=f"set by {quality.name.lower()}")

    def _look_at_journal(self, downlink: Downlink) -> Finding:
        try:
            journal = JournalReader.open(self._folder / "journal.db")
        except JournalMissing:
            return Finding("journal", State.SKIPPED, "no-journal")
        cursor = downlink.acknowledged().cursor
        try:
            head = journal.verify()
            if cursor is not None and (
                cursor.next_seq > head.seq + 1 or journal.hash_before(cursor.next_seq) != cursor.head_hash
            ):
                return Finding("journal", State.FAULT, "journal-lost", "the server has taps that are not in it")
            return Finding("journal", State.WELL, detail=f"{head.seq} taps, chain whole")
        except JournalDamaged as error:
            safe = 0 if cursor is None else cursor.next_seq - 1
            return Finding("journal", State.FAULT, error.code, f"{error}; the server has {safe} taps of it")
        finally:
            journal.close()

    def _look_at_reader(self) -> Finding:
        if self._config is None:
            return Finding("reader", State.SKIPPED, "depends")
        for event in self._events():
            if isinstance(event, ReaderLost):
                return Finding("reader", State.FAULT, event.code, event.why)
        return Finding("reader", State.WELL)

    def _look_at_card(self) -> Finding:
        if self._config is None:
            return Finding("card", State.SKIPPED, "depends")
        seen = self._events()
        if any(isinstance(event, CardSilent) for event in seen):
            return Finding("card", State.FAULT, "card-mute", "what lies on the reader does not answer")
        if not any(isinstance(event, CardPresented) for event in seen):
            return Finding("card", State.SKIPPED, "no-card")
        with self._around.reader(self._config.card_reader).connect() as channel:
            info, _ = read_purse(channel, self._config.profile)
        return Finding("card", State.WELL, detail=str(info.card))

    def _look_at_psam(self) -> Finding:
        if self._config is None or self._terminal is None:
            return Finding("psam", State.SKIPPED, "depends")
        slot = PsamSlot(self._around.reader(self._config.psam_reader), self._terminal)
        with contextlib.closing(slot):
            slot.ensure()
        return Finding("psam", State.WELL)

    def _events(self) -> list[object]:
        """What the card's reader tells in the first moment."""
        assert self._config is not None, "asked after the configuration"
        reader = self._around.reader(self._config.card_reader)
        ending = threading.Timer(_CARD_S, reader.stop)
        ending.start()
        try:
            return list(reader.events())
        finally:
            ending.cancel()

    def _device(self, part: str, *, runs: bool) -> Callable[[], Finding]:
        def look() -> Finding:
            if self._config is None:
                return Finding(part, State.SKIPPED, "depends")
            if getattr(self._config.devices, _DEVICES[part]) is None:
                return Finding(part, State.ABSENT)
            return _running(part) if runs else self._look_at_device(part, self._config.devices)

        return look

    def _look_at_device(self, part: str, config: DevicesConfig) -> Finding:
        detail = ""
        if part == "printer" and (printer := devices.printer_of(config)) is not None:
            detail = _ask_printer(printer)
        elif part == "display" and (display := devices.display_of(config)) is not None:
            display.show("SELFTEST", "12345678901234567890")
        elif part == "signals" and (lines := devices.signals_of(config)) is not None:
            lines.set(frozenset(config.signals))
            lines.set(frozenset())
        elif part == "voice" and (voice := devices.voice_of(config, self._folder / "voice")) is not None:
            voice.say("一二三" if config.voice == "zh-hans" else "one two three", config.voice or "en")
        elif part in ("keypad", "scanner"):
            from drivers.keys import KeysLost

            source = devices.keypad_of(config) if part == "keypad" else devices.scanner_of(config)
            assert source is not None, "it is configured"
            first = next(iter(source.events()))
            source.stop()
            if isinstance(first, KeysLost):
                return Finding(part, State.FAULT, first.code, first.why)
        return Finding(part, State.WELL, detail=detail)


_DEVICES: Final = {
    "printer": "printer",
    "display": "display",
    "keypad": "keypad",
    "scanner": "scanner",
    "signals": "signals_chip",
    "voice": "voice",
}


def till_runs(folder: Path) -> bool:
    """Whether a till holds the journal of this folder now."""
    try:
        descriptor = os.open(folder / "journal.db.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _running(part: str) -> Finding:
    return Finding(part, State.SKIPPED, "till-runs")


def _slow(took_s: float) -> str:
    return "disk-slow" if took_s > FSYNC_S_MAX else ""


def _ask_printer(printer: ReceiptPrinter) -> str:
    status = printer.status()
    if (fault := status.fault) is not None:
        raise fault
    return "its paper nears its end" if status.paper_near_end else ""


def _look_at_link(downlink: Downlink) -> Finding:
    links = downlink.links()
    if links.link is not None:
        return Finding("link", State.WELL, detail=links.link)
    words = "; ".join(f"{link}: {words}" for link, words in links.faults)
    advice = "campus-syncd doctor walks each way to the server"
    return Finding("link", State.FAULT, "no-link", f"{words or 'the daemon has told nothing yet'}; {advice}")


def _private_key_problem(path: Path) -> str:
    try:
        text, mode = path.read_text(encoding="ascii"), path.stat().st_mode
    except FileNotFoundError:
        return "is missing; campus-syncd enrol makes it"
    except (OSError, ValueError):
        return "cannot be read"
    if "PRIVATE KEY" not in text:
        return "is no private key"
    return "may be read by others; chmod 600" if mode & 0o077 else ""


def _hex_problem(path: Path) -> str:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return "is missing; campus-syncd enrol with the same ticket fetches it"
    except (OSError, ValueError):
        return "cannot be read"
    return "" if len(key) == _KEY_BYTES else "has another length"
