"""What is in force in each outlet: every version a signed row, and what a file of the operator's changes in it.

Left out: the file (`campusfile`), and bringing a configuration to the terminals (`settlement.streams`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.onecard.campusfile import CampusFile, ConfigurationInvalid
from settlement.onecard.outlets import (
    Merchant,
    Outlet,
    OutletBook,
    note_merchant,
    note_outlet,
    read_book,
    read_changes,
    read_merchants,
    read_outlets,
)
from settlement.onecard.registry import is_registered
from settlement.onecard.restoration import numbers_lost
from settlement.store.database import Database
from wire.configuration import Configuration, Name, StaffMember, mark_of
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

_NEWEST: Final = """
    SELECT body FROM configuration AS newest
    WHERE version = (SELECT max(version) FROM configuration WHERE outlet = newest.outlet)
"""
_NEWEST_BODIES: Final = _NEWEST.replace("SELECT body", "SELECT outlet, body", 1)
_HISTORY: Final = "SELECT body, made_at_utc_s FROM configuration WHERE outlet = %s ORDER BY version"
_MADE: Final = "SELECT outlet, max(made_at_utc_s) FROM configuration GROUP BY outlet"
_EACH_S: Final = 60  # no outlet is configured more often, on the average
_LAST: Final = "SELECT coalesce(max(id), 0) FROM configuration"
_ADD: Final = """
    INSERT INTO configuration (id, outlet, version, body, made_at_utc_s)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM configuration), %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class MerchantChange:
    """A merchant that is new, or has another name from now on."""

    number: int
    before: Name | None
    after: Name


@dataclass(frozen=True, slots=True)
class OutletChange:
    """An outlet that is new (`before` is None and so was the outlet), or goes by something else from now on."""

    outlet: Outlet
    is_new: bool
    before: Configuration | None
    after: Configuration


@dataclass(frozen=True, slots=True)
class Changes:
    """What a file changes; empty if it says what is in force."""

    merchants: tuple[MerchantChange, ...]
    outlets: tuple[OutletChange, ...]


def read_configurations(db: Database) -> dict[int, Configuration]:
    """What is in force, by outlet."""
    found = db.query(_NEWEST, into=lambda body: Configuration.from_bytes(bytes(body)))
    return {configuration.outlet: configuration for configuration in found}


def read_history(db: Database, outlet: int) -> list[tuple[int, Configuration]]:
    """Every version of an outlet with the time it was made, oldest first."""
    return db.query(_HISTORY, (outlet,), into=lambda body, made: (made, Configuration.from_bytes(bytes(body))))


def find_changes(db: Database, file: CampusFile) -> Changes:
    """What the file would change. Raises `ConfigurationInvalid` for what contradicts the registry."""
    known, outlets = read_merchants(db), {outlet.number: outlet for outlet in read_outlets(db)}
    merchants = tuple(_merchant_changes(file, known))
    names = {number: merchant.name for number, merchant in known.items()} | dict(file.merchants)
    present = read_configurations(db)
    wanted: dict[Outlet, Configuration] = {}
    for plan in file.outlets:
        configuration = plan.configuration
        outlet = Outlet(configuration.outlet, configuration.stream, plan.merchant)
        if outlet.merchant not in names:
            raise ConfigurationInvalid(f"outlet {outlet.number}: there is no merchant {outlet.merchant}")
        if (there := outlets.get(outlet.number, outlet)) != outlet:
            raise ConfigurationInvalid(
                f"outlet {outlet.number} is of {there.stream.label} and merchant {there.merchant} for ever;"
                " give this one a number of its own"
            )
        wanted[outlet] = configuration
    for number, configuration in present.items():  # a merchant's name is in each of its outlets' configurations
        wanted.setdefault(outlets[number], configuration)
    return Changes(merchants, tuple(_outlet_changes(wanted, names, outlets, present, _versions_lost(db))))


