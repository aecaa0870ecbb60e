"""A migrated home for each test, and tills that make valid signed batches with real TACs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.__main__ import main
from settlement.authority import load_ticket_key, load_ticket_public_key
from settlement.ledger.entries import Source, opening_for
from settlement.ledger.store import post
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from settlement.store import database
from settlement.store.database import Database
from settlement.store.place import ServerPlace
from settlement.streams.coding import CodingStates
from settlement.streams.door import Door
from settlement.streams.ingest import accept_batch, accept_datagram
from settlement.streams.terminals import enrol
from sim.postgres import PostgresServer
from tests.settlement.pooled import PooledServer, TamperedDatabase
from wire import pboc, signature
from wire.batch import SettlementBatch, SignedBatch, decode_batch, sign_batch
from wire.directory import CodingState, window_start
from wire.enrolment import Ticket
from wire.ids import Asn, CardId, IssuerId, Stream, TapId, TerminalId
from wire.messages import Enrol, Enrolled, Receipt, Refused
from wire.money import Fen
from wire.record import (
    NO_TAC,
    ClockQuality,
    Mac2,
    Outcome,
    Refusal,
    TapRecord,
    TapTime,
    VoidReason,
    genesis_hash,
    next_hash,
    tap_id,
)

NOW = 1_764_000_000
ON_BOTH = {
    "test_answers",
    "test_auditor",
    "test_backup",
    "test_cardline",
    "test_configuration",
    "test_days",
    "test_decide",
    "test_export",
    "test_hotlist",
    "test_ingest",
    "test_journalimport",
    "test_office",
    "test_outlets",
    "test_owed",
    "test_pending",
    "test_pull",
    "test_registry",
    "test_report",
    "test_requests",
    "test_restoration",
    "test_retries",
    "test_shifts",
    "test_store",
    "test_terminals",
    "test_tickets",
    "test_unknown",
    "test_usual",
}
# Files that are copied, SQLite's own words, its query plans, and what it alone keeps in a column.
ON_FILES = {
    "test_tampering_behind_the_triggers_is_found",
    "test_tampering_with_credits_subsidies_and_shifts_is_found",
    "test_tampering_with_decisions_and_closed_days_is_found",
    "test_what_comes_out_otherwise_when_it_is_done_over_is_found",
    "test_answer_that_cannot_be_kept_costs_the_terminal_nothing",
    "test_every_database_goes_from_files_to_a_server_and_back_unchanged",
    "test_card_is_found_by_index",
    "test_desks_journal_that_was_changed_behind_the_triggers_breaks_the_chain",
    "test_looking_for_what_waits_reads_by_index",
    "test_new_installation_on_a_server_takes_over_one_from_files",
    "test_nobody_sees_taps_without_the_cursor",
    "test_posting_looks_every_key_up_by_index",
    "test_row_that_nobody_here_can_read_stops_its_source_alone",
    "test_stream_that_was_restored_is_followed_from_where_both_agree_and_what_comes_again_changes_nothing",
    "test_ticket_is_good_again_after_the_stream_was_restored_from_before_its_use",
    "test_versions_stand_for_ever_and_go_up",
}
FIRST_TERMINAL = TerminalId(bytes.fromhex("000000000101"))


def card_number(number: int) -> CardId:
    return CardId(IssuerId(bytes.fromhex("1000000000000001")), Asn(number.to_bytes(10)))


@dataclass
class FakeTill:
    """A journal without a till: `tap` appends a record, `batch` cuts and signs."""

    keys: FileKeyStore
    terminal: TerminalId = FIRST_TERMINAL
    epoch: int = 1
    key: Ed25519PrivateKey = field(default_factory=lambda: Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    records: list[TapRecord] = field(default_factory=list)
    counters: dict[CardId, int] = field(default_factory=dict)

    @property
    def public_key(self) -> bytes:
        return signature.public_bytes(self.key)

    @property
    def total_fen(self) -> int:
        return sum(record.debited_fen for record in self.records)

    def tap(
        self,
        amount_fen: int = 1250,
        *,
        card: CardId | None = None,
        outcome: Outcome = Outcome.DEBITED,
        mac2: Mac2 = Mac2.VERIFIED,
        counter: int | None = None,
        wrong_tac: bool = False,
        ttsn: int | None = None,
        with_tac: bool = False,
    ) -> TapRecord:
        card = card or card_number(1)
        if counter is None:
            counter = self.counters.get(card, 0)
            self.counters[card] = counter + (outcome is Outcome.DEBITED)
        seq = len(self.records) + 1
        if ttsn is None:
            ttsn = 1_000 * (self.epoch - 1) + seq  # a PSAM counts on when its terminal starts a new epoch
        at = TapTime(utc_s=NOW - 600 + seq, boot=1, uptime_s=seq, quality=ClockQuality.NETWORK)
        date, time = at.card_date_time()
        tac = NO_TAC
        if outcome is Outcome.DEBITED or with_tac:
            tac = pboc.purchase_tac(
                tac_key=pboc.tac_key(self.keys.card_keys(card).tac),
                amount_fen=Fen(amount_fen),
                terminal=self.terminal,
                ttsn=ttsn,
                date_time_bcd=date + time,
            )
        if wrong_tac:
            tac = bytes(byte ^ 0xFF for byte in tac)
        reasons: dict[Outcome, Refusal | VoidReason] = {
            Outcome.REFUSED: Refusal.HOTLISTED,
            Outcome.VOIDED: VoidReason.NOT_EXECUTED,
        }
        record = TapRecord(
            tap_id=tap_id(self.terminal, self.epoch, seq),
            outcome=outcome,
            reason=reasons.get(outcome),
            mac2=mac2 if outcome is Outcome.DEBITED else Mac2.NOT_CHECKED,
            card=card,
            amount_fen=Fen(amount_fen),
            balance_before_fen=Fen(100_000),
            counter=counter,
            ttsn=ttsn,
            tac=tac,
            opened_at=at,
        )
        self.records.append(record)
        return record

    def state(self, seq: int) -> CodingState:
        return CodingState.before(seq, [record.to_bytes() for record in self.records[window_start(seq) - 1 : seq - 1]])

    def head_hash(self, seq: int | None = None) -> bytes:
        """The chain's hash before `seq`, or after the last tap."""
        head = genesis_hash(self.terminal, self.epoch)
        for record in self.records[: None if seq is None else seq - 1]:
            head = next_hash(head, record.to_bytes())
        return head

    def batch(self, first_seq: int = 1, next_seq: int | None = None) -> SignedBatch:
        before = self.records[: first_seq - 1]
        head = genesis_hash(self.terminal, self.epoch)
        for record in before:
            head = next_hash(head, record.to_bytes())
        records = self.records[first_seq - 1 : None if next_seq is None else next_seq - 1]
        batch = SettlementBatch(
            terminal=self.terminal,
            epoch=self.epoch,
            hash_before=head,
            total_before_fen=sum(record.debited_fen for record in before),
            records=tuple(records),
        )
        return decode_batch(sign_batch(batch, self.key, self.state(first_seq)).raw)


