"""The ledger pulls every source journal in turn, in bounded portions, the cursor in the postings' transaction.

Sources are the streams, the top-up desk and the card registry. Openings are posted up to the last one before anything
that was read elsewhere: a card is registered before it pays.
A source that cannot be read holds up nobody else: its fault is reported and it is tried again in the next round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from settlement.ledger import store
from settlement.ledger.entries import Entry, LoadEnd, Resolved, Source, load_for, opening_for
from settlement.ledger.pending import post_loads
from settlement.ledger.store import Posted, SourceCursor
from settlement.ledger.usual import Openings, Taps
from settlement.onecard.loads import LoadEvent, LoadEventKind, LoadRow, loads_after, loads_genesis, next_load_hash
from settlement.onecard.registry import OpeningRow, next_opening_hash, openings_after, openings_genesis
from settlement.store.database import Database, StoreFault, open_reader
from settlement.store.place import Place
from settlement.store.router import ONECARD, TOPUP
from settlement.streams.store import (
    IntakeRow,
    intakes_after,
    last_intake,
    next_stream_hash,
    stream_genesis,
    suspended,
    taps_owed,
)
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import Stream
from wire.record import RECORD_BYTES

PORTION_MAX: Final = (
    500  # rows of one source before the next one's turn; a commit of 500 costs little more than one of 100
)


class SourceBroken(CampusError):
    """A source journal does not continue where the ledger left it: restored from a backup, or tampered with."""

    code = "source-broken"


@dataclass(frozen=True, slots=True)
class Portion:
    """The next events of a source, with the cursor after them; `rows` counts also those that mean nothing.

    `post` posts them inside a transaction and tells what became of each; it raises `SourceBroken` for what the books
    rule out. `owed`: terminals are known to have events that the source has not, or does not take.
    """

    post: Callable[[Database], list[Posted]]
    cursor: SourceCursor
    rows: int
    owed: bool = False


class JournalSource(Protocol):
    """A journal that the ledger reads."""

    name: str

    def start(self) -> SourceCursor:
        """The cursor before the first row."""

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """What comes after the cursor; raises `SourceBroken` or `StoreFault`."""

    def close(self) -> None:
        """Let go of the database; `portion` opens it again."""


class _Positioned(Protocol):
    @property
    def position(self) -> int: ...


_Row = TypeVar("_Row", bound=_Positioned)
_Item = TypeVar("_Item")


def _follow(
    name: str,
    cursor: SourceCursor,
    rows_after: Callable[[int, int], list[_Row]],
    count_max: int,
    *,
    stored_hash: Callable[[_Row], bytes],
    next_hash: Callable[[bytes, _Row], bytes],
    item: Callable[[_Row], _Item | None],
) -> tuple[list[_Item], SourceCursor, int]:
    """What the rows after the cursor mean, each proved to continue the chain, and a portion's other parts.

    Raises `SourceBroken`.
    """
    # The row at the cursor is read again: it proves that this is still the journal that was read before.
    again = 1 if cursor.position > 0 else 0
    rows = rows_after(cursor.position - again, count_max + again)
    if again:
        if not rows or stored_hash(rows[0]) != cursor.head_hash:
            raise SourceBroken(f"{name} is not the journal that was read up to position {cursor.position}")
        rows = rows[1:]
    items: list[_Item] = []
    position, head_hash = cursor.position, cursor.head_hash
    for row in rows:
        try:
            head_hash = next_hash(head_hash, row)
            found = item(row)
        except (FormatError, ValueError, TypeError, AttributeError, OverflowError) as error:
            # A newer version of the source wrote it, or somebody else: SQLite keeps anything in any column.
            raise SourceBroken(f"{name} cannot be read at position {row.position}: {error}") from error
        if row.position != position + 1 or stored_hash(row) != head_hash:
            raise SourceBroken(f"the chain of {name} breaks at position {row.position}")
        position = row.position
        if found is not None:
            items.append(found)
    return items, SourceCursor(position, head_hash), len(rows)


class StreamSource:
    """A stream's journal; its hash chain is followed, so no row is skipped, changed or put in between unseen."""

    def __init__(self, place: Place, stream: Stream) -> None:
        self.name = stream.label
        self._stream = stream
        self._reader = _LazyReader(place, stream.label)
        self._openings = Openings()

    def start(self) -> SourceCursor:
        """See `JournalSource`."""
        return SourceCursor(0, stream_genesis(self._stream))

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """See `JournalSource`."""
        # Asked first: what terminals bring after that is then in the rows, or is asked for in the next round.
        db = self._reader.open()
        owed = taps_owed(db)
        # The intake before the cursor is read again: it proves that this is still the journal that was read before.
        last = last_intake(db, cursor.position)
        head = None if last is None else SourceCursor(last.next_position - 1, last.stream_hash)
        if cursor.position and head != SourceCursor(cursor.position, cursor.head_hash):
            raise SourceBroken(f"{self.name} is not the journal that was read up to position {cursor.position}")
        intakes = intakes_after(db, cursor.position, count_max)
        reasons = suspended(db, cursor.position + 1, intakes[-1].next_position) if intakes else {}
        taps = Taps(self.name, reasons)
        after = cursor
        for row in intakes:
            try:
                after = self._next(after, row, reasons)
                taps.read(row)
            except (FormatError, ValueError, TypeError, AttributeError, OverflowError) as error:
                # A newer version of the source wrote it, or somebody else: SQLite keeps anything in any column.
                raise SourceBroken(f"{self.name} cannot be read at position {row.position}: {error}") from error
        return Portion(lambda db: taps.post(db, self._openings), after, after.position - cursor.position, owed)

    def close(self) -> None:
        """See `JournalSource`."""
        self._reader.close()

    def _next(self, cursor: SourceCursor, row: IntakeRow, reasons: dict[int, int]) -> SourceCursor:
        """The cursor after an intake that continues the chain; raises `SourceBroken`."""
        positions = range(row.position, row.next_position)
        found = [(place, reasons[at]) for place, at in enumerate(positions) if at in reasons] if reasons else []
        head_hash = next_stream_hash(cursor.head_hash, row.records, found, row.received_at_utc_s)
        if (
            row.position != cursor.position + 1
            or row.stream_hash != head_hash
            or len(row.records) != RECORD_BYTES * len(positions)
        ):
            raise SourceBroken(f"the chain of {self.name} breaks at position {row.position}")
        return SourceCursor(row.next_position - 1, head_hash, cursor.lineage)


