"""One row a record, in bits: what the coding state (`wire.directory`) does not foretell. Layout in `wire/FORMAT.md`.

Rows go both ways without a loss for every canonical record; what is ordinary costs little, anything else costs more.
Left out: who vouches for the rows (`wire.batch`, `wire.sms`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wire.bits import BitReader, each_bit_first, fixed, golomb
from wire.directory import PRICES_MAX, RANKED_TAPS, CodingState
from wire.fields import FormatError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, TerminalId
from wire.record import (
    NO_TAC,
    RECORD_VERSION,
    TAC_BYTES,
    Mac2,
    Outcome,
    TapKind,
    TapRecord,
    TapTime,
    chain_hashes,
    read_mac2,
    read_outcome,
    read_reason,
)

PACE_MAX: Final = 16  # low bits of a time between two taps; from 1, so that four bits tell it
_RUN_MAX: Final = 12  # ones before the low bits; as many say that the time follows whole
_LONG_BITS: Final = 18  # three days
_PRICE_ORDER: Final = 2
_PRICE_RUN_MAX: Final = 6  # as many ones say that the amount follows
_AMOUNT_ORDER: Final = 10
_CARD_ORDER: Final = 11
_CARD_BITS: Final = 40
_BALANCE_ORDER: Final = 13
_COUNTER_ORDER: Final = 8
_BACK_ORDER: Final = 4  # most sales are taken back at once
_SALE, _DEBITED, _VERIFIED = int(TapKind.SALE), int(Outcome.DEBITED), int(Mac2.VERIFIED)
_WITH_REASON: Final = (Outcome.VOIDED, Outcome.REFUSED)
_PACK: Final = struct.Struct(">B6sHIBBBB18sIIIIHIIIIIIB").pack  # a record (`wire.record.LAYOUT`), its TAC as a number
_PACK_USUAL: Final = struct.Struct(">9sI4s18sI8xIHI4s4xIIIB").pack  # the same with what usual ones share in one piece
_USUAL_ENDS: Final = bytes((_SALE, _DEBITED, 0, _VERIFIED))
_CARD_ID_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES
_U16: Final = 0xFFFF
_U32: Final = 0xFFFF_FFFF

_ELSEWHERE, _NEW, _SUBSIDISED, _ODD = "10", "110", "1110", "1111"


_WORD_BITS: Final = 64
_NOT_FORETOLD: Final = 1 << _WORD_BITS - 1  # a row's first bit
_TAC_BITS: Final = 8 * TAC_BYTES
_READ_WORD: Final = struct.Struct(">Q").unpack_from
# How many ones lead so many bits; how often a card paid elsewhere is told with as many at most, too.
_RUN_OF: Final = [run for run in range(_RUN_MAX) for _ in range(1 << _RUN_MAX - run - 1)] + [_RUN_MAX]
_RUN_MASK: Final = len(_RUN_OF) - 1
_PRICE_BITS: Final = 2 * _PRICE_RUN_MAX - 1 + _PRICE_ORDER  # of the longest code for a rank


def _price_codes() -> list[tuple[int, int]]:
    """By its first `_PRICE_BITS` bits: the rank and how many bits tell it; or a rank that there is not."""
    codes = [(PRICES_MAX, 0)] * (1 << _PRICE_BITS)
    for rank in range(PRICES_MAX):
        code = golomb(rank, _PRICE_ORDER)
        first, alike = int(code.ljust(_PRICE_BITS, "0"), 2), 1 << _PRICE_BITS - len(code)
        codes[first : first + alike] = [(rank, len(code))] * alike
    return codes


_PRICE_OF: Final = _price_codes()
_PRICE_MASK: Final = len(_PRICE_OF) - 1


@dataclass(frozen=True, slots=True)
class Links:
    """Consecutive records as their canonical bytes, and the chain's hash after each."""

    canonicals: list[bytes]
    chain_hashes: list[bytes]

    @property
    def records(self) -> list[TapRecord]:
        """What they say."""
        return [TapRecord.from_bytes(canonical) for canonical in self.canonicals]


