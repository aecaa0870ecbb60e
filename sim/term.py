"""A term's worth of one campus through the server: 30,000 students at 120 terminals, day by day, each day closed.

The taps (`sim.termtaps`) come as signed batches through the streams' own intake, and are booked and closed by the
ledger's own keeper, all in this process; another makes the next day meanwhile. Left out: tills, links and TLS.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Final

from settlement.__main__ import main as settlement
from settlement.commands.common import read_settings
from settlement.commands.processes import ledger_keeper
from settlement.ledger.keeper import Keeper, Turn
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, open_writer
from settlement.store.router import LEDGER, ONECARD
from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch
from sim.campus import HomeUnusable
from sim.termreport import HEADER, PARTS, SHOWN_TAPS, Row, Summary, line, row_json, summary_json, summary_lines
from sim.termtaps import (
    DAY_S,
    EPOCH,
    FIRST_DAY_UTC_S,
    OPENING_FEN,
    TAPS_A_STUDENT_MAX,
    TERMINALS,
    MakerProcess,
    Plan,
    issuer_keys,
)
from wire.batch import decode_batch
from wire.errors import CampusError
from wire.ids import Stream
from wire.messages import Receipt
from wire.signature import public_bytes

_SHUT_S: Final = 22 * 3600
_GROUP_BATCHES: Final = 16  # about what a gateway's writer commits together


class TermStopped(CampusError):
    """The server did not take a batch, or did not close a day."""

    code = "term-stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayDone:
    """A day that is closed, and the seconds that its parts took."""

    taps: int
    seconds: dict[str, float]
    maker_kib: int


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    plan = Plan(seed=1, taps=SHOWN_TAPS)
    parser = commands.add_parser(
        "term",
        help="load a term of one campus into a new server, and close its days",
        description=f"Makes the taps of {plan.students:,} students at {sum(TERMINALS.values())} terminals, signs them"
        f" in batches, takes them in,\nbooks them and closes each of {plan.days} days. A line for each million taps"
        " tells what it took, and the end\nhow the last million compares with the first. The same seed makes the same"
        " data.\n\n"
        "Exit status: 0 every day is closed, 2 wrong usage, or it could not go on, 130 interrupted.",
        epilog="examples:\n"
        "  campus-sim term --home ./term --taps 10000000 --seed 7\n"
        "  campus-sim term --home ./term --taps 200000 --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", type=Path, required=True, help="the folder of a new server")
    parser.add_argument("--taps", type=_count, default=plan.taps, help=f"how many in all (default: {plan.taps:,})")
    parser.add_argument("--seed", type=int, default=plan.seed, help=f"what it is drawn from (default: {plan.seed})")
    parser.add_argument(
        "--json", action="store_true", help="for scripts: a line of JSON for each million, and one for all"
    )


def _count(text: str) -> int:
    most = Plan(seed=0, taps=0).students * TAPS_A_STUDENT_MAX
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"a term has 1 to {most:,} taps, not {text!r}")
    return int(text)


def run(
    home: Home,
    plan: Plan,
    *,
    clock: Callable[[], float],
    say: Callable[[str], None],
    progress: Callable[[str], None],
    as_json: bool,
) -> None:
    """Load the term into a new home. Whatever ends it early, the lines so far are said, and what they came to."""
    began_s = ready_at_s = clock()
    progress("making cards and terminals")
    make_home(home, plan)
    tally = _Tally(home)

    def say_row() -> None:
        row = tally.row()
        say(row_json(row) if as_json else line(row))

    if not as_json:
        say(HEADER)
    try:
        with loading(home, plan, clock=clock) as days:
            ready_at_s = clock()
            tally.begin()
            for number, day in enumerate(days, 1):
                tally.add(day)
                progress(f"day {number} of {plan.days}, {tally.total:,} taps of {plan.taps:,}")
                if tally.total // SHOWN_TAPS > (tally.total - day.taps) // SHOWN_TAPS:
                    say_row()
    finally:
        if tally.days:
            say_row()
        summary = Summary(rows=tally.rows, ready_s=ready_at_s - began_s, whole_s=clock() - began_s)
        for words in [summary_json(summary)] if as_json else summary_lines(summary):
            say(words)


def make_home(home: Home, plan: Plan) -> None:
    """A server's folder, as `campus-settlement init` makes it, with the issuer's keys of this term.

    Raises `HomeUnusable` unless there was nothing before.
    """
    try:
        if home.root.exists() and (there := sorted(path.name for path in home.root.iterdir())):
            raise HomeUnusable(
                f"{home.root} is not empty ({', '.join(there[:3])}); a term needs a new folder: name another --home"
            )
        plan.make_issuer_keys(home)
    except OSError as error:
        raise HomeUnusable(f"{home.root} cannot be used: {error.strerror}") from error
    with redirect_stdout(StringIO()):
        if settlement(["init", "--home", str(home.root)]):
            raise HomeUnusable(f"{home.root} cannot be made a server's folder; the line above says why")


@contextmanager
def loading(home: Home, plan: Plan, *, clock: Callable[[], float]) -> Iterator[Iterator[DayDone]]:
    """A server with the term's cards and terminals; every day that is asked for is taken in, booked and closed."""
    with ExitStack() as stack:
        maker = stack.enter_context(MakerProcess(plan, home, clock=clock))
        server = _Server(home, plan, stack)
        yield (_pass_day(maker, server, FIRST_DAY_UTC_S + day * DAY_S, clock) for day in range(plan.days))


