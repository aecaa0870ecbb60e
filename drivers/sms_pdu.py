"""Short messages as PDUs (3GPP TS 23.040): SUBMIT for binary data, DELIVER and STATUS-REPORT taken apart.

Pure. Left out: text to send (nothing here sends text), putting parts together, the modem (`drivers.modem`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from drivers.modemfaults import ModemFault

DATA_BYTES_MAX: Final = 140  # 23.040, 9.2.3.16: user data with its header
_NUMBER_DIGITS_MAX: Final = 20
_DCS_8_BIT: Final = 0x04  # 0xF5 (8 bit, class 1) is read as text by more than one program; this is not
_FO_SUBMIT: Final = 0x01
_FO_VALIDITY_RELATIVE: Final = 0x10
_FO_HEADER: Final = 0x40
_MTI: Final = 0x03
_TOA_INTERNATIONAL: Final = 0x91
_TOA_NATIONAL: Final = 0x81
_TON_MASK: Final = 0x70
_TON_INTERNATIONAL: Final = 0x10
_TON_ALPHANUMERIC: Final = 0x50
_IE_CONCAT_8: Final = 0x00
_IE_CONCAT_16: Final = 0x08
_IE_PORTS_16: Final = 0x05
_DIGITS: Final = "0123456789*#abc"

# 23.038, 6.2.1, the default alphabet; the escape to the extension table stands for itself.
_GSM7: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


class PduError(ModemFault):
    """Bytes that are no message of 23.040, or a message that cannot be made one."""

    code = "sms-pdu"
    retryable = False


@dataclass(frozen=True, slots=True)
class Submit:
    """A message to hand to the modem: the whole PDU in hex, and the length that +CMGS wants (without the SMSC)."""

    pdu: str
    length: int


@dataclass(frozen=True, slots=True)
class Part:
    """This message is part `number` of `total`, all with one `reference`."""

    reference: int
    total: int
    number: int


class Coding(Enum):
    """What the user data is: octets, packed septets or UCS2 (23.038, clause 4)."""

    SEPTETS = "septets"
    OCTETS = "octets"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True)
class Deliver:
    """A received message; `data` is without its header, `at` the service centre's time or None if that is no time."""

    sender: str
    at: datetime | None
    coding: Coding
    data: bytes
    part: Part | None = None
    ports: tuple[int, int] | None = None  # (destination, source)


