"""A term's worth of one campus through the server: 30,000 students at 120 terminals, day by day, each day closed.

The taps come as signed batches with true TACs through the stream's own intake, and are booked and closed by the
ledger's own keeper, all in this process. Told is what each part took, and how it grows. Left out: tills, links and
TLS; loads, for every purse holds enough for a term.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.__main__ import main as settlement
from settlement.commands.common import read_settings
from settlement.commands.processes import ledger_keeper
from settlement.ledger.keeper import Keeper
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, open_writer
from settlement.store.router import LEDGER, ONECARD
from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch
from wire import pboc
from wire.batch import SettlementBatch, decode_batch, sign_batch
from wire.directory import CodingState
from wire.errors import CampusError
from wire.ids import Asn, CardId, IssuerId, Stream, TapId, TerminalId
from wire.messages import Receipt
from wire.money import Fen
from wire.record import ClockQuality, Mac2, Outcome, TapRecord, TapTime, card_date_time, genesis_hash
from wire.signature import public_bytes

STUDENTS: Final = 30_000
DAYS: Final = 120
SHOWN_TAPS: Final = 1_000_000  # a line for each
# 120 terminals, and how they are spread over the streams.
TERMINALS: Final = {Stream.CANTEEN: 70, Stream.SUPERMARKET: 22, Stream.SHOPS: 22, Stream.TUITION: 6}

_HAUNTS: Final = 6  # terminals that a student pays at
_BATCH_TAPS: Final = 100
_EPOCH: Final = 1
_ISSUER: Final = IssuerId(bytes.fromhex("1000000000000086"))
_OPENING_FEN: Final = Fen(40_000_000)
_PRICES_FEN: Final = range(3_00, 33_00, 50)
_PRICE_SUMS: Final = list(accumulate(1 / (rank + 0.9) for rank in range(len(_PRICES_FEN))))
_FIRST_DAY_UTC_S: Final = 1_788_220_800 - 8 * 3600  # 1 September, midnight on the campus
_DAY_S: Final = 86_400
_OPEN_S, _SHUT_S = 6 * 3600, 22 * 3600


class TermStopped(CampusError):
    """The server did not take a batch, or did not close a day."""

    code = "term-stopped"


@dataclass(slots=True)
class _Purse:
    card: CardId
    key: pboc.TacKey
    haunts: list[_Till]
    balance_fen: int = _OPENING_FEN
    counter: int = 0


@dataclass(slots=True, eq=False)
class _Till:
    """One terminal's journal, as far as the next batch needs it."""

    stream: Stream
    terminal: TerminalId
    key: Ed25519PrivateKey
    head_hash: bytes
    state: CodingState = field(default_factory=CodingState)
    total_fen: int = 0
    waiting: list[TapRecord] = field(default_factory=list)

    @property
    def next_seq(self) -> int:
        """The number of the next tap."""
        return self.state.seq + len(self.waiting)


@dataclass(slots=True)
class Spent:
    """Seconds since the last line, by what was done."""

    taps: int = 0
    made_s: float = 0.0
    accepted_s: float = 0.0
    booked_s: float = 0.0
    closed_s: float = 0.0
    days: int = 0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "term",
        help="load a term of one campus into a new server, and close its days",
        description="Makes the taps of 30,000 students at 120 terminals, signs them in batches, takes them in, books\n"
        f"them and closes each of {DAYS} days. A line for each million taps tells what it took.",
        epilog="example: campus-sim term --home ./term --seed 7 --taps 10000000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", type=Path, required=True, help="the folder of a new server")
    parser.add_argument("--taps", type=int, default=SHOWN_TAPS, help=f"how many in all (default: {SHOWN_TAPS})")
    parser.add_argument("--seed", type=int, default=1, help="what the taps are drawn from (default: 1)")


