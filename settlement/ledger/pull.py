"""The ledger pulls every source journal in turn, in bounded portions, the cursor in the postings' transaction.

Sources are the streams, the top-up desk and the card registry. Openings are posted up to the last one before anything
that was read elsewhere: a card is registered before it pays.
A source that cannot be read holds up nobody else: its fault is reported and it is tried again in the next round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

from settlement.ledger import store
from settlement.ledger.decide import carry_out, finished_journals
from settlement.ledger.entries import Entry, LoadEnd, Resolved, Source, load_for, opening_for
from settlement.ledger.pending import post_loads
from settlement.ledger.store import Posted, SourceCursor
from settlement.ledger.usual import Openings, Taps
from settlement.office import decisions_after, decisions_genesis, find_decision, next_decision_hash
from settlement.onecard.loads import LoadEvent, LoadEventKind, LoadRow, loads_after, loads_genesis, next_load_hash
from settlement.onecard.registry import OpeningRow, next_opening_hash, openings_after, openings_genesis
from settlement.store.database import Database, StoreFault, open_reader
from settlement.store.place import Place
from settlement.store.router import OFFICE, ONECARD, TOPUP
from settlement.streams.store import (
    IntakeRow,
    JournalHead,
    head_at,
    intakes_after,
    journals_owed,
    next_stream_hash,
    stream_genesis,
    suspended,
)
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import Stream
from wire.record import RECORD_BYTES

# Rows of one source before the next one's turn, some tenth of a second: more at once write each page of an index once.
PORTION_MAX: Final = 10_000


class SourceBroken(CampusError):
    """A source journal cannot be followed: a row of it was changed, or is of a version that is not known here."""

    code = "source-broken"


class SourceReplaced(SourceBroken):
    """It is another journal at the cursor than the one that was read: an older one, or one that went on otherwise."""


@dataclass(frozen=True, slots=True)
class Portion:
    """The next events of a source, with the cursor after them; `rows` counts also those that mean nothing.

    `post` posts them inside a transaction and tells what became of each; it raises `SourceBroken` for what the books
    rule out. `owed` are the journals (terminal, epoch) that are known to have what the source has not, or takes not.
    """

    post: Callable[[Database], list[Posted]]
    cursor: SourceCursor
    rows: int
    owed: frozenset[tuple[bytes, int]] = frozenset()


class JournalSource(Protocol):
    """A journal that the ledger reads."""

    name: str

    def start(self) -> SourceCursor:
        """The cursor before the first row."""

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """What comes after the cursor; raises `SourceBroken`, `SourceReplaced` or `StoreFault`."""

    def hash_at(self, position: int) -> bytes | None:
        """The chain's hash after that position; None if the journal has no row that ends there."""

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
            raise SourceReplaced(f"{name} is not the journal that was read up to position {cursor.position}")
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
        owed = journals_owed(db)
        # What ends at the cursor is looked at again: it proves that this is still the journal that was read before.
        if cursor.position and head_at(db, cursor.position) != JournalHead(cursor.position, cursor.head_hash):
            raise SourceReplaced(f"{self.name} is not the journal that was read up to position {cursor.position}")
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

    def hash_at(self, position: int) -> bytes | None:
        """See `JournalSource`."""
        head = head_at(self._reader.open(), position)
        return None if head is None or head.position != position else head.stream_hash

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

    def hash_at(self, position: int) -> bytes | None:
        """See `JournalSource`."""
        rows = openings_after(self._reader.open(), position - 1, 1)
        return rows[0].chain_hash if rows and rows[0].position == position else None

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

    def hash_at(self, position: int) -> bytes | None:
        """See `JournalSource`."""
        rows = loads_after(self._reader.open(), position - 1, 1)
        return rows[0].chain_hash if rows and rows[0].position == position else None

    def _item(self, row: LoadRow) -> Entry | LoadEnd:
        event, source = LoadEvent.from_bytes(row.event), Source(self.name, row.position)
        if event.kind is LoadEventKind.GRANTED:
            return load_for(
                event.load_id,
                event.card,
                funding=event.funding,
                online_counter=event.online_counter,
                amount_fen=event.amount_fen,
                source=source,
                granted_at_utc_s=event.happened_at_utc_s,
            )
        return LoadEnd(
            source=source,
            load_id=event.load_id,
            funding=event.funding,
            resolved=Resolved.POSTED if event.kind is LoadEventKind.CONFIRMED else Resolved.VOIDED,
            card=event.card,
            counter=event.online_counter,
            amount_fen=event.amount_fen,
            happened_at_utc_s=event.happened_at_utc_s,
        )


