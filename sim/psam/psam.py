"""The PSAM application: terminal number, MAC1 for a purchase, check of MAC2, and a TTSN that never repeats (JR/T
0025.2-2010).

No public text says when TTSN moves or how many wrong MAC2 are allowed. This PSAM counts on every 80 70, before it
answers, and allows one MAC2 for each 80 70 and `WRONG_MAC2_MAX` wrong ones in a row. Left out: every key but the
purchase master.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sim.card import chip, files
from sim.card.chip import Answer, Chip, Command, Rule
from sim.card.memory import Memory, create_memory, read_fields
from sim.card.profile import CAMPUS_AID, contact_atr, contactless_atr
from wire import pboc
from wire.ids import TERMINAL_ID_BYTES, TerminalId
from wire.money import Fen
from wire.purse_keys import strong_key

TTSN_MAX: Final = 0xFFFF_FFFF
WRONG_MAC2_MAX: Final = 15
ADF_FID: Final = 0x3F01
SERIAL_BYTES: Final = 10
SFI_SERIAL: Final = 0x15
SFI_TERMINAL: Final = 0x16
SFI_KEY_INDEX: Final = 0x17

SW_WRONG_MAC2: Final = 0x9302
SW_LOCKED: Final = 0x9303
SW_TTSN_EXHAUSTED: Final = 0x9402
SW_KEY_VERSION_UNKNOWN: Final = 0x9403

_FIXED_BYTES: Final = 20  # random4 ATC2 amount4 TTI1 date4 time3 keyVersion1 algId1
_FACTOR_BYTES: Final = 8
_PURCHASES: Final = (0x05, pboc.TTI_PURCHASE, 0x09)  # ED, EP and compound purchase
_ALGORITHM_3DES: Final = 0x00


@dataclass(frozen=True, slots=True)
class PsamImage:
    """What an auditor reads of a PSAM's file without powering it."""

    terminal: TerminalId
    ttsn: int  # the last one given out


@dataclass(frozen=True, slots=True)
class _Open:
    """The purchase whose MAC2 may be checked."""

    session_key: bytes = field(repr=False)
    amount_fen: Fen


