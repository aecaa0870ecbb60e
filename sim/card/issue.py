"""Personalisation: a new card or its facts for the auditor, made from issuer masters. Left out: the issuer's own key
store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sim.card.memory import create_memory, read_fields
from sim.card.profile import CAMPUS, CardProfile
from sim.card.purse import COUNTER_MAX, LOG_RECORD_BYTES
from wire import pboc
from wire.errors import CampusError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, Asn, IssuerId
from wire.money import FEN_MAX, Fen

ASN_FACTOR_BYTES: Final = 8

_APPLICATION_EP: Final = b"\x02"
_APPLICATION_VERSION: Final = b"\x01"
_ISSUER_OWN_DATA: Final = b"\x00\x00"
_DES_PARITY: Final = 0x01


class KeyHalvesEqual(CampusError):
    """A key's halves are equal: 3DES would be single DES, and the TAC key zero."""

    code = "key-halves-equal"


@dataclass(frozen=True, slots=True)
class IssuerMasters:
    """The three 16-byte master keys that cards are issued from; never shown."""

    purchase: bytes = field(repr=False)
    load: bytes = field(repr=False)
    tac: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardImage:
    """What an auditor reads of a card's file without powering the card; no keys."""

    profile_name: str
    issuer_id: IssuerId
    asn: Asn = field(repr=False)
    opening_balance_fen: Fen
    opening_counter: int
    balance_fen: Fen
    counter: int
    log: tuple[bytes, ...]


def issue_card(
    path: Path,
    *,
    masters: IssuerMasters,
    issuer_id: IssuerId,
    asn: Asn,
    valid_from_bcd: bytes,
    valid_to_bcd: bytes,
    opening_balance_fen: Fen,
    opening_counter: int = 0,
    opening_online_counter: int = 0,
    purchase_key_index: int = 1,
    key_version: int = 1,
    profile: CardProfile = CAMPUS,
) -> None:
    """Make a new card in the file `path`; dates are BCD CCYYMMDD.

    Raises `KeyHalvesEqual` for a weak master or card key, `ChipExists` if the file holds a chip, `MemoryFault` if it
    cannot be written.
    """
    assert len(issuer_id) == ISSUER_ID_BYTES, "an issuer id has 8 bytes"
    assert len(asn) == ASN_BYTES, "an ASN has 10 bytes"
    assert len(valid_from_bcd) == len(valid_to_bcd) == 4, "dates are BCD CCYYMMDD"
    assert 0 <= opening_balance_fen <= FEN_MAX, "a balance fits 4 bytes"
    assert 0 <= opening_counter <= COUNTER_MAX, "a counter fits 2 bytes"
    public = issuer_id + _APPLICATION_EP + _APPLICATION_VERSION + asn + valid_from_bcd + valid_to_bcd
    issuer_level = issuer_id if profile.two_level_keys else None
    balance, counter = opening_balance_fen.to_bytes(4), opening_counter.to_bytes(2)
    fields = {
        "profile": profile.name.encode("ascii"),
        "public": public + _ISSUER_OWN_DATA,
        "opening_balance": balance,
        "opening_counter": counter,
        "balance": balance,
        "counter": counter,
        "online_counter": opening_online_counter.to_bytes(2),
        "purchase_key_index": purchase_key_index.to_bytes(1),
        "key_version": key_version.to_bytes(1),
        "dpk": card_key(masters.purchase, asn=asn, issuer_id=issuer_level),
        "dlk": card_key(masters.load, asn=asn, issuer_id=issuer_level),
        "dtk": card_key(masters.tac, asn=asn, issuer_id=issuer_level),
        "proof": b"",
        "log": b"",
    }
    create_memory(path, fields)


def card_key(master: bytes, *, asn: Asn, issuer_id: IssuerId | None = None) -> bytes:
    """One card's key, over one level or, with an issuer id, two; raises `KeyHalvesEqual` instead of giving out a weak
    one.
    """
    key = pboc.diversify(strong_key(master), issuer_id) if issuer_id is not None else master
    return strong_key(pboc.diversify(strong_key(key), asn[-ASN_FACTOR_BYTES:]))


def read_card_image(path: Path) -> CardImage:
    """The committed facts of a card, powered or not; raises `MemoryFault`."""
    fields = read_fields(path)
    public, log = fields["public"], fields["log"]
    return CardImage(
        profile_name=fields["profile"].decode("ascii"),
        issuer_id=IssuerId(public[:8]),
        asn=Asn(public[10:20]),
        opening_balance_fen=Fen(int.from_bytes(fields["opening_balance"])),
        opening_counter=int.from_bytes(fields["opening_counter"]),
        balance_fen=Fen(int.from_bytes(fields["balance"])),
        counter=int.from_bytes(fields["counter"]),
        log=tuple(log[i : i + LOG_RECORD_BYTES] for i in range(0, len(log), LOG_RECORD_BYTES)),
    )


def strong_key(key: bytes) -> bytes:
    """The key itself; raises `KeyHalvesEqual` for one that must not be issued."""
    # DES ignores each byte's lowest bit: halves that differ only there are equal.
    left, right = (bytes(byte & ~_DES_PARITY for byte in half) for half in (key[:8], key[8:]))
    if left == right:
        raise KeyHalvesEqual("the key's two halves are equal; no card is issued with it")
    return key