class OfficeSource:
    """The office's journal of decisions; its chain is followed as a stream's is."""

    def __init__(self, place: Place) -> None:
        self.name = OFFICE
        self._reader = _LazyReader(place, OFFICE)

    def start(self) -> SourceCursor:
        """See `JournalSource`."""
        return SourceCursor(0, decisions_genesis())

    def portion(self, cursor: SourceCursor, count_max: int) -> Portion:
        """See `JournalSource`."""
        items, after, rows = _follow(
            self.name,
            cursor,
            lambda position, limit: decisions_after(self._reader.open(), position, limit),
            count_max,
            stored_hash=lambda row: row.chain_hash,
            next_hash=next_decision_hash,
            item=lambda row: row,
        )
        return Portion(lambda db: carry_out(db, items), after, rows)

    def hash_at(self, position: int) -> bytes | None:
        """See `JournalSource`."""
        found = find_decision(self._reader.open(), position)
        return None if found is None else found.chain_hash

    def close(self) -> None:
        """See `JournalSource`."""
        self._reader.close()


@dataclass(slots=True)
class Round:
    """One turn over all sources: rows read, what became of them, and the sources that could not be read.

    `more`: a source may have more already. `drained`: every source was read to its end. `complete`: besides, no journal
    is known to have more, but for those that were declared finished. `replaced`: the sources that are read again from
    an earlier position, with both.
    """

    rows: int = 0
    more: bool = False
    drained: bool = True
    complete: bool = True
    replaced: dict[str, tuple[int, int]] = field(default_factory=dict)
    posted: Counter[Posted] = field(default_factory=Counter)
    faults: dict[str, CampusError] = field(default_factory=dict)


def pull_portion(db: Database, source: JournalSource, count_max: int = PORTION_MAX) -> tuple[int, list[Posted]]:
    """Read one portion of one source and post it; the number of rows, and what became of each event."""
    portion = _read(db, source, Round(), count_max)
    return portion.rows, _post(db, source, portion)


def pull_round(
    db: Database, openings: JournalSource, streams: Sequence[JournalSource], count_max: int = PORTION_MAX
) -> Round:
    """One portion of every stream in turn, and before each all openings that there are by then.

    While openings cannot be read the streams go on: a tap of a purse that is not known yet waits in suspense then.
    """
    outcome = Round()
    finished = finished_journals(db)
    with _one_fault_of(openings, outcome):
        _pull_all(db, openings, outcome, count_max)
    for source in streams:
        with _one_fault_of(source, outcome):
            portion = _read(db, source, outcome, count_max)
            # A card that was registered after the round began may have paid already; it is in the portion just read.
            if openings.name not in outcome.faults:
                with _one_fault_of(openings, outcome):
                    _pull_all(db, openings, outcome, count_max)
            outcome.posted.update(_post(db, source, portion))
            outcome.rows += portion.rows
            outcome.more |= portion.rows >= count_max
            outcome.complete &= not portion.owed - finished
    outcome.drained = not (outcome.more or outcome.faults)
    outcome.complete &= outcome.drained
    return outcome


def _pull_all(db: Database, source: JournalSource, outcome: Round, count_max: int) -> None:
    """Bounded by what is there: nobody registers cards faster than they are read."""
    rows = -1
    while rows:
        portion = _read(db, source, outcome, count_max)
        rows = portion.rows
        outcome.rows += rows
        outcome.posted.update(_post(db, source, portion))


def _read(db: Database, source: JournalSource, outcome: Round, count_max: int) -> Portion:
    """The next portion; of a journal that was replaced, from where it is the same as the one that was read."""
    cursor = store.read_cursor(db, source.name) or source.start()
    try:
        portion = source.portion(cursor, count_max)
    except SourceReplaced:
        common = _common(db, source, cursor)
        with db.transaction():
            store.set_cursor(db, source.name, common)
        outcome.replaced[source.name] = (cursor.position, common.position)
        cursor, portion = common, source.portion(common, count_max)
    return replace(portion, cursor=replace(portion.cursor, lineage=cursor.lineage))


def _common(db: Database, source: JournalSource, cursor: SourceCursor) -> SourceCursor:
    """The last place where the source is what was read; what comes after it is known by its taps, and `exists`."""
    for earlier in store.checkpoints(db, source.name, cursor.position):
        if source.hash_at(earlier.position) == earlier.head_hash:
            return replace(earlier, lineage=cursor.lineage + 1)
    return replace(source.start(), lineage=cursor.lineage + 1)


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
    """Opens a database when it is first wanted, and again after a fault, or when its file is another one."""

    def __init__(self, place: Place, alias: str) -> None:
        self._place = place
        self._alias = alias
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None

    def open(self) -> Database:
        if isinstance(self._place, Path) and self._database is not None and _file_of(self._place) != self._file:
            self.close()  # what was opened is a file that nobody else sees any more
        if self._database is None:
            self._file = _file_of(self._place) if isinstance(self._place, Path) else None
            self._database = open_reader(self._place, self._alias)
        return self._database

    def close(self) -> None:
        if self._database is not None:
            # It is given up because of a fault; the next open tells whether that lasts.
            with suppress(StoreFault):
                self._database.close()
            self._database = None


def _file_of(path: Path) -> tuple[int, int] | None:
    """Which file has that name now; None if none has."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
