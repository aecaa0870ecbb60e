"""Taps a second that a stream takes in, signed and with true TACs, against bare commits and bare syncs.

One connection, one batch after the other. Left out: TLS, sessions, and the ledger, which follows behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.canteen import EPOCH, Canteen
from benchmarks.measure import BareFile, BareServer, scratch_folder, table, timed
from settlement.store.database import Database, migrate, open_writer
from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch
from wire.batch import decode_batch
from wire.ids import Stream, TerminalId
from wire.messages import Receipt
from wire.record import genesis_hash
from wire.signature import public_bytes

BATCH_TAPS: Final = 500
ROUNDS: Final = 40
_WARM_UP: Final = 2
_STREAM: Final = Stream.CANTEEN
_NOW_UTC_S: Final = 1_772_500_000
_BIG, _SMALL = TerminalId(bytes.fromhex("000000000101")), TerminalId(bytes.fromhex("000000000102"))


@dataclass(frozen=True, slots=True)
class IngestTimes:
    """Seconds of each round by what was done; `batch_taps` in a big batch."""

    batch_taps: int
    seconds: dict[str, list[float]]

    def a_second(self, name: str) -> float:
        """How often the median round could do this."""
        return 1 / median(self.seconds[name])


def measure(*, seed: int, folder: Path, rounds: int = ROUNDS, batch_taps: int = BATCH_TAPS) -> IngestTimes:
    """In each round a big batch, a batch of one tap, and every floor once."""
    big, small = Canteen(seed, terminal=_BIG), Canteen(seed + 1, terminal=_SMALL)
    work = list(zip(big.batches(_WARM_UP + rounds, batch_taps), small.batches(_WARM_UP + rounds, 1), strict=True))
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with scratch_folder(folder) as scratch:
        path = Path(scratch) / "canteen.db"
        migrate(path, "canteen")
        with (
            open_writer(path, "canteen") as db,
            closing(BareServer(Path(scratch) / "bare.db")) as bare,
            closing(BareFile(Path(scratch) / "bare")) as file,
        ):
            _enrol(db, big)
            _enrol(db, small)
            states = CodingStates()
            for number, ((_, many), (_, one)) in enumerate(work):
                jobs: dict[str, Callable[[], object]] = {
                    "accept": _accept(db, states, big, many.raw),
                    "group": partial(bare.commit, batch_taps),
                    "accept one": _accept(db, states, small, one.raw),
                    "commit one": partial(bare.commit, 1),
                    "append": file.append,
                }
                for name, job in jobs.items():
                    spent_s = timed(job)
                    if number >= _WARM_UP:
                        seconds[name].append(spent_s)
    return IngestTimes(batch_taps, dict(seconds))


def report(times: IngestTimes) -> str:
    """As a table, with ratios to the bare commit of as many rows."""
    taps = times.batch_taps
    group, single = taps * times.a_second("group"), times.a_second("commit one")
    rows = [("", "a second", "x floor")]
    for name, rate, floor in (
        (f"bytes to rows, batches of {taps}: taps", taps * times.a_second("accept"), group),
        (f"floor, group commits of {taps}: rows", group, group),
        ("bytes to rows, batches of 1: taps", times.a_second("accept one"), single),
        ("floor, commits of 1: rows", single, single),
        ("4 KiB append and fdatasync: appends", times.a_second("append"), single),
    ):
        rows.append((name, f"{rate:,.0f}", f"{rate / floor:.2f}"))
    return f"ingest: medians of {len(times.seconds['accept'])} rounds\n{table(rows)}"


def _accept(db: Database, states: CodingStates, canteen: Canteen, raw: bytes) -> Callable[[], None]:
    def accept() -> None:
        answer = accept_batch(
            db, decode_batch(raw), states=states, stream=_STREAM, keys=canteen.keys, now_utc_s=_NOW_UTC_S
        )
        assert isinstance(answer, Receipt), f"the batch was answered {answer}"
        assert answer.receipt.suspended == (), "every tap has a good TAC"

    return accept


def _enrol(db: Database, canteen: Canteen) -> None:
    store.add_terminal(
        db,
        terminal=canteen.terminal,
        epoch=EPOCH,
        public_key=public_bytes(canteen.signing_key),
        genesis=genesis_hash(canteen.terminal, EPOCH),
        now_utc_s=_NOW_UTC_S,
    )
