"""What became of a torn debit, asked of the card itself; it never debits.

Three outcomes, never two. A fresh INITIALIZE shows counter and balance, which the card only ever changes together: an
unmoved counter means that nothing happened. A moved one is no proof that this debit moved it (another till may have,
for the same price), nor is a card believed unproven: GET TRANSACTION PROVE's MAC2 is, if this terminal's PSAM confirms
it. Asking for the card and closing the tap in the journal are `terminal.sale`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers import apdu
from drivers.apdu import Sw, describe_sw
from drivers.channel import CardChannel
from drivers.purse import CardProfile, CardUnreadable, PsamIdentity, PurseInfo, parse_initialize, parse_select
from wire.ids import CardId
from wire.money import Fen
from wire.record import NO_TAC, TAC_BYTES, Mac2, TapRecord

_PROOF_BYTES: Final = 8
_NOTHING: Final = Fen(0)


class Fate(Enum):
    """What became of a debit."""

    EXECUTED = auto()
    NOT_EXECUTED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The fate, and the TAC that the card gave (zeros if none), which only its issuer can check."""

    fate: Fate
    tac: bytes = NO_TAC


@dataclass(frozen=True, slots=True)
class OtherCard:
    """This is not the card that was torn: the first one has to come back."""

    card: CardId


def resolve_torn(
    channel: CardChannel,
    tap: TapRecord,
    *,
    profile: CardProfile,
    psam: PsamIdentity,
    check_mac2: Callable[[bytes], Mac2],
) -> Resolution | OtherCard:
    """Ask the present card about the open `tap`; `check_mac2` asks the PSAM, which can be done once.

    Raises what the channel raises and `CardUnreadable`; the question can then be asked again at the next presentation.
    """
    info = _select(channel, profile)
    if info.card != tap.card:
        return OtherCard(info.card)
    proof = _prove(channel, tap.counter + profile.prove_offset) or _prove(
        channel, tap.counter + 1 - profile.prove_offset
    )
    # For nothing at all, since no balance is too small for it; some cards want an amount. Neither moves anything.
    data, sw = _initialize(channel, psam, _NOTHING)
    if sw != Sw.OK and tap.amount_fen:
        data, sw = _initialize(channel, psam, tap.amount_fen)
    session = parse_initialize(data) if sw == Sw.OK else None
    if session is not None and session.counter == tap.counter:
        if tap.amount_fen and session.balance_fen == tap.balance_before_fen - tap.amount_fen:
            # The card changes both or neither: one of them was damaged on its way, and nobody can tell which.
            raise CardUnreadable("the card's counter says that it did not pay, and its balance that it did")
        return Resolution(Fate.NOT_EXECUTED)
    may_be_ours = session is None or (
        session.counter == tap.counter + 1 and session.balance_fen == tap.balance_before_fen - tap.amount_fen
    )
    tac = proof[TAC_BYTES:] if may_be_ours and proof else NO_TAC
    if tac != NO_TAC and check_mac2(proof[:TAC_BYTES]) is Mac2.VERIFIED:
        return Resolution(Fate.EXECUTED, tac)
    if session is None:
        raise CardUnreadable(f"INITIALIZE answered {describe_sw(sw)}, which tells nothing of the debit")
    return Resolution(Fate.UNKNOWN, tac)


def _initialize(channel: CardChannel, psam: PsamIdentity, amount_fen: Fen) -> tuple[bytes, int]:
    return channel.transmit(
        apdu.initialize_for_purchase(key_index=psam.key_index, amount_fen=amount_fen, terminal=psam.terminal)
    )


def _prove(channel: CardChannel, number: int) -> bytes:
    """MAC2 and TAC of the purchase that the card calls `number`, or nothing; cards differ in how they count."""
    answer, sw = channel.transmit(apdu.get_transaction_prove(number & 0xFFFF))
    return answer if sw == Sw.OK and len(answer) == _PROOF_BYTES else b""


def _select(channel: CardChannel, profile: CardProfile) -> PurseInfo:
    return parse_select(*channel.transmit(apdu.select_by_aid(profile.aid)))
