"""The operator's file: merchants, outlets, and what their terminals shall go by, as TOML.

What stands outside an outlet holds for every outlet of the file that has no such section of its own. Everything is
judged before anything is said, each fault with its line and key. Left out: what is in force (`configuration`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Final, TypeVar

from wire.configuration import (
    MEAL_COUNT_MAX,
    CardClass,
    Carry,
    ClassLimits,
    ClassPrice,
    Configuration,
    Cycle,
    MealPeriod,
    Name,
    Product,
    StaffMember,
    StaffRole,
    SubsidyRule,
    check_text,
)
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import ASN_BYTES, CONSUMPTION_STREAMS, ISSUER_ID_BYTES, Asn, CardId, IssuerId
from wire.money import FEN_MAX, Fen

_FAULTS_MAX: Final = 20  # more than a person puts right at once
_HOURS_MAX: Final = 366 * 24
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_STREAMS: Final = {stream.label: stream for stream in CONSUMPTION_STREAMS}
_CYCLES: Final = {"day": Cycle.DAY, "month": Cycle.MONTH}
_CARRIES: Final = {"reset": Carry.RESET, "accumulate": Carry.ACCUMULATE}
_ROLES: Final = {role.name.lower(): role for role in StaffRole}
_SHARED: Final = ("limits", "offline", "classes", "products", "periods", "subsidies", "staff")
_NOBODY: Final = Name("-")  # until the merchant's name is looked up

_Choice = TypeVar("_Choice", bound=IntEnum)
_Entry = TypeVar("_Entry")


class ConfigurationInvalid(CampusError):
    """The file with what terminals shall do cannot be read, or says something that means nothing."""

    code = "configuration-invalid"


@dataclass(frozen=True, slots=True)
class OutletPlan:
    """An outlet of the file: who has it, and what holds there, unsigned and without version or merchant's name."""

    merchant: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class CampusFile:
    """All that the file says."""

    merchants: Mapping[int, Name]
    outlets: tuple[OutletPlan, ...]


def parse_campus(text: str) -> CampusFile:
    """What the file says; `ConfigurationInvalid` with a line for each of its faults."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(str(error)) from error
    faults = _Faults(text)
    root = _Table(tree, (), faults)
    shared = {title: root.values.get(title) for title in _SHARED}
    merchants = dict(root.entries("merchants", _merchant, "number"))
    plans = root.entries("outlets", lambda table: _outlet(table, root, shared), "number")
    root.finish(*_SHARED)
    if not plans and not merchants:
        faults.add((), None, "there is neither [[merchants]] nor [[outlets]] in it")
    faults.raise_any()
    return CampusFile(merchants, tuple(plan for _, plan in plans))


class _Faults:
    """What is wrong, each with the line where it is if that can be told."""

    def __init__(self, text: str) -> None:
        self._lines = [line.strip() for line in text.splitlines()]
        self.found: list[str] = []

    def add(self, path: tuple[tuple[str, int], ...], key: str | None, words: str) -> None:
        where = self._line(path, key)
        entry = f"[[{path[-1][0]}]] {path[-1][1]}: " if path and path[-1][1] else f"[{path[-1][0]}]: " if path else ""
        told = f"{f'line {where}: ' if where else ''}{entry}{words}"
        if told not in self.found:  # what holds for every outlet is read for each
            self.found.append(told)

    def raise_any(self) -> None:
        if self.found:
            more = len(self.found) - _FAULTS_MAX
            rest = [f"and {more} more"] if more > 0 else []
            raise ConfigurationInvalid("\n".join((*self.found[:_FAULTS_MAX], *rest)))

    def _line(self, path: tuple[tuple[str, int], ...], key: str | None) -> int | None:
        """The line of the key in the table that `path` leads to, or of the table's heading."""
        at = -1
        for title, number in path:
            headings = (f"[[{title}]]",) if number else (f"[{title}]",)
            for _ in range(number or 1):
                after = [place for place in range(at + 1, len(self._lines)) if self._lines[place].startswith(headings)]
                if not after:
                    return at + 1 or None
                at = after[0]
        for place in range(at + 1, len(self._lines)):
            if self._lines[place].startswith("["):
                break
            if key is not None and re.match(rf'"?{re.escape(key)}"?\s*=', self._lines[place]):
                return place + 1
        return at + 1 or None