def best_pace(state: CodingState, records: Sequence[TapRecord], pace_max: int = PACE_MAX) -> int:
    """The number of low bits that makes these records' times shortest."""
    times = [state.uptime_s, *(record.opened_at.uptime_s for record in records)]
    gaps = [after - before for before, after in pairwise(times) if after >= before]

    def cost(pace: int) -> int:
        return sum(min((gap >> pace) + 1 + pace, _RUN_MAX + _LONG_BITS) for gap in gaps)

    return min(range(1, pace_max + 1), key=cost)


def encode_row(state: CodingState, record: TapRecord, pace: int) -> str:
    """A record's row, with the state before it; the state then goes on to the next record."""
    at = record.opened_at
    card = record.card.to_bytes()
    index = state.index.get(card, -1)
    known = index >= 0
    balance_fen = int(record.balance_before_fen)
    foretold = known and (state.balances[index], state.counters[index]) == (balance_fen, record.counter)
    when = _time(state, at, pace)
    usual = (
        when is not None
        and record.kind is TapKind.SALE
        and record.outcome is Outcome.DEBITED
        and record.mac2 is Mac2.VERIFIED
        and record.ttsn == state.ttsn + 1
    )
    if usual and (not known or foretold or record.counter >= state.counters[index]):
        assert when is not None
        if foretold:
            row = "0" + _known(state, index)
        elif known:
            row = _ELSEWHERE + _known(state, index) + _elsewhere(state, index, record)
        else:
            row = (
                _NEW + _new(state, card) + golomb(balance_fen, _BALANCE_ORDER) + golomb(record.counter, _COUNTER_ORDER)
            )
        row += when + _amount(state, record.price_fen)
        if record.subsidy_fen:
            row = _SUBSIDISED + row + _subsidy(state, record)
        row += fixed(int.from_bytes(record.tac, "big"), 32)
    else:
        row = _ODD + _odd(state, record, index, foretold=foretold, when=when)
    state.advance(
        record.outcome, card, index, record.amount_fen, record.subsidy_fen, balance_fen, record.counter, record.ttsn,
        at.utc_s, at.boot, at.uptime_s, at.quality,
    )  # fmt: skip
    return row


def _known(state: CodingState, index: int) -> str:
    """Truncated binary: the cards that came first have the shorter numbers."""
    size = len(state.cards)
    width = size.bit_length() - 1
    short = (2 << width) - size
    if index >= short:
        return fixed(index + short, width + 1)
    return fixed(index, width) if width else ""


def card_after(last: bytes | None, card: bytes) -> str:
    """A card as a distance from another of its issuer, in decimal digits of the ASN; or whole."""
    if last is not None and card[:ISSUER_ID_BYTES] == last[:ISSUER_ID_BYTES]:
        this_asn, last_asn = card[ISSUER_ID_BYTES:].hex(), last[ISSUER_ID_BYTES:].hex()
        if this_asn.isdecimal() and last_asn.isdecimal():
            distance = int(this_asn) - int(last_asn)
            number = distance << 1 if distance >= 0 else (-distance << 1) - 1
            if not number >> _CARD_BITS:
                return "0" + golomb(number, _CARD_ORDER)
    return "1" + fixed(int.from_bytes(card, "big"), 8 * _CARD_ID_BYTES)


def read_card_after(last: bytes | None, reader: BitReader) -> bytes:
    """The inverse of `card_after`."""
    if reader.fixed(1):
        return reader.fixed(8 * _CARD_ID_BYTES).to_bytes(_CARD_ID_BYTES, "big")
    number = reader.golomb(_CARD_ORDER, _CARD_BITS)
    last_asn = "" if last is None else last[ISSUER_ID_BYTES:].hex()
    if last is None or not last_asn.isdecimal():
        raise FormatError("a card is told by its distance from none")
    asn = int(last_asn) + (number >> 1 ^ -(number & 1))
    if not 0 <= asn < 100**ASN_BYTES:
        raise FormatError("a card's serial number is out of bounds")
    return last[:ISSUER_ID_BYTES] + bytes.fromhex(f"{asn:0{2 * ASN_BYTES}d}")


def _new(state: CodingState, card: bytes) -> str:
    return card_after(state.cards[-1] if state.cards else None, card)


def _elsewhere(state: CodingState, index: int, record: TapRecord) -> str:
    """How often the card paid elsewhere, and how much in all; less than nothing if it was loaded with more."""
    spent_fen = state.balances[index] - record.balance_before_fen
    return golomb(record.counter - state.counters[index], 0) + str(int(spent_fen < 0)) + _amount(state, abs(spent_fen))


