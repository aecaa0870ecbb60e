"""A whole journal as one file, for a terminal that no network reaches: its signed batches and shift reports as frames.

What is signed is what an upload signs, so the server takes it in by the same rules; the digest at the end finds a file
that was cut or damaged on its way. Left out: files and folders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from wire.batch import SignedBatch
from wire.errors import CampusError
from wire.fields import FieldReader, FormatError
from wire.frame import FrameCorrupt, FrameDecoder, encode_frame
from wire.ids import TERMINAL_ID_BYTES, TerminalId
from wire.messages import Upload, read_message
from wire.record import HASH_BYTES
from wire.shift import ShiftReport

JOURNAL_FILE_VERSION: Final = 1

_NAME: Final = b"campus journal\0"
_KINDS: Final = (Upload.kind, ShiftReport.kind)


class JournalFileDamaged(CampusError):
    """The file is no journal of a terminal, or not all of one."""

    code = "journal-file-damaged"


@dataclass(frozen=True, slots=True)
class JournalFile:
    """What is in it, all of one journal; who signed it is not known yet."""

    terminal: TerminalId
    epoch: int
    batches: tuple[SignedBatch, ...]
    reports: tuple[ShiftReport, ...]


def journal_file(terminal: TerminalId, epoch: int, messages: Iterable[Upload | ShiftReport]) -> Iterator[bytes]:
    """The file's bytes in pieces: a head, a frame for each message, and the digest of all that."""
    piece = _NAME + bytes((JOURNAL_FILE_VERSION,)) + terminal + epoch.to_bytes(2, "big")
    digest = hashlib.sha256(piece)
    yield piece
    for message in messages:
        piece = encode_frame(message.kind, message.to_bytes())
        digest.update(piece)
        yield piece
    yield digest.digest()


def read_journal_file(data: bytes) -> JournalFile:
    """What is in the file; `JournalFileDamaged` if it is anything else, or not whole."""
    content, digest = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if not content.startswith(_NAME):
        raise JournalFileDamaged("this is no journal of a terminal")
    if hashlib.sha256(content).digest() != digest:
        raise JournalFileDamaged("the file was cut or damaged on its way; have it written once more")
    try:
        return _read(content)
    except (FormatError, FrameCorrupt) as error:
        raise JournalFileDamaged(f"the file cannot be read: {error}") from error


def _read(content: bytes) -> JournalFile:
    head = FieldReader(content[len(_NAME) :])
    if (version := head.uint(1)) != JOURNAL_FILE_VERSION:
        raise FormatError(f"journal file version {version} is not known here")
    terminal, epoch = TerminalId(head.take(TERMINAL_ID_BYTES)), head.uint(2)
    decoder = FrameDecoder()
    batches: list[SignedBatch] = []
    reports: list[ShiftReport] = []
    for kind, body in decoder.feed(head.take(head.remaining)):
        if kind not in _KINDS:
            raise FormatError(f"message kind {kind} does not belong in a journal's file")
        message = read_message(kind, body)
        if isinstance(message, ShiftReport):
            reports.append(message)
        elif isinstance(message, Upload):
            batches.append(message.signed_batch)
    if decoder.pending:
        raise FormatError("the last frame is cut short")
    whose = {(batch.terminal, batch.epoch) for batch in batches} | {(each.terminal, each.epoch) for each in reports}
    if whose - {(terminal, epoch)}:
        raise FormatError("a part is of another journal")
    return JournalFile(terminal, epoch, tuple(batches), tuple(reports))
