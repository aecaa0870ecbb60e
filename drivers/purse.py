"""What a purse and a PSAM say of themselves: files and answers as values, read with every bound checked.

Layouts: JR/T 0025.2-2010, file 0015 and INITIALIZE FOR PURCHASE. Left out: the order of commands (`drivers.purchase`)
and whether a card is welcome (`terminal.rules`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers import apdu
from drivers.apdu import Sw, describe_sw
from drivers.channel import CardChannel
from wire.errors import CampusError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, TERMINAL_ID_BYTES, Asn, CardId, IssuerId, TerminalId
from wire.money import Fen

FILE_0015_BYTES: Final = 30
_FILE_0016_SFI: Final = 0x16
_FILE_0017_SFI: Final = 0x17
_LOG_SFI: Final = 0x18
_LOG_RECORDS: Final = 10
_LOG_RECORD_BYTES: Final = 23
_INIT_ANSWER_BYTES: Final = 15
_EP, _ED_AND_EP = 0x02, 0x03


class CardUnreadable(CampusError):
    """A card's answer does not have the standard's layout."""

    code = "card-unreadable"


class PsamUnusable(CampusError):
    """The PSAM does not answer as a PSAM for purchases does."""

    code = "psam-unusable"


class PsamLost(CampusError):
    """The PSAM cannot be reached: pulled out, without power, or its reader or pcscd is gone."""

    code = "psam-lost"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """What makes one issuer's cards different from another's.

    `prove_offset` is what GET TRANSACTION PROVE adds to the counter that INITIALIZE returned: 0 or 1, the standard does
    not say. `key_levels` is 1 when card keys come from the ASN alone, 2 when the issuer's factor comes first.
    """

    aid: bytes
    prove_offset: int
    key_levels: int

    def factors(self, card: CardId) -> bytes:
        """The diversification factors that the PSAM wants, the ASN's first."""
        return card.asn[-8:] + (card.issuer if self.key_levels == 2 else b"")


CAMPUS_CARD: Final = CardProfile(aid=bytes.fromhex("A00000000386980701"), prove_offset=1, key_levels=1)
SECOND_MAKER: Final = CardProfile(aid=bytes.fromhex("A000000632010105"), prove_offset=0, key_levels=2)
CARD_PROFILES: Final = {"campus": CAMPUS_CARD, "second-maker": SECOND_MAKER}  # by their names in terminal.toml


@dataclass(frozen=True, slots=True, kw_only=True)
class PurseInfo:
    """File 0015 as SELECT shows it; dates are BCD CCYYMMDD, so they compare as bytes.

    `card_class` is the first of the two bytes that the issuer has for itself: what kind of holder the card has.
    """

    card: CardId
    application_type: int
    valid_from: bytes
    valid_to: bytes
    card_class: int = 0
    blocked: bool

    @property
    def has_purse(self) -> bool:
        """Whether the application holds an electronic purse."""
        return self.application_type in (_EP, _ED_AND_EP)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurseSession:
    """INITIALIZE FOR PURCHASE's answer: what the card will stake on this one purchase."""

    balance_fen: Fen
    counter: int
    key_version: int
    algorithm: int
    random: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PurseView:
    """All that the rules need to know of a card. `session` is None when the card said no to the amount itself."""

    info: PurseInfo
    balance_fen: Fen
    session: PurseSession | None
    status: int

    @property
    def card(self) -> CardId:
        """Whose purse it is."""
        return self.info.card


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line of the card's own log, file 0018; date CCYYMMDD and time HHMMSS as the terminal told the card."""

    amount_fen: Fen
    tti: int
    terminal: TerminalId
    date: str
    time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PsamIdentity:
    """What a terminal needs to know of its PSAM before the first purchase."""

    terminal: TerminalId
    key_index: int


