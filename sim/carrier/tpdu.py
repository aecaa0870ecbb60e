"""Short messages on the network's side (3GPP TS 23.040): SUBMIT is decoded, DELIVER and STATUS-REPORT are made.

A TPDU here has no service centre's address before it. Written apart from the drivers' codec on purpose. Left out: SMS
COMMAND, compression, and what a message says beside text.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sim.carrier import gsm7

USER_DATA_OCTETS_MAX: Final = 140
USER_DATA_SEPTETS_MAX: Final = 160
VALIDITY_S_DEFAULT: Final = 2 * 86400.0  # the service centre's own choice, where the message says nothing
_SEMI_OCTETS: Final = "0123456789*#abc"
_DIGITS_MAX: Final = 20
_MTI_DELIVER, _MTI_SUBMIT, _MTI_STATUS_REPORT = 0, 1, 2


class TpduFault(ValueError):
    """Not a TPDU of the kind that was expected."""


class Alphabet(Enum):
    """How the user data are to be read (23.038 4)."""

    GSM7 = 0
    OCTETS = 1
    UCS2 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """TP-PID, TP-DCS, TP-UDHI and the user data as they were; `length` counts septets or octets, with the header."""

    pid: int = 0
    dcs: int = 0
    has_header: bool = False
    length: int = 0
    user_data: bytes = field(default=b"", repr=False)

    @property
    def alphabet(self) -> Alphabet:
        """The alphabet that the DCS names."""
        return alphabet_of(self.dcs)

    @property
    def header(self) -> bytes:
        """The user data header with its length octet, or nothing."""
        return self.user_data[: 1 + self.user_data[0]] if self.has_header and self.user_data else b""

    @property
    def body(self) -> bytes:
        """What is behind the header: octets, or one byte a septet."""
        header = self.header
        if self.alphabet is not Alphabet.GSM7:
            return self.user_data[len(header) :]
        skipped = (len(header) * 8 + 6) // 7
        return gsm7.unpack(self.user_data, self.length)[skipped:]

    @property
    def text(self) -> str | None:
        """What a phone would show; None for octets."""
        if self.alphabet is Alphabet.GSM7:
            return gsm7.from_septets(self.body)
        return self.body.decode("utf-16-be", "replace") if self.alphabet is Alphabet.UCS2 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """A message on its way to the service centre."""

    reference: int
    destination: str
    content: Content
    validity_s: float | None = None
    wants_report: bool = False
    rejects_duplicates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """A message on its way to a phone."""

    sender: str
    sent_at_utc_s: float
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What became of a message."""

    reference: int
    recipient: str
    sent_at_utc_s: float
    done_at_utc_s: float
    status: int


def alphabet_of(dcs: int) -> Alphabet:
    """The alphabet of a data coding scheme; reserved ones are GSM 7-bit, as 23.038 wants."""
    group = dcs >> 4
    if group < 8:
        return {1: Alphabet.OCTETS, 2: Alphabet.UCS2}.get((dcs >> 2) & 3, Alphabet.GSM7)
    if group == 0xE:
        return Alphabet.UCS2
    if group == 0xF and dcs & 4:
        return Alphabet.OCTETS
    return Alphabet.GSM7


def text_content(text: str, *, dcs: int | None = None) -> Content:
    """A text as one message: GSM 7-bit if it can be, else UCS2; `TpduFault` if it is too long."""
    septets = gsm7.to_septets(text) if dcs is None or alphabet_of(dcs) is Alphabet.GSM7 else None
    if septets is not None:
        if len(septets) > USER_DATA_SEPTETS_MAX:
            raise TpduFault(f"{len(septets)} septets do not fit into one message")
        return Content(dcs=dcs or 0, length=len(septets), user_data=gsm7.pack(septets))
    if dcs is not None and alphabet_of(dcs) is Alphabet.GSM7:
        raise TpduFault("a character is not in the GSM alphabet")
    return octets_content(text.encode("utf-16-be"), dcs=8 if dcs is None else dcs)