def _pass_day(maker: MakerProcess, server: _Server, midnight_utc_s: int, clock: Callable[[], float]) -> DayDone:
    times_s = [clock()]
    made = maker.next_day()
    times_s.append(clock())
    server.accept(made.batches, now_utc_s=midnight_utc_s + _SHUT_S)
    times_s.append(clock())
    server.book(now_utc_s=midnight_utc_s + _SHUT_S)
    times_s.append(clock())
    server.close(now_utc_s=midnight_utc_s + 2 * DAY_S - 1)
    times_s.append(clock())
    spent_s = [made.seconds, *(after - before for before, after in pairwise(times_s))]
    return DayDone(taps=made.taps, seconds=dict(zip(PARTS, spent_s, strict=True)), maker_kib=made.peak_kib)


class _Tally:
    """The days since the last line, and the lines."""

    def __init__(self, home: Home) -> None:
        self.rows: list[Row] = []
        self.days: list[DayDone] = []
        self.total = 0
        self._home = home
        self._disk_bytes = 0

    def begin(self) -> None:
        """What the disk holds now is not of the taps."""
        self._disk_bytes = self._disk()

    def add(self, day: DayDone) -> None:
        """One more."""
        self.days.append(day)
        self.total += day.taps

    def row(self) -> Row:
        """The line of these days; the next one begins after them."""
        days, self.days = self.days, []
        before_bytes, self._disk_bytes = self._disk_bytes, self._disk()
        self.rows.append(
            Row(
                total=self.total,
                taps=sum(day.taps for day in days),
                days=len(days),
                seconds={part: sum(day.seconds[part] for day in days) for part in PARTS},
                disk_bytes=self._disk_bytes,
                disk_added_bytes=self._disk_bytes - before_bytes,
                server_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                maker_kib=days[-1].maker_kib,
            )
        )
        return self.rows[-1]

    def _disk(self) -> int:
        return sum(file.stat().st_size for file in self._home.folder.glob("*.db*"))


class _Server:
    """The streams' writers and the ledger's keeper, in this process."""

    def __init__(self, home: Home, plan: Plan, stack: ExitStack) -> None:
        self._keys = issuer_keys(home)
        self._streams: dict[Stream, tuple[Database, CodingStates]] = {}
        with open_writer(home.place(ONECARD), ONECARD) as db:
            openings = [PurseOpening(card=card, balance_fen=OPENING_FEN, counter=0) for card in plan.cards()]
            import_cards(db, openings, now_utc_s=FIRST_DAY_UTC_S)
        tills = plan.tills()
        for stream in TERMINALS:
            db = stack.enter_context(open_writer(home.place(stream.label), stream.label))
            self._streams[stream] = db, CodingStates()
            for till in (till for till in tills if till.stream is stream):
                store.add_terminal(
                    db,
                    terminal=till.terminal,
                    epoch=EPOCH,
                    public_key=public_bytes(till.key),
                    genesis=till.genesis,
                    now_utc_s=FIRST_DAY_UTC_S,
                )
        self._ledger: Database = stack.enter_context(open_writer(home.place(LEDGER), LEDGER))
        self._keeper: Keeper = stack.enter_context(closing(ledger_keeper(home, read_settings(home).checked("ledger"))))
        self.book(now_utc_s=FIRST_DAY_UTC_S)

    def accept(self, batches: Sequence[tuple[Stream, bytes]], *, now_utc_s: int) -> None:
        """Take a day's batches in; some are committed together, as by a gateway at which they wait."""
        for stream, (db, states) in self._streams.items():
            waiting = [raw for one, raw in batches if one is stream]
            for first in range(0, len(waiting), _GROUP_BATCHES):
                with db.group():
                    for raw in waiting[first : first + _GROUP_BATCHES]:
                        self._accept(db, states, stream, raw, now_utc_s)

    def _accept(self, db: Database, states: CodingStates, stream: Stream, raw: bytes, now_utc_s: int) -> None:
        answer = accept_batch(db, decode_batch(raw), states=states, stream=stream, keys=self._keys, now_utc_s=now_utc_s)
        if not isinstance(answer, Receipt) or answer.receipt.suspended:
            raise TermStopped(f"{stream.label} answered a batch {answer}")

    def book(self, *, now_utc_s: int) -> None:
        """Turn until everything is in the books."""
        while self._turn(now_utc_s).round.rows:
            pass

    def close(self, *, now_utc_s: int) -> None:
        """Let the day before end."""
        if not self._turn(now_utc_s).closed:
            raise TermStopped("the ledger closes no day")

    def _turn(self, now_utc_s: int) -> Turn:
        turn = self._keeper.turn(self._ledger, now_utc_s=now_utc_s)
        for place, fault in turn.round.faults.items():
            raise TermStopped(f"the ledger cannot go on with {place}: {fault.code}: {fault}") from fault
        return turn