class Delivery(Enum):
    """What a status report says of the message (23.040, 9.2.3.15)."""

    DONE = "done"
    STILL_TRYING = "still trying"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What became of the message with this reference to this number, as the service centre knows it."""

    reference: int
    recipient: str
    delivery: Delivery
    status: int


def encode_submit(number: str, data: bytes, *, header: bytes = b"", validity_hours: int = 24) -> Submit:
    """Binary `data` to `number` (+ and digits, or digits); `header` is a user data header without its length byte."""
    digits = number.removeprefix("+")
    if not re.fullmatch(rf"\d{{1,{_NUMBER_DIGITS_MAX}}}", digits, re.ASCII):
        raise PduError("a recipient is a number of at most 20 digits")
    if not 1 <= validity_hours <= 24 * 30:
        raise PduError("a message is valid for an hour up to thirty days")
    user_data = (bytes((len(header),)) + header if header else b"") + data
    if len(user_data) > DATA_BYTES_MAX:
        raise PduError(f"{len(user_data)} bytes do not fit into one message")
    first = _FO_SUBMIT | _FO_VALIDITY_RELATIVE | (_FO_HEADER if header else 0)
    toa = _TOA_INTERNATIONAL if number.startswith("+") else _TOA_NATIONAL
    tpdu = bytes((first, 0, len(digits), toa)) + _semi_octets(digits)
    tpdu += bytes((0, _DCS_8_BIT, _relative_validity(validity_hours), len(user_data))) + user_data
    return Submit(pdu=f"00{tpdu.hex().upper()}", length=len(tpdu))


def concat_header(part: Part) -> bytes:
    """The user data header of a part, with a reference of one byte if it fits."""
    if part.reference < 0x100:
        return bytes((_IE_CONCAT_8, 3, part.reference, part.total, part.number))
    return bytes((_IE_CONCAT_16, 4)) + part.reference.to_bytes(2) + bytes((part.total, part.number))


def decode(pdu: str) -> Deliver | StatusReport:
    """What a modem's store or a +CDS holds, with the SMSC's number in front; `PduError` for anything else."""
    if len(pdu) % 2 or not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", pdu):
        raise PduError("a PDU is pairs of hexadecimal digits")
    reader = _Reader(bytes.fromhex(pdu))
    reader.take(reader.byte())  # the service centre's number
    first = reader.byte()
    kind = first & _MTI
    if kind == 0:
        return _deliver(reader, has_header=bool(first & _FO_HEADER))
    if kind == 2:
        return _status_report(reader)
    raise PduError(f"a message of type {kind} is not one that a modem receives")


def _deliver(reader: _Reader, *, has_header: bool) -> Deliver:
    sender = _address(reader)
    reader.byte()  # TP-PID: whatever protocol it names, the bytes are the bytes
    coding = _coding(reader.byte())
    at = _timestamp(reader.take(7))
    length = reader.byte()
    size = (length * 7 + 7) // 8 if coding is Coding.SEPTETS else length
    if size > DATA_BYTES_MAX:
        raise PduError(f"{size} bytes of user data are more than a message holds")
    user_data = reader.take(size)
    if not has_header:
        return Deliver(sender, at, coding, user_data)
    header = _Reader(user_data)
    elements = header.take(header.byte())
    part, ports = _header(elements)
    return Deliver(sender, at, coding, user_data[1 + len(elements) :], part, ports)


def _status_report(reader: _Reader) -> StatusReport:
    reference = reader.byte()
    recipient = _address(reader)
    reader.take(14)  # when it was sent, and when its fate was sealed: nobody here asks
    status = reader.byte()
    if status < 0x20:
        delivery = Delivery.DONE
    elif status < 0x40:
        delivery = Delivery.STILL_TRYING
    else:
        delivery = Delivery.FAILED
    return StatusReport(reference, recipient, delivery, status)


def _header(elements: bytes) -> tuple[Part | None, tuple[int, int] | None]:
    """Concatenation and ports; elements of other kinds are stepped over, as 23.040, 9.2.3.24 asks."""
    part: Part | None = None
    ports: tuple[int, int] | None = None
    reader = _Reader(elements)
    while reader.left:
        kind = reader.byte()
        value = reader.take(reader.byte())
        if kind == _IE_CONCAT_8 and len(value) == 3:
            part = Part(value[0], value[1], value[2])
        elif kind == _IE_CONCAT_16 and len(value) == 4:
            part = Part(int.from_bytes(value[:2]), value[2], value[3])
        elif kind == _IE_PORTS_16 and len(value) == 4:
            ports = int.from_bytes(value[:2]), int.from_bytes(value[2:])
    if part and not 1 <= part.number <= part.total:
        part = None  # 9.2.3.24.1: such an element is to be ignored
    return part, ports


def _coding(dcs: int) -> Coding:
    """23.038, clause 4: general groups, message marked for deletion, and the class group 1111."""
    group = dcs >> 4
    if group < 0x8:
        return {0: Coding.SEPTETS, 1: Coding.OCTETS, 2: Coding.UCS2, 3: Coding.SEPTETS}[dcs >> 2 & 3]
    if group == 0xE:
        return Coding.UCS2
    return Coding.OCTETS if group == 0xF and dcs & 0x04 else Coding.SEPTETS


def _address(reader: _Reader) -> str:
    digits = reader.byte()
    toa = reader.byte()
    raw = reader.take((digits + 1) // 2)
    if toa & _TON_MASK == _TON_ALPHANUMERIC:
        return unpack_septets(raw, digits * 4 // 7)
    text = "".join(_digit(nibble) for byte in raw for nibble in (byte & 0x0F, byte >> 4))[:digits]
    return f"+{text}" if toa & _TON_MASK == _TON_INTERNATIONAL else text


def _digit(nibble: int) -> str:
    return _DIGITS[nibble] if nibble < len(_DIGITS) else ""


def unpack_septets(packed: bytes, count: int) -> str:
    """`count` characters of the default alphabet (23.038, 6.1.2.1.1)."""
    bits = int.from_bytes(packed, "little")
    return "".join(_GSM7[bits >> 7 * i & 0x7F] for i in range(min(count, len(packed) * 8 // 7)))


def _timestamp(raw: bytes) -> datetime | None:
    """Local time in reversed semi-octets with quarters of an hour (9.2.3.11), in UTC; None if it is none."""
    digits = [(byte & 0x0F) * 10 + (byte >> 4) for byte in raw[:6]]
    zone = (raw[6] & 0x07) * 10 + (raw[6] >> 4)
    year, month, day, hour, minute, second = digits
    try:
        local = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
        return local - timedelta(minutes=15 * (-zone if raw[6] & 0x08 else zone))
    except (ValueError, OverflowError):
        return None


def _semi_octets(digits: str) -> bytes:
    padded = digits + "F" * (len(digits) % 2)
    return bytes.fromhex("".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2)))


def _relative_validity(hours: int) -> int:
    """23.040, 9.2.3.12.1, rounded up to what can be said."""
    if hours <= 12:
        return hours * 12 - 1
    if hours <= 24:
        return 143 + (hours - 12) * 2
    return 166 + (hours + 23) // 24


class _Reader:
    """Bytes from front to back; running out of them is a `PduError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def left(self) -> int:
        """How many bytes are still there."""
        return len(self._data)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self._data):
            raise PduError("the PDU ends too early")
        taken, self._data = self._data[:count], self._data[count:]
        return taken