def run(arguments: argparse.Namespace, *, clock: Callable[[], float], say: Callable[[str], None]) -> int:
    """Load the term; 0 when every day is closed."""
    with redirect_stdout(StringIO()):
        if status := settlement(["init", "--home", str(arguments.home)]):
            return status
    home = Home(arguments.home)
    say("      taps  days    made  accepted    booked    closed      disk  memory  (s; microseconds a tap; MiB)")
    for total, spent in load(home, taps=arguments.taps, seed=arguments.seed, clock=clock):
        say(line(total, spent, home))
    return 0


def line(total: int, spent: Spent, home: Home) -> str:
    """One line of the report."""
    disk = sum(file.stat().st_size for file in home.folder.glob("*.db*")) / 2**20
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def part(seconds: float) -> str:
        return f"{seconds:6.1f} {1e6 * seconds / max(spent.taps, 1):5.1f}"

    parts = "  ".join(part(s) for s in (spent.made_s, spent.accepted_s, spent.booked_s, spent.closed_s))
    return f"{total:10,}  {spent.days:4}  {parts}  {disk:8,.0f}  {memory:6,.0f}"


def load(home: Home, *, taps: int, seed: int, clock: Callable[[], float]) -> Iterator[tuple[int, Spent]]:
    """All days; what was spent after each `SHOWN_TAPS` taps and at the end, with the taps so far."""
    rng = Random(seed)
    keys = FileKeyStore.open(home.sealed_keys, home.passphrase.read_bytes().strip())
    tills = _tills(rng)
    purses = _purses(rng, keys, tills)
    with ExitStack() as stack:
        server = _Server(home, keys, tills, purses, stack)
        spent, total, shown = Spent(), 0, 0
        for day in range(DAYS):
            began_s = clock()
            count = taps * (day + 1) // DAYS - total
            midnight_utc_s = _FIRST_DAY_UTC_S + day * _DAY_S
            signed = _day(rng, purses, tills, midnight_utc_s, count)
            made_s = clock()
            server.accept(signed, now_utc_s=midnight_utc_s + _SHUT_S)
            accepted_s = clock()
            server.book(now_utc_s=midnight_utc_s + _SHUT_S)
            booked_s = clock()
            server.close(now_utc_s=midnight_utc_s + 2 * _DAY_S - 1)
            closed_s = clock()
            total += count
            spent.taps, spent.days = spent.taps + count, spent.days + 1
            spent.made_s += made_s - began_s
            spent.accepted_s += accepted_s - made_s
            spent.booked_s += booked_s - accepted_s
            spent.closed_s += closed_s - booked_s
            if total // SHOWN_TAPS > shown or day == DAYS - 1:
                yield total, spent
                spent, shown = Spent(), total // SHOWN_TAPS


class _Server:
    """The streams' writers and the ledger's keeper, in this process."""

    def __init__(
        self, home: Home, keys: FileKeyStore, tills: Sequence[_Till], purses: Sequence[_Purse], stack: ExitStack
    ) -> None:
        self._keys = keys
        self._streams: dict[Stream, tuple[Database, CodingStates]] = {}
        with open_writer(home.place(ONECARD), ONECARD) as db:
            openings = [PurseOpening(card=p.card, balance_fen=_OPENING_FEN, counter=0) for p in purses]
            import_cards(db, openings, now_utc_s=_FIRST_DAY_UTC_S)
        for stream in TERMINALS:
            db = stack.enter_context(open_writer(home.place(stream.label), stream.label))
            self._streams[stream] = db, CodingStates()
            for till in (till for till in tills if till.stream is stream):
                store.add_terminal(
                    db,
                    terminal=till.terminal,
                    epoch=_EPOCH,
                    public_key=public_bytes(till.key),
                    genesis=till.head_hash,
                    now_utc_s=_FIRST_DAY_UTC_S,
                )
        self._ledger: Database = stack.enter_context(open_writer(home.place(LEDGER), LEDGER))
        self._keeper: Keeper = stack.enter_context(closing(ledger_keeper(home, read_settings(home).checked("ledger"))))
        self.book(now_utc_s=_FIRST_DAY_UTC_S)

    def accept(self, signed: Sequence[tuple[Stream, bytes]], *, now_utc_s: int) -> None:
        """Take a day's batches in."""
        for stream, raw in signed:
            db, states = self._streams[stream]
            answer = accept_batch(
                db, decode_batch(raw), states=states, stream=stream, keys=self._keys, now_utc_s=now_utc_s
            )
            if not isinstance(answer, Receipt) or answer.receipt.suspended:
                raise TermStopped(f"{stream.label} answered a batch {answer}")

    def book(self, *, now_utc_s: int) -> None:
        """Turn until everything is in the books."""
        while True:
            turn = self._keeper.turn(self._ledger, now_utc_s=now_utc_s)
            if turn.round.faults:
                raise TermStopped(f"the ledger meets with {turn.round.faults}")
            if turn.round.rows == 0:
                return

    def close(self, *, now_utc_s: int) -> None:
        """Let the day before end."""
        if not self._keeper.turn(self._ledger, now_utc_s=now_utc_s).closed:
            raise TermStopped("the ledger closes no day")


