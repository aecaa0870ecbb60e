"""The issuer's master keys behind one port, `KeyStore`; here as a file sealed with a passphrase.

Left out: a hardware module, which is another class with the same methods.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from settlement.secretfile import write_secret
from wire import pboc
from wire.errors import CampusError
from wire.ids import CardId, TerminalId
from wire.load import LoadInit, load_date_time
from wire.money import Fen
from wire.purse_keys import PurseKeys, card_key, strong_key
from wire.record import NO_TAC
from wire.sms import derive_sms_key
from wire.tacs import are_purchase_tacs

# scrypt at 32 MiB takes about 0.1 s: nothing at a start, much for somebody who guesses passphrases.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 15, 8, 1
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SEAL_VERSION: Final = 1
_LABEL: Final = b"campus issuer keys v1"
_CARDS_CACHED: Final = 32_768  # TAC keys of a whole campus, ready for use: about 45 MB in each process


class KeysUnreadable(CampusError):
    """The key file is missing or damaged."""

    code = "keys-unreadable"


class PassphraseWrong(CampusError):
    """The passphrase does not open the key file, or the file was changed."""

    code = "passphrase-wrong"


class PassphraseUnreadable(CampusError):
    """The file with the passphrase is missing, closed to us or empty."""

    code = "passphrase-unreadable"


class KeyStore(Protocol):
    """What the server asks of whoever holds the issuer's masters."""

    def verify_purchase_tacs(self, records: Sequence[bytes]) -> list[bool]:
        """Whether this issuer's cards made these canonical records' TACs, each over the record's own debit."""

    def verify_load_mac1(self, card: CardId, init: LoadInit, terminal: TerminalId) -> bool:
        """Whether this issuer's card asked for this load, at this terminal; raises `KeyHalvesEqual`."""

    def load_mac2(self, card: CardId, init: LoadInit, terminal: TerminalId, *, granted_at_utc_s: int) -> bytes:
        """The 4 bytes that let the card credit what it asked for, now; raises `KeyHalvesEqual`."""

    def verify_load_tac(
        self,
        card: CardId,
        tac: bytes,
        *,
        terminal: TerminalId,
        online_counter: int,
        amount_fen: Fen,
        new_balance_fen: Fen,
        granted_at_utc_s: int,
    ) -> bool:
        """Whether the card credited exactly this load."""

    def card_keys(self, card: CardId) -> PurseKeys:
        """The keys to personalise a card with."""

    def purchase_master(self) -> bytes:
        """The 16-byte master that a terminal's PSAM is loaded with."""

    def sms_key(self, terminal: TerminalId, epoch: int) -> bytes:
        """The key of one journal's datagrams, given to the terminal when it enrols."""


