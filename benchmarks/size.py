"""Bytes a tap in a batch of 100, the frame's whole payload, beside other codings of the same records.

Left out: what TLS and TCP add around a frame.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Final

from benchmarks.canteen import TAPS_A_DAY, Canteen, floor_bits
from benchmarks.measure import table
from wire.batch import SettlementBatch, SignedBatch
from wire.directory import WINDOW_TAPS, CodingState
from wire.frame import encode_frame
from wire.messages import Upload
from wire.money import Fen, format_fen
from wire.record import TapRecord, next_hash
from wire.sms import UP_TAPS_MAX, pack_up

BATCH_TAPS: Final = 100
DAYS: Final = 5
ALLOWANCE_FEN: Final = 10_00  # a day and card; most first meals are wholly subsidised, second ones partly
SMS_TAPS: Final = 14
# The coding refers to what came before: from here on there is as much of it as there ever will be, or twice that.
SETTLED_TAPS: Final = WINDOW_TAPS + TAPS_A_DAY


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes a tap once the journal has a past: by coding, of the payload all but the rows, and the model's entropy.

    `largest` is the payload of the worst batch, `by_day` that of a journal's first days, `sms_taps` how many short
    messages took how many taps. `subsidised` is the payload where the school pays the first `ALLOWANCE_FEN` of a day,
    `subsidised_share` how many taps it then pays for.
    """

    taps: int
    by_coding: dict[str, float]
    envelope: float
    floor: float
    largest: float
    by_day: dict[int, float]
    sms_taps: Counter[int]
    subsidised: float
    subsidised_share: float

    @property
    def sms_share(self) -> float:
        """How many of all short messages took as many taps as one should."""
        return sum(count for taps, count in self.sms_taps.items() if taps >= SMS_TAPS) / self.sms_taps.total()


def measure(*, seed: int, days: int = DAYS, batch_taps: int = BATCH_TAPS, settled_taps: int = SETTLED_TAPS) -> Sizes:
    """Code a canteen in batches: first `settled_taps`, then the `days` that are measured."""
    canteen = Canteen(seed)
    batches = canteen.batches((settled_taps + days * TAPS_A_DAY) // batch_taps, batch_taps)
    by_day: Counter[int] = Counter()
    for batch, signed in islice(batches, settled_taps // batch_taps):
        by_day[1 + (batch.first_seq - 1) // TAPS_A_DAY] += len(signed.raw)
    state, head = canteen.state.copy(), canteen.head_hash
    measured = list(batches)
    taps = len(measured) * batch_taps

    def a_tap(sizes: list[int]) -> float:
        return sum(sizes) / taps

    subsidised, share = _subsidised(seed, days, batch_taps, settled_taps)
    texts = [_json(batch) for batch, _ in measured]
    return Sizes(
        taps=taps,
        by_coding={
            "JSON": a_tap([len(text) for text in texts]),
            "fixed canonical records": a_tap([len(r.to_bytes()) for batch, _ in measured for r in batch.records]),
            "JSON, zlib": a_tap([len(zlib.compress(text, 9)) for text in texts]),
            "this system, with its frame": a_tap([len(_frame(signed)) for _, signed in measured]),
            "this system, payload": a_tap([len(signed.raw) for _, signed in measured]),
        },
        envelope=a_tap([len(signed.raw) - len(signed.rows) for _, signed in measured]),
        floor=sum(floor_bits().values()) / 8,
        largest=max(len(signed.raw) for _, signed in measured) / batch_taps,
        by_day={day: by_day[day] / TAPS_A_DAY for day in (1, 2, 5, 10, 20) if day * TAPS_A_DAY <= settled_taps},
        sms_taps=_sms_taps(state, head, [record for batch, _ in measured for record in batch.records]),
        subsidised=subsidised,
        subsidised_share=share,
    )


def report(sizes: Sizes) -> str:
    """As a table, with the ratio to the floor."""
    rows = [("coding", "bytes a tap", "x floor")]
    listed = {**sizes.by_coding, "floor, entropy of the model": sizes.floor}
    rows += [(coding, f"{size:.1f}", f"{size / sizes.floor:.2f}") for coding, size in listed.items()]
    bits = ", ".join(f"{field} {bits:.1f}" for field, bits in floor_bits().items())
    days = ", ".join(f"day {day} {size:.1f}" for day, size in sizes.by_day.items())
    payload = sizes.by_coding["this system, payload"]
    return (
        f"bytes: {sizes.taps} taps in batches of {BATCH_TAPS}, of a journal with a past\n{table(rows)}\n"
        f"this system's payload: rows {payload - sizes.envelope:.2f}; signature, hash, totals {sizes.envelope:.2f}, "
        f"which the others lack; worst batch {sizes.largest:.2f}\n"
        f"a new journal's payload: {days}\n"
        f"with an allowance of {format_fen(Fen(ALLOWANCE_FEN))} a day: {sizes.subsidised:.2f}, "
        f"{sizes.subsidised_share:.0%} of the taps subsidised\n"
        f"floor in bits: {bits}\n"
        f"short messages: {sizes.sms_share:.1%} take {SMS_TAPS} taps or more, the median {_median(sizes.sms_taps)}"
    )


def _subsidised(seed: int, days: int, batch_taps: int, settled_taps: int) -> tuple[float, float]:
    """Bytes a tap of the same canteen with an allowance, and the share of taps that it pays for."""
    batches = Canteen(seed, allowance_fen=ALLOWANCE_FEN).batches(
        (settled_taps + days * TAPS_A_DAY) // batch_taps, batch_taps
    )
    measured = list(islice(batches, settled_taps // batch_taps, None))
    subsidies = [record.subsidy_fen for batch, _ in measured for record in batch.records]
    return sum(len(signed.raw) for _, signed in measured) / len(subsidies), sum(map(bool, subsidies)) / len(subsidies)


def _sms_taps(state: CodingState, head: bytes, records: list[TapRecord]) -> Counter[int]:
    """The records in one short message after the other; the last one, which nothing fills, left out."""
    taken: Counter[int] = Counter()
    at = 0
    while len(records) - at >= UP_TAPS_MAX:
        packed = pack_up(state, head, records[at : at + UP_TAPS_MAX]).count
        taken[packed] += 1
        for record in records[at : at + packed]:
            state.advance_canonical(record.to_bytes())
            head = next_hash(head, record.to_bytes())
        at += packed
    return taken


def _median(counts: Counter[int]) -> int:
    return sorted(counts.elements())[counts.total() // 2]


def _frame(signed: SignedBatch) -> bytes:
    return encode_frame(Upload.kind, Upload(signed).to_bytes())


def _json(batch: SettlementBatch) -> bytes:
    """As a service on the web would be sent it: the batch named once, every row's fields by their names."""
    body = {
        "terminal": batch.terminal.hex(),
        "epoch": batch.epoch,
        "issuer": batch.records[0].card.issuer.hex(),
        "first_seq": batch.first_seq,
        "total_before_fen": batch.total_before_fen,
        "taps": [_json_row(record) for record in batch.records],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _json_row(record: TapRecord) -> dict[str, str | int]:
    return {
        "card": record.card.asn.hex(),
        "amount_fen": record.amount_fen,
        "balance_fen": record.balance_before_fen,
        "counter": record.counter,
        "ttsn": record.ttsn,
        "tac": record.tac.hex(),
        "mac2": record.mac2,
        "outcome": record.outcome,
        "utc_s": record.opened_at.utc_s,
        "uptime_s": record.opened_at.uptime_s,
    }
