"""`campus-terminal journal`: list, show, verify, export to a USB stick; put a damaged one aside.

All but the last read only, also beside a running till.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from terminal.downlink import Downlink, DownlinkUnreadable, NotEnrolled
from terminal.journal import JournalDamaged, JournalInUse, JournalReader
from terminal.journalview import (
    Shown,
    Wanted,
    columns,
    evidence,
    list_lines,
    listed,
    parse_since,
    parse_suffix,
    show_lines,
)
from terminal.words.codes import NUMBERS
from wire.money import Fen, format_fen
from wire.record import TapRecord
from wire.shift import ShiftReport

if TYPE_CHECKING:
    from terminal.setaside import Findings

_PAGE_TAPS: Final = 1_000
_LOCK_S: Final = 10.0  # a till on its stop screen reads a long journal for seconds at each try
_LOOK_S: Final = 0.2
_NOT_MOUNTED: Final = (
    "{0} 不在 U 盘上，可能没有挂载；文件已写在本机。 "
    "{0} is on no drive of its own, the stick may not be mounted; the file was written here."
)
_EXAMPLES: Final = """examples:
  campus-terminal journal list --since 2026-03-02 --card-suffix 1234
  campus-terminal journal list --shift 7 --json
  campus-terminal journal show 12
  campus-terminal journal verify
  campus-terminal journal export /media/usb
  campus-terminal journal set-aside"""

Parsed = TypeVar("Parsed")


def add_journal_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command; the parser is for what all commands share."""
    parser = commands.add_parser(
        "journal",
        help="look at the journal, export it to a USB stick, or put a damaged one aside",
        description="Shows what the till has recorded, or writes it to a USB stick, also while the till is running.\n"
        "set-aside puts a damaged journal into a folder of its own, with what could be learnt from it, and ends its\n"
        "epoch: then this terminal needs a new ticket. A journal that is whole is never changed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action",
        choices=("list", "show", "verify", "export", "set-aside"),
        help="taps by number; one tap with its evidence; recompute the chain; write all to a folder, signed; "
        "put a damaged journal aside",
    )
    parser.add_argument("what", nargs="?", metavar="TAP|DIR", help="the tap's number, for show; the folder, for export")
    parser.add_argument("--shift", type=int, metavar="N", help="list only the taps of this shift, closed or open")
    parser.add_argument(
        "--since", type=_typed(parse_since), metavar="TIME", help="list only taps from this day or minute on"
    )
    parser.add_argument(
        "--card-suffix", type=_typed(parse_suffix), metavar="DIGITS", help="list only cards whose number ends so"
    )
    parser.add_argument("--json", action="store_true", help="for scripts: a line of JSON for each tap")
    return parser


def run_journal(
    folder: Path, arguments: argparse.Namespace, *, utc_s: Callable[[], float], monotonic_s: Callable[[], float]
) -> int:
    """Run it on a terminal's folder; the exit status."""
    if (arguments.action, arguments.what) == ("set-aside", None):
        return _set_aside(folder, utc_s=int(utc_s()), monotonic_s=monotonic_s, as_json=arguments.json)
    with closing(JournalReader.open(folder / "journal.db")) as reader:
        match arguments.action, arguments.what:
            case "list", None:
                return _list(reader, arguments)
            case "verify", None:
                return _verify(reader, as_json=arguments.json)
            case "export", str(stick):
                return _export(reader, folder, Path(stick), as_json=arguments.json)
            case "show", str(seq) if seq.isdecimal() and int(seq) > 0:
                return _show(reader, folder, int(seq), as_json=arguments.json)
    wants = {"show": "the number of a tap", "export": "a folder"}.get(arguments.action, "nothing behind it")
    return _wrong(f"journal {arguments.action} needs {wants}")