class FileKeyStore:
    """Masters from a file sealed with scrypt and AES-GCM; make one with `create`, open it with `open`."""

    def __init__(self, masters: PurseKeys, *, two_level: bool) -> None:
        self._masters = masters
        self._two_level = two_level
        self._purchase_tac_keys = _TacKeys(self._tac_key, _CARDS_CACHED)

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: bytes,
        *,
        masters: PurseKeys | None = None,
        two_level: bool = False,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Seal masters (new ones, if none are given) into a new file.

        `two_level` cards' keys descend from the master by issuer and ASN, others' by ASN alone. Raises `SecretExists`
        or `KeyHalvesEqual`.
        """
        if masters is None:
            masters = PurseKeys(*(random(pboc.KEY_BYTES) for _ in range(3)))
        masters.checked()
        plain = bytes((two_level,)) + masters.purchase + masters.load + masters.tac
        salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
        sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, plain, _LABEL)
        text = json.dumps(
            {"version": _SEAL_VERSION, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}, indent=2
        )
        write_secret(path, text.encode() + b"\n")
        return cls(masters, two_level=two_level)

    @classmethod
    def open(cls, path: Path, passphrase: bytes) -> Self:
        """Unseal; raises `KeysUnreadable` or `PassphraseWrong`."""
        try:
            content = json.loads(path.read_text())
            version = content["version"]
            salt, nonce, sealed = (bytes.fromhex(content[name]) for name in ("salt", "nonce", "sealed"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeysUnreadable(f"{path} is not a key file") from error
        if version != _SEAL_VERSION:
            raise KeysUnreadable(f"{path} has version {version}, which is not known here")
        try:
            plain = AESGCM(_stretch(passphrase, salt)).decrypt(nonce, sealed, _LABEL)
        except (InvalidTag, ValueError) as error:
            raise PassphraseWrong(f"the passphrase does not open {path}") from error
        size = pboc.KEY_BYTES
        masters = PurseKeys(*(plain[1 + index * size : 1 + (index + 1) * size] for index in range(3)))
        return cls(masters, two_level=bool(plain[0]))

    def verify_purchase_tacs(self, records: Sequence[bytes]) -> list[bool]:
        """See `KeyStore`."""
        return are_purchase_tacs(b"".join(records), self._purchase_tac_keys)

    def verify_load_mac1(self, card: CardId, init: LoadInit, terminal: TerminalId) -> bool:
        """See `KeyStore`."""
        mac1 = pboc.load_mac1(
            session_key=self._load_session_key(card, init),
            old_balance_fen=init.balance_fen,
            amount_fen=init.amount_fen,
            terminal=terminal,
        )
        return secrets.compare_digest(mac1, init.mac1)

    def load_mac2(self, card: CardId, init: LoadInit, terminal: TerminalId, *, granted_at_utc_s: int) -> bytes:
        """See `KeyStore`."""
        return pboc.load_mac2(
            session_key=self._load_session_key(card, init),
            amount_fen=init.amount_fen,
            terminal=terminal,
            date_time_bcd=load_date_time(granted_at_utc_s),
        )

    def verify_load_tac(
        self,
        card: CardId,
        tac: bytes,
        *,
        terminal: TerminalId,
        online_counter: int,
        amount_fen: Fen,
        new_balance_fen: Fen,
        granted_at_utc_s: int,
    ) -> bool:
        """See `KeyStore`."""
        if tac == NO_TAC:
            return False
        right = pboc.load_tac(
            tac_key=self._tac_key(card),
            new_balance_fen=new_balance_fen,
            online_counter=online_counter,
            amount_fen=amount_fen,
            terminal=terminal,
            date_time_bcd=load_date_time(granted_at_utc_s),
        )
        return secrets.compare_digest(right, tac)

    def card_keys(self, card: CardId) -> PurseKeys:
        """See `KeyStore`; raises `KeyHalvesEqual` rather than give out a weak key."""
        return self._masters.of_card(card, two_level=self._two_level)

    def purchase_master(self) -> bytes:
        """See `KeyStore`."""
        return self._masters.purchase

    def sms_key(self, terminal: TerminalId, epoch: int) -> bytes:
        """See `KeyStore`; descends from the TAC master, which no terminal and no PSAM holds."""
        return derive_sms_key(self._masters.tac, terminal, epoch)

    def _load_session_key(self, card: CardId, init: LoadInit) -> bytes:
        key = strong_key(card_key(self._masters.load, card, two_level=self._two_level))
        return pboc.load_session_key(dlk=key, random=init.random, online_counter=init.online_counter)

    def _tac_key(self, card: CardId) -> bytes:
        return pboc.tac_key(card_key(self._masters.tac, card, two_level=self._two_level))


class _TacKeys(dict[bytes, pboc.TacKey]):
    """Cards' TAC keys, made when they are first asked for; the oldest make room. What is here costs one look-up."""

    def __init__(self, make: Callable[[CardId], bytes], cards_max: int) -> None:
        super().__init__()
        self._make = make
        self._cards_max = cards_max

    def __missing__(self, card: bytes) -> pboc.TacKey:
        while len(self) >= self._cards_max:
            del self[next(iter(self))]
        key = self[card] = pboc.TacKey(self._make(CardId.from_bytes(card)))
        return key


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)
