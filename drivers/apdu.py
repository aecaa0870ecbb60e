"""The commands that the terminal gives to card and PSAM, as bytes, and the status words they answer.

Layouts: JR/T 0025.2-2010 for the card; the PSAM's commands as every PBOC PSAM has them. Left out: what answers mean
(`drivers.purse`) and in which order commands go (`drivers.purchase`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from wire.ids import TerminalId
from wire.money import Fen
from wire.pboc import TTI_PURCHASE

FID_ADF: Final = 0x3F01
_PURCHASE_ANSWER_BYTES: Final = 0x0F
_LOAD_ANSWER_BYTES: Final = 0x10
_PROOF_BYTES: Final = 8
_TAC_BYTES: Final = 4


class Sw(IntEnum):
    """Status words with a name of their own; a word not listed is shown as four hex digits."""

    OK = 0x9000
    APPLICATION_BLOCKED = 0x6283
    PIN_WRONG = 0x63C0  # the tries that are left are in the last digit
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    NOT_INITIALIZED = 0x6901
    PIN_WANTED = 0x6982
    PIN_LOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    CARD_BLOCKED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    COMMAND_UNKNOWN = 0x6D00
    MAC_WRONG = 0x9302
    PERMANENTLY_BLOCKED = 0x9303
    BALANCE_INSUFFICIENT = 0x9401
    COUNTER_EXHAUSTED = 0x9402
    KEY_INDEX_UNKNOWN = 0x9403
    PROOF_NOT_AVAILABLE = 0x9406


def describe_sw(sw: int) -> str:
    """`9401 BALANCE_INSUFFICIENT`, or the four digits alone for a word that has no name here."""
    name = next((word.name for word in Sw if word == sw), "")
    return f"{sw:04X} {name}".rstrip()


def select_by_aid(aid: bytes) -> bytes:
    """SELECT an application by its name; answers the FCI."""
    return bytes((0x00, 0xA4, 0x04, 0x00, len(aid))) + aid


def select_by_fid(fid: int) -> bytes:
    """SELECT a file by its 2-byte identifier."""
    return bytes((0x00, 0xA4, 0x00, 0x00, 0x02)) + fid.to_bytes(2, "big")


def read_binary(sfi: int, size: int) -> bytes:
    """READ BINARY of a transparent file's first `size` bytes by its short identifier."""
    return bytes((0x00, 0xB0, 0x80 | sfi, 0x00, size))


def read_record(sfi: int, number: int, size: int) -> bytes:
    """READ RECORD by its number, 1 being the newest of a cyclic file."""
    return bytes((0x00, 0xB2, number, sfi << 3 | 0x04, size))


def get_balance() -> bytes:
    """GET BALANCE of the purse; answers 4 bytes."""
    return bytes((0x80, 0x5C, 0x00, 0x02, 0x04))


def initialize_for_purchase(*, key_index: int, amount_fen: Fen, terminal: TerminalId) -> bytes:
    """INITIALIZE FOR PURCHASE; answers balance 4, counter 2, overdraft 3, key version 1, algorithm 1, random 4."""
    data = bytes((key_index,)) + amount_fen.to_bytes(4, "big") + terminal
    return bytes((0x80, 0x50, 0x01, 0x02, len(data))) + data + bytes((_PURCHASE_ANSWER_BYTES,))


def debit_for_purchase(*, ttsn: int, date: bytes, time: bytes, mac1: bytes) -> bytes:
    """DEBIT FOR PURCHASE; answers TAC 4, MAC2 4. Never sent twice for one sale."""
    data = ttsn.to_bytes(4, "big") + date + time + mac1
    return bytes((0x80, 0x54, 0x01, 0x00, len(data))) + data + bytes((_PROOF_BYTES,))


def get_transaction_prove(sequence_number: int, tti: int = TTI_PURCHASE) -> bytes:
    """GET TRANSACTION PROVE; answers MAC2 4, TAC 4: for a purchase the reverse of DEBIT's order."""
    return bytes((0x80, 0x5A, 0x00, tti, 0x02)) + sequence_number.to_bytes(2, "big") + bytes((_PROOF_BYTES,))


def pin_bytes(digits: str) -> bytes:
    """A PIN as VERIFY takes it: two digits to a byte, an odd one filled up with F."""
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def verify_pin(pin: bytes) -> bytes:
    """VERIFY the cardholder's PIN, two digits to a byte; a wrong one costs a try."""
    return bytes((0x00, 0x20, 0x00, 0x00, len(pin))) + pin


def initialize_for_load(*, key_index: int, amount_fen: Fen, terminal: TerminalId) -> bytes:
    """INITIALIZE FOR LOAD; answers balance 4, online counter 2, key version 1, algorithm 1, random 4, MAC1 4."""
    data = bytes((key_index,)) + amount_fen.to_bytes(4, "big") + terminal
    return bytes((0x80, 0x50, 0x00, 0x02, len(data))) + data + bytes((_LOAD_ANSWER_BYTES,))


def credit_for_load(*, date_time: bytes, mac2: bytes) -> bytes:
    """CREDIT FOR LOAD; answers TAC 4. Never sent twice for one grant."""
    data = date_time + mac2
    return bytes((0x80, 0x52, 0x00, 0x00, len(data))) + data + bytes((_TAC_BYTES,))


def init_sam_for_purchase(
    *,
    random: bytes,
    counter: int,
    amount_fen: Fen,
    date: bytes,
    time: bytes,
    key_version: int,
    algorithm: int,
    factors: bytes,
) -> bytes:
    """INIT_SAM_FOR_PURCHASE; answers TTSN 4, MAC1 4. `factors`: the ASN's low 8 bytes, then the issuer's, if any."""
    data = (
        random
        + counter.to_bytes(2, "big")
        + amount_fen.to_bytes(4, "big")
        + bytes((TTI_PURCHASE,))
        + date
        + time
        + bytes((key_version, algorithm))
        + factors
    )
    return bytes((0x80, 0x70, 0x00, 0x00, len(data))) + data + bytes((_PROOF_BYTES,))


def credit_sam_for_purchase(mac2: bytes) -> bytes:
    """CREDIT_SAM_FOR_PURCHASE: has the PSAM check the card's MAC2."""
    return bytes((0x80, 0x72, 0x00, 0x00, len(mac2))) + mac2