def octets_content(data: bytes, *, dcs: int = 4, header: bytes = b"") -> Content:
    """Octets as one message; `header` with its length octet."""
    user_data = header + data
    if len(user_data) > USER_DATA_OCTETS_MAX:
        raise TpduFault(f"{len(user_data)} octets do not fit into one message")
    return Content(dcs=dcs, has_header=bool(header), length=len(user_data), user_data=user_data)


def decode_submit(tpdu: bytes) -> Submit:
    """Read an SMS-SUBMIT; `TpduFault` for anything else."""
    reader = _Reader(tpdu)
    first = reader.octet()
    if first & 3 != _MTI_SUBMIT:
        raise TpduFault("not a SUBMIT")
    reference = reader.octet()
    destination = reader.address()
    pid, dcs = reader.octet(), reader.octet()
    validity_s = reader.validity((first >> 3) & 3)
    return Submit(
        reference=reference,
        destination=destination,
        content=reader.content(pid, dcs, has_header=bool(first & 0x40)),
        validity_s=validity_s,
        wants_report=bool(first & 0x20),
        rejects_duplicates=bool(first & 0x04),
    )


def decode_deliver(tpdu: bytes) -> Deliver:
    """Read an SMS-DELIVER; `TpduFault` for anything else."""
    reader = _Reader(tpdu)
    first = reader.octet()
    if first & 3 != _MTI_DELIVER:
        raise TpduFault("not a DELIVER")
    sender = reader.address()
    pid, dcs = reader.octet(), reader.octet()
    sent_at_utc_s = reader.time()
    content = reader.content(pid, dcs, has_header=bool(first & 0x40))
    return Deliver(sender=sender, sent_at_utc_s=sent_at_utc_s, content=content)


def encode_submit(submit: Submit) -> bytes:
    """An SMS-SUBMIT, as a modem makes one from text mode."""
    content = submit.content
    first = _MTI_SUBMIT | (0x10 if submit.validity_s is not None else 0)
    first |= (0x20 if submit.wants_report else 0) | (0x40 if content.has_header else 0)
    validity = b"" if submit.validity_s is None else bytes((_relative_validity(submit.validity_s),))
    return (
        bytes((first, submit.reference))
        + encode_address(submit.destination)
        + bytes((content.pid, content.dcs))
        + validity
        + bytes((content.length,))
        + content.user_data
    )


def encode_deliver(deliver: Deliver, *, zone_quarters: int = 0, more: bool = False) -> bytes:
    """An SMS-DELIVER; `more`: others wait for the same phone."""
    content = deliver.content
    first = _MTI_DELIVER | (0 if more else 0x04) | (0x40 if content.has_header else 0)
    return (
        bytes((first,))
        + encode_address(deliver.sender)
        + bytes((content.pid, content.dcs))
        + encode_time(deliver.sent_at_utc_s, zone_quarters)
        + bytes((content.length,))
        + content.user_data
    )


def encode_status_report(report: StatusReport, *, zone_quarters: int = 0) -> bytes:
    """An SMS-STATUS-REPORT."""
    return (
        bytes((_MTI_STATUS_REPORT | 0x04, report.reference))
        + encode_address(report.recipient)
        + encode_time(report.sent_at_utc_s, zone_quarters)
        + encode_time(report.done_at_utc_s, zone_quarters)
        + bytes((report.status,))
    )


