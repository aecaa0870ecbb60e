"""Card profiles: what one card maker does differently from another within the standard. Left out: anything of one
single card.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import xor
from typing import Final

from sim.card import chip

CAMPUS_AID: Final = bytes.fromhex("A00000000386980701")


class Numbering(Enum):
    """The number by which a card calls a transaction: its counter before (N) or after (N+1). The standard does not
    say.
    """

    BEFORE = 0
    AFTER = 1


@dataclass(frozen=True, slots=True)
class CardProfile:
    """One maker's choices."""

    name: str
    atr: bytes
    aid: bytes = CAMPUS_AID
    adf_fid: int = 0x3F01
    fci_version: bytes = b""  # 9F08 in the FCI, absent if empty
    prove_numbering: Numbering = Numbering.AFTER
    log_numbering: Numbering = Numbering.AFTER
    t0: bool = False  # answers 61xx and waits for GET RESPONSE
    two_level_keys: bool = False  # keys diversified by issuer, then by ASN
    log_needs_pin: bool = True
    holder_bytes: int = 55  # file 0016: 55 of 2010, 39 before
    no_init_sw: int = chip.SW_CONDITIONS  # DEBIT without INITIALIZE


def contactless_atr(historical: bytes) -> bytes:
    """The answer to reset that a reader makes up for a contactless card (PC/SC part 3): T=0 and T=1, historical bytes,
    checksum.
    """
    body = bytes((0x80 | len(historical), 0x80, 0x01)) + historical
    return b"\x3b" + body + bytes((reduce(xor, body),))


def contact_atr(historical: bytes) -> bytes:
    """The answer to reset of a contact chip that speaks T=0 alone."""
    return bytes((0x3B, 0x60 | len(historical), 0x00, 0x00)) + historical


CAMPUS: Final = CardProfile(name="campus", atr=contactless_atr(b"CAMPUS1"))
CAMPUS_T0: Final = CardProfile(
    name="campus-t0", atr=contact_atr(b"CAMPUS0"), t0=True, fci_version=b"\x02", no_init_sw=0x6901
)
PROVE_BEFORE: Final = CardProfile(
    name="prove-before",
    atr=contactless_atr(b"CAMPUS2"),
    prove_numbering=Numbering.BEFORE,
    log_numbering=Numbering.BEFORE,
    two_level_keys=True,
    log_needs_pin=False,
    holder_bytes=39,
)
# Nothing that the standard leaves open is as on the campus card.
SECOND_MAKER: Final = CardProfile(
    name="second-maker",
    atr=contactless_atr(b"MAKER-2"),
    aid=bytes.fromhex("A000000632010105"),
    adf_fid=0xDF01,
    fci_version=b"\x02",
    prove_numbering=Numbering.BEFORE,
    log_numbering=Numbering.AFTER,
    two_level_keys=True,
    log_needs_pin=False,
    holder_bytes=39,
    no_init_sw=0x6901,
)

PROFILES: Final = {profile.name: profile for profile in (CAMPUS, CAMPUS_T0, PROVE_BEFORE, SECOND_MAKER)}