def parse_select(data: bytes, sw: int) -> PurseInfo:
    """The FCI of the purse application; `CardUnreadable` when there is none or it has another shape."""
    if sw not in (Sw.OK, Sw.APPLICATION_BLOCKED):
        raise CardUnreadable(f"SELECT answered {describe_sw(sw)}")
    proprietary = _value(_value(data, 0x6F), 0xA5)
    public = _value(proprietary, 0x9F0C)
    if len(public) != FILE_0015_BYTES:
        raise CardUnreadable(f"file 0015 has {len(public)} bytes instead of {FILE_0015_BYTES}")
    return PurseInfo(
        card=CardId(IssuerId(public[:ISSUER_ID_BYTES]), Asn(public[10 : 10 + ASN_BYTES])),
        application_type=public[8],
        valid_from=public[20:24],
        valid_to=public[24:28],
        card_class=public[28],
        blocked=sw == Sw.APPLICATION_BLOCKED,
    )


def parse_initialize(data: bytes) -> PurseSession:
    """INITIALIZE FOR PURCHASE's 15 bytes; `CardUnreadable` for another length."""
    if len(data) != _INIT_ANSWER_BYTES:
        raise CardUnreadable(f"INITIALIZE answered {len(data)} bytes instead of {_INIT_ANSWER_BYTES}")
    return PurseSession(
        balance_fen=Fen(int.from_bytes(data[0:4], "big")),
        counter=int.from_bytes(data[4:6], "big"),
        key_version=data[9],
        algorithm=data[10],
        random=data[11:15],
    )


def parse_balance(data: bytes, sw: int) -> Fen:
    """GET BALANCE's 4 bytes; `CardUnreadable` otherwise."""
    if sw != Sw.OK or len(data) != 4:
        raise CardUnreadable(f"GET BALANCE answered {len(data)} bytes and {describe_sw(sw)}")
    return Fen(int.from_bytes(data, "big"))


def read_purse(channel: CardChannel, profile: CardProfile) -> tuple[PurseInfo, Fen]:
    """Who it is and what is on it, without a PSAM; raises `CardUnreadable`, or what the channel raises."""
    info = parse_select(*channel.transmit(apdu.select_by_aid(profile.aid)))
    return info, parse_balance(*channel.transmit(apdu.get_balance()))


def read_log(channel: CardChannel) -> list[LogRecord]:
    """The log of the purse that is selected, newest first; empty for a card that shows it to its holder alone."""
    found = []
    for number in range(1, _LOG_RECORDS + 1):
        data, sw = channel.transmit(apdu.read_record(_LOG_SFI, number, _LOG_RECORD_BYTES))
        if sw != Sw.OK or len(data) != _LOG_RECORD_BYTES:
            break
        found.append(
            LogRecord(
                amount_fen=Fen(int.from_bytes(data[5:9], "big")),
                tti=data[9],
                terminal=TerminalId(data[10:16]),
                date=data[16:20].hex(),
                time=data[20:23].hex(),
            )
        )
    return found


def read_psam(channel: CardChannel) -> PsamIdentity:
    """Read terminal number and purchase key index; leaves the PSAM's purchase application selected.

    Raises `PsamUnusable`, or what the channel raises.
    """
    terminal = _psam_file(channel, _FILE_0016_SFI, TERMINAL_ID_BYTES)
    _, sw = channel.transmit(apdu.select_by_fid(apdu.FID_ADF))
    if sw != Sw.OK:
        raise PsamUnusable(f"selecting the PSAM's application answered {describe_sw(sw)}")
    return PsamIdentity(terminal=TerminalId(terminal), key_index=_psam_file(channel, _FILE_0017_SFI, 1)[0])


def _psam_file(channel: CardChannel, sfi: int, size: int) -> bytes:
    data, sw = channel.transmit(apdu.read_binary(sfi, size))
    if sw != Sw.OK or len(data) != size:
        raise PsamUnusable(f"the PSAM's file {sfi:02X} answered {len(data)} bytes and {describe_sw(sw)}")
    return data


def _value(data: bytes, tag: int) -> bytes:
    """The value of the first `tag` in BER-TLV `data` with one-byte lengths; `CardUnreadable` if it is not there."""
    at = 0
    while at < len(data):
        size = 2 if data[at] & 0x1F == 0x1F else 1
        name, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at >= len(data) or data[at] > 0x7F or at + 1 + data[at] > len(data):
            break
        value, at = data[at + 1 : at + 1 + data[at]], at + 1 + data[at]
        if name == tag:
            return value
    raise CardUnreadable(f"the card's answer to SELECT has no field {tag:X}")
