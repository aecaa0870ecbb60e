"""How the journal is shown to people and to programs: one line a tap, one tap with all its evidence. Pure.

Card numbers are masked everywhere. Left out: reading the journal (`terminal.journalcommand`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len

from wire.ids import mask_asn
from wire.money import format_fen
from wire.record import CAMPUS_ZONE, NO_TAC, Outcome, TapKind, TapRecord

KIND_WORDS: Final = {
    TapKind.SALE: "消费 sale",
    TapKind.REVERSAL: "撤销 undo",
    TapKind.REFUND: "退款 refund",
    TapKind.SIGN_ON: "签到 sign-on",
}
OUTCOME_WORDS: Final = {
    Outcome.DEBITED: "成功 DEBITED",
    Outcome.VOIDED: "未扣 VOIDED",
    Outcome.REFUSED: "拒绝 REFUSED",
    Outcome.UNKNOWN: "未知 UNKNOWN",
}
_OPEN: Final = "未完 OPEN"
_HEADINGS: Final = (
    "号 tap",
    "时间 time",
    "卡 card",
    "类型 kind",
    "结果 outcome",
    "金额 paid",
    "补贴 school",
    "应退 owed",
)
_RIGHT: Final = frozenset({0, 5, 6, 7})  # numbers end under each other
_BETWEEN: Final = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A tap with its place in the journal; `server` is what is known of it there, `chain_hash` None if it is open."""

    record: TapRecord
    chain_hash: bytes | None
    hash_before: bytes
    shift: int | None
    server: str

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet how it ended."""
        return self.chain_hash is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which taps are listed: all of what is set has to fit."""

    seqs: range | None = None
    since_utc_s: int | None = None
    card_suffix: str | None = None

    def fits(self, record: TapRecord) -> bool:
        """Whether the tap is one of them."""
        return (
            (self.seqs is None or record.tap_id.seq in self.seqs)
            and (self.since_utc_s is None or record.opened_at.utc_s >= self.since_utc_s)
            and (self.card_suffix is None or record.card.asn.hex().endswith(self.card_suffix))
        )


def parse_since(text: str) -> int:
    """UTC seconds of a day (its midnight) or a minute on the campus's clock, as in 2026-03-02T11:30; `ValueError`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CAMPUS_ZONE).timestamp())


def parse_suffix(text: str) -> str:
    """The last digits of a card's number, four at most: more would name the card; `ValueError`."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise ValueError("a card is found by the last digits of its number, four at most")
    return text


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = _RIGHT) -> list[str]:
    """Rows as lines with their columns under each other, by the width on the screen: a Chinese character takes two."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            room = " " * (width - cell_len(cell))
            cells.append(room + cell if place in right else cell + room)
        lines.append(_BETWEEN.join(cells).rstrip())
    return lines


def list_lines(records: Sequence[TapRecord], opened: TapRecord | None) -> list[str]:
    """The table for people, with its headings; the open tap last."""
    rows = [_HEADINGS, *(_row(record, _ended(record)) for record in records)]
    if opened is not None:
        rows.append(_row(opened, _OPEN))
    return columns(rows)


def show_lines(shown: Shown) -> list[str]:
    """One tap for people."""
    return columns([(name, str(value)) for name, value in evidence(shown).items() if value is not None], frozenset())


def evidence(shown: Shown) -> dict[str, str | int | None]:
    """One tap with everything that bears witness to it, for programs."""
    return {
        **listed(shown.record, is_open=shown.is_open),
        "shift": shown.shift,
        "balance_before_fen": shown.record.balance_before_fen,
        "counter": shown.record.counter,
        "ttsn": shown.record.ttsn,
        "mac2": shown.record.mac2.name,
        "tac": None if shown.record.tac == NO_TAC else shown.record.tac.hex(),
        "clock": shown.record.opened_at.quality.name,
        "boot": shown.record.opened_at.boot,
        "uptime_s": shown.record.opened_at.uptime_s,
        "hash_before": shown.hash_before.hex(),
        "hash": None if shown.chain_hash is None else shown.chain_hash.hex(),
        "server": shown.server,
    }


def listed(record: TapRecord, *, is_open: bool) -> dict[str, str | int | None]:
    """One tap as a line of JSON has it."""
    return {
        "tap": str(record.tap_id),
        "seq": record.tap_id.seq,
        "opened_at": record.opened_at.local().isoformat(),
        "card": mask_asn(record.card.asn),
        "kind": record.kind.name,
        "outcome": "OPEN" if is_open else record.outcome.name,
        "reason": None if record.reason is None else record.reason.name,
        "amount_fen": record.amount_fen,
        "subsidy_fen": record.subsidy_fen,
        "credit_fen": record.credit_fen,
        "refers_to": record.refers_to or None,
    }


def _row(record: TapRecord, ended: str) -> tuple[str, ...]:
    money = (record.amount_fen, record.subsidy_fen, record.credit_fen)
    kind = KIND_WORDS[record.kind] + (f" #{record.refers_to}" if record.refers_to else "")
    at = record.opened_at.local().strftime("%Y-%m-%d %H:%M:%S")
    sums = (format_fen(fen) if fen or not place else "" for place, fen in enumerate(money))
    return str(record.tap_id.seq), at, mask_asn(record.card.asn), kind, ended, *sums


def _ended(record: TapRecord) -> str:
    return OUTCOME_WORDS[record.outcome] + ("" if record.reason is None else f" {record.reason.name}")