@dataclass
class StreamDriver:
    """One stream's database with the answers to enrol and accept."""

    db: Database
    home: Home
    keys: FileKeyStore
    stream: Stream = Stream.CANTEEN
    states: CodingStates = field(default_factory=CodingStates)

    def ticket(
        self, terminal: TerminalId, *, epoch: int = 1, stream: Stream = Stream.CANTEEN, expires_utc_s: int = NOW + 100
    ) -> bytes:
        ticket = Ticket(terminal=terminal, stream=stream, epoch=epoch, expires_utc_s=expires_utc_s)
        return ticket.issue(load_ticket_key(self.home.ticket_key))

    def enrol(self, till: FakeTill, ticket: bytes | None = None, *, now_utc_s: int = NOW) -> Enrolled | Refused:
        if ticket is None:
            ticket = self.ticket(till.terminal, epoch=till.epoch)
        message = Enrol(public_key=till.public_key, ticket=ticket).signed(till.key, bytes(16))
        door = Door(stream=self.stream, ticket_key=load_ticket_public_key(self.home.ticket_public_key))
        opened = door.check_enrolment(message, bytes(16))
        if isinstance(opened, Refused):
            return opened
        return enrol(
            self.db,
            opened,
            message.public_key,
            keys=self.keys,
            operator_key=load_ticket_public_key(self.home.ticket_public_key),
            now_utc_s=now_utc_s,
        )

    def enrolled(self, till: FakeTill, epoch: int = 1) -> Enrolled:
        """What the stream answers to a ticket of this epoch."""
        operator_key = load_ticket_public_key(self.home.ticket_public_key)
        return Enrolled(till.terminal, epoch, self.keys.sms_key(till.terminal, epoch), operator_key)

    def accept(self, signed: SignedBatch) -> Receipt | Refused:
        return accept_batch(self.db, signed, states=self.states, stream=self.stream, keys=self.keys, now_utc_s=NOW)

    def accept_datagram(self, data: bytes) -> Receipt | Refused:
        return accept_datagram(self.db, data, states=self.states, stream=self.stream, keys=self.keys, now_utc_s=NOW)

    def counts(self) -> dict[str, int]:
        return {table: self.db.number(f"SELECT count(*) FROM {table}") for table in ("tap", "batch", "fork")}