def _list(reader: JournalReader, arguments: argparse.Namespace) -> int:
    seqs = None
    if arguments.shift is not None and (seqs := _taps_of_shift(reader, arguments.shift)) is None:
        return _wrong(f"there is no shift {arguments.shift} in this journal")
    wanted = Wanted(seqs=seqs, since_utc_s=arguments.since, card_suffix=arguments.card_suffix)
    records = [record for record in _records(reader, seqs) if wanted.fits(record)]
    opened = reader.opened_tap()
    if opened is not None and not wanted.fits(opened):
        opened = None
    if arguments.json:
        for record in records:
            print(json.dumps(listed(record, is_open=False)))
        if opened is not None:
            print(json.dumps(listed(opened, is_open=True)))
    elif not records and opened is None:
        print("没有交易 no taps")
    else:
        print(*list_lines(records, opened), sep="\n")
    return 0


def _show(reader: JournalReader, folder: Path, seq: int, *, as_json: bool) -> int:
    opened, head = reader.opened_tap(), reader.head()
    if opened is not None and opened.tap_id.seq == seq:
        record, chain_hash = opened, None
    elif seq <= head.seq:
        [record] = reader.records(seq, 1)
        chain_hash = reader.hash_before(seq + 1)
    else:
        return _wrong(f"tap {seq} is not in this journal, which ends with {head.seq}")
    shown = Shown(
        record=record,
        chain_hash=chain_hash,
        hash_before=reader.hash_before(seq),
        shift=_shift_of_tap(reader, seq),
        server=_said(folder / "uplink.db", seq),
    )
    if as_json:
        print(json.dumps(evidence(shown), indent=2))
    else:
        print(*show_lines(shown), sep="\n")
    return 0


def _verify(reader: JournalReader, *, as_json: bool) -> int:
    head, shifts = reader.verify(), reader.last_shift()
    if as_json:
        found = {"taps": head.seq, "total_fen": head.total_fen, "shifts": shifts, "hash": head.hash.hex()}
        print(json.dumps(found))
        return 0
    debits = format_fen(head.total_fen)
    print(f"{head.seq} taps, debits {debits}, closed shifts {shifts}, chain whole, ends in {head.hash.hex()[:16]}")
    return 0


def _export(reader: JournalReader, folder: Path, stick: Path, *, as_json: bool) -> int:
    from terminal.export import export_journal, load_terminal_key  # the till that starts needs nothing of it

    exported = export_journal(reader, load_terminal_key(folder / "terminal.key"), stick)
    head, mounted = exported.head, _is_mounted(stick, folder)
    if not mounted:
        print(f"campus-terminal: {_NOT_MOUNTED.format(stick)}", file=sys.stderr)
    if as_json:
        facts = {"file": str(exported.path), "taps": head.seq, "total_fen": head.total_fen, "mounted": mounted}
        print(json.dumps({**facts, "shift_reports": exported.reports, "size_bytes": exported.size_bytes}))
        return 0
    rows = [
        ("交易 taps", str(head.seq)),
        ("金额 debits", f"{format_fen(head.total_fen)} yuan"),
        ("班次 shift reports", str(exported.reports)),
        ("文件 file", f"{exported.path}, {exported.size_bytes} bytes"),
    ]
    print(*columns(rows, frozenset()), sep="\n")
    if (opened := reader.opened_tap()) is not None:
        print(f"tap {opened.tap_id.seq} is open and not in it: its card has to come back, or the tap to be given up")
    return 0


def _is_mounted(stick: Path, folder: Path) -> bool:
    """Whether the stick's folder is on a file system of its own, neither the system's nor the journal's."""
    place = stick.resolve()
    while not place.is_mount():
        place = place.parent
    return place != Path("/") and os.stat(place).st_dev != os.stat(folder).st_dev


def _set_aside(folder: Path, *, utc_s: int, monotonic_s: Callable[[], float], as_json: bool) -> int:
    from terminal.setaside import set_aside  # needed once in a terminal's life, if ever

    found = None
    ends_s = monotonic_s() + _LOCK_S
    while found is None:
        try:
            found = set_aside(folder, utc_s=utc_s)
        except JournalInUse:
            if monotonic_s() > ends_s:
                raise
            time.sleep(_LOOK_S)  # a till that cannot start holds the journal only while it tries to, and tells nobody
    done, findings = found
    if as_json:
        print(json.dumps({"folder": str(done), **asdict(findings)}, ensure_ascii=False))
    else:
        print(*_aside_lines(done, findings), sep="\n")
    return 0


