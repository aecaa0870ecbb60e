"""The registry of cards and the journal of what was on their purses when the school took them over."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from settlement.store.database import Database
from wire.errors import CampusError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, Asn, CardId, IssuerId
from wire.money import FEN_MAX, Fen

COUNTER_MAX: Final = 0xFFFF
COLUMNS: Final = ("issuer", "asn", "opening_balance_fen", "opening_counter")

_FIND: Final = """
    SELECT card.id, opening.opening_balance_fen, opening.opening_counter FROM card
    JOIN purse_opening opening ON opening.card_id = card.id WHERE card.issuer = %s AND card.asn = %s
"""
_ADD_CARD: Final = "INSERT INTO card (id, issuer, asn, registered_at_utc_s) VALUES (%s, %s, %s, %s)"
_ADD_OPENING: Final = """
    INSERT INTO purse_opening (position, card_id, opening_balance_fen, opening_counter, opened_at_utc_s, chain_hash)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_HEAD: Final = "SELECT chain_hash FROM purse_opening ORDER BY position DESC LIMIT 1"
_OPENINGS_AFTER: Final = """
    SELECT opening.position, card.issuer, card.asn, opening.opening_balance_fen, opening.opening_counter,
           opening.opened_at_utc_s, opening.chain_hash
    FROM purse_opening opening JOIN card ON card.id = opening.card_id
    WHERE opening.position > %s ORDER BY opening.position LIMIT %s
"""


class ImportRefused(CampusError):
    """The file was not imported, not even in part; the text lists the lines."""

    code = "import-refused"


class CardFileUnreadable(CampusError):
    """There is no such file, or it is not text."""

    code = "card-file-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurseOpening:
    """What was on a purse, and its offline counter, when the school took it over."""

    card: CardId = field(repr=False)
    balance_fen: Fen
    counter: int


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """One row of the openings' journal as the ledger reads it."""

    position: int
    opening: PurseOpening
    opened_at_utc_s: int
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many cards are new, and how many were there before with the same opening."""

    created: int
    existed: int


def read_cards(path: Path) -> list[PurseOpening]:
    """The openings in a CSV file; raises `CardFileUnreadable` or `ImportRefused`."""
    try:
        # Spreadsheets put a mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            return parse_cards(file)
    except OSError as error:
        raise CardFileUnreadable(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeError, csv.Error) as error:
        raise CardFileUnreadable(f"{path} is no CSV file in UTF-8") from error


def parse_cards(lines: Iterable[str]) -> list[PurseOpening]:
    """Read CSV with a header line of `COLUMNS`; raises `ImportRefused` naming every line that is wrong."""
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    if tuple(header) != COLUMNS:
        raise ImportRefused(f"line 1: the header must be {','.join(COLUMNS)}")
    openings: list[PurseOpening] = []
    faults: list[str] = []
    seen: dict[CardId, int] = {}
    for row in reader:
        if not row:
            continue
        try:
            opening = _parse_row(row)
            if opening.card in seen:
                raise ValueError(f"the card stands in line {seen[opening.card]} already")
            seen[opening.card] = reader.line_num
            openings.append(opening)
        except ValueError as error:
            faults.append(f"line {reader.line_num}: {error}")
    if faults:
        raise ImportRefused("\n".join(faults))
    return openings


def import_cards(db: Database, openings: Sequence[PurseOpening], *, now_utc_s: int) -> ImportResult:
    """Register all cards or none; a card that is there with the same opening is left alone.

    Raises `ImportRefused` if a card is there with another opening.
    """
    created = existed = 0
    faults: list[str] = []
    with db.transaction():
        position = db.number("SELECT coalesce(max(position), 0) FROM purse_opening")
        head_hash = next(iter(db.query(_HEAD, into=bytes)), openings_genesis())
        card_id = db.number("SELECT coalesce(max(id), 0) FROM card")
        for number, opening in enumerate(openings, start=1):
            card = opening.card
            known = db.query(_FIND, (card.issuer, card.asn), into=lambda _, balance, counter: (balance, counter))
            if known == [(opening.balance_fen, opening.counter)]:
                existed += 1
            elif known:
                faults.append(f"card {number} ({card}): it was opened with {known[0][0]} fen at counter {known[0][1]}")
            else:
                created, position, card_id = created + 1, position + 1, card_id + 1
                db.execute(_ADD_CARD, (card_id, card.issuer, card.asn, now_utc_s))
                head_hash = next_opening_hash(head_hash, opening, now_utc_s)
                purse = (opening.balance_fen, opening.counter)
                db.execute(_ADD_OPENING, (position, card_id, *purse, now_utc_s, head_hash))
        if faults:
            raise ImportRefused("\n".join(faults))
    return ImportResult(created, existed)


def is_registered(db: Database, card: CardId) -> bool:
    """Whether this school answers for the card."""
    return bool(db.number("SELECT count(*) FROM card WHERE issuer = %s AND asn = %s", (card.issuer, card.asn)))


def openings_after(db: Database, position: int, count_max: int) -> list[OpeningRow]:
    """The next rows of the openings' journal."""
    return db.query(_OPENINGS_AFTER, (position, count_max), into=_opening_row)


def openings_genesis() -> bytes:
    """The chain's start for the openings' journal."""
    return hashlib.sha256(b"campus openings v1").digest()


def next_opening_hash(before: bytes, opening: PurseOpening, opened_at_utc_s: int) -> bytes:
    """SHA-256(before | card | balance 4 | counter 2 | time 8), none of it can change unseen."""
    purse = opening.card.to_bytes() + opening.balance_fen.to_bytes(4) + opening.counter.to_bytes(2)
    return hashlib.sha256(before + purse + opened_at_utc_s.to_bytes(8)).digest()


def parse_card(issuer: str, asn: str) -> CardId:
    """A card from the two numbers' hexadecimal (BCD) digits; raises `ValueError` in words."""
    return CardId(IssuerId(_digits(issuer, ISSUER_ID_BYTES, "issuer")), Asn(_digits(asn, ASN_BYTES, "asn")))


def _opening_row(
    position: int, issuer: bytes, asn: bytes, balance: int, counter: int, at_utc_s: int, chain_hash: bytes
) -> OpeningRow:
    card = CardId(IssuerId(issuer), Asn(asn))
    return OpeningRow(
        position, PurseOpening(card=card, balance_fen=Fen(balance), counter=counter), at_utc_s, chain_hash
    )


def _parse_row(row: list[str]) -> PurseOpening:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(COLUMNS)} columns wanted, {len(row)} found")
    issuer, asn, balance, counter = (cell.strip() for cell in row)
    return PurseOpening(
        card=parse_card(issuer, asn),
        balance_fen=Fen(_bounded(balance, FEN_MAX, "opening_balance_fen")),
        counter=_bounded(counter, COUNTER_MAX, "opening_counter"),
    )


def _digits(text: str, size: int, name: str) -> bytes:
    # The text itself is not repeated: it may be a card's number.
    if len(text) != 2 * size or not text.isascii() or not text.isalnum():
        raise ValueError(f"{name} must have {2 * size} digits")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise ValueError(f"{name} must have {2 * size} hexadecimal digits") from error


def _bounded(text: str, value_max: int, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > value_max:
        raise ValueError(f"{name} must be a whole number from 0 to {value_max}")
    return int(text)