def _amount(state: CodingState, amount_fen: int) -> str:
    rank = state.ranks.get(amount_fen)
    return golomb(rank, _PRICE_ORDER) if rank is not None else "1" * _PRICE_RUN_MAX + golomb(amount_fen, _AMOUNT_ORDER)


def _subsidy(state: CodingState, record: TapRecord) -> str:
    """What the school pays of the price: all of it, or how much."""
    return "0" if not record.amount_fen else "1" + _amount(state, record.subsidy_fen)


def _time(state: CodingState, at: TapTime, pace: int) -> str | None:
    """The time since the last tap; None if boot or quality are others, or a clock was set."""
    gap_s = at.uptime_s - state.uptime_s
    if (at.boot, at.quality, at.utc_s - at.uptime_s) != (state.boot, state.quality, state.offset_s):
        return None
    if not 0 <= gap_s < 1 << _LONG_BITS:
        return None
    if (run := gap_s >> pace) < _RUN_MAX:
        return "1" * run + "0" + fixed(gap_s & (1 << pace) - 1, pace)
    return "1" * _RUN_MAX + fixed(gap_s, _LONG_BITS)


def _odd(state: CodingState, record: TapRecord, index: int, *, foretold: bool, when: str | None) -> str:
    at = record.opened_at
    parts = [fixed(record.outcome - 1, 2), fixed(record.mac2, 2)]
    if record.reason is not None:
        parts.append(fixed(record.reason, 8))
    parts += ["0" + _known(state, index) if index >= 0 else "1" + _new(state, record.card.to_bytes())]
    if foretold:
        parts.append("0")
    elif record.balance_before_fen == record.counter == 0:
        parts.append("10")
    else:
        parts += ["11", golomb(record.balance_before_fen, _BALANCE_ORDER), golomb(record.counter, _COUNTER_ORDER)]
    parts += _odd_kind(state, record)
    if record.ttsn == state.ttsn + 1:
        parts.append("0")
    else:
        parts.append("11" + fixed(record.ttsn, 32) if record.ttsn else "10")
    parts.append("0" if record.tac == NO_TAC else "1" + fixed(int.from_bytes(record.tac, "big"), 32))
    if when is not None:
        parts.append("0" + when)
    else:
        parts.append("1" + fixed(at.boot, 32) + fixed(at.uptime_s, 32) + fixed(at.utc_s, 32) + fixed(at.quality, 2))
    return "".join(parts)


def _odd_kind(state: CodingState, record: TapRecord) -> list[str]:
    if record.kind is TapKind.SALE and not record.subsidy_fen:
        return ["0", _amount(state, record.amount_fen)]
    amounts = (record.price_fen, record.subsidy_fen, record.credit_fen)
    back = record.tap_id.seq - record.refers_to if record.refers_to else 0
    return ["1", fixed(record.kind - 1, 2), *(_amount(state, fen) for fen in amounts), golomb(back, _BACK_ORDER)]


def read_rows(
    state: CodingState, data: bytes, count: int, hash_before: bytes, *, terminal: TerminalId, epoch: int, pace: int
) -> Links:
    """`count` records from rows that end in the last byte; takes the state on, also before a `FormatError`."""
    rows = _RowReader(state, data, terminal=terminal, epoch=epoch, pace=pace)
    canonicals: list[bytes] = []
    while len(canonicals) < count:
        canonicals += rows.usual(count - len(canonicals))
        if len(canonicals) < count:
            canonicals.append(rows.next())
    rows.finish()
    return Links(canonicals, chain_hashes(hash_before, canonicals))


