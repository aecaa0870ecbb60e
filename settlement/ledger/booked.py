"""What is in the books already, by its keys, whichever tables it lies in: usual sales in theirs, all else in others.

The view `entry` is for what is looked up by given values. Joined, SQLite would make all of it first, so what is asked
for many keys at once names the tables. Left out: what may be posted beside what is there (`settlement.ledger.store`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from settlement.store.database import Database, Value
from wire.batch import TAPS_MAX

# Kind, card, count, serial, amount, the school's part, and the sale that it takes back or 0: what a repeat agrees with.
Facts = tuple[int, bytes, int | None, int | None, int, int, int]
TapKey = tuple[bytes, int, int]

Found = TypeVar("Found")

_COUNTS_IN_A_BAND: Final = 16

_CHUNK: Final = 2_000  # keys asked for at a time; a statement takes some ten thousand parameters


def band_of(count: str) -> str:
    """In SQL, what the index of sales begins with: the count by sixteens, so that sales of one time lie together."""
    return f"({count}) / {_COUNTS_IN_A_BAND}"


def at_count(count: str) -> str:
    """SQL's condition that a sale has this count of its card, as the index of sales finds it.

    SQLite would put the value of an equality in the column's place everywhere, and then not know the index's expression
    again: hence BETWEEN.
    """
    return f"{band_of('sale.counter')} = {band_of(count)} AND sale.counter BETWEEN {count} AND {count}"


# The bands that there are, each found in the index behind the one before. Whoever wants a card's sales at whichever
# count asks for each, of which there are few.
_BAND: Final = band_of("sale.counter")
BANDS: Final = f"""
    band (number) AS (
        SELECT min({_BAND}) FROM sale
        UNION ALL SELECT (SELECT min({_BAND}) FROM sale WHERE {_BAND} > band.number) FROM band
        WHERE band.number IS NOT NULL
    )
"""
SALES_OF_CARD: Final = f"""
    other_entry opening CROSS JOIN band CROSS JOIN sale
    WHERE opening.kind = 1 AND opening.card = {{card}} AND sale.purse_id = opening.id
    AND {_BAND} = band.number
"""

# A run is at most TAPS_MAX taps long, so those that may hold a number begin less than that before it.
_TAPS: Final = f"""
    WITH asked (terminal, epoch, seq) AS (VALUES {{rows}})
    SELECT entry.terminal, entry.epoch, entry.seq,
           kind, card, counter, ttsn, amount_fen, subsidy_fen, coalesce(refers_to, 0)
    FROM asked CROSS JOIN other_entry entry
    WHERE entry.terminal = asked.terminal AND entry.epoch = asked.epoch AND entry.seq = asked.seq
    UNION ALL
    SELECT run.terminal, run.epoch, asked.seq, 2, opening.card, sale.counter,
           run.first_ttsn + asked.seq - run.first_seq, sale.amount_fen, sale.subsidy_fen, 0
    FROM asked CROSS JOIN sale_run run CROSS JOIN sale CROSS JOIN other_entry opening
    WHERE run.terminal = asked.terminal AND run.epoch = asked.epoch AND run.first_seq <= asked.seq
    AND run.first_seq > asked.seq - {TAPS_MAX} AND asked.seq < run.first_seq + run.taps
    AND sale.id = run.id + asked.seq - run.first_seq AND opening.id = sale.purse_id
"""
_COUNTS: Final = f"""
    WITH asked (card, counter) AS (VALUES {{rows}})
    SELECT entry.card, entry.counter FROM asked CROSS JOIN other_entry entry
    WHERE ttsn IS NOT NULL AND entry.card = asked.card AND entry.counter = asked.counter
    UNION ALL
    SELECT asked.card, sale.counter FROM asked CROSS JOIN other_entry opening CROSS JOIN sale
    WHERE opening.kind = 1 AND opening.card = asked.card
    AND sale.purse_id = opening.id AND {at_count("asked.counter")}
"""
_SERIALS: Final = f"""
    WITH asked (terminal, ttsn) AS (VALUES {{rows}})
    SELECT entry.terminal, entry.ttsn FROM asked CROSS JOIN other_entry entry
    WHERE entry.ttsn IS NOT NULL AND entry.terminal = asked.terminal AND entry.ttsn = asked.ttsn
    UNION ALL
    SELECT asked.terminal, asked.ttsn FROM asked CROSS JOIN sale_run run
    WHERE run.terminal = asked.terminal AND run.first_ttsn <= asked.ttsn
    AND run.first_ttsn > asked.ttsn - {TAPS_MAX} AND asked.ttsn < run.first_ttsn + run.taps
"""
_PURSES: Final = "SELECT card, id FROM other_entry WHERE kind = 1 AND card IN (VALUES {rows})"
_BY_NUMBER: Final = """
    SELECT id, kind, source, terminal, epoch, seq, counter, amount_fen, balance_before_fen, happened_at_utc_s,
           received_at_utc_s
    FROM entry WHERE id IN ({marks})
"""


@dataclass(frozen=True, slots=True)
class BookedTap:
    """An entry of a tap, or a purse's opening, which has neither terminal nor number."""

    id: int
    kind: int
    source: str
    terminal: bytes
    epoch: int
    seq: int
    counter: int
    amount_fen: int
    balance_before_fen: int | None
    happened_at_utc_s: int
    received_at_utc_s: int


def placeholders(columns: int, rows: int) -> str:
    """So many rows of so many parameters, for VALUES."""
    return ",".join(["(" + ",".join(["%s"] * columns) + ")"] * rows)


def asked(db: Database, sql: str, keys: Sequence[Sequence[Value]], *, into: Callable[..., Found]) -> list[Found]:
    found: list[Found] = []
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        params = [value for key in chunk for value in key]
        found += db.query(sql.format(rows=placeholders(len(chunk[0]), len(chunk))), params, into=into)
    return found


def facts_of_taps(db: Database, keys: Sequence[TapKey]) -> dict[TapKey, Facts]:
    """Those of these taps and loads that are in the books, with what a repeat has to agree with."""
    return dict(asked(db, _TAPS, keys, into=lambda terminal, epoch, seq, *facts: ((terminal, epoch, seq), facts)))


def counts_taken(db: Database, counts: Sequence[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
    """Those of these cards' counts that a tap in the books has."""
    return set(asked(db, _COUNTS, counts, into=lambda card, counter: (card, counter)))


def serials_taken(db: Database, serials: Sequence[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
    """Those of these terminals' serials that a tap in the books has."""
    return set(asked(db, _SERIALS, serials, into=lambda terminal, ttsn: (terminal, ttsn)))


def purses_of(db: Database, cards: Sequence[bytes]) -> dict[bytes, int]:
    """The numbers of these purses' openings; one that was never opened is left out."""
    return dict(asked(db, _PURSES, [(card,) for card in cards], into=lambda card, number: (card, number)))


def taps_numbered(db: Database, numbers: Iterable[int]) -> dict[int, BookedTap]:
    """Entries by their numbers; none for a number that there is not."""
    wanted = sorted(numbers)
    found: dict[int, BookedTap] = {}
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        sql = _BY_NUMBER.format(marks=",".join(["%s"] * len(chunk)))
        found |= {tap.id: tap for tap in db.query(sql, chunk, into=BookedTap)}
    return found