def put_changes(db: Database, file: CampusFile, operator: Ed25519PrivateKey, *, now_utc_s: int) -> Changes:
    """Put in force what the file says, all of it or nothing, each outlet as its next version; what was changed."""
    with db.transaction():
        changes = find_changes(db, file)
        for merchant in changes.merchants:
            note_merchant(db, merchant.number, merchant.after, now_utc_s=now_utc_s)
        for change in changes.outlets:
            if change.is_new:
                note_outlet(db, change.outlet, now_utc_s=now_utc_s)
            made = change.after.signed(operator)
            db.execute(_ADD, (made.outlet, made.version, made.to_bytes(), now_utc_s))
    return changes


def unknown_staff(db: Database, change: OutletChange) -> list[StaffMember]:
    """Whose staff cards are new in this outlet and not in the card registry: their sign-ons cannot be booked."""
    known = () if change.before is None else change.before.staff
    return [member for member in change.after.staff if member not in known and not is_registered(db, member.card)]


def _merchant_changes(file: CampusFile, known: dict[int, Merchant]) -> Iterator[MerchantChange]:
    for number, name in sorted(file.merchants.items()):
        before = known[number].name if number in known else None
        if before != name:
            yield MerchantChange(number, before, name)


def _outlet_changes(
    wanted: dict[Outlet, Configuration],
    names: dict[int, Name],
    outlets: dict[int, Outlet],
    present: dict[int, Configuration],
    lost: Callable[[int], int],
) -> Iterator[OutletChange]:
    for outlet, configuration in sorted(wanted.items(), key=lambda item: item[0].number):
        before = present.get(outlet.number)
        version = 0 if before is None else before.version
        named = replace(configuration, merchant_name=names[outlet.merchant], version=version, proof=b"")
        if before is None or named != replace(before, proof=b""):
            after = replace(named, version=version + 1 + lost(outlet.number))
            yield OutletChange(outlet, outlet.number not in outlets, before, after)


def _versions_lost(db: Database) -> Callable[[int], int]:
    """How many versions an outlet leaves out: terminals have some that a restore of the registry lost."""
    made = dict(db.query(_MADE, into=_numbers))
    return lambda outlet: numbers_lost(db, given_at_utc_s=made.get(outlet, 0), each_s=_EACH_S)


def _numbers(outlet: int, made_at_utc_s: int) -> tuple[int, int]:
    return outlet, made_at_utc_s


class InForce:
    """What holds for each terminal now, read again only when something was changed or a terminal has moved.

    A configuration is taken apart when somebody has to be told of it, not before: a campus has many.
    """

    def __init__(self) -> None:
        self._book: OutletBook | None = None
        self._marks: dict[int, bytes] = {}
        self._bodies: dict[bytes, bytes] = {}
        self._told: dict[bytes, Configuration] = {}
        self._seen: tuple[tuple[int, int], int] | None = None

    def refresh(self, db: Database) -> None:
        """Look whether anything is new. Raises `StoreFault`; then what was read before stays."""
        seen = read_changes(db), db.number(_LAST)
        if seen != self._seen:
            book, bodies = (
                read_book(db),
                dict(db.query(_NEWEST_BODIES, into=lambda outlet, body: (outlet, bytes(body)))),
            )
            self._book = book
            self._marks = {outlet: mark_of(body) for outlet, body in bodies.items()}
            self._bodies = {self._marks[outlet]: body for outlet, body in bodies.items()}
            self._told = {mark: told for mark, told in self._told.items() if mark in self._bodies}
            self._seen = seen

    def mark_for(self, terminal: TerminalId, stream: Stream, now_utc_s: int) -> bytes | None:
        """The mark of what holds for a terminal; None: nothing was set for its outlet, or it is a top-up point."""
        if self._book is None or stream not in CONSUMPTION_STREAMS:
            return None
        return self._marks.get(self._book.outlet_at(terminal, stream, now_utc_s).number)

    def with_mark(self, mark: bytes) -> Configuration | None:
        """The configuration with this mark, if it is in force anywhere. Raises `FormatError` for a damaged one."""
        if mark not in self._told and mark in self._bodies:
            self._told[mark] = Configuration.from_bytes(self._bodies[mark])
        return self._told.get(mark)
