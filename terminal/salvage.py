"""What a damaged journal still proves: its rows found in the bytes, and followed by the chain from the first tap on.

Rows are looked for in the bytes themselves, so that a lost header, a cut file or a zeroed page hides no other row; the
chain and the totals decide which of them are believed. Pure. Left out: files, and what is done with them
(`terminal.setaside`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from wire.fields import FormatError
from wire.ids import TerminalId
from wire.record import HASH_BYTES, RECORD_BYTES, RECORD_VERSION, Outcome, TapRecord, genesis_hash, next_hash

# How SQLite heads a row of `opened` and `sealed` alike: length, NULL for the number that is the row's key, a blob of a
# record's size, a blob of a hash's size. The type of the whole number at the end follows: total or meals.
_BLOB_TYPE: Final = 2 * RECORD_BYTES + 12
_ROW_HEAD: Final = bytes((6, 0, 0x80 | _BLOB_TYPE >> 7, _BLOB_TYPE & 0x7F, 2 * HASH_BYTES + 12))
_NUMBER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS: Final = {8: 0, 9: 1}
_SEQ_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row of `opened` or `sealed`, nothing of it proven; `count` is the total of debits or the number of meals."""

    record: TapRecord
    hash: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Salvaged:
    """`proven` are the sealed taps from number 1 on that the chain proves, `hashes` the chain's hash after each.

    `beyond` are the other records with a higher number, once each, by number: evidence, not proof.
    """

    proven: list[TapRecord]
    hashes: list[bytes]
    beyond: list[TapRecord]

    @property
    def total_fen(self) -> int:
        """The debits in what is proven."""
        return sum(record.debited_fen for record in self.proven)

    def beyond_from(self, seq: int) -> list[TapRecord]:
        """The evidence for taps from `seq` on."""
        return [record for record in self.beyond if record.tap_id.seq >= seq]


def debits_fen(records: Iterable[TapRecord]) -> tuple[int, int]:
    """The money of evidence: what records say was paid, and what was asked of cards whose answer is not among them."""
    paid: dict[int, int] = {}
    asked: dict[int, int] = {}
    for record in records:
        seq = record.tap_id.seq
        if record.outcome is Outcome.UNKNOWN:
            asked[seq] = record.amount_fen
        else:
            paid[seq] = max(paid.get(seq, 0), record.debited_fen)
    return sum(paid.values()), sum(fen for seq, fen in asked.items() if seq not in paid)


def salvage(pieces: Iterable[bytes], terminal: TerminalId, epoch: int) -> Salvaged:
    """What the bytes of a journal's files still hold of this terminal's epoch."""
    rows: dict[int, dict[tuple[bytes, bytes, int], FoundRow]] = {}
    for piece in pieces:
        for row in find_rows(piece, terminal, epoch):
            rows.setdefault(row.record.tap_id.seq, {})[row.record.to_bytes(), row.hash, row.count] = row
    proven: list[TapRecord] = []
    hashes: list[bytes] = []
    before, total_fen = genesis_hash(terminal, epoch), 0
    while (following := _next(rows, len(proven) + 1, before, total_fen)) is not None:
        proven.append(following.record)
        hashes.append(following.hash)
        before, total_fen = following.hash, following.count
    beyond: dict[bytes, TapRecord] = {}
    for seq in sorted(seq for seq in rows if seq > len(proven)):
        beyond |= {row.record.to_bytes(): row.record for row in rows[seq].values()}
    return Salvaged(proven, hashes, list(beyond.values()))


def find_rows(piece: bytes, terminal: TerminalId, epoch: int) -> Iterator[FoundRow]:
    """Every row of this journal in the bytes, old copies of pages included."""
    name = bytes((RECORD_VERSION,)) + terminal + epoch.to_bytes(2, "big")
    at = piece.find(name)
    while at >= 0:
        if (row := _row_at(piece, at)) is not None:
            yield row
        at = piece.find(name, at + 1)


def last_number(piece: bytes, terminal: TerminalId, epoch: int) -> int:
    """The highest number of a tap in the bytes, 0 if there is none; quick, for every start."""
    name = bytes((RECORD_VERSION,)) + terminal + epoch.to_bytes(2, "big")
    last, at = 0, piece.find(name)
    while at >= 0:
        if piece[max(at - len(_ROW_HEAD) - 1, 0) : max(at - 1, 0)] == _ROW_HEAD:
            last = max(last, int.from_bytes(piece[at + len(name) : at + len(name) + _SEQ_BYTES], "big"))
        at = piece.find(name, at + 1)
    return last


def _row_at(piece: bytes, at: int) -> FoundRow | None:
    head, kind = piece[max(at - len(_ROW_HEAD) - 1, 0) : at - 1], piece[at - 1] if at else 0
    hash_at, count_at = at + RECORD_BYTES, at + RECORD_BYTES + HASH_BYTES
    end = count_at + _NUMBER_BYTES.get(kind, 0)
    if head != _ROW_HEAD or end > len(piece) or kind not in _NUMBER_BYTES | _CONSTANTS:
        return None
    try:
        record = TapRecord.from_bytes(piece[at:hash_at])
    except FormatError:
        return None
    count = _CONSTANTS[kind] if kind in _CONSTANTS else int.from_bytes(piece[count_at:end], "big", signed=True)
    return FoundRow(record, piece[hash_at:count_at], count)


def _next(
    rows: dict[int, dict[tuple[bytes, bytes, int], FoundRow]], seq: int, before: bytes, total_fen: int
) -> FoundRow | None:
    """The one sealed row that follows, by hash and total; of several the one that goes on, for a tap is sealed once."""
    found = [
        row
        for row in rows.get(seq, {}).values()
        if next_hash(before, row.record.to_bytes()) == row.hash and row.count == total_fen + row.record.debited_fen
    ]
    if len(found) > 1:
        found = [row for row in found if _goes_on(rows, seq + 1, row.hash)]
    return found[0] if len(found) == 1 else None


def _goes_on(rows: dict[int, dict[tuple[bytes, bytes, int], FoundRow]], seq: int, before: bytes) -> bool:
    return any(next_hash(before, row.record.to_bytes()) == row.hash for row in rows.get(seq, {}).values())
