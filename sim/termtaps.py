"""The taps of a term, drawn from a seed, and the process that makes a day's while the day before is taken in.

Each student pays at a few terminals, at meals more than between them and on weekends less; every tap has a true TAC,
every batch is coded, chained and signed as a terminal does it. The same plan gives the same bytes on every machine.
Left out: loads, for every purse holds enough for a term; voids, torn debits, reversals; clocks that go wrong.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.onecard.keys import FileKeyStore, KeyStore
from settlement.secretfile import write_secret
from settlement.settings import Home
from wire import pboc
from wire.batch import SettlementBatch, sign_batch
from wire.directory import CodingState
from wire.errors import CampusError
from wire.ids import Asn, CardId, IssuerId, Stream, TapId, TerminalId
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import (
    NO_TAC,
    ClockQuality,
    Mac2,
    Outcome,
    Refusal,
    TapRecord,
    TapTime,
    card_date_time,
    genesis_hash,
    next_hash,
)

# 120 terminals, and how they are spread over the streams.
TERMINALS: Final = {Stream.CANTEEN: 70, Stream.SUPERMARKET: 22, Stream.SHOPS: 22, Stream.TUITION: 6}
EPOCH: Final = 1
OPENING_FEN: Final = Fen(40_000_000)
FIRST_DAY_UTC_S: Final = 1_788_220_800 - 8 * 3600  # Tuesday, 1 September 2026, midnight on the campus
DAY_S: Final = 86_400
# Whoever taps most stays far below what 12,000 of the highest prices take from a purse, and 65,535, where counters end.
TAPS_A_STUDENT_MAX: Final = 10_000

_WEEK: Final = (5, 5, 5, 5, 3, 3, 5)  # how its days' taps compare, from Tuesday on
_HAUNTS: Final = 6  # terminals that a student pays at
_BATCH_TAPS: Final = 100
_ISSUER: Final = IssuerId(bytes.fromhex("1000000000000086"))
_REFUSED_SHARE: Final = 0.01  # a card that is held there a second time
_SUBSIDISED_SHARE: Final = 0.05  # of the others in the canteen: the school pays a yuan of it
_SUBSIDY_FEN: Final = 1_00
# Drawn from as they stand: what is more frequent stands there more often, cheap things and the minutes of meals.
_PRICES_FEN: Final = [
    price_fen for rank, price_fen in enumerate(range(3_00, 33_00, 50)) for _ in range(round(600 / (rank + 0.9)))
]
_MINUTES: Final = [
    minute
    for minute in range(6 * 60, 22 * 60)
    for _ in range(1 + max(0, *(9 - abs(minute - meal) // 5 for meal in (7 * 60 + 20, 12 * 60, 18 * 60))))
]


class MakerFailed(CampusError):
    """The process that makes the taps has ended, or could not begin; the text says how."""

    code = "maker-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a term is drawn from."""

    seed: int
    taps: int
    students: int = 30_000
    days: int = 120

    def taps_before(self, day: int) -> int:
        """How many taps the days before this one have, from 0 on; weekends have less."""
        return self.taps * _week_shares(day) // _week_shares(self.days)

    def cards(self) -> Iterator[CardId]:
        """The students' cards."""
        return (CardId(_ISSUER, Asn(bytes.fromhex(f"{number:020d}"))) for number in range(self.students))

    def tills(self) -> list[Till]:
        """The terminals."""
        rng = Random(f"{self.seed} tills")
        streams = [stream for stream, count in TERMINALS.items() for _ in range(count)]
        return [
            Till(stream, TerminalId(number.to_bytes(6, "big")), Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))
            for number, stream in enumerate(streams, 1)
        ]

    def make_issuer_keys(self, home: Home) -> None:
        """Seal the issuer's keys of this term where `campus-settlement init` would make others; raises `OSError`."""
        rng = Random(f"{self.seed} keys")
        home.folder.mkdir(mode=0o700, parents=True)
        passphrase = rng.randbytes(24).hex().encode()
        write_secret(home.passphrase, passphrase + b"\n")
        masters = PurseKeys(*(rng.randbytes(pboc.KEY_BYTES) for _ in range(3)))
        FileKeyStore.create(home.sealed_keys, passphrase, masters=masters, random=rng.randbytes)


