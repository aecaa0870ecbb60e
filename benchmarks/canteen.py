"""A canteen's counter as a model, so that what is measured has a known entropy: who comes, when, for which dish.

5,000 cards, 60 prices, 600 taps a day. Some cards and dishes are much more popular than others. Left out: taps that do
not end in a debit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import exp, log2
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.onecard.keys import FileKeyStore
from wire import pboc
from wire.batch import SettlementBatch, SignedBatch, sign_batch
from wire.directory import CodingState
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import (
    TAC_BYTES,
    ClockQuality,
    Mac2,
    Outcome,
    TapRecord,
    TapTime,
    genesis_hash,
)

CARDS: Final = 5_000
TAPS_A_DAY: Final = 600
ISSUER: Final = IssuerId(bytes.fromhex("1000000000000086"))
TERMINAL: Final = TerminalId(bytes.fromhex("000000000101"))
EPOCH: Final = 1

# Popularity falls with rank as 1 / (rank + offset): the few who eat every meal here, the dish of the day.
_CARD_WEIGHTS: Final = [1 / (rank + 45) for rank in range(CARDS)]
_PRICES_FEN: Final = range(3_00, 33_00, 50)
_PRICE_WEIGHTS: Final = [1 / (rank + 0.9) for rank in range(len(_PRICES_FEN))]
_CARD_SUMS: Final = list(accumulate(_CARD_WEIGHTS))
_PRICE_SUMS: Final = list(accumulate(_PRICE_WEIGHTS))

_BETWEEN_TAPS_S: Final = 18.0  # 600 taps in three meals of an hour
_PAID_ELSEWHERE: Final = 0.115  # that a card paid once more at another till since it was here
_LOW_FEN, _TOP_UP_FEN = 50_00, 200_00

_OPENED_UTC_S: Final = 1_772_424_000


@dataclass
class _Card:
    """A card as the next till finds it."""

    id: CardId
    tac_key: bytes
    balance_fen: int
    counter: int
    subsidised_on: int = -1
    subsidised_fen: int = 0


def floor_bits() -> dict[str, float]:
    """The entropy of one tap of this model, by field: what no lossless coding goes below on average."""
    elsewhere = _PAID_ELSEWHERE / (1 - _PAID_ELSEWHERE)
    price = _entropy(_PRICE_WEIGHTS)
    return {
        "time": _geometric_entropy(1 - exp(-1 / _BETWEEN_TAPS_S)),
        "card": _entropy(_CARD_WEIGHTS),
        "amount": price,
        "card counter": _geometric_entropy(1 - _PAID_ELSEWHERE),
        "balance": elsewhere * price,
        "TAC": 8.0 * TAC_BYTES,
    }


class Canteen:
    """One till's counter from its first tap on, the same for the same seed; `keys` knows its cards.

    Only the `cards` most popular ones come, numbered from `first_card` on. Every day the school pays `allowance_fen` of
    what a card buys here, before the card pays.
    """

    def __init__(
        self,
        seed: int,
        *,
        terminal: TerminalId = TERMINAL,
        keys: FileKeyStore | None = None,
        first_card: int = 0,
        cards: int = CARDS,
        allowance_fen: int = 0,
    ) -> None:
        self._allowance_fen = allowance_fen
        self._rng = Random(seed)
        self.terminal = terminal
        self.signing_key = Ed25519PrivateKey.from_private_bytes(self._rng.randbytes(32))
        masters = PurseKeys(*(self._rng.randbytes(pboc.KEY_BYTES) for _ in range(3)))
        self.keys = keys or FileKeyStore(masters, two_level=False)
        self._first_card = first_card
        self._card_sums = _CARD_SUMS[:cards]
        self._cards: dict[int, _Card] = {}
        self._uptime_s = 60.0
        self._seq = 0
        self.state = CodingState()
        self.head_hash, self._total_fen = genesis_hash(terminal, EPOCH), 0

    def batches(self, count: int, taps: int) -> Iterator[tuple[SettlementBatch, SignedBatch]]:
        """The next `count` batches of `taps` taps, as they are and signed."""
        for _ in range(count):
            batch = SettlementBatch(
                terminal=self.terminal,
                epoch=EPOCH,
                hash_before=self.head_hash,
                total_before_fen=self._total_fen,
                records=tuple(self._tap() for _ in range(taps)),
            )
            self.head_hash = batch.head_hash
            self._total_fen += batch.total_fen
            yield batch, sign_batch(batch, self.signing_key, self.state)

    def _tap(self) -> TapRecord:
        rng = self._rng
        self._seq += 1
        self._uptime_s += rng.expovariate(1 / _BETWEEN_TAPS_S)
        (number,) = rng.choices(range(len(self._card_sums)), cum_weights=self._card_sums)
        card = self._cards.get(number) or self._new_card(number)
        while rng.random() < _PAID_ELSEWHERE:
            self._debit(card, self._price())
        price_fen, balance_fen, counter = self._price(), card.balance_fen, card.counter
        subsidy_fen = self._subsidy(card, price_fen)
        amount_fen = Fen(price_fen - subsidy_fen)
        self._debit(card, amount_fen)
        opened_at = TapTime(
            utc_s=_OPENED_UTC_S + int(self._uptime_s),
            boot=1,
            uptime_s=int(self._uptime_s),
            quality=ClockQuality.NETWORK,
        )
        date, time = opened_at.card_date_time()
        tac = pboc.purchase_tac(
            tac_key=card.tac_key,
            amount_fen=amount_fen,
            terminal=self.terminal,
            ttsn=self._seq,
            date_time_bcd=date + time,
        )
        return TapRecord(
            tap_id=TapId(self.terminal, EPOCH, self._seq),
            outcome=Outcome.DEBITED,
            reason=None,
            mac2=Mac2.VERIFIED,
            card=card.id,
            amount_fen=amount_fen,
            subsidy_fen=subsidy_fen,
            balance_before_fen=Fen(balance_fen),
            counter=counter,
            ttsn=self._seq,
            tac=tac,
            opened_at=opened_at,
        )

    def _price(self) -> Fen:
        return Fen(self._rng.choices(_PRICES_FEN, cum_weights=_PRICE_SUMS)[0])

    def _subsidy(self, card: _Card, price_fen: Fen) -> Fen:
        """What the card's allowance of today has left of the price."""
        day = (self._seq - 1) // TAPS_A_DAY
        if card.subsidised_on != day:
            card.subsidised_on, card.subsidised_fen = day, 0
        subsidy_fen = min(price_fen, self._allowance_fen - card.subsidised_fen)
        card.subsidised_fen += subsidy_fen
        return Fen(subsidy_fen)

    def _debit(self, card: _Card, amount_fen: Fen) -> None:
        card.balance_fen -= amount_fen
        card.counter += 1
        if card.balance_fen < _LOW_FEN:
            card.balance_fen += _TOP_UP_FEN

    def _new_card(self, number: int) -> _Card:
        card = CardId(ISSUER, Asn(bytes.fromhex(f"{self._first_card + number:020d}")))
        balance_fen, counter = self._rng.randrange(_LOW_FEN, _LOW_FEN + _TOP_UP_FEN, 50), self._rng.randrange(1_000)
        made = _Card(card, pboc.tac_key(self.keys.card_keys(card).tac), balance_fen, counter)
        self._cards[number] = made
        return made


def _entropy(weights: list[float]) -> float:
    whole = sum(weights)
    return -sum(weight / whole * log2(weight / whole) for weight in weights)


def _geometric_entropy(end: float) -> float:
    """Of how often something happens that ends with probability `end` each time."""
    return -(end * log2(end) + (1 - end) * log2(1 - end)) / end
