"""Short messages in text mode (27.005 3): how a stored TPDU reads, what typed text becomes. Left out: commands."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from sim.carrier import gsm7
from sim.carrier.tpdu import (
    Alphabet,
    Content,
    Deliver,
    Submit,
    TpduFault,
    alphabet_of,
    decode_deliver,
    decode_submit,
    octets_content,
    text_content,
)

_VALIDITY_PRESENT: Final = 0x18
_REPORT_WANTED: Final = 0x20


@dataclass(slots=True)
class Parameters:
    """+CSMP: what text mode puts into a message's head."""

    first_octet: int = 17
    validity: int = 167
    pid: int = 0
    dcs: int = 0


def decode_stored(tpdu: bytes) -> Deliver | Submit | None:
    """A stored TPDU; None: a report, or none that can be read."""
    for decode in (decode_deliver, decode_submit):
        try:
            return decode(tpdu)
        except TpduFault:
            continue
    return None


def shown_time(utc_s: float, zone_quarters: int) -> str:
    """A service centre's time stamp as text mode shows it."""
    local = dt.datetime.fromtimestamp(utc_s + 900 * zone_quarters, dt.UTC)
    return f"{local:%y/%m/%d,%H:%M:%S}{zone_quarters:+03d}"


def shown_body(content: Content, charset: str) -> str:
    """The user data: text in the character set in force, octets in hex (27.005 3.1 <data>)."""
    if content.alphabet is Alphabet.OCTETS or (content.has_header and content.alphabet is not Alphabet.GSM7):
        return content.user_data.hex().upper()
    text = content.text or ""
    if charset == "UCS2":
        return text.encode("utf-16-be").hex().upper()
    if content.alphabet is Alphabet.UCS2:
        return content.body.hex().upper()
    return _raw(gsm7.to_septets(text) or b"") if charset in ("GSM", "HEX") else text


def typed_content(typed: bytes, parameters: Parameters, charset: str) -> Content:
    """What was typed at the prompt as a message's content; `TpduFault` if it cannot be one."""
    dcs = parameters.dcs
    alphabet = alphabet_of(dcs)
    if alphabet is not Alphabet.GSM7 or charset in ("UCS2", "HEX"):
        try:
            data = bytes.fromhex(typed.decode("ascii"))
        except ValueError as error:
            raise TpduFault("not hex") from error
        if alphabet is not Alphabet.GSM7:
            return octets_content(data, dcs=dcs)
        return text_content(data.decode("utf-16-be" if charset == "UCS2" else "latin-1", "replace"), dcs=dcs)
    if charset == "GSM":
        return text_content(gsm7.from_septets(typed), dcs=dcs)
    return text_content(typed.decode("latin-1"), dcs=dcs)


def typed_submit(number: str, content: Content, parameters: Parameters, reference: int) -> Submit:
    """A whole message from text mode."""
    relative = parameters.first_octet & _VALIDITY_PRESENT == 0x10
    return Submit(
        reference=reference,
        destination=number,
        content=content,
        validity_s=(parameters.validity + 1) * 300.0 if relative and parameters.validity < 144 else None,
        wants_report=bool(parameters.first_octet & _REPORT_WANTED),
    )


def _raw(septets: bytes) -> str:
    return septets.decode("latin-1")
