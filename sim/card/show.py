"""A card's file in words: identity, files, money, counters, log, and its keys for whoever asks for them.

Left out: reading the file (`sim.card.memory`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sim.card import secure
from sim.card.files import variable_records
from sim.card.profile import PROFILES
from sim.card.purchase import TTI_COMPOUND
from sim.card.trail import LOG_RECORD_BYTES
from wire import pboc
from wire.money import format_fen

KEY_FIELDS: Final = {
    "dpk": "purchase",
    "dlk": "load",
    "dtk": "TAC",
    "application_key": "maintenance",
    "pin_unblock_key": "PIN unblock",
    "pin_reload_key": "PIN reload",
    "pin": "PIN",
}

_STATES: Final = {
    secure.ACTIVE: "active",
    secure.BLOCKED: "application blocked",
    secure.BLOCKED_FOR_GOOD: "application blocked for good",
    secure.CARD_BLOCKED: "card blocked",
}
_KINDS: Final = {pboc.TTI_LOAD: "load", pboc.TTI_PURCHASE: "purchase", TTI_COMPOUND: "compound purchase"}


def card_lines(fields: Mapping[str, bytes], *, show_keys: bool) -> Iterator[str]:
    """Everything on a card, line by line; whole numbers, since whoever holds the file holds the card."""
    profile = PROFILES[fields["profile"].decode("ascii")]
    public = fields["public"]
    yield f"profile     {profile.name}, ATR {profile.atr.hex().upper()}"
    yield f"issuer      {public[:8].hex()}"
    yield f"ASN         {public[10:20].hex()}"
    yield f"valid       {_date(public[20:24])} to {_date(public[24:28])}"
    yield f"state       {_STATES[fields.get('state') or secure.ACTIVE]}"
    yield f"balance     {_yuan(fields['balance'])} yuan (issued with {_yuan(fields['opening_balance'])})"
    opening, offline, online = (_number(fields[name]) for name in ("opening_counter", "counter", "online_counter"))
    yield f"counters    offline {offline} (issued with {opening}), online {online}"
    pin_tries, mac_tries = (_number(fields.get(name, b"")) for name in ("pin_tries_left", "mac_tries_left"))
    yield f"tries left  PIN {pin_tries}, MAC {mac_tries}"
    yield f"file 0015   {public.hex()}"
    yield f"file 0016   {fields.get('holder', b'').hex()}"
    for record in variable_records(fields.get("compound", b"")):
        yield f"file 0017   {record.hex()}"
    log = fields["log"]
    for start in range(0, len(log), LOG_RECORD_BYTES):
        yield f"file 0018   {_log_line(log[start : start + LOG_RECORD_BYTES])}"
    proof = fields["proof"]
    if proof:
        what = f"{_kind(proof[0])} begun at counter {_number(proof[1:3])}"
        yield f"proof       {what}: MAC {proof[3:7].hex()}, TAC {proof[7:].hex()}"
    if show_keys:
        yield from (f"{'key':<12}{name}: {fields[key].hex()}" for key, name in KEY_FIELDS.items() if fields.get(key))


def _log_line(record: bytes) -> str:
    number, amount, kind = _number(record[:2]), _yuan(record[5:9]), _kind(record[9])
    when = f"{_date(record[16:20])} {':'.join(f'{byte:02x}' for byte in record[20:23])}"
    return f"{number}: {kind} {amount} at {record[10:16].hex()}, {when}"


def _kind(tti: int) -> str:
    return _KINDS.get(tti, f"TTI {tti:02X}")


def _date(bcd: bytes) -> str:
    return f"{bcd[:2].hex()}-{bcd[2:3].hex()}-{bcd[3:].hex()}"


def _yuan(amount: bytes) -> str:
    return format_fen(_number(amount))


def _number(value: bytes) -> int:
    return int.from_bytes(value)
