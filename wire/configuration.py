"""What the operator set for the terminals of one outlet: names, limits, products, meal periods, subsidies, staff.

It is signed and applied whole, in place of the one before, between two taps. Left out: which terminal belongs to which
outlet (the server's matter), and what a till makes of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar, Final, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.fields import FieldReader, FormatError, varint
from wire.frame import BODY_BYTES_MAX
from wire.hotlist import MARK_BYTES
from wire.ids import ASN_BYTES, CONSUMPTION_STREAMS, ISSUER_ID_BYTES, CardId, Stream
from wire.money import Fen

CONFIGURATION_VERSION: Final = 2
CLASSES_MAX: Final = 16
PRODUCTS_MAX: Final = 2_000
PERIODS_MAX: Final = 24
SUBSIDIES_MAX: Final = 64
STAFF_MAX: Final = 200
NAME_BYTES_MAX: Final = 60
BARCODE_DIGITS_MAX: Final = 14  # GTIN-14; EAN-13, EAN-8 and UPC-A are shorter
DAY_MINUTES_MAX: Final = 24 * 60
MEAL_COUNT_MAX: Final = 0xFFFF
_CARD_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES
_EPOCH_DAY: Final = date(1970, 1, 1)
_DAYS_MAX: Final = 0xFFFF


class StaffRole(IntEnum):
    """What a staff card may do at a till; each may also do what those below it may."""

    CASHIER = 1
    SUPERVISOR = 2
    TECHNICIAN = 3


class Cycle(IntEnum):
    """How often a subsidy is given."""

    DAY = 1
    MONTH = 2


class Carry(IntEnum):
    """What becomes of a subsidy that was not used when the next one is given."""

    RESET = 1
    ACCUMULATE = 2


@dataclass(frozen=True, slots=True)
class Name:
    """What people read, in Chinese and in English; an empty `en` means that `zh` serves for both."""

    zh: str
    en: str = ""

    @property
    def english(self) -> str:
        """What an English screen shows."""
        return self.en or self.zh

    def check(self) -> None:
        """`FormatError` unless a till can show it."""
        check_text(self.zh)
        if self.en:
            check_text(self.en)

    def to_bytes(self) -> bytes:
        """Two texts."""
        return _text(self.zh) + _text(self.en)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse; `FormatError` for what is not UTF-8."""
        return cls(_read_text(reader), _read_text(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLimits:
    """The most that a card of a class may spend here; None: no limit. A `tap_fen_max` of 0: it may not at all."""

    tap_fen_max: Fen
    meal_count_max: int | None = None
    meal_fen_max: Fen | None = None
    day_fen_max: Fen | None = None

    def to_bytes(self) -> bytes:
        """Four varints; 0 for None."""
        rest = (self.meal_count_max, self.meal_fen_max, self.day_fen_max)
        return varint(self.tap_fen_max, 32) + b"".join(varint(value or 0, 32) for value in rest)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse."""
        tap_fen_max, count, meal_fen, day_fen = (reader.varint(32) for _ in range(4))
        if count > MEAL_COUNT_MAX:
            raise FormatError(f"{count} meals in a period are no limit")
        return cls(
            tap_fen_max=Fen(tap_fen_max),
            meal_count_max=count or None,
            meal_fen_max=Fen(meal_fen) if meal_fen else None,
            day_fen_max=Fen(day_fen) if day_fen else None,
        )


@dataclass(frozen=True, slots=True)
class CardClass:
    """Cards whose issuer wrote this number into byte 29 of file 0015, what they are called, and their own limits."""

    number: int
    name: Name
    limits: ClassLimits

    def to_bytes(self) -> bytes:
        """number 1, name, limits."""
        return bytes((self.number,)) + self.name.to_bytes() + self.limits.to_bytes()

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse."""
        return cls(reader.uint(1), Name.read(reader), ClassLimits.read(reader))


@dataclass(frozen=True, slots=True)
class ClassPrice:
    """What cards of one class pay in place of the others' price."""

    card_class: int
    amount_fen: Fen

    @property
    def number(self) -> int:
        """By which they ascend."""
        return self.card_class

    def to_bytes(self) -> bytes:
        """class 1, amount as varint."""
        return bytes((self.card_class,)) + varint(self.amount_fen, 32)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse."""
        return cls(reader.uint(1), Fen(reader.varint(32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What the till's key or menu line `number` sells; `barcode` is digits, or empty."""

    number: int
    name: Name
    amount_fen: Fen
    barcode: str = ""
    class_prices: tuple[ClassPrice, ...] = ()

    def price_for(self, card_class: int) -> Fen:
        """What a card of this class pays."""
        return _price_for(card_class, self.class_prices, self.amount_fen)

    def to_bytes(self) -> bytes:
        """number 2, name, barcode as text, amount as varint, count 1, class prices."""
        head = self.number.to_bytes(2, "big") + self.name.to_bytes() + _text(self.barcode)
        return head + varint(self.amount_fen, 32) + _counted(self.class_prices, 1)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse."""
        return cls(
            number=reader.uint(2),
            name=Name.read(reader),
            barcode=_read_text(reader),
            amount_fen=Fen(reader.varint(32)),
            class_prices=_read_entries(reader, 1, CLASSES_MAX, ClassPrice.read),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MealPeriod:
    """Minutes of the day, campus time: from the first on, and before the second; and what a meal costs in it, if it
    has one price (None: meals are not sold by count).
    """

    number: int
    name: Name
    from_min: int
    to_min: int
    meal_fen: Fen | None = None
    class_prices: tuple[ClassPrice, ...] = ()

    def price_for(self, card_class: int) -> Fen | None:
        """What a meal costs a card of this class; None: no meals by count."""
        return None if self.meal_fen is None else _price_for(card_class, self.class_prices, self.meal_fen)

    def to_bytes(self) -> bytes:
        """number 1, name, from 2, to 2, amount as varint (0: None), count 1, class prices."""
        head = bytes((self.number,)) + self.name.to_bytes()
        head += self.from_min.to_bytes(2, "big") + self.to_min.to_bytes(2, "big")
        return head + varint(self.meal_fen or 0, 32) + _counted(self.class_prices, 1)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse."""
        number, name, from_min, to_min, fen = (
            reader.uint(1),
            Name.read(reader),
            reader.uint(2),
            reader.uint(2),
            reader.varint(32),
        )
        return cls(
            number=number,
            name=name,
            from_min=from_min,
            to_min=to_min,
            meal_fen=Fen(fen) if fen else None,
            class_prices=_read_entries(reader, 1, CLASSES_MAX, ClassPrice.read),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsidyRule:
    """An allowance that the school pays before the card's own money: `amount_fen` each day or month, for a class, in
    some meal periods (none named: at any time), from the first to the last day, both included.
    """

    number: int
    card_class: int
    cycle: Cycle
    amount_fen: Fen
    carry: Carry
    periods: tuple[int, ...] = ()
    first_day: date
    last_day: date

    def to_bytes(self) -> bytes:
        """number 1, class 1, cycle 1, carry 1, amount as varint, count 1, period numbers 1 each, first 2, last 2."""
        head = bytes((self.number, self.card_class, self.cycle, self.carry)) + varint(self.amount_fen, 32)
        days = b"".join((day - _EPOCH_DAY).days.to_bytes(2, "big") for day in (self.first_day, self.last_day))
        return head + bytes((len(self.periods), *self.periods)) + days

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse; `FormatError` for a cycle or carry that is not known here."""
        number, card_class, cycle, carry = reader.take(4)
        if cycle not in list(Cycle) or carry not in list(Carry):
            raise FormatError(f"subsidy rule {number} is given in cycle {cycle} with carry {carry}")
        return cls(
            number=number,
            card_class=card_class,
            cycle=Cycle(cycle),
            carry=Carry(carry),
            amount_fen=Fen(reader.varint(32)),
            periods=tuple(reader.take(reader.uint(1))),
            first_day=_EPOCH_DAY + timedelta(days=reader.uint(2)),
            last_day=_EPOCH_DAY + timedelta(days=reader.uint(2)),
        )


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A card that signs on at the outlet's tills, as what, and its holder's name for screen and receipt."""

    card: CardId
    role: StaffRole
    name: str

    def to_bytes(self) -> bytes:
        """card 18, role 1, name as text."""
        return self.card.to_bytes() + bytes((self.role,)) + _text(self.name)

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse; `FormatError` for a role that is not known here."""
        card, role = CardId.from_bytes(reader.take(_CARD_BYTES)), reader.uint(1)
        if role not in list(StaffRole):
            raise FormatError(f"role {role} is not known here")
        return cls(card, StaffRole(role), _read_text(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Server: what the operator set for all terminals of an outlet. `others` limits cards of classes not listed."""

    kind: ClassVar[int] = 11
    version: int
    stream: Stream
    outlet: int
    merchant_name: Name
    outlet_name: Name
    others: ClassLimits
    offline_s_max: int | None = None
    offline_fen_max: Fen | None = None
    classes: tuple[CardClass, ...] = ()
    products: tuple[Product, ...] = ()
    periods: tuple[MealPeriod, ...] = ()
    subsidies: tuple[SubsidyRule, ...] = ()
    staff: tuple[StaffMember, ...] = ()
    proof: bytes = b""

    @property
    def mark(self) -> bytes:
        """4 bytes that tell this configuration from any other, also from one of the same version after a restore."""
        return mark_of(self.to_bytes())

    def limits_of(self, card_class: int) -> ClassLimits:
        """What a card of this class may spend."""
        return next((known.limits for known in self.classes if known.number == card_class), self.others)

    def class_name(self, card_class: int) -> Name | None:
        """What cards of this class are called; None: it is not listed."""
        return next((known.name for known in self.classes if known.number == card_class), None)

    def period_at(self, day_min: int) -> MealPeriod | None:
        """The meal period in this minute of the campus's day."""
        return next((period for period in self.periods if period.from_min <= day_min < period.to_min), None)

    def staff_member(self, card: CardId) -> StaffMember | None:
        """Whose staff card it is, if it is one here."""
        return next((member for member in self.staff if member.card == card), None)

    def signed(self, operator: Ed25519PrivateKey) -> Configuration:
        """The same with the operator's signature over every field."""
        return replace(self, proof=signature.sign(operator, signature.CONFIGURATION, self._fields()))

    def verify(self, operator_key: bytes) -> None:
        """Raise `SignatureInvalid` unless the operator with this key signed it."""
        signature.verify(operator_key, signature.CONFIGURATION, self._fields(), self.proof)

    def check(self) -> None:
        """`FormatError` in words for whatever no till could go by; what `from_bytes` gives was checked."""
        if self.version == 0 or self.outlet == 0:
            raise FormatError("versions and outlets are counted from 1")
        self.merchant_name.check()
        self.outlet_name.check()
        _check_ascending(self.classes, CLASSES_MAX, "class")
        _check_ascending(self.products, PRODUCTS_MAX, "product")
        _check_ascending(self.periods, PERIODS_MAX, "meal period")
        _check_ascending(self.subsidies, SUBSIDIES_MAX, "subsidy rule")
        listed = {known.number for known in self.classes}
        for known in self.classes:
            known.name.check()
        for product in self.products:
            _check_product(product, listed)
        if (codes := [product.barcode for product in self.products if product.barcode]) and len(set(codes)) < len(
            codes
        ):
            raise FormatError("two products have the same barcode")
        _check_periods(self.periods, listed)
        for rule in self.subsidies:
            _check_subsidy(rule, listed, {period.number for period in self.periods})
        _check_staff(self.staff)
        if (size := len(self._fields()) + signature.SIGNATURE_BYTES) > BODY_BYTES_MAX:
            raise FormatError(f"it has {size} bytes; at most {BODY_BYTES_MAX} can be sent")

    def _fields(self) -> bytes:
        head = bytes((CONFIGURATION_VERSION, self.stream)) + self.outlet.to_bytes(2, "big")
        head += self.version.to_bytes(4, "big") + self.merchant_name.to_bytes() + self.outlet_name.to_bytes()
        head += varint(self.offline_s_max or 0, 32) + varint(self.offline_fen_max or 0, 32) + self.others.to_bytes()
        lists = (self.periods, self.subsidies, self.staff)
        rest = b"".join(_counted(entries, 1) for entries in lists)
        return head + _counted(self.classes, 1) + _counted(self.products, 2) + rest

    def to_bytes(self) -> bytes:
        """The fields in the order of `wire/FORMAT.md`, signature 64."""
        return self._fields() + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for another layout, or what `wire/FORMAT.md` does not allow."""
        reader = FieldReader(data)
        if (layout := reader.uint(1)) != CONFIGURATION_VERSION:
            raise FormatError(f"configuration layout {layout} is not known here")
        if (stream := reader.uint(1)) not in CONSUMPTION_STREAMS:
            raise FormatError("the configuration is for a stream that takes no taps")
        configuration = cls(
            stream=Stream(stream),
            outlet=reader.uint(2),
            version=reader.uint(4),
            merchant_name=Name.read(reader),
            outlet_name=Name.read(reader),
            offline_s_max=reader.varint(32) or None,
            offline_fen_max=Fen(fen) if (fen := reader.varint(32)) else None,
            others=ClassLimits.read(reader),
            classes=_read_entries(reader, 1, CLASSES_MAX, CardClass.read),
            products=_read_entries(reader, 2, PRODUCTS_MAX, Product.read),
            periods=_read_entries(reader, 1, PERIODS_MAX, MealPeriod.read),
            subsidies=_read_entries(reader, 1, SUBSIDIES_MAX, SubsidyRule.read),
            staff=_read_entries(reader, 1, STAFF_MAX, StaffMember.read),
            proof=reader.take(signature.SIGNATURE_BYTES),
        )
        reader.finish()
        configuration.check()
        return configuration


_Entry = TypeVar("_Entry")
_Numbered = CardClass | ClassPrice | Product | MealPeriod | SubsidyRule


def mark_of(body: bytes) -> bytes:
    """The mark of the configuration with these bytes."""
    return hashlib.sha256(body).digest()[:MARK_BYTES]


def check_text(text: str) -> None:
    """`FormatError` unless a till can show it: something to print, at most `NAME_BYTES_MAX` bytes of UTF-8."""
    if not text or not text.isprintable() or len(text.encode()) > NAME_BYTES_MAX:
        raise FormatError(f"a name is 1 to {NAME_BYTES_MAX} bytes of printable text")


def _check_ascending(entries: Sequence[_Numbered], count_max: int, what: str) -> None:
    if len(entries) > count_max:
        raise FormatError(f"there are more than {count_max} of one kind: {what}")
    if any(first.number >= second.number for first, second in pairwise(entries)):
        raise FormatError(f"{what} numbers ascend, and each stands once")


def _check_class_prices(prices: Sequence[ClassPrice], listed: set[int]) -> None:
    _check_ascending(prices, CLASSES_MAX, "class price")
    if unknown := {price.card_class for price in prices} - listed:
        raise FormatError(f"there is a price for class {min(unknown)}, which is not listed")
    if any(price.amount_fen == 0 for price in prices):
        raise FormatError("a price is at least 1 fen")


def _check_product(product: Product, listed: set[int]) -> None:
    product.name.check()
    code = product.barcode
    if code and not (code.isascii() and code.isdigit() and len(code) <= BARCODE_DIGITS_MAX):
        raise FormatError(f"a barcode is up to {BARCODE_DIGITS_MAX} digits")
    if product.amount_fen == 0:
        raise FormatError("a price is at least 1 fen")
    _check_class_prices(product.class_prices, listed)


def _check_periods(periods: Sequence[MealPeriod], listed: set[int]) -> None:
    for period in periods:
        period.name.check()
        if not period.from_min < period.to_min <= DAY_MINUTES_MAX:
            raise FormatError(f"meal period {period.number} does not end after it begins, on the same day")
        if period.class_prices and period.meal_fen is None:
            raise FormatError(f"meal period {period.number} has prices for classes, but no price")
        _check_class_prices(period.class_prices, listed)
    for first, second in pairwise(sorted(periods, key=lambda period: period.from_min)):
        if first.to_min > second.from_min:
            raise FormatError(f"meal periods {first.number} and {second.number} overlap")


def _check_subsidy(rule: SubsidyRule, listed: set[int], periods: set[int]) -> None:
    if rule.card_class not in listed:
        raise FormatError(f"subsidy rule {rule.number} is for class {rule.card_class}, which is not listed")
    if unknown := set(rule.periods) - periods:
        raise FormatError(f"subsidy rule {rule.number} names meal period {min(unknown)}, which there is not")
    if any(first >= second for first, second in pairwise(rule.periods)):
        raise FormatError(f"the periods of subsidy rule {rule.number} ascend, and each stands once")
    if rule.amount_fen == 0:
        raise FormatError(f"subsidy rule {rule.number} gives nothing")
    if not 0 <= (rule.first_day - _EPOCH_DAY).days <= (rule.last_day - _EPOCH_DAY).days <= _DAYS_MAX:
        raise FormatError(f"subsidy rule {rule.number} ends before it begins")


def _check_staff(staff: Sequence[StaffMember]) -> None:
    if len(staff) > STAFF_MAX:
        raise FormatError(f"there are more than {STAFF_MAX} of one kind: staff")
    for member in staff:
        check_text(member.name)
    if any(first.card >= second.card for first, second in pairwise(staff)):
        raise FormatError("staff cards ascend, and each stands once")


def _price_for(card_class: int, class_prices: Iterable[ClassPrice], otherwise: Fen) -> Fen:
    return next((price.amount_fen for price in class_prices if price.card_class == card_class), otherwise)


def _text(text: str) -> bytes:
    """length 1, UTF-8."""
    raw = text.encode()
    return bytes((len(raw),)) + raw


def _read_text(reader: FieldReader) -> str:
    try:
        return reader.take(reader.uint(1)).decode()
    except UnicodeDecodeError as error:
        raise FormatError("a text is not UTF-8") from error


def _counted(entries: Sequence[_Numbered | StaffMember], size: int) -> bytes:
    """count in `size` bytes, entries."""
    return len(entries).to_bytes(size, "big") + b"".join(entry.to_bytes() for entry in entries)


def _read_entries(
    reader: FieldReader, size: int, count_max: int, read: Callable[[FieldReader], _Entry]
) -> tuple[_Entry, ...]:
    if (count := reader.uint(size)) > count_max:
        raise FormatError(f"there are more than {count_max} of one kind")
    return tuple(read(reader) for _ in range(count))
