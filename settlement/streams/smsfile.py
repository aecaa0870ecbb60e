"""Messages as smstools files them: headers, an empty line, and the octets. Left out: folders, and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wire.sms import SmsInvalid

FILE_BYTES_MAX: Final = 4_096  # some twenty headers and 140 octets

_PHONE: Final = re.compile(r"\+?([0-9]{3,20})", re.ASCII)
_IN_PARTS: Final = ("true", "yes", "1")


@dataclass(frozen=True, slots=True)
class Message:
    """A binary message; `phone` is the other side's number as digits, with the country's and without a plus."""

    phone: str
    data: bytes

    def to_bytes(self) -> bytes:
        """The file that smstools sends as one message."""
        return f"To: {self.phone}\nAlphabet: binary\nUDH: false\n\n".encode() + self.data


def read_message(content: bytes) -> Message:
    """A received message's file; `SmsInvalid` for one that a person wrote, one in parts, or anything else."""
    head, gap, data = content[:FILE_BYTES_MAX].partition(b"\n\n")
    fields = {}
    for line in head.decode("latin-1").split("\n"):
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    sender = _PHONE.fullmatch(fields.get("from", ""))
    if not gap or sender is None:
        raise SmsInvalid("the message has no sender that can be answered")
    if not fields.get("alphabet", "").lower().startswith("bin"):
        raise SmsInvalid("the message is a text")
    if fields.get("udh", "").lower() in _IN_PARTS:
        raise SmsInvalid("the message is a part of another one, or for a phone's own use")
    return Message(sender[1], data)


def masked(phone: str) -> str:
    """A number as it may be logged."""
    return f"...{phone[-4:]}"