@dataclass(frozen=True, slots=True)
class Till:
    """A terminal as the server enrols it."""

    stream: Stream
    terminal: TerminalId
    key: Ed25519PrivateKey

    @property
    def genesis(self) -> bytes:
        """Where its journal's chain begins."""
        return genesis_hash(self.terminal, EPOCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A day's batches in the order in which they were signed, and what it took to make them."""

    taps: int
    batches: list[tuple[Stream, bytes]]
    seconds: float
    peak_kib: int


def issuer_keys(home: Home) -> FileKeyStore:
    """The keys that `Plan.make_issuer_keys` sealed; raises `KeysUnreadable` or `PassphraseWrong`."""
    return FileKeyStore.open(home.sealed_keys, home.passphrase.read_bytes().strip())


@dataclass(slots=True, eq=False)
class _Journal:
    """A till's journal, as far as the next batch needs it."""

    till: Till
    head_hash: bytes  # after the last tap
    sent_hash: bytes  # after the last batch
    state: CodingState = field(default_factory=CodingState)
    seq: int = 1
    sent_fen: int = 0
    waiting: list[TapRecord] = field(default_factory=list)


@dataclass(slots=True)
class _Purse:
    card: CardId
    key: pboc.TacKey
    haunts: list[_Journal]
    balance_fen: int = OPENING_FEN
    counter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch(SettlementBatch):
    """A batch whose chain was made with its taps, as in a terminal's journal, and is not made again."""

    head: bytes

    @property
    def head_hash(self) -> bytes:
        """See `SettlementBatch`."""
        return self.head


class TapMaker:
    """Makes day after day of a plan. What it keeps does not grow with the taps."""

    def __init__(self, plan: Plan, keys: KeyStore) -> None:
        self._plan = plan
        self._rng = rng = Random(f"{plan.seed} taps")
        self._journals = [_Journal(till, till.genesis, till.genesis) for till in plan.tills()]
        self._purses = [
            _Purse(card, pboc.TacKey(pboc.tac_key(keys.card_keys(card).tac)), rng.sample(self._journals, _HAUNTS))
            for card in plan.cards()
        ]

    def day(self, day: int) -> list[tuple[Stream, bytes]]:
        """The signed batches of this day; to be asked for one after the other, from 0 on."""
        count = self._plan.taps_before(day + 1) - self._plan.taps_before(day)
        random, purses = self._rng.random, self._purses
        boot, midnight_utc_s = FIRST_DAY_UTC_S // DAY_S + day, FIRST_DAY_UTC_S + day * DAY_S
        minutes, students, prices = len(_MINUTES), len(purses), len(_PRICES_FEN)
        signed: list[tuple[Stream, bytes]] = []
        for uptime_s in sorted(_MINUTES[int(random() * minutes)] * 60 + int(random() * 60) for _ in range(count)):
            purse = purses[int(random() * students)]
            journal = purse.haunts[int(random() * _HAUNTS)]
            at = TapTime(utc_s=midnight_utc_s + uptime_s, boot=boot, uptime_s=uptime_s, quality=ClockQuality.NETWORK)
            price_fen, chance = _PRICES_FEN[int(random() * prices)], random()
            if chance < _REFUSED_SHARE:
                record = _refused(purse, journal, at, price_fen)
            else:
                subsidised = chance > 1 - _SUBSIDISED_SHARE and journal.till.stream is Stream.CANTEEN
                record = _sold(purse, journal, at, price_fen, _SUBSIDY_FEN if subsidised else 0)
            journal.seq += 1
            journal.head_hash = next_hash(journal.head_hash, record.to_bytes())
            journal.waiting.append(record)
            if len(journal.waiting) == _BATCH_TAPS:
                signed.append((journal.till.stream, _sign(journal)))
        signed += [(journal.till.stream, _sign(journal)) for journal in self._journals if journal.waiting]
        return signed


def _sold(purse: _Purse, journal: _Journal, at: TapTime, price_fen: int, subsidy_fen: int) -> TapRecord:
    amount_fen, seq, terminal = price_fen - subsidy_fen, journal.seq, journal.till.terminal
    assert amount_fen <= purse.balance_fen, "every purse holds enough for a term"
    record = TapRecord(
        tap_id=TapId(terminal, EPOCH, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=purse.card,
        amount_fen=Fen(amount_fen),
        subsidy_fen=Fen(subsidy_fen),
        balance_before_fen=Fen(purse.balance_fen),
        counter=purse.counter,
        ttsn=seq,
        tac=purse.key.purchase_tac(amount_fen, terminal, seq, card_date_time(at.utc_s)),
        opened_at=at,
    )
    purse.balance_fen -= amount_fen
    purse.counter += 1
    return record


def _refused(purse: _Purse, journal: _Journal, at: TapTime, price_fen: int) -> TapRecord:
    return TapRecord(
        tap_id=TapId(journal.till.terminal, EPOCH, journal.seq),
        outcome=Outcome.REFUSED,
        reason=Refusal.DOUBLE_TAP,
        mac2=Mac2.NOT_CHECKED,
        card=purse.card,
        amount_fen=Fen(price_fen),
        balance_before_fen=Fen(purse.balance_fen),
        counter=purse.counter,
        ttsn=0,
        tac=NO_TAC,
        opened_at=at,
    )


def _sign(journal: _Journal) -> bytes:
    batch = _Batch(
        terminal=journal.till.terminal,
        epoch=EPOCH,
        hash_before=journal.sent_hash,
        total_before_fen=journal.sent_fen,
        records=tuple(journal.waiting),
        head=journal.head_hash,
    )
    signed = sign_batch(batch, journal.till.key, journal.state)
    journal.sent_hash, journal.sent_fen = journal.head_hash, journal.sent_fen + signed.total_fen
    journal.waiting.clear()
    return signed.raw


def _week_shares(days: int) -> int:
    weeks, rest = divmod(days, len(_WEEK))
    return weeks * sum(_WEEK) + sum(_WEEK[:rest])


class MakerProcess:
    """The days of a plan from a process of their own, which is one day ahead; ended with the context.

    The pipe holds less than a day, so the process waits with the next one until the one before it was taken.
    """

    def __init__(self, plan: Plan, home: Home, *, clock: Callable[[], float]) -> None:
        """`clock` must be one that another process can be given."""
        context = multiprocessing.get_context("spawn")
        self._days, far_end = context.Pipe(duplex=False)
        self._process = context.Process(target=_make, args=(plan, home.root, clock, far_end), daemon=True)
        # Ctrl-C reaches every process at the terminal; this one is ended by whoever started it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            far_end.close()  # so that the end of the process is the end of the pipe

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._process.pid

    def next_day(self) -> Made:
        """The next day, once it is made; raises `MakerFailed`."""
        try:
            answer: Made | str = self._days.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of a day
            self._process.join()
            raise MakerFailed(f"the process that makes the taps ended with status {self._process.exitcode}") from error
        if isinstance(answer, str):
            raise MakerFailed(f"the taps cannot be made: {answer}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._days.close()
        self._process.kill()  # it keeps nothing
        self._process.join()
        self._process.close()


def _make(plan: Plan, root: Path, clock: Callable[[], float], days: Connection) -> None:
    """What the process does: all days, as fast as they are taken. A fault that has a name is sent instead of a day."""
    try:
        maker = TapMaker(plan, issuer_keys(Home(root)))
        for day in range(plan.days):
            began_s = clock()
            batches = maker.day(day)
            made = Made(
                taps=plan.taps_before(day + 1) - plan.taps_before(day),
                batches=batches,
                seconds=clock() - began_s,
                peak_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            )
            days.send(made)
    except BrokenPipeError:
        return  # nobody wants any more of them
    except CampusError as error:
        days.send(f"{error} [{error.code}]")