class _Table:
    """One table of the file. What is asked of it and is not as it should be becomes a fault, and a value that does."""

    def __init__(self, values: object, path: tuple[tuple[str, int], ...], faults: _Faults) -> None:
        self.values: dict[str, object] = values if isinstance(values, dict) else {}
        self._path = path
        self._faults = faults
        self._asked: set[str] = set()
        if not isinstance(values, dict):
            self.fault(None, "it is not a table")

    def fault(self, key: str | None, words: str) -> None:
        """Something is wrong here."""
        self._faults.add(self._path, key, words)

    def is_faultless(self) -> bool:
        """Whether nothing is wrong, here or elsewhere."""
        return not self._faults.found

    def finish(self, *others: str) -> None:
        """A fault for each key that nobody asked for."""
        for key in sorted(set(self.values) - self._asked - set(others)):
            self.fault(key, f"{key} is not known")

    def number(self, key: str, least: int, most: int) -> int:
        """A whole number that has to be there."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            unit = ", in fen: 1 yuan is 100" if "fen" in key else ""
            self.fault(key, f"{key} is a whole number from {least} to {most}{unit}")
            return least
        return value

    def number_or_none(self, key: str, most: int) -> int | None:
        """A whole number of at least 1, if it is there."""
        return self.number(key, 1, most) if key in self.values else None

    def text(self, key: str) -> str:
        """A text that a till can show."""
        value = self._value(key)
        try:
            if isinstance(value, str):
                check_text(value)
                return value
            self.fault(key, f"{key} is a text in quotes")
        except FormatError as error:
            self.fault(key, f"{key}: {error}")
        return "-"

    def name(self) -> Name:
        """`name`, and `name_en` if it is there."""
        return Name(self.text("name"), self.text("name_en") if "name_en" in self.values else "")

    def digits(self, key: str, size: int) -> bytes:
        """So many digits in quotes, as BCD."""
        value = self._value(key)
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9]{{{2 * size}}}", value):
            self.fault(key, f"{key} is {2 * size} digits in quotes")
            return bytes(size)
        return bytes.fromhex(value)

    def choice(self, key: str, words: Mapping[str, _Choice]) -> _Choice:
        """One of these words."""
        value = self._value(key)
        if not isinstance(value, str) or value not in words:
            self.fault(key, f"{key} is one of {', '.join(words)}")
            return next(iter(words.values()))
        return words[value]

    def minutes(self, key: str) -> int:
        """A time of day, as minutes."""
        value = self._value(key)
        if not isinstance(value, str) or not _CLOCK.fullmatch(value):
            self.fault(key, f'{key} is a time of day such as "06:30"')
            return 0
        hours, minutes = value.split(":")
        return int(hours) * 60 + int(minutes)

    def day(self, key: str) -> date:
        """A date."""
        value = self._value(key)
        if not isinstance(value, date) or isinstance(value, datetime):
            self.fault(key, f"{key} is a date such as 2026-09-01, without quotes")
            return date(2000, 1, 1)
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """A list of numbers in a byte, ascending; empty if it is not there."""
        value = self._value(key) if key in self.values else []
        right = isinstance(value, list) and all(type(one) is int and 0 <= one <= 0xFF for one in value)
        if not right or not isinstance(value, list):
            self.fault(key, f"{key} is a list of numbers, such as [1, 2]")
            return ()
        return tuple(sorted(set(value)))

    def class_prices(self) -> tuple[ClassPrice, ...]:
        """`class_fen`, such as { 2 = 900 }, if it is there."""
        value = self._value("class_fen") if "class_fen" in self.values else {}
        prices = []
        for card_class, fen in value.items() if isinstance(value, dict) else ((value, None),):
            number = int(card_class) if isinstance(card_class, str) and re.fullmatch(r"[0-9]{1,3}", card_class) else -1
            if not 0 <= number <= 0xFF or not isinstance(fen, int) or isinstance(fen, bool) or not 0 < fen <= FEN_MAX:
                self.fault("class_fen", "class_fen is fen by class, such as { 2 = 900 } for 9.00 yuan")
                return ()
            prices.append(ClassPrice(number, Fen(fen)))
        return tuple(sorted(prices, key=lambda price: price.number))

    def entries(self, title: str, read: Callable[[_Table], _Entry], *single: str) -> list[_Entry]:
        """What `read` makes of each table under [[title]]; no two of them have the same values of a key of `single`."""
        tables = self._value(title) if title in self.values else []
        full = ".".join((*(heading for heading, _ in self._path), title)) if self._path else title
        if not isinstance(tables, list):
            self.fault(title, f"{title} is not a list of tables; each begins with [[{full}]]")
            return []
        found = []
        places: dict[tuple[str, str], int] = {}
        for place, values in enumerate(tables, 1):
            table = _Table(values, (*self._path, (full, place)), self._faults)
            found.append(read(table))
            table.finish()
            for key in single:
                value = table.values.get(key)
                if isinstance(value, int | str) and (first := places.setdefault((key, str(value)), place)) != place:
                    table.fault(key, f"{key} {value} is that of [[{full}]] {first} already")
        return found

    def section(self, title: str) -> _Table:
        """The table under [title]."""
        full = ".".join((*(heading for heading, _ in self._path), title)) if self._path else title
        return _Table(self._value(title), (*self._path, (full, 0)), self._faults)

    def _value(self, key: str) -> object:
        self._asked.add(key)
        return self.values.get(key)


def _merchant(table: _Table) -> tuple[int, Name]:
    return table.number("number", 1, 0xFFFF), table.name()


def _outlet(table: _Table, campus: _Table, shared: Mapping[str, object]) -> tuple[int, OutletPlan]:
    """An outlet, with the campus's sections in place of those that it does not have."""

    def owner(title: str) -> _Table:
        return table if title in table.values else campus

    number = table.number("number", 1, 0xFFFF)
    stream, merchant, name = table.choice("stream", _STREAMS), table.number("merchant", 1, 0xFFFF), table.name()
    if "limits" not in table.values and shared["limits"] is None:
        table.fault(None, "there is no [limits], neither for it nor for all")
        limits = ClassLimits(tap_fen_max=Fen(0))
    else:
        section = owner("limits").section("limits")
        limits = _limits(section)
        section.finish()
    hours = fen = None
    if "offline" in owner("offline").values:
        section = owner("offline").section("offline")
        hours, fen = section.number_or_none("hours_max", _HOURS_MAX), section.number_or_none("fen_max", FEN_MAX)
        section.finish()
    configuration = Configuration(
        version=1,
        stream=stream,
        outlet=number,
        merchant_name=_NOBODY,
        outlet_name=name,
        others=limits,
        offline_s_max=None if hours is None else hours * 3600,
        offline_fen_max=None if fen is None else Fen(fen),
        classes=_sorted(owner("classes").entries("classes", _card_class, "number")),
        products=_sorted(owner("products").entries("products", _product, "number", "barcode")),
        periods=_sorted(owner("periods").entries("periods", _period, "number")),
        subsidies=_sorted(owner("subsidies").entries("subsidies", _subsidy, "number")),
        staff=tuple(sorted(owner("staff").entries("staff", _staff), key=lambda member: member.card)),
    )
    try:
        if table.is_faultless():  # else it would only tell again what follows from the faults
            configuration.check()
    except FormatError as error:
        table.fault(None, str(error))
    return number, OutletPlan(merchant, configuration)