class OpeningSource:
    """The card registry's journal of purses taken over; its chain is followed as a stream's is."""

    def __init__(self, place: Place) -> None:
        self.name = ONECARD
        self._reader = _LazyReader(place, ONECARD)

    def start(self) -> SourceCursor:
        """See `JournalSource`."""
        return SourceCursor(0, openings_genesis())

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """See `JournalSource`."""
        entries, after, rows = _follow(
            self.name,
            cursor,
            lambda position, limit: openings_after(self._reader.open(), position, limit),
            count_max,
            stored_hash=lambda row: row.chain_hash,
            next_hash=lambda before, row: next_opening_hash(before, row.opening, row.opened_at_utc_s),
            item=self._entry,
        )
        return Portion(lambda db: self._post(db, entries), after, rows)

    def close(self) -> None:
        """See `JournalSource`."""
        self._reader.close()

    def _entry(self, row: OpeningRow) -> Entry:
        opening = row.opening
        return opening_for(
            opening.card,
            balance_fen=opening.balance_fen,
            counter=opening.counter,
            source=Source(self.name, row.position),
            opened_at_utc_s=row.opened_at_utc_s,
        )

    def _post(self, db: Database, entries: Sequence[Entry]) -> list[Posted]:
        results = store.post(db, entries)
        for entry, result in zip(entries, results, strict=True):
            if result is Posted.EXISTS_WITH_DIFFERENT_AMOUNT:
                raise SourceBroken(f"{self.name} opens purse {entry.card} otherwise than it is booked")
        return results


