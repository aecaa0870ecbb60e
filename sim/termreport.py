"""What a term has cost (`sim.term`): a line for each million taps, and how the last million compares with the first.

Left out: where the numbers come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SHOWN_TAPS: Final = 1_000_000  # a line for each
# Making goes on beside the others; what they wait for it is a part of its own.
PARTS: Final = ("made", "waited", "accepted", "booked", "closed")
HEADER: Final = (
    "      taps  days"
    + "".join(f"{part:>14}" for part in PARTS)
    + "      disk  memory  making  (s and microseconds a tap; MiB; made beside the rest)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Some days in a row: what each part took, and what everything weighs at their end."""

    total: int  # taps, with those of the days before
    taps: int
    days: int
    seconds: Mapping[str, float]
    disk_bytes: int
    disk_added_bytes: int
    server_kib: int  # the most memory so far
    maker_kib: int

    def us_a_tap(self, part: str) -> float:
        """Microseconds."""
        return 1e6 * self.seconds[part] / max(self.taps, 1)

    @property
    def disk_a_tap(self) -> float:
        """Bytes."""
        return self.disk_added_bytes / max(self.taps, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A whole term, or as much of it as there was."""

    rows: list[Row]
    ready_s: float  # until cards and terminals were there
    whole_s: float

    @property
    def taps(self) -> int:
        """All taps."""
        return sum(row.taps for row in self.rows)

    @property
    def last(self) -> Row | None:
        """The last million, to be compared with the first; None without a second one. Less than half of one is none."""
        whole = [row for row in self.rows[1:] if row.taps >= SHOWN_TAPS / 2]
        return whole[-1] if whole else None


def line(row: Row) -> str:
    """One line of the report."""
    parts = "".join(f"{row.seconds[part]:8.1f}{row.us_a_tap(part):6.1f}" for part in PARTS)
    memory = f"{row.server_kib / 1024:8,.0f}{row.maker_kib / 1024:8,.0f}"
    return f"{row.total:10,}{row.days:6}{parts}{row.disk_bytes / 2**20:10,.0f}{memory}"


def summary_lines(summary: Summary) -> list[str]:
    """What it came to, and how it grew."""
    rows, taps = summary.rows, summary.taps
    if not rows:
        return ["no day was closed"]
    speed = f"{taps / summary.whole_s:,.0f} taps a second"
    memory = f"{rows[-1].server_kib / 1024:,.0f} MiB, and {rows[-1].maker_kib / 1024:,.0f} MiB where the taps are made"
    lines = [
        f"{taps:,} taps on {sum(row.days for row in rows)} days in {summary.whole_s:,.1f} s, {speed}",
        f"  {summary.ready_s:,.1f} s of them went before the first day, into cards and terminals",
        f"disk: {sum(row.disk_added_bytes for row in rows) / max(taps, 1):,.0f} bytes a tap; memory at most {memory}",
    ]
    if (last := summary.last) is None:
        return lines
    first, nth = rows[0], rows.index(last) + 1
    lines.append(f"growth from the 1st million to the {_ordinal(nth)}, in microseconds a tap:")
    lines += [f"  {part:<9}{_growth(first.us_a_tap(part), last.us_a_tap(part), 1)}" for part in PARTS]
    lines.append(f"  {'disk':<9}{_growth(first.disk_a_tap, last.disk_a_tap, 0)} (bytes a tap)")
    return lines


def row_json(row: Row) -> str:
    """The same as `line`, for scripts."""
    return json.dumps(_facts(row))


def summary_json(summary: Summary) -> str:
    """The same as `summary_lines`, for scripts."""
    growth: dict[str, float | None] = {}
    if (last := summary.last) is not None:
        first = summary.rows[0]
        growth = {part: _ratio(first.us_a_tap(part), last.us_a_tap(part)) for part in PARTS}
        growth["disk"] = _ratio(first.disk_a_tap, last.disk_a_tap)
    return json.dumps(
        {
            "taps": summary.taps,
            "days": sum(row.days for row in summary.rows),
            "ready_s": round(summary.ready_s, 3),
            "whole_s": round(summary.whole_s, 3),
            "growth": growth,
        }
    )


def _facts(row: Row) -> dict[str, object]:
    return {
        "total": row.total,
        "taps": row.taps,
        "days": row.days,
        "seconds": {part: round(row.seconds[part], 3) for part in PARTS},
        "us_a_tap": {part: round(row.us_a_tap(part), 2) for part in PARTS},
        "disk_bytes": row.disk_bytes,
        "disk_added_bytes": row.disk_added_bytes,
        "server_kib": row.server_kib,
        "maker_kib": row.maker_kib,
    }


def _growth(first: float, last: float, digits: int) -> str:
    ratio = _ratio(first, last)
    return f"{first:8,.{digits}f} -> {last:8,.{digits}f}" + ("" if ratio is None else f"   x {ratio:.2f}")


def _ratio(first: float, last: float) -> float | None:
    """How many times the first; None of (nearly) nothing."""
    return round(last / first, 3) if first >= 0.05 else None


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
