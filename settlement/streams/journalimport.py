"""A journal's file from a USB stick becomes part of the stream by the same rules as an upload; overlap is harmless.

Left out: finding the file (`campus-settlement import-journal`); the terminal learns by its next session what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from settlement.onecard.keys import KeyStore
from settlement.settings import Home
from settlement.store.database import Database, SchemaMissing, open_reader
from settlement.streams import ingest, shifts, store
from settlement.streams.coding import CodingStates
from wire.batch import SignedBatch
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId
from wire.journalfile import JournalFile
from wire.messages import Refused
from wire.money import Fen
from wire.receipt import Rejected, Rejection


@dataclass(frozen=True, slots=True)
class Imported:
    """What was new: taps with their debits, and reports; `last_seq` is the last tap that is here now."""

    taps: int
    fen: Fen
    reports: int
    last_seq: int


def stream_of_journal(home: Home, terminal: TerminalId, epoch: int) -> Stream:
    """The stream that this journal was enrolled with; `Rejected` if none on this host knows it."""
    for stream in CONSUMPTION_STREAMS:
        try:
            with open_reader(home.place(stream.label), stream.label) as db:
                if store.find_terminal(db, terminal, epoch) is not None:
                    return stream
        except SchemaMissing:
            continue  # this host does not run that stream
    raise Rejected(Rejection.UNKNOWN_TERMINAL, f"no stream here enrolled terminal {terminal.hex()} with epoch {epoch}")


def import_journal(
    db: Database,
    file: JournalFile,
    *,
    stream: Stream,
    keys: KeyStore,
    now_utc_s: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Imported:
    """Take in what is not here yet, batch by batch; `progress` hears of batches done, of so many.

    `Rejected` with the reason as soon as one is not taken; what came before it stays. Raises `StoreFault`.
    """
    before = store.find_terminal(db, file.terminal, file.epoch)
    assert before is not None, "the stream is the journal's"
    states = CodingStates()
    batches = list(_wanted(file.batches, before.next_seq))
    for done, signed in enumerate(batches):
        progress(done, len(batches))
        answer = ingest.accept_batch(db, signed, states=states, stream=stream, keys=keys, now_utc_s=now_utc_s)
        if isinstance(answer, Refused):
            raise Rejected(answer.rejection, f"taps {signed.first_seq} to {signed.next_seq - 1}: {answer.detail}")
    progress(len(batches), len(batches))
    known = store.last_shift(db, before)
    taken = 0 if known is None else known.number
    for report in file.reports:
        taken = shifts.accept_report(db, report, now_utc_s=now_utc_s).number
    after = store.find_terminal(db, file.terminal, file.epoch)
    assert after is not None, "nothing is deleted"
    return Imported(
        after.next_seq - before.next_seq,
        Fen(after.total_fen - before.total_fen),
        taken - (0 if known is None else known.number),
        after.next_seq - 1,
    )


def _wanted(batches: tuple[SignedBatch, ...], next_seq: int) -> Iterator[SignedBatch]:
    """The batches that bring something; of a file that brings nothing the last one, which proves the same history."""
    for place, signed in enumerate(batches, start=1):
        if signed.next_seq > next_seq or place == len(batches):
            yield signed
