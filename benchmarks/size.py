"""Bytes a tap in a batch of 100, the frame's whole payload, beside other codings of the same records.

Left out: what TLS and TCP add around a frame.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Final

from benchmarks.canteen import TAPS_A_DAY, Canteen, floor_bits
from benchmarks.measure import table
from wire.batch import SettlementBatch, SignedBatch
from wire.fields import varint
from wire.frame import encode_frame
from wire.ids import TERMINAL_ID_BYTES
from wire.messages import Upload
from wire.record import HASH_BYTES, TapRecord
from wire.signature import SIGNATURE_BYTES

BATCH_TAPS: Final = 100
DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes a tap: by coding, of the payload all but the rows, and the model's entropy."""

    taps: int
    by_coding: dict[str, float]
    envelope: float
    floor: float


def measure(*, seed: int, days: int = DAYS, batch_taps: int = BATCH_TAPS) -> Sizes:
    """Code `days` of a canteen in batches."""
    batches = list(Canteen(seed).batches(days * TAPS_A_DAY // batch_taps, batch_taps))
    taps = len(batches) * batch_taps

    def a_tap(sizes: list[int]) -> float:
        return sum(sizes) / taps

    uploads = [Upload(signed) for signed in batches]
    texts = [_json(signed.batch) for signed in batches]
    return Sizes(
        taps=taps,
        by_coding={
            "JSON": a_tap([len(text) for text in texts]),
            "fixed canonical records": a_tap([len(r.to_bytes()) for s in batches for r in s.batch.records]),
            "JSON, zlib": a_tap([len(zlib.compress(text, 9)) for text in texts]),
            "this system, with its frame": a_tap([len(encode_frame(u.kind, u.to_bytes())) for u in uploads]),
            "this system, payload": a_tap([len(upload.to_bytes()) for upload in uploads]),
        },
        envelope=a_tap([_envelope_bytes(signed) for signed in batches]),
        floor=sum(floor_bits().values()) / 8,
    )


def report(sizes: Sizes) -> str:
    """As a table, with the ratio to the floor."""
    rows = [("coding", "bytes a tap", "x floor")]
    listed = {**sizes.by_coding, "floor, entropy of the model": sizes.floor}
    rows += [(coding, f"{size:.1f}", f"{size / sizes.floor:.2f}") for coding, size in listed.items()]
    bits = ", ".join(f"{field} {bits:.1f}" for field, bits in floor_bits().items())
    return (
        f"bytes: {sizes.taps} taps in batches of {BATCH_TAPS}\n{table(rows)}\n"
        f"of this system's payload {sizes.envelope:.1f} are signature, two hashes and totals, which the others lack\n"
        f"floor in bits: {bits}"
    )


def _envelope_bytes(signed: SignedBatch) -> int:
    """All of a batch but its rows, as `wire/FORMAT.md` lays it out."""
    batch = signed.batch
    head = 1 + TERMINAL_ID_BYTES + 2 + 4 + 2 + 2 * HASH_BYTES
    return head + len(varint(batch.total_before_fen)) + len(varint(batch.total_fen)) + SIGNATURE_BYTES


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