@pytest.fixture(scope="session")
def template_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "home"
    with redirect_stdout(StringIO()):
        assert main(["init", "--home", str(root)]) == 0
    return root


@pytest.fixture(scope="session")
def keys(template_home: Path) -> FileKeyStore:
    home = Home(template_home)
    return FileKeyStore.open(home.sealed_keys, home.passphrase.read_bytes().strip())


@contextmanager
def open_writer(home: Home, alias: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """As the product does; what a test does to the rules is undone before the next."""
    place = home.place(alias)
    if isinstance(place, ServerPlace):
        pooled: PooledServer = request.getfixturevalue("pooled_server")
        with TamperedDatabase(place, pooled.admins[alias]) as db:
            yield db
    else:
        with database.open_writer(place, alias) as db:
            yield db


@pytest.fixture(scope="session")
def pooled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PooledServer]:
    pooled = PooledServer(PostgresServer.create(), tmp_path_factory.mktemp("server"))
    yield pooled
    pooled.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PooledServer]:
    """One that a test may stop or kill."""
    pooled = PooledServer(PostgresServer.create(), tmp_path)
    yield pooled
    pooled.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What rests on SQL alone is tried on both databases."""
    on_both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH and metafunc.definition.name not in ON_FILES
    if on_both and "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on."""
    name: str = getattr(request, "param", "sqlite")
    return name


@pytest.fixture
def home(template_home: Path, tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> Home:
    if engine == "sqlite":
        shutil.copytree(template_home, tmp_path / "home")
        return Home(tmp_path / "home")
    pooled: PooledServer = request.getfixturevalue("pooled_server")
    pooled.reset()
    home = Home(tmp_path / "home", pooled.server.url)
    shutil.copytree(template_home, home.root, ignore=shutil.ignore_patterns("*.db", "*.lock"))
    shutil.copytree(pooled.passwords, home.folder / "database")
    with home.settings.open("a", encoding="utf-8") as settings:
        settings.write(f'\n[database]\nurl = "{pooled.server.url}"\n')
    return home


@pytest.fixture
def till(keys: FileKeyStore) -> FakeTill:
    return FakeTill(keys)


@pytest.fixture
def make_till(keys: FileKeyStore) -> Callable[[int], FakeTill]:
    def make(number: int) -> FakeTill:
        key = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))
        return FakeTill(keys, terminal=TerminalId(number.to_bytes(6)), key=key)

    return make


@pytest.fixture
def canteen(home: Home, keys: FileKeyStore, request: pytest.FixtureRequest) -> Iterator[StreamDriver]:
    with open_writer(home, "canteen", request) as db:
        yield StreamDriver(db, home, keys)


@pytest.fixture
def ledger_db(home: Home, request: pytest.FixtureRequest) -> Iterator[Database]:
    with open_writer(home, "ledger", request) as db:
        yield db


@pytest.fixture
def purses(ledger_db: Database) -> None:
    """Openings of the first cards in the ledger, so that what they pay can be booked."""
    openings = [
        opening_for(card_number(n), balance_fen=Fen(0), counter=0, source=Source("onecard", n + 1), opened_at_utc_s=1)
        for n in range(5)
    ]
    with ledger_db.transaction():
        post(ledger_db, openings)


@pytest.fixture
def posted_taps() -> Callable[[Database], dict[TapId, Fen]]:
    """Every tap in the ledger with its amount."""
    sql = "SELECT terminal, epoch, seq, amount_fen FROM entry WHERE terminal IS NOT NULL"

    def tap(terminal: bytes, epoch: int, seq: int, amount_fen: int) -> tuple[TapId, Fen]:
        return TapId(TerminalId(terminal), epoch, seq), Fen(amount_fen)

    def read(db: Database) -> dict[TapId, Fen]:
        return dict(db.query(sql, into=tap))

    return read


@pytest.fixture
def purse_balances() -> Callable[[Database], dict[CardId, Fen]]:
    """What every purse should hold, as far as the ledger knows."""
    sql = "SELECT purse, -sum(amount_fen) FROM posting WHERE account_id = 2001 GROUP BY purse"

    def read(db: Database) -> dict[CardId, Fen]:
        return dict(db.query(sql, into=lambda purse, balance: (CardId.from_bytes(purse), Fen(balance))))

    return read


@pytest.fixture
def onecard_db(home: Home, request: pytest.FixtureRequest) -> Iterator[Database]:
    with open_writer(home, "onecard", request) as db:
        yield db


@pytest.fixture
def numbered_card() -> Callable[[int], CardId]:
    return card_number


@pytest.fixture
def utc_s() -> int:
    return NOW