class LoadSource:
    """The top-up desk's journal of loads; its chain is followed as a stream's is."""

    def __init__(self, place: Place) -> None:
        self.name = TOPUP
        self._reader = _LazyReader(place, TOPUP)

    def start(self) -> SourceCursor:
        """See `JournalSource`."""
        return SourceCursor(0, loads_genesis())

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """See `JournalSource`."""
        items: list[Entry | LoadEnd]
        items, after, rows = _follow(
            self.name,
            cursor,
            lambda position, limit: loads_after(self._reader.open(), position, limit),
            count_max,
            stored_hash=lambda row: row.chain_hash,
            next_hash=lambda before, row: next_load_hash(before, row.event),
            item=self._item,
        )
        return Portion(lambda db: post_loads(db, items), after, rows)

    def close(self) -> None:
        """See `JournalSource`."""
        self._reader.close()

    def _item(self, row: LoadRow) -> Entry | LoadEnd:
        event, source = LoadEvent.from_bytes(row.event), Source(self.name, row.position)
        if event.kind is LoadEventKind.GRANTED:
            return load_for(
                event.load_id,
                event.card,
                online_counter=event.online_counter,
                amount_fen=event.amount_fen,
                source=source,
                granted_at_utc_s=event.happened_at_utc_s,
            )
        return LoadEnd(
            source=source,
            load_id=event.load_id,
            resolved=Resolved.POSTED if event.kind is LoadEventKind.CONFIRMED else Resolved.VOIDED,
            card=event.card,
            counter=event.online_counter,
            amount_fen=event.amount_fen,
            happened_at_utc_s=event.happened_at_utc_s,
        )


@dataclass(slots=True)
class Round:
    """One turn over all sources: rows read, what became of them, and the sources that could not be read.

    `complete`: every source was read to its end, and no terminal is known to have more.
    """

    rows: int = 0
    complete: bool = True
    posted: Counter[Posted] = field(default_factory=Counter)
    faults: dict[str, CampusError] = field(default_factory=dict)


def pull_portion(db: Database, source: JournalSource, count_max: int = PORTION_MAX) -> tuple[int, list[Posted]]:
    """Read one portion of one source and post it; the number of rows, and what became of each event."""
    portion = _read(db, source, count_max)
    return portion.rows, _post(db, source, portion)


def pull_round(
    db: Database, openings: JournalSource, streams: Sequence[JournalSource], count_max: int = PORTION_MAX
) -> Round:
    """One portion of every stream in turn, and before each all openings that there are by then.

    While openings cannot be read the streams go on: a tap of a purse that is not known yet waits in suspense then.
    """
    outcome = Round()
    with _one_fault_of(openings, outcome):
        _pull_all(db, openings, outcome, count_max)
    for source in streams:
        with _one_fault_of(source, outcome):
            portion = _read(db, source, count_max)
            # A card that was registered after the round began may have paid already; it is in the portion just read.
            if openings.name not in outcome.faults:
                with _one_fault_of(openings, outcome):
                    _pull_all(db, openings, outcome, count_max)
            outcome.posted.update(_post(db, source, portion))
            outcome.rows += portion.rows
            outcome.complete &= portion.rows < count_max and not portion.owed
    outcome.complete &= not outcome.faults
    return outcome


def _pull_all(db: Database, source: JournalSource, outcome: Round, count_max: int) -> None:
    """Bounded by what is there: nobody registers cards faster than they are read."""
    rows = -1
    while rows:
        rows, results = pull_portion(db, source, count_max)
        outcome.rows += rows
        outcome.posted.update(results)


def _read(db: Database, source: JournalSource, count_max: int) -> Portion:
    return source.portion(store.read_cursor(db, source.name) or source.start(), count_max)


def _post(db: Database, source: JournalSource, portion: Portion) -> list[Posted]:
    if portion.rows == 0:
        return []
    with db.transaction():
        results = portion.post(db)
        store.set_cursor(db, source.name, portion.cursor)
    return results


@contextmanager
def _one_fault_of(source: JournalSource, outcome: Round) -> Iterator[None]:
    try:
        yield
    except CampusError as error:
        source.close()
        outcome.faults[source.name] = error


class _LazyReader:
    """Opens a database when it is first wanted, and again after a fault."""

    def __init__(self, place: Place, alias: str) -> None:
        self._place = place
        self._alias = alias
        self._database: Database | None = None

    def open(self) -> Database:
        if self._database is None:
            self._database = open_reader(self._place, self._alias)
        return self._database

    def close(self) -> None:
        if self._database is not None:
            # It is given up because of a fault; the next open tells whether that lasts.
            with suppress(StoreFault):
                self._database.close()
            self._database = None
