"""Merchants, their outlets, and in which outlet each terminal stands since when: rows that are never changed.

An outlet has one stream and one merchant for ever, so that where a terminal stood says who is paid: another merchant
is another outlet. Each stream has a default outlet, made with the tables, for terminals that nobody assigned: no tap is
without a merchant. Left out: what is sold in an outlet (`configuration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from settlement.store.database import Database
from wire.configuration import Name
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

_MERCHANTS: Final = "SELECT number, version, name_zh, name_en FROM merchant ORDER BY number, version"
_ADD_MERCHANT: Final = """
    INSERT INTO merchant (id, number, version, name_zh, name_en, made_at_utc_s)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM merchant), %s, %s, %s, %s, %s)
"""
_OUTLETS: Final = "SELECT number, stream, merchant FROM outlet ORDER BY number"
_ADD_OUTLET: Final = "INSERT INTO outlet (number, stream, merchant, opened_at_utc_s) VALUES (%s, %s, %s, %s)"
_ASSIGNMENTS: Final = "SELECT terminal, outlet, from_utc_s FROM assignment ORDER BY from_utc_s, id"
_ADD_ASSIGNMENT: Final = """
    INSERT INTO assignment (id, terminal, outlet, from_utc_s, made_at_utc_s)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM assignment), %s, %s, %s, %s)
"""
_STREAM: Final = "SELECT stream FROM ticket WHERE terminal = %s ORDER BY epoch DESC LIMIT 1"
_CHANGES: Final = "SELECT (SELECT count(*) FROM outlet), (SELECT coalesce(max(id), 0) FROM assignment)"


class OutletUnknown(CampusError):
    """There is no outlet with this number."""

    code = "outlet-unknown"


class AssignmentRefused(CampusError):
    """A terminal cannot stand there, or not from then on."""

    code = "assignment-refused"


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who is paid."""

    number: int
    version: int
    name: Name


@dataclass(frozen=True, slots=True)
class Outlet:
    """A place where something is sold."""

    number: int
    stream: Stream
    merchant: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """A terminal stands in an outlet from then on."""

    terminal: TerminalId
    outlet: int
    from_utc_s: int


@dataclass(frozen=True, slots=True)
class OutletBook:
    """All outlets and assignments at one moment; `assignments` of a terminal ascend by their beginning."""

    outlets: Mapping[int, Outlet]
    assignments: Mapping[TerminalId, tuple[Assignment, ...]]

    def outlet_at(self, terminal: TerminalId, stream: Stream, utc_s: int) -> Outlet:
        """Where the terminal stood then, among the outlets of the stream that its taps went to.

        Before its first assignment that is where it stood first (a clock that was not set yet says 1970); without any
        it is the stream's default outlet.
        """
        found = self.outlets[default_outlet(stream)]
        first = True
        for assignment in self.assignments.get(terminal, ()):
            outlet = self.outlets[assignment.outlet]
            if outlet.stream is stream and (first or assignment.from_utc_s <= utc_s):
                found, first = outlet, False
        return found


def default_outlet(stream: Stream) -> int:
    """The number of the outlet of terminals that nobody assigned, and of the merchant that has it."""
    return int(stream)


def read_merchants(db: Database) -> dict[int, Merchant]:
    """Every merchant with the name in force."""
    rows = db.query(_MERCHANTS, into=lambda number, version, zh, en: Merchant(number, version, Name(zh, en)))
    return {merchant.number: merchant for merchant in rows}


def read_outlets(db: Database) -> list[Outlet]:
    """Every outlet, by number."""
    return db.query(_OUTLETS, into=lambda number, stream, merchant: Outlet(number, Stream(stream), merchant))


def read_book(db: Database) -> OutletBook:
    """All outlets and assignments."""
    moves: dict[TerminalId, list[Assignment]] = {}
    for terminal, outlet, from_utc_s in db.query(_ASSIGNMENTS, into=lambda *row: row):
        assignment = Assignment(TerminalId(bytes(terminal)), outlet, from_utc_s)
        moves.setdefault(assignment.terminal, []).append(assignment)
    outlets = {outlet.number: outlet for outlet in read_outlets(db)}
    return OutletBook(outlets, {terminal: tuple(row) for terminal, row in moves.items()})


def read_changes(db: Database) -> tuple[int, int]:
    """What is another pair whenever `read_book` would find something else."""
    (pair,) = db.query(_CHANGES, into=lambda outlets, last: (outlets, last))
    return pair


def note_merchant(db: Database, number: int, name: Name, *, now_utc_s: int) -> bool:
    """A merchant with this name, within the caller's transaction; False if it has it."""
    present = read_merchants(db).get(number)
    if present is not None and present.name == name:
        return False
    version = 1 if present is None else present.version + 1
    db.execute(_ADD_MERCHANT, (number, version, name.zh, name.en, now_utc_s))
    return True


def note_outlet(db: Database, outlet: Outlet, *, now_utc_s: int) -> None:
    """A new outlet, within the caller's transaction."""
    db.execute(_ADD_OUTLET, (outlet.number, int(outlet.stream), outlet.merchant, now_utc_s))


def note_ticket(db: Database, terminal: TerminalId, stream: Stream, outlet: int | None, *, now_utc_s: int) -> None:
    """A ticket was given out: the terminal stands in `outlet`, or where it stood, or in the stream's default outlet.

    Within the caller's transaction. A top-up point stands in none.
    """
    if stream not in CONSUMPTION_STREAMS:
        return
    book = read_book(db)
    here = [move for move in book.assignments.get(terminal, ()) if book.outlets[move.outlet].stream is stream]
    wanted = outlet if outlet is not None else default_outlet(stream)
    if not here or (outlet is not None and book.outlet_at(terminal, stream, now_utc_s).number != outlet):
        db.execute(_ADD_ASSIGNMENT, (terminal, wanted, now_utc_s, now_utc_s))


def find_outlet(db: Database, number: int) -> Outlet:
    """One outlet; raises `OutletUnknown`."""
    found = next((outlet for outlet in read_outlets(db) if outlet.number == number), None)
    if found is None:
        raise OutletUnknown(f"there is no outlet {number}; campus-settlement configure makes it")
    return found


def assign(db: Database, terminal: TerminalId, outlet: int, *, from_utc_s: int, now_utc_s: int) -> bool:
    """Let a terminal stand in an outlet from then on; False if it stands there then already.

    Raises `OutletUnknown`, or `AssignmentRefused` for a beginning in the past (what was booked stays booked), and for a
    terminal whose taps go to another stream: it needs a ticket for this one.
    """
    with db.transaction():
        wanted = find_outlet(db, outlet)
        if from_utc_s < now_utc_s:
            raise AssignmentRefused("it would begin in the past, where taps are booked already")
        streams = db.query(_STREAM, (terminal,), into=Stream)
        if not streams:
            raise AssignmentRefused(f"terminal {terminal.hex()} was never given a ticket")
        if streams[0] is not wanted.stream:
            raise AssignmentRefused(
                f"terminal {terminal.hex()} is enrolled for {streams[0].label}, outlet {outlet} is of"
                f" {wanted.stream.label}: it needs a ticket with --outlet {outlet}"
            )
        if read_book(db).outlet_at(terminal, wanted.stream, from_utc_s).number == outlet:
            return False
        db.execute(_ADD_ASSIGNMENT, (terminal, outlet, from_utc_s, now_utc_s))
    return True