class _RowReader:
    """Reads rows one after the other, and takes the state on with each."""

    def __init__(self, state: CodingState, data: bytes, *, terminal: TerminalId, epoch: int, pace: int) -> None:
        self._state = state
        self._reader = BitReader(data)
        self._words = each_bit_first(data)
        self._terminal = terminal
        self._epoch = epoch
        self._pace = pace

    def finish(self) -> None:
        """Raise `FormatError` unless the last row ended in the last byte."""
        self._reader.finish()

    def usual(self, taps_max: int) -> list[bytes]:
        """The canonical records of up to so many rows, as long as they are of known cards and prices.

        Nearly all taps are: what `next` would do with them stands here in one piece, which takes a third of the time.
        Any other row, also one that is wrong, is left to `next`.
        """
        canonicals: list[bytes] = []
        if not (taps := self._usual_max(taps_max)):
            return canonicals
        state, pace, words, size, at = self._state, self._pace, self._words, self._reader.size, self._reader.at
        cards, balances, counters, prices = state.cards, state.balances, state.counters, state.prices
        boot, offset_s, quality, now_s = state.boot, state.offset_s, state.quality, state.uptime_s
        fresh = state.fresh
        paid_fen: list[int] = []
        stale_fen: list[int] = []
        prefix = bytes((RECORD_VERSION,)) + self._terminal + self._epoch.to_bytes(2, "big")
        width = len(cards).bit_length() - 1
        short, behind_card, pace_mask = (2 << width) - len(cards), _WORD_BITS - 1 - width, (1 << pace) - 1
        first, to_serial = state.seq, state.ttsn + 1 - state.seq
        seq, stop_seq = first, first + taps
        while seq < stop_seq:
            (word,) = _READ_WORD(words[at & 7], at >> 3)
            # `left` bits of the word are not read yet, and end in front of the rows' bit `stop`.
            left, stop, spent_fen = behind_card, at + _WORD_BITS, 0
            if word < _NOT_FORETOLD:
                index = word >> left
                if index >= short:
                    left -= 1
                    index = (word >> left) - short
                balance_fen, counter = balances[index], counters[index]
            elif (elsewhere := self._usual_elsewhere(word ^ _NOT_FORETOLD, behind_card - 1, short)) is not None:
                left, index, balance_fen, counter, spent_fen = elsewhere
                begin = stop - left
                (word,) = _READ_WORD(words[begin & 7], begin >> 3)
                left, stop = _WORD_BITS, begin + _WORD_BITS
            else:
                break
            run = _RUN_OF[word >> left - _RUN_MAX & _RUN_MASK]
            left -= run + 1 + pace
            if run == _RUN_MAX:
                break
            rank, bits = _PRICE_OF[word >> left - _PRICE_BITS & _PRICE_MASK]
            tac_at = stop - left + bits
            if rank >= len(prices) or tac_at + _TAC_BITS > size:
                break
            now_s += (run << pace) + (word >> left & pace_mask)
            amount_fen, at = prices[rank], tac_at + _TAC_BITS
            canonicals.append(_PACK_USUAL(
                prefix, seq, _USUAL_ENDS, cards[index], amount_fen, balance_fen, counter, seq + to_serial,
                words[tac_at & 7][tac_at >> 3 : (tac_at >> 3) + TAC_BYTES], now_s + offset_s, boot, now_s, quality,
            ))  # fmt: skip
            balances[index], counters[index] = (balance_fen - amount_fen) & _U32, (counter + 1) & _U16
            if spent_fen:
                (paid_fen if index in fresh else stale_fen).append(spent_fen)
            fresh[index] = None
            paid_fen.append(amount_fen)
            seq += 1
        self._reader.at = at
        state.advance_run(seq - first, now_s, paid_fen, stale_fen)
        return canonicals

    def _usual_max(self, taps_max: int) -> int:
        """How many rows can be usual ones, up to the next ranking of prices: what comes of that is `next`'s matter.

        None if a card's number has no bits, or if time or serial number come near their bounds.
        """
        state = self._state
        taps = min(taps_max, RANKED_TAPS - 1 - state.seq % RANKED_TAPS)
        latest_s = state.uptime_s + (taps * _RUN_MAX << self._pace)
        if len(state.cards) < 2 or (latest_s | latest_s + state.offset_s | state.ttsn + taps) >> 32:
            return 0
        return taps

    def _usual_elsewhere(self, word: int, left: int, short: int) -> tuple[int, int, int, int, int] | None:
        """What a card did elsewhere: the bits that are left of the word, the card, its balance and counter, the price.

        The row's first bit was taken out of the word; `left` bits are behind a card of the shorter numbers. None: see
        `next`.
        """
        state = self._state
        index = word >> left
        if index >= short:
            left -= 1
            index = (word >> left) - short
        run = _RUN_OF[word >> left - _RUN_MAX & _RUN_MASK]
        left -= 2 * run + 2  # behind as many bits as there are ones, and the one that tells of a load
        rank, bits = _PRICE_OF[word >> left - _PRICE_BITS & _PRICE_MASK]
        if index >= len(state.cards) or run == _RUN_MAX or rank >= len(state.prices):
            return None
        counter = state.counters[index] + (1 << run) - 1 + (word >> left + 1 & (1 << run) - 1)
        loaded, spent_fen = word >> left & 1, state.prices[rank]
        balance_fen = state.balances[index] + (spent_fen if loaded else -spent_fen)
        if counter > _U16 or not 0 <= balance_fen <= _U32 or loaded > spent_fen:
            return None
        return left - bits, index, balance_fen, counter, spent_fen

    def next(self) -> bytes:
        """The next record's canonical bytes; `FormatError` where a field leaves its bounds."""
        state, reader = self._state, self._reader
        bits, at = reader.bits, reader.at
        subsidised = False
        if bits.startswith(_SUBSIDISED, at):
            subsidised = True
            at += len(_SUBSIDISED)
        if bits[at] == "0":
            reader.at = at + 1
            index = self._known()
            card, balance_fen, counter = state.cards[index], state.balances[index], state.counters[index]
        elif bits[at + 1] == "0":
            reader.at = at + 2
            index = self._known()
            card = state.cards[index]
            counter = _within(state.counters[index] + reader.golomb(0, 16), _U16)
            loaded = reader.fixed(1)
            spent_fen = self._amount()
            if loaded and not spent_fen:
                raise FormatError("a row tells of a load of nothing")
            balance_fen = _within(state.balances[index] + (spent_fen if loaded else -spent_fen), _U32)
        elif bits[at + 2] == "0":
            reader.at = at + 3
            index, card = -1, self._new()
            balance_fen, counter = reader.golomb(_BALANCE_ORDER, 32), reader.golomb(_COUNTER_ORDER, 16)
        elif subsidised:
            raise FormatError("an odd row has its subsidy within")
        else:
            reader.at = at + 4
            return self._odd()
        uptime_s = state.uptime_s + self._gap()
        utc_s = uptime_s + state.offset_s
        amount_fen, subsidy_fen = self._amount(), 0
        if subsidised:
            subsidy_fen = self._amount() if reader.fixed(1) else amount_fen
            amount_fen = _within(amount_fen - subsidy_fen, amount_fen)
        at = reader.at
        reader.at = stop = at + 32
        ttsn = state.ttsn + 1
        if stop > reader.size or (uptime_s | utc_s | ttsn) >> 32:
            raise FormatError("a row is cut short, or its time or serial number is out of bounds")
        return self._record(
            TapKind.SALE, Outcome.DEBITED, 0, Mac2.VERIFIED, card, index, amount_fen, subsidy_fen, 0, balance_fen,
            counter, ttsn, int(bits[at:stop], 2), 0, utc_s, state.boot, uptime_s, state.quality,
        )  # fmt: skip

    def _known(self) -> int:
        reader, size = self._reader, len(self._state.cards)
        if not size:
            raise FormatError("a row names a card by its number before any is known")
        width = size.bit_length() - 1
        short = (2 << width) - size
        at = reader.at
        stop = reader.at = at + width
        index = int(reader.bits[at:stop], 2) if width else 0
        if index >= short:
            reader.at = stop + 1
            index = (index << 1 | (reader.bits[stop] == "1")) - short
        return index

    def _new(self) -> bytes:
        cards = self._state.cards
        card = read_card_after(cards[-1] if cards else None, self._reader)
        if card in self._state.index:
            raise FormatError("a row tells a card as new that is known")
        return card

    def _gap(self) -> int:
        reader, pace = self._reader, self._pace
        at = reader.at
        stop = reader.bits.find("0", at, at + _RUN_MAX)
        if stop < 0:
            reader.at = at + _RUN_MAX
            return reader.fixed(_LONG_BITS)
        stop += 1
        end = reader.at = stop + pace
        return (stop - 1 - at << pace) + int(reader.bits[stop:end], 2)

    def _amount(self) -> int:
        reader = self._reader
        at = reader.at
        stop = reader.bits.find("0", at, at + _PRICE_RUN_MAX)
        if stop < 0:
            reader.at = at + _PRICE_RUN_MAX
            return reader.golomb(_AMOUNT_ORDER, 32)
        group = stop - at
        end = reader.at = stop + 1 + _PRICE_ORDER + group
        rank = ((1 << group) - 1 << _PRICE_ORDER) + int(reader.bits[stop + 1 : end], 2)
        if rank >= len(self._state.prices):
            raise FormatError("a row names a price by its rank that is not known")
        return self._state.prices[rank]

    def _odd(self) -> bytes:
        state, reader = self._state, self._reader
        outcome, mac2 = read_outcome(reader.fixed(2) + 1), read_mac2(reader.fixed(2))
        reason = read_reason(outcome, reader.fixed(8) if outcome in _WITH_REASON else 0)
        if reader.fixed(1):
            index, card = -1, self._new()
        else:
            index = self._known()
            card = state.cards[index]
        balance_fen = counter = 0
        if not reader.fixed(1):
            if index < 0:
                raise FormatError("a row expects a balance of a card that is new")
            balance_fen, counter = state.balances[index], state.counters[index]
        elif reader.fixed(1):
            balance_fen, counter = reader.golomb(_BALANCE_ORDER, 32), reader.golomb(_COUNTER_ORDER, 16)
        kind, amount_fen, subsidy_fen, credit_fen, refers_to = self._odd_kind()
        ttsn = state.ttsn + 1
        if reader.fixed(1):
            ttsn = reader.fixed(32) if reader.fixed(1) else 0
        tac = reader.fixed(32) if reader.fixed(1) else 0
        if reader.fixed(1):
            boot, uptime_s, utc_s, quality = (reader.fixed(width) for width in (32, 32, 32, 2))
        else:
            boot, uptime_s, quality = state.boot, state.uptime_s + self._gap(), state.quality
            utc_s = uptime_s + state.offset_s
        if (uptime_s | utc_s | ttsn) >> 32:
            raise FormatError("a row's time or serial number is out of bounds")
        return self._record(
            kind, outcome, reason or 0, mac2, card, index, amount_fen, subsidy_fen, credit_fen, balance_fen, counter,
            ttsn, tac, refers_to, utc_s, boot, uptime_s, quality,
        )  # fmt: skip

    def _odd_kind(self) -> tuple[TapKind, int, int, int, int]:
        """Kind, amount, subsidy, credit and the number that the record refers to."""
        reader = self._reader
        if not reader.fixed(1):
            return TapKind.SALE, self._amount(), 0, 0, 0
        kind = TapKind(reader.fixed(2) + 1)
        price_fen, subsidy_fen, credit_fen = self._amount(), self._amount(), self._amount()
        back = reader.golomb(_BACK_ORDER, 32)
        refers_to = _within(self._state.seq - back, self._state.seq) if back else 0
        return kind, _within(price_fen - subsidy_fen, price_fen), subsidy_fen, credit_fen, refers_to

    def _record(
        self,
        kind: TapKind,
        outcome: Outcome,
        reason: int,
        mac2: Mac2,
        card: bytes,
        index: int,
        amount_fen: int,
        subsidy_fen: int,
        credit_fen: int,
        balance_fen: int,
        counter: int,
        ttsn: int,
        tac: int,
        refers_to: int,
        utc_s: int,
        boot: int,
        uptime_s: int,
        quality: int,
    ) -> bytes:
        state = self._state
        if self._reader.at > self._reader.size:
            raise FormatError("the rows are cut short")
        canonical = _PACK(
            RECORD_VERSION, self._terminal, self._epoch, state.seq, kind, outcome, reason, mac2, card, amount_fen,
            subsidy_fen, credit_fen, balance_fen, counter, ttsn, tac, refers_to, utc_s, boot, uptime_s, quality,
        )  # fmt: skip
        if kind is not TapKind.SALE or credit_fen or refers_to:
            TapRecord.from_bytes(canonical)  # raises what cannot be
        state.advance(
            outcome, card, index, amount_fen, subsidy_fen, balance_fen, counter, ttsn, utc_s, boot, uptime_s, quality
        )
        return canonical


def _within(value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise FormatError("a row takes a balance or a counter out of its bounds")
    return value