class Psam(Chip):
    """A powered PSAM; a faulty memory raises `MemoryFault` and no answer goes out."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        t0 = memory["t0"] == b"\x01"
        mf = files.Directory(
            fid=files.MF_FID,
            name=files.MF_NAME,
            proprietary=files.tlv(0x88, b"\x01"),
            binaries={SFI_SERIAL: "serial", SFI_TERMINAL: "terminal"},
        )
        application = files.Directory(
            fid=ADF_FID,
            name=CAMPUS_AID,
            proprietary=files.tlv(0x88, b"\x02"),
            binaries={SFI_KEY_INDEX: "key_index"},
        )
        self._files = files.FileSystem(memory, mf=mf, application=application, t0=t0)
        self._open: _Open | None = None
        lengths = (_FIXED_BYTES + _FACTOR_BYTES, _FIXED_BYTES + 2 * _FACTOR_BYTES)
        rules = (
            Rule(0x00, 0xA4, self._files.select),
            Rule(0x00, 0xB0, self._files.read_binary),
            Rule(0x80, 0x70, self._init_sam_for_purchase, p1p2=0x0000, lc=lengths, answer_bytes=8),
            Rule(0x80, 0x72, self._credit_sam_for_purchase, p1p2=0x0000, lc=(4,), answer_bytes=0),
        )
        atr = contact_atr(b"PSAM0") if t0 else contactless_atr(b"PSAM1")
        super().__init__(atr=atr, t0=t0, rules=rules)

    def forget(self) -> None:
        """Drop the selection and the open purchase."""
        self._files.reset()
        self._open = None

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    @property
    def _tries_left(self) -> int:
        return self._memory.number("tries_left")

    def _init_sam_for_purchase(self, command: Command) -> Answer:
        self._open = None
        if not self._files.in_application:
            return Answer(sw=chip.SW_CONDITIONS)
        if self._tries_left == 0:
            return Answer(sw=SW_LOCKED)
        data = command.data
        random, counter, amount, tti = data[:4], data[4:6], data[6:10], data[10]
        date_time_bcd, key_version, algorithm, factors = data[11:18], data[18:19], data[19], data[20:]
        if key_version != self._memory["key_version"]:
            return Answer(sw=SW_KEY_VERSION_UNKNOWN)
        if tti not in _PURCHASES or algorithm != _ALGORITHM_3DES:
            return Answer(sw=chip.SW_WRONG_DATA)
        ttsn = self._memory.number("ttsn") + 1
        if ttsn > TTSN_MAX:
            return Answer(sw=SW_TTSN_EXHAUSTED)
        self._memory.commit({"ttsn": ttsn.to_bytes(4)})
        amount_fen = Fen(int.from_bytes(amount))
        session_key = pboc.purchase_session_key(
            dpk=self._card_key(factors), random=random, counter=int.from_bytes(counter), ttsn=ttsn
        )
        mac1 = pboc.purchase_mac1(
            session_key=session_key,
            amount_fen=amount_fen,
            terminal=self._memory["terminal"],
            date_time_bcd=date_time_bcd,
            tti=tti,
        )
        self._open = _Open(session_key, amount_fen)
        return Answer(ttsn.to_bytes(4) + mac1)

    def _card_key(self, factors: bytes) -> bytes:
        # The command names the ASN's factor first; the key descends from the issuer's.
        key = self._memory["purchase_master"]
        for start in reversed(range(0, len(factors), _FACTOR_BYTES)):
            key = pboc.diversify(key, factors[start : start + _FACTOR_BYTES])
        return key

    def _credit_sam_for_purchase(self, command: Command) -> Answer:
        purchase, self._open = self._open, None
        if self._tries_left == 0:
            return Answer(sw=SW_LOCKED)
        if purchase is None:
            return Answer(sw=chip.SW_CONDITIONS)
        mac2 = pboc.purchase_mac2(session_key=purchase.session_key, amount_fen=purchase.amount_fen)
        if command.data != mac2:
            self._memory.commit({"tries_left": (self._tries_left - 1).to_bytes(1)})
            return Answer(sw=SW_WRONG_MAC2)
        if self._tries_left < WRONG_MAC2_MAX:
            self._memory.commit({"tries_left": WRONG_MAC2_MAX.to_bytes(1)})
        return Answer()


def issue_psam(
    path: Path,
    *,
    terminal: TerminalId,
    purchase_master: bytes,
    serial: bytes,
    key_version: int = 1,
    key_index: int = 1,
    t0: bool = False,
    last_ttsn: int = 0,
) -> None:
    """Make a new PSAM in the file `path`; raises `KeyHalvesEqual`, `ChipExists` or `MemoryFault`."""
    assert len(terminal) == TERMINAL_ID_BYTES, "a terminal id has 6 bytes"
    assert len(serial) == SERIAL_BYTES, "a PSAM's serial number has 10 bytes"
    create_memory(
        path,
        {
            "terminal": terminal,
            "serial": serial + b"\x01" + b"\x00" + b"\x00\x00",  # version, kind of key card, issuer's own data
            "key_index": key_index.to_bytes(1),
            "key_version": key_version.to_bytes(1),
            "purchase_master": strong_key(purchase_master),
            "ttsn": last_ttsn.to_bytes(4),
            "tries_left": WRONG_MAC2_MAX.to_bytes(1),
            "t0": bytes((t0,)),
        },
    )


def read_psam_image(path: Path) -> PsamImage:
    """The committed facts of a PSAM, powered or not; raises `MemoryFault`."""
    fields = read_fields(path)
    return PsamImage(TerminalId(fields["terminal"]), int.from_bytes(fields["ttsn"]))
