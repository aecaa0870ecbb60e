"""The command that takes in a journal from a USB stick: `import-journal`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Final

from settlement.commands.common import (
    Add,
    Host,
    UsageFault,
    add_json,
    add_passphrase,
    home_of,
    passphrase_path,
    read_passphrase,
)
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from settlement.store.database import open_writer
from settlement.store.lock import DatabaseInUse
from settlement.streams.journaldoor import ImportFailed, journal_folder, put_journal, take_answer
from settlement.streams.journalimport import DirectIntake, Imported, import_directly, read_whole, stream_of_journal
from wire.ids import Stream
from wire.journalfile import read_journal_file
from wire.money import format_fen

_ANSWER_S: Final = 600.0  # a term's taps in a busy hour
_LOOK_S: Final = 0.1


def add_commands(command: Add) -> None:
    """Add it."""
    text = "take in a journal that a terminal exported to a USB stick"
    example = "import-journal /media/usb/campus-000000000101-1-250.journal"
    imported = command("import-journal", _import_journal, text, example, f"{example} --json")
    imported.add_argument("file", type=Path, metavar="FILE", help="what campus-terminal journal export wrote")
    add_passphrase(imported)
    add_json(imported)


def _hand_over(home: Home, host: Host, stream: Stream, content: bytes) -> Imported:
    """Let the running stream take the journal in, and wait for its answer."""
    path = put_journal(journal_folder(home, stream), content)
    deadline_s = host.monotonic_s() + _ANSWER_S
    while (found := take_answer(path)) is None:
        if host.monotonic_s() > deadline_s:
            raise ImportFailed(f"{stream.label} has not answered yet; it takes the journal in when it comes to it")
        time.sleep(_LOOK_S)  # a folder tells nobody of a new file
    return found


def _import_journal(args: argparse.Namespace, host: Host) -> int:
    try:
        content = read_whole(args.file)
    except OSError as error:
        raise UsageFault(f"{args.file} cannot be read: {error.strerror}") from error
    file, home = read_journal_file(content), home_of(args)
    stream = stream_of_journal(home, file.terminal, file.epoch)

    def progress(done: int, batches: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {batches} batches", end="\n" if done == batches else "", file=sys.stderr, flush=True)

    try:
        with open_writer(home.place(stream.label), stream.label) as db:
            keys = FileKeyStore.open(home.sealed_keys, read_passphrase(passphrase_path(home, args, host)))
            intake = DirectIntake(db, stream=stream, keys=keys, now_utc_s=host.utc_s())
            found = import_directly(intake, file, progress=progress)
    except DatabaseInUse:  # the stream runs: it has to do it itself
        found = _hand_over(home, host, stream, content)
    if args.json:
        facts = {"stream": stream.label, "terminal": file.terminal.hex(), "epoch": file.epoch, "new_taps": found.taps}
        more = {"new_fen": found.fen, "new_shift_reports": found.reports, "last_seq": found.last_seq}
        print(json.dumps({**facts, **more}))
    else:
        new = f"{found.taps} new taps, {format_fen(found.fen)} yuan, {found.reports} new shift reports"
        print(f"{stream.label}: terminal {file.terminal.hex()} epoch {file.epoch}: {new}")
        print(f"the stream has every tap up to {found.last_seq} now; the terminal hears of it in its next session")
    return 0