def encode_address(number: str) -> bytes:
    """A number, or a name where it is none (an operator's own messages)."""
    international = number.startswith("+")
    digits = number.removeprefix("+").lower()
    if not digits or any(digit not in _SEMI_OCTETS for digit in digits):
        septets = (gsm7.to_septets(number) or b"?")[:11]
        octets = gsm7.pack(septets)
        return bytes(((len(septets) * 7 + 3) // 4, 0xD0)) + octets
    digits = digits[:_DIGITS_MAX]
    return bytes((len(digits), 0x91 if international else 0x81)) + _swap(digits)


def encode_smsc(number: str) -> bytes:
    """The service centre's address as 27.005 puts it before a TPDU: its length counts octets."""
    digits = number.removeprefix("+")
    if not digits:
        return b"\0"
    octets = bytes((0x91 if number.startswith("+") else 0x81,)) + _swap(digits)
    return bytes((len(octets),)) + octets


def encode_time(utc_s: float, zone_quarters: int = 0) -> bytes:
    """A time stamp in local time with its zone, in seven swapped octets."""
    local = dt.datetime.fromtimestamp(utc_s + 900 * zone_quarters, dt.UTC)
    parts = (local.year % 100, local.month, local.day, local.hour, local.minute, local.second)
    zone = abs(zone_quarters) // 10 | (abs(zone_quarters) % 10) << 4 | (0x08 if zone_quarters < 0 else 0)
    return bytes((part % 10) << 4 | part // 10 for part in parts) + bytes((zone,))


def _swap(digits: str) -> bytes:
    values = [_SEMI_OCTETS.index(digit) for digit in digits] + ([0xF] if len(digits) % 2 else [])
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def _relative_validity(seconds: float) -> int:
    if seconds <= 12 * 3600:
        return max(0, round(seconds / 300) - 1)
    if seconds <= 86400:
        return round((seconds - 12 * 3600) / 1800) + 143
    if seconds <= 30 * 86400:
        return round(seconds / 86400) + 166
    return min(255, round(seconds / (7 * 86400)) + 192)


class _Reader:
    """Octets from the front; `TpduFault` where there are none left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise TpduFault("the TPDU ends too early")
        self._at += count
        return piece

    def octet(self) -> int:
        return self.take(1)[0]

    def address(self) -> str:
        length, kind = self.octet(), self.octet()
        if length > _DIGITS_MAX:
            raise TpduFault("an address of more than 20 digits")
        octets = self.take((length + 1) // 2)
        if kind & 0x70 == 0x50:
            return gsm7.from_septets(gsm7.unpack(octets, length * 4 // 7))
        values = [half for octet in octets for half in (octet & 0xF, octet >> 4)][:length]
        if 0xF in values:
            raise TpduFault("a filler within an address")
        return ("+" if kind & 0x70 == 0x10 else "") + "".join(_SEMI_OCTETS[value] for value in values)

    def validity(self, form: int) -> float | None:
        """Seconds from now; an absolute time is taken as the longest, since the modem has no clock to trust."""
        if form == 0:
            return None
        if form == 2:
            value = self.octet()
            if value < 144:
                return (value + 1) * 300.0
            if value < 168:
                return 12 * 3600.0 + (value - 143) * 1800.0
            return (value - 166) * 86400.0 if value < 197 else (value - 192) * 7 * 86400.0
        self.take(7)
        return VALIDITY_S_DEFAULT

    def time(self) -> float:
        octets = self.take(7)
        parts = [(octet & 0xF) * 10 + (octet >> 4) for octet in octets[:6]]
        zone = (octets[6] & 0x7) * 10 + (octets[6] >> 4)
        try:
            year, month, day, hour, minute, second = parts
            local = dt.datetime(2000 + year, month, day, hour, minute, second, tzinfo=dt.UTC)
        except ValueError as error:
            raise TpduFault("not a time") from error
        return local.timestamp() - 900 * (-zone if octets[6] & 0x8 else zone)

    def content(self, pid: int, dcs: int, *, has_header: bool) -> Content:
        length = self.octet()
        user_data = self._data[self._at :]
        septets = alphabet_of(dcs) is Alphabet.GSM7
        if length > (USER_DATA_SEPTETS_MAX if septets else USER_DATA_OCTETS_MAX):
            raise TpduFault("more user data than one message has room for")
        if len(user_data) != ((length * 7 + 7) // 8 if septets else length):
            raise TpduFault("the user data are not as long as they say")
        return Content(pid=pid, dcs=dcs, has_header=has_header, length=length, user_data=user_data)
