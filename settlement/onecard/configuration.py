"""What the operator sets for a stream's terminals: limit, prices, meal periods; each version a row, signed.

Left out: bringing it to the terminals (`settlement.streams`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.store.database import Database
from wire.configuration import ClassLimits, Configuration, MealPeriod, Name, Product, check_text
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import Stream
from wire.money import FEN_MAX, Fen, format_fen

_NEWEST: Final = "SELECT body FROM configuration WHERE stream = %s ORDER BY version DESC LIMIT 1"
_ADD: Final = """
    INSERT INTO configuration (id, stream, version, body, made_at_utc_s)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM configuration), %s, %s, %s, %s)
"""
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")

_Entry = TypeVar("_Entry", Product, MealPeriod)


class ConfigurationInvalid(CampusError):
    """The file with what terminals shall do cannot be read, or says something that means nothing."""

    code = "configuration-invalid"


def read_configuration(db: Database, stream: Stream) -> Configuration | None:
    """What is in force for a stream's terminals; None: their own files are."""
    bodies = db.query(_NEWEST, (int(stream),), into=bytes)
    return Configuration.from_bytes(bodies[0]) if bodies else None


def put_configuration(
    db: Database, wanted: Configuration, operator: Ed25519PrivateKey, *, now_utc_s: int
) -> Configuration:
    """Put this in force, signed and with the next version; the one that is in force, if it says the same."""
    with db.transaction():
        present = read_configuration(db, wanted.stream)
        version = 0 if present is None else present.version
        if present is not None and replace(wanted, version=version).signed(operator) == present:
            return present
        made = replace(wanted, version=version + 1).signed(operator)
        db.execute(_ADD, (int(made.stream), made.version, made.to_bytes(), now_utc_s))
    return made


def parse_configuration(text: str, stream: Stream) -> Configuration:
    """What the file says, unsigned, as version 1; `ConfigurationInvalid` in words for whatever means nothing."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(str(error)) from error
    if unknown := set(tree) - {"tap_fen_max", "prices", "periods"}:
        raise ConfigurationInvalid(f"{min(unknown)} is not known")
    wanted = Configuration(
        version=1,
        stream=stream,
        outlet=int(stream),
        merchant_name=Name(stream.label),
        outlet_name=Name(stream.label),
        others=ClassLimits(tap_fen_max=Fen(_number(tree, "tap_fen_max", 1, FEN_MAX))),
        products=_entries(tree, "prices", {"number", "name", "fen"}, _price),
        periods=_entries(tree, "periods", {"number", "from", "to"}, _period),
    )
    try:
        wanted.check()
    except FormatError as error:
        raise ConfigurationInvalid(str(error)) from error
    return wanted


def configuration_text(configuration: Configuration) -> str:
    """What a person is told of it."""
    return (
        f"{configuration.stream.label}: configuration {configuration.version} is in force, at most "
        f"{format_fen(configuration.others.tap_fen_max)} a tap, prices: {len(configuration.products)}, "
        f"meal periods: {len(configuration.periods)}"
    )


def _entries(
    tree: dict[str, object], title: str, keys: set[str], read: Callable[[dict[str, object]], _Entry]
) -> tuple[_Entry, ...]:
    """The tables under `[[title]]` in the order of their numbers."""
    tables = tree.get(title, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationInvalid(f"{title} is not a list of tables; each begins with [[{title}]]")
    found: list[_Entry] = []
    for place, table in enumerate(tables, 1):
        try:
            if set(table) != keys:
                raise ConfigurationInvalid(f"it needs exactly {', '.join(sorted(keys))}")
            found.append(read(table))
        except CampusError as error:
            raise ConfigurationInvalid(f"[[{title}]], the {place}. one: {error}") from error
    found.sort(key=lambda entry: entry.number)
    return tuple(found)


def _price(table: dict[str, object]) -> Product:
    name = table["name"]
    if not isinstance(name, str):
        raise ConfigurationInvalid("name is a text in quotes")
    check_text(name)
    number, amount_fen = _number(table, "number", 0, 0xFFFF), Fen(_number(table, "fen", 1, FEN_MAX))
    return Product(number=number, name=Name(name), amount_fen=amount_fen)


def _period(table: dict[str, object]) -> MealPeriod:
    number = _number(table, "number", 0, 0xFF)
    name = Name(str(number))
    period = MealPeriod(number=number, name=name, from_min=_minutes(table, "from"), to_min=_minutes(table, "to"))
    if period.from_min >= period.to_min:
        raise ConfigurationInvalid("it ends before it begins")
    return period


def _number(table: dict[str, object], key: str, least: int, most: int) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationInvalid(f"{key} is a whole number from {least} to {most}")
    return value


def _minutes(table: dict[str, object], key: str) -> int:
    value = table[key]
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ConfigurationInvalid(f'{key} is a time of day such as "06:30"')
    hours, minutes = value.split(":")
    return int(hours) * 60 + int(minutes)