_Numbered = TypeVar("_Numbered", CardClass, Product, MealPeriod, SubsidyRule)


def _sorted(entries: list[_Numbered]) -> tuple[_Numbered, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.number))


def _limits(table: _Table) -> ClassLimits:
    meal_fen, day_fen = table.number_or_none("meal_fen_max", FEN_MAX), table.number_or_none("day_fen_max", FEN_MAX)
    return ClassLimits(
        tap_fen_max=Fen(table.number("tap_fen_max", 0, FEN_MAX)),
        meal_count_max=table.number_or_none("meal_count_max", MEAL_COUNT_MAX),
        meal_fen_max=None if meal_fen is None else Fen(meal_fen),
        day_fen_max=None if day_fen is None else Fen(day_fen),
    )


def _card_class(table: _Table) -> CardClass:
    return CardClass(table.number("number", 0, 0xFF), table.name(), _limits(table))


def _product(table: _Table) -> Product:
    return Product(
        number=table.number("number", 0, 0xFFFF),
        name=table.name(),
        amount_fen=Fen(table.number("fen", 1, FEN_MAX)),
        barcode=table.text("barcode") if "barcode" in table.values else "",
        class_prices=table.class_prices(),
    )


def _period(table: _Table) -> MealPeriod:
    meal_fen = table.number_or_none("meal_fen", FEN_MAX)
    from_min, to_min = table.minutes("from"), table.minutes("to")
    if 0 < to_min <= from_min or table.values.get("to") == "00:00":
        table.fault("to", 'to is later than from on the same day; over midnight are two, to "24:00" and from "00:00"')
    return MealPeriod(
        number=table.number("number", 0, 0xFF),
        name=table.name(),
        from_min=from_min,
        to_min=to_min,
        meal_fen=None if meal_fen is None else Fen(meal_fen),
        class_prices=table.class_prices(),
    )


def _subsidy(table: _Table) -> SubsidyRule:
    return SubsidyRule(
        number=table.number("number", 0, 0xFF),
        card_class=table.number("class", 0, 0xFF),
        cycle=table.choice("every", _CYCLES),
        amount_fen=Fen(table.number("fen", 1, FEN_MAX)),
        carry=table.choice("unused", _CARRIES),
        periods=table.numbers("periods"),
        first_day=table.day("first_day"),
        last_day=table.day("last_day"),
    )


def _staff(table: _Table) -> StaffMember:
    card = CardId(IssuerId(table.digits("issuer", ISSUER_ID_BYTES)), Asn(table.digits("asn", ASN_BYTES)))
    return StaffMember(card, table.choice("role", _ROLES), table.text("name"))