def _aside_lines(done: Path, found: Findings) -> list[str]:
    """What was found, and what to do next."""
    acknowledged = "未知 not known here" if found.acknowledged_taps is None else f"{found.acknowledged_taps}"
    export = f"{done / found.export}" if found.export else f"无 none: {found.no_export}"
    paid, asked = format_fen(Fen(found.evidence_paid_fen)), format_fen(Fen(found.evidence_asked_fen))
    records = len({line["seq"] for line in found.evidence})
    rows = [
        ("损坏 damage", found.damage),
        ("完整交易 whole taps", f"{found.proven_taps}, {format_fen(Fen(found.proven_fen))} yuan"),
        ("服务器已收 at the server", acknowledged),
        ("新导出 exported beyond that", f"{found.exported_new_taps}, {format_fen(Fen(found.exported_new_fen))} yuan"),
        ("签名文件 signed file", export),
        ("班次 shift reports in it", str(found.shift_reports)),
        ("此号起无证明 nothing is proven from tap", str(found.lost_from)),
        ("其后可读 still legible behind it", f"{records}, paid {paid} yuan, asked of the card {asked} yuan"),
        ("存放 put aside in", str(done)),
    ]
    steps = [
        f"下一步 next (代码 code {NUMBERS[JournalDamaged.code]}):",
        "1. 打电话给运营方，报终端号、代码和上面各数；文件夹整个保留。",
        "   Call the operator with the terminal's number, the code and these figures; keep the folder whole.",
    ]
    if found.export:
        steps.append(f"2. 服务器上 on the server: campus-settlement import-journal {found.export}")
    if found.ends_enrolment:
        steps += [
            f"{3 if found.export else 2}. 用新票据登记，日志从新的一期开始；收款程序会自己启动。",
            "   Enrol with a new ticket (campus-syncd enrol TICKET): a new epoch begins; the till starts by itself.",
        ]
    return [*columns(rows, frozenset()), *steps]


def _records(reader: JournalReader, seqs: range | None) -> Iterator[TapRecord]:
    last_seq = reader.head().seq
    first_seq, end = (1, last_seq + 1) if seqs is None else (seqs.start, min(seqs.stop, last_seq + 1))
    for start in range(first_seq, end, _PAGE_TAPS):
        yield from reader.records(start, min(_PAGE_TAPS, end - start))


def _taps_of_shift(reader: JournalReader, number: int) -> range | None:
    """The numbers of a shift's taps; what came since the last one closed belongs to the next. None: no such shift."""
    last = reader.last_shift()
    if not 0 < number <= last + 1:
        return None
    report = _report(reader, number)
    if report is not None:
        return range(report.first_seq, report.next_seq)
    before = _report(reader, last)
    return range(1 if before is None else before.next_seq, reader.head().seq + 2)  # the open tap is one of them


def _shift_of_tap(reader: JournalReader, seq: int) -> int | None:
    """The closed shift that a tap is in, found by halves; None: in none yet."""
    low, high = 1, reader.last_shift() + 1
    while low < high:
        middle = (low + high) // 2
        report = _report(reader, middle)
        if report is not None and report.next_seq <= seq:
            low = middle + 1
        else:
            high = middle
    return low if _report(reader, low) is not None else None


def _report(reader: JournalReader, number: int) -> ShiftReport | None:
    return next(iter(reader.reports(number, 1)), None) if number > 0 else None


def _said(path: Path, seq: int) -> str:
    """What the server said of a tap, as far as the sync daemon has kept it."""
    try:
        with closing(Downlink(path)) as downlink:
            if seq >= downlink.acknowledged().next_seq:
                return "not acknowledged yet"
            suspense = downlink.suspense_of(seq)
    except (NotEnrolled, DownlinkUnreadable) as error:
        return f"not known: {error} [{error.code}]"
    return "accepted" if suspense is None else f"suspended: {suspense.name}"


def _typed(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """For argparse, which says what a parser objects to only in words of its own."""

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _wrong(words: str) -> int:
    print(f"campus-terminal: {words}", file=sys.stderr)
    return 2
