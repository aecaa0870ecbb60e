"""The command that takes in a journal from a USB stick: `import-journal`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

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
from settlement.store.database import open_writer
from settlement.streams.journalimport import import_journal, stream_of_journal
from wire.journalfile import read_journal_file
from wire.money import format_fen


def add_commands(command: Add) -> None:
    """Add it."""
    text = "take in a journal that a terminal exported to a USB stick, while its stream is stopped"
    example = "import-journal /media/usb/campus-000000000101-1-250.journal"
    imported = command("import-journal", _import_journal, text, example, f"{example} --json")
    imported.add_argument("file", type=Path, metavar="FILE", help="what campus-terminal journal export wrote")
    add_passphrase(imported)
    add_json(imported)


def _import_journal(args: argparse.Namespace, host: Host) -> int:
    try:
        content = args.file.read_bytes()
    except OSError as error:
        raise UsageFault(f"{args.file} cannot be read: {error.strerror}") from error
    file, home = read_journal_file(content), home_of(args)
    stream = stream_of_journal(home, file.terminal, file.epoch)
    keys = FileKeyStore.open(home.sealed_keys, read_passphrase(passphrase_path(home, args, host)))

    def progress(done: int, batches: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {batches} batches", end="\n" if done == batches else "", file=sys.stderr, flush=True)

    with open_writer(home.place(stream.label), stream.label) as db:
        found = import_journal(db, file, stream=stream, keys=keys, now_utc_s=host.utc_s(), progress=progress)
    if args.json:
        facts = {"stream": stream.label, "terminal": file.terminal.hex(), "epoch": file.epoch, "new_taps": found.taps}
        more = {"new_fen": found.fen, "new_shift_reports": found.reports, "last_seq": found.last_seq}
        print(json.dumps({**facts, **more}))
    else:
        new = f"{found.taps} new taps, {format_fen(found.fen)} yuan, {found.reports} new shift reports"
        print(f"{stream.label}: terminal {file.terminal.hex()} epoch {file.epoch}: {new}")
        print(f"the stream has every tap up to {found.last_seq} now; the terminal hears of it in its next session")
    return 0