def _tills(rng: Random) -> list[_Till]:
    tills: list[_Till] = []
    for stream, count in TERMINALS.items():
        for _ in range(count):
            terminal = TerminalId((len(tills) + 1).to_bytes(6, "big"))
            key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
            tills.append(_Till(stream, terminal, key, genesis_hash(terminal, _EPOCH)))
    return tills


def _purses(rng: Random, keys: FileKeyStore, tills: Sequence[_Till]) -> list[_Purse]:
    purses = []
    for number in range(STUDENTS):
        card = CardId(_ISSUER, Asn(bytes.fromhex(f"{number:020d}")))
        key = pboc.TacKey(pboc.tac_key(keys.card_keys(card).tac))
        purses.append(_Purse(card, key, rng.sample(tills, _HAUNTS)))
    return purses


def _day(
    rng: Random, purses: Sequence[_Purse], tills: Sequence[_Till], midnight_utc_s: int, count: int
) -> list[tuple[Stream, bytes]]:
    """A day's taps, in the order of their times, as signed batches."""
    signed: list[tuple[Stream, bytes]] = []
    for uptime_s in sorted(rng.randrange(_OPEN_S, _SHUT_S) for _ in range(count)):
        purse = purses[int(rng.random() * len(purses))]
        till = purse.haunts[int(rng.random() * _HAUNTS)]
        till.waiting.append(_tap(rng, purse, till, midnight_utc_s, uptime_s))
        if len(till.waiting) == _BATCH_TAPS:
            signed.append((till.stream, _sign(till)))
    signed += [(till.stream, _sign(till)) for till in tills if till.waiting]
    return signed


def _tap(rng: Random, purse: _Purse, till: _Till, midnight_utc_s: int, uptime_s: int) -> TapRecord:
    (amount_fen,) = rng.choices(_PRICES_FEN, cum_weights=_PRICE_SUMS)
    seq, utc_s = till.next_seq, midnight_utc_s + uptime_s
    record = TapRecord(
        tap_id=TapId(till.terminal, _EPOCH, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=purse.card,
        amount_fen=Fen(amount_fen),
        balance_before_fen=Fen(purse.balance_fen),
        counter=purse.counter,
        ttsn=seq,
        tac=purse.key.purchase_tac(amount_fen, till.terminal, seq, card_date_time(utc_s)),
        opened_at=TapTime(utc_s=utc_s, boot=midnight_utc_s // _DAY_S, uptime_s=uptime_s, quality=ClockQuality.NETWORK),
    )
    purse.balance_fen -= amount_fen
    purse.counter += 1
    return record


def _sign(till: _Till) -> bytes:
    batch = SettlementBatch(
        terminal=till.terminal,
        epoch=_EPOCH,
        hash_before=till.head_hash,
        total_before_fen=till.total_fen,
        records=tuple(till.waiting),
    )
    signed = sign_batch(batch, till.key, till.state)
    till.head_hash, till.total_fen = batch.head_hash, till.total_fen + batch.total_fen
    till.waiting.clear()
    return signed.raw
