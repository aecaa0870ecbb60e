"""What became of a torn debit, asked of the card itself; it never debits.

Three outcomes, never two. GET TRANSACTION PROVE gives the proof but no certainty, since cards count differently; a
fresh INITIALIZE shows counter and balance, which the card only ever changes together, and that decides. Asking for the
card and closing the tap in the journal are `terminal.sale`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers import apdu
from drivers.apdu import Sw
from drivers.channel import CardChannel
from drivers.purse import CardProfile, PsamIdentity, PurseInfo, PurseSession, parse_initialize, parse_select
from wire.ids import CardId
from wire.money import Fen
from wire.record import NO_TAC, TAC_BYTES, TapRecord

_PROOF_BYTES: Final = 8
_NOTHING: Final = Fen(0)


class Fate(Enum):
    """What became of a debit."""

    EXECUTED = auto()
    NOT_EXECUTED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The fate, and for an executed debit its TAC (zeros if the card no longer has it) and MAC2 (empty if so)."""

    fate: Fate
    tac: bytes = NO_TAC
    mac2: bytes = b""


@dataclass(frozen=True, slots=True)
class OtherCard:
    """This is not the card that was torn: the first one has to come back."""

    card: CardId


def resolve_torn(
    channel: CardChannel, tap: TapRecord, *, profile: CardProfile, psam: PsamIdentity
) -> Resolution | OtherCard:
    """Ask the present card about the open `tap`.

    Raises what the channel raises and `CardUnreadable`; the question can then be asked again at the next presentation.
    """
    info = _select(channel, profile)
    if info.card != tap.card:
        return OtherCard(info.card)
    proof, sw = channel.transmit(apdu.get_transaction_prove((tap.counter + profile.prove_offset) & 0xFFFF))
    proven = sw == Sw.OK and len(proof) == _PROOF_BYTES
    session = _initialize(channel, psam)
    if session is None:
        return Resolution(Fate.UNKNOWN)
    if session.counter == tap.counter:
        return Resolution(Fate.NOT_EXECUTED)
    executed = session.counter == tap.counter + 1 and session.balance_fen == tap.balance_before_fen - tap.amount_fen
    if not executed:
        return Resolution(Fate.UNKNOWN)
    return Resolution(Fate.EXECUTED, proof[TAC_BYTES:], proof[:TAC_BYTES]) if proven else Resolution(Fate.EXECUTED)


def _select(channel: CardChannel, profile: CardProfile) -> PurseInfo:
    return parse_select(*channel.transmit(apdu.select_by_aid(profile.aid)))


def _initialize(channel: CardChannel, psam: PsamIdentity) -> PurseSession | None:
    """INITIALIZE for nothing at all: no balance is too small for it, and it moves nothing."""
    data, sw = channel.transmit(
        apdu.initialize_for_purchase(key_index=psam.key_index, amount_fen=_NOTHING, terminal=psam.terminal)
    )
    return parse_initialize(data) if sw == Sw.OK else None
