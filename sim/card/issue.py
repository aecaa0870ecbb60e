"""Personalisation: a new card or its facts for the auditor, with keys of its own. Left out: the issuer's own key
store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sim.card.keys import MaintenanceKeys
from sim.card.memory import create_memory, read_fields
from sim.card.pin import PIN_BYTES, PIN_TRIES
from sim.card.profile import CAMPUS, CardProfile
from sim.card.secure import MAC_TRIES
from sim.card.trail import COUNTER_MAX, LOG_RECORD_BYTES
from wire.ids import Asn, CardId, IssuerId
from wire.money import FEN_MAX, Fen
from wire.purse_keys import PurseKeys, strong_key

DEFAULT_PIN: Final = b"\x12\x34\x56"

_APPLICATION_EP: Final = b"\x02"
_APPLICATION_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class CardImage:
    """What an auditor reads of a card's file without powering the card; no keys."""

    profile_name: str
    card: CardId = field(repr=False)
    opening_balance_fen: Fen
    opening_counter: int
    balance_fen: Fen
    counter: int
    online_counter: int
    log: tuple[bytes, ...]


def issue_card(
    path: Path,
    *,
    keys: PurseKeys,
    card: CardId,
    valid_from_bcd: bytes,
    valid_to_bcd: bytes,
    opening_balance_fen: Fen,
    opening_counter: int = 0,
    opening_online_counter: int = 0,
    card_class: int = 0,
    purchase_key_index: int = 1,
    load_key_index: int = 1,
    key_version: int = 1,
    profile: CardProfile = CAMPUS,
    pin: bytes = DEFAULT_PIN,
    maintenance: MaintenanceKeys | None = None,
    compound: Sequence[bytes] = (),
) -> None:
    """Make a new card in the file `path`; dates are BCD CCYYMMDD, the PIN two digits to a byte.

    `keys` and `maintenance` are the card's own, below the issuer's masters; without the latter nobody can change its
    files or state. `card_class` is byte 29 of file 0015; `compound` are the records of file 0017, each an identifier,
    the length of the rest, a lock flag and data. Raises `KeyHalvesEqual` for a weak key, `ChipExists` if the file holds
    a chip, `MemoryFault` if it cannot be written.
    """
    assert len(valid_from_bcd) == len(valid_to_bcd) == 4, "dates are BCD CCYYMMDD"
    assert 0 <= opening_balance_fen <= FEN_MAX, "a balance fits 4 bytes"
    assert 0 <= opening_counter <= COUNTER_MAX, "a counter fits 2 bytes"
    assert len(pin) in PIN_BYTES, "a PIN has two to six bytes"
    assert all(_well_formed(record) for record in compound), "a record has two bytes, then as many as the second says"
    public = card.issuer + _APPLICATION_EP + _APPLICATION_VERSION + card.asn + valid_from_bcd + valid_to_bcd
    balance, counter = opening_balance_fen.to_bytes(4), opening_counter.to_bytes(2)
    fields = {
        "profile": profile.name.encode("ascii"),
        "public": public + bytes((card_class, 0)),
        "holder": bytes(profile.holder_bytes),
        "opening_balance": balance,
        "opening_counter": counter,
        "balance": balance,
        "counter": counter,
        "online_counter": opening_online_counter.to_bytes(2),
        "purchase_key_index": purchase_key_index.to_bytes(1),
        "load_key_index": load_key_index.to_bytes(1),
        "key_version": key_version.to_bytes(1),
        "dpk": strong_key(keys.purchase),
        "dlk": strong_key(keys.load),
        "dtk": strong_key(keys.tac),
        "pin": pin,
        "pin_tries_left": PIN_TRIES.to_bytes(1),
        "mac_tries_left": MAC_TRIES.to_bytes(1),
        "compound": b"".join(compound),
        "proof": b"",
        "log": b"",
    }
    if maintenance is not None:
        fields["application_key"] = strong_key(maintenance.application)
        fields["pin_unblock_key"] = strong_key(maintenance.pin_unblock)
        fields["pin_reload_key"] = strong_key(maintenance.pin_reload)
    create_memory(path, fields)


def _well_formed(record: bytes) -> bool:
    """Whether it is a record of file 0017: identifier, length of the rest, and at least a lock flag."""
    return len(record) > 2 and record[1] == len(record) - 2


def read_card_image(path: Path) -> CardImage:
    """The committed facts of a card, powered or not; raises `MemoryFault`."""
    fields = read_fields(path)
    public, log = fields["public"], fields["log"]
    return CardImage(
        profile_name=fields["profile"].decode("ascii"),
        card=CardId(IssuerId(public[:8]), Asn(public[10:20])),
        opening_balance_fen=Fen(int.from_bytes(fields["opening_balance"])),
        opening_counter=int.from_bytes(fields["opening_counter"]),
        balance_fen=Fen(int.from_bytes(fields["balance"])),
        counter=int.from_bytes(fields["counter"]),
        online_counter=int.from_bytes(fields["online_counter"]),
        log=tuple(log[i : i + LOG_RECORD_BYTES] for i in range(0, len(log), LOG_RECORD_BYTES)),
    )
