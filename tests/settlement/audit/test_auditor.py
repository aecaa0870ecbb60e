"""The audit on an installation that is well, and on one that was tampered with behind its triggers, point by point."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from settlement.audit.auditor import audit_installation, findings_json, findings_text
from settlement.audit.evidence import JournalKey, Progress, gather
from settlement.audit.points import Circumstances, Finding, audit
from settlement.ledger.days import close_days
from settlement.ledger.owners import RegistryOwners
from settlement.ledger.pull import JournalSource, LoadSource, OfficeSource, OpeningSource, StreamSource, pull_round
from settlement.ledger.ways import How
from settlement.office import Action, find_head, new_decision, put_decision
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, open_reader, open_writer
from settlement.streams.shifts import accept_report
from settlement.streams.store import stream_genesis
from wire.ids import CardId, Stream
from wire.messages import Receipt
from wire.money import Fen
from wire.record import Outcome, TapKind
from wire.shift import ShiftReport, Sum, add_up, shift_genesis

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000
OPENING_FEN = 100_00
_OTHER_END = (
    "CAST(substr(raw, 1, length(raw) - 1) || CASE substr(raw, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)"
)
POINTS = list(range(1, 14))


@dataclass
class Campus:
    """Two tills in the canteen, four cards, a ledger that has read everything."""

    home: Home
    canteen: StreamDriver
    ledger: Database
    keys: FileKeyStore
    tills: list[FakeTill]
    cards: list[CardId]
    folder: Path
    purses: dict[CardId, list[int]] = field(default_factory=dict)  # balance and count, as the cards have them

    def sell(
        self, till: int, card: int, amount_fen: int, outcome: Outcome = Outcome.DEBITED, *, wrong_tac: bool = False
    ) -> None:
        purse = self.purses.setdefault(self.cards[card], [OPENING_FEN, 0])
        journal = self.tills[till]
        record = journal.tap(amount_fen, card=self.cards[card], counter=purse[1], outcome=outcome, wrong_tac=wrong_tac)
        journal.records[-1] = replace(record, balance_before_fen=Fen(purse[0]))
        if outcome is not Outcome.VOIDED:
            purse[0], purse[1] = purse[0] - amount_fen, purse[1] + 1

    def upload(self, till: int) -> None:
        journal = self.tills[till]
        row = next(iter(self.canteen.db.query(
            "SELECT next_seq FROM terminal WHERE terminal = %s", (journal.terminal,), into=int
        )))  # fmt: skip
        assert isinstance(self.canteen.accept(journal.batch(row)), Receipt)

    def pull(self) -> None:
        openings = OpeningSource(self.home.place("onecard"))
        sources: list[JournalSource] = [StreamSource(self.home.place("canteen"), Stream.CANTEEN)]
        sources.append(LoadSource(self.home.place("topup")))
        sources.append(OfficeSource(self.home.place("office")))
        while pull_round(self.ledger, openings, sources).rows:
            pass
        for source in (openings, *sources):
            source.close()

    @property
    def journals(self) -> dict[JournalKey, list[bytes]]:
        return {(till.terminal, till.epoch): [record.to_bytes() for record in till.records] for till in self.tills}

    def decide(self, action: Action, by: str, **facts: str | int) -> bytes:
        """As the office does; the ledger has it at the next `pull`."""
        with open_writer(self.home.place("office"), "office") as office:
            head = find_head(office)
            key = bytes(15) + bytes((1 if head is None else head.position + 1,))
            put_decision(office, new_decision(office, key=key, action=action, facts=facts, by=by, now_utc_s=NOW))
        return key

    def resolve(self, item: int, how: How) -> None:
        key = self.decide(Action.RESOLVE, "Li Na", item=item, how=int(how), because="looked into")
        self.decide(Action.CONFIRM, "Wang Wei", proposal=key.hex())

    def close_days(self) -> None:
        with open_reader(self.home.place("onecard"), "onecard") as onecard:
            owners = RegistryOwners.read(onecard)
        assert close_days(self.ledger, through=20251231, now_utc_s=NOW + 1, owners=owners, fee_per_10000=50)

    def tamper(self, file: str, sql: str) -> None:
        with closing(sqlite3.connect(self.home.folder / f"{file}.db")) as db, db:
            for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {trigger}")
            db.execute("PRAGMA ignore_check_constraints = ON")
            assert db.execute(sql).rowcount > 0

    def audit(self, *, healed: bool = True, progress: Progress = lambda _: None) -> list[Finding]:
        scratch = self.folder / "scratch"
        scratch.mkdir()
        return audit_installation(
            self.home,
            keys=self.keys,
            random=Random(7),
            scratch=scratch,
            journals=self.journals,
            healed=healed,
            progress=progress,
        )


@pytest.fixture
def campus(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    ledger_db: Database,
    keys: FileKeyStore,
    make_till: Callable[[int], FakeTill],
    numbered_card: Callable[[int], CardId],
    tmp_path: Path,
) -> Campus:
    cards = [numbered_card(number) for number in range(1, 5)]
    openings = [PurseOpening(card=card, balance_fen=Fen(OPENING_FEN), counter=0) for card in cards]
    import_cards(onecard_db, openings, now_utc_s=1)
    made = Campus(home, canteen, ledger_db, keys, [make_till(257), make_till(258)], cards, tmp_path)
    for till in made.tills:
        canteen.enrol(till)
    for number in range(12):
        made.sell(number % 2, number % 3, 100 + number)
        if number % 5 == 4:
            made.upload(number % 2)
    made.sell(0, 3, 250, Outcome.UNKNOWN)
    made.sell(1, 2, 300, Outcome.VOIDED)
    made.sell(1, 2, 300, wrong_tac=True)
    for number in (0, 1):
        made.upload(number)
    made.pull()
    return made


def objecting(findings: list[Finding]) -> list[int]:
    return [finding.point for finding in findings if not finding.holds]


def test_installation_that_is_well_holds_in_all_thirteen_points(campus: Campus) -> None:
    findings = campus.audit()
    assert [finding.point for finding in findings] == POINTS
    assert objecting(findings) == [], findings_text(findings)
    assert findings_json(findings)["content"] is True
    assert findings_text(findings).endswith("verdict: content\n")


def test_what_is_on_its_way_is_named_and_objected_to_only_when_all_had_time(campus: Campus) -> None:
    campus.sell(0, 0, 500)
    findings = campus.audit(healed=False)
    assert objecting(findings) == [], findings_text(findings)
    assert findings[11].seen == "1 taps that journals have and the server lacks"


def test_tap_that_never_arrived_is_stuck_once_all_is_healed(campus: Campus) -> None:
    campus.sell(0, 0, 500)
    assert objecting(campus.audit(healed=True)) == [12]


@pytest.mark.parametrize(
    ("file", "sql", "points"),
    [
        ("ledger", "UPDATE other_posting SET amount_fen = amount_fen + 1 WHERE id = 2", {1}),
        ("ledger", "DELETE FROM other_posting WHERE entry_id = 1", {1}),
        ("ledger", "UPDATE sale_run SET amount_fen = amount_fen + 1", {1}),
        ("ledger", "UPDATE sale_run SET first_seq = first_seq + 1", {6}),
        ("ledger", "DELETE FROM sale WHERE id = 7", {1, 4, 6}),
        ("ledger", "UPDATE sale SET run_id = 1 WHERE id = 7", {1, 4, 6}),
        ("ledger", "INSERT INTO sale SELECT id + 100, id + 100, purse_id, 90, 5, 0, 0, 0 FROM sale WHERE id = 7", {1}),
        ("ledger", "UPDATE other_posting SET account_id = 2006 WHERE id = 1 AND account_id = 1010", {1}),
        ("ledger", "UPDATE sale SET amount_fen = amount_fen + 1 WHERE id = 7", {1, 6}),
        ("ledger", "DELETE FROM suspense_item WHERE id = 1", {1, 6, 11}),
        ("ledger", "UPDATE suspense_item SET amount_fen = 1 WHERE id = 1", {11}),
        ("ledger", "UPDATE source_cursor SET position = position - 2 WHERE source = 'canteen'", {6, 12}),
        ("canteen", "UPDATE intake SET records = zeroblob(length(records)) WHERE position = 1", {4}),
        ("canteen", "UPDATE intake SET stream_hash = zeroblob(32) WHERE position = 1", {4}),
        ("canteen", "UPDATE intake SET hash_before = zeroblob(32) WHERE position = 1", {4}),
        ("canteen", "UPDATE terminal SET total_fen = total_fen + 1 WHERE id = 1", {6}),
        ("canteen", "UPDATE terminal SET next_seq = next_seq + 1 WHERE id = 1", {4}),
        ("canteen", f"UPDATE batch SET raw = {_OTHER_END} WHERE id = 1", {2}),
        ("canteen", "DELETE FROM suspended_tap", {4}),
        ("canteen", "DELETE FROM terminal WHERE id = 1", {9}),
        ("canteen", "INSERT INTO fork SELECT 1, terminal, epoch, 1, x'00', 0 FROM terminal WHERE id = 1", {10}),
        ("onecard", "UPDATE purse_opening SET opening_balance_fen = 1 WHERE position = 1", {1, 4}),
    ],
)
def test_tampering_behind_the_triggers_is_found(campus: Campus, file: str, sql: str, points: set[int]) -> None:
    campus.tamper(file, sql)
    evidence = gather(campus.home, campus.folder)
    nothing: tuple[str, list[str]] = ("", [])
    told = Circumstances(journals=campus.journals, healed=True, replayed=nothing, reordered=nothing)
    with closing(evidence.db):
        assert points <= set(objecting(audit(evidence, told)))


@pytest.mark.parametrize(
    ("file", "sql", "points"),
    [
        ("canteen", "UPDATE terminal SET total_fen = total_fen + 1 WHERE id = 1", {7}),
        ("ledger", "UPDATE sale SET counter = counter + 40 WHERE id = 7", {8}),
    ],
)
def test_what_comes_out_otherwise_when_it_is_done_over_is_found(
    campus: Campus, file: str, sql: str, points: set[int]
) -> None:
    campus.tamper(file, sql)
    assert points <= set(objecting(campus.audit()))


@pytest.fixture
def decided(campus: Campus) -> Campus:
    """The same after people decided about what was in suspense, declared a journal finished, and closed the day."""
    items = campus.ledger.query("SELECT id FROM suspense_item ORDER BY id", into=int)
    for item, how in zip(items, (How.POST, How.WRITE_OFF), strict=True):
        campus.resolve(item, how)
    key = campus.decide(Action.FINISH, "Li Na", terminal=campus.tills[1].terminal.hex(), epoch=1, because="burnt")
    campus.decide(Action.CONFIRM, "Wang Wei", proposal=key.hex())
    campus.pull()
    campus.close_days()
    return campus


def test_installation_where_people_decided_and_a_day_is_closed_holds_in_all_thirteen_points(decided: Campus) -> None:
    findings = decided.audit()
    assert objecting(findings) == [], findings_text(findings)
    assert findings[10].seen == "0 items of 0.00 wait, 2 were resolved"
    assert findings[12].seen == "0 shift reports, 3 closed days"


def test_tap_that_was_taken_in_while_the_audit_ran_is_the_next_ones(campus: Campus) -> None:
    """The server goes on: what was not there when the stream was read is not done over either."""
    campus.sell(0, 0, 500)

    def progress(step: str) -> None:
        if step == "uploads of canteen, done over":
            campus.upload(0)

    assert objecting(campus.audit(healed=False, progress=progress)) == []


def test_stream_that_was_restored_and_filled_again_holds_in_all_thirteen_points(campus: Campus) -> None:
    campus.ledger.execute("UPDATE source_cursor SET lineage = 2, position = 0, head_hash = %s WHERE source = 'canteen'",
                          (stream_genesis(Stream.CANTEEN),))  # fmt: skip
    campus.pull()
    campus.sell(0, 0, 500)
    campus.upload(0)
    campus.pull()
    assert objecting(findings := campus.audit()) == [], findings_text(findings)


@pytest.mark.parametrize(
    ("file", "sql", "points"),
    [
        ("ledger", "UPDATE suspense_resolution SET confirmed_by = 'Chen Jie' WHERE outcome = 4", {11}),
        ("ledger", "UPDATE finished_journal SET epoch = 2", {11}),
        ("ledger", "UPDATE other_entry SET amount_fen = amount_fen + 1 WHERE kind = 7", {4, 6, 11}),
        ("ledger", "UPDATE other_posting SET amount_fen = amount_fen * 2 WHERE entry_id = 1", {1, 4, 13}),
        ("ledger", "UPDATE sale SET amount_fen = amount_fen * 2 WHERE id = 7", {1, 4, 6, 13}),
        ("ledger", "UPDATE sale SET happened_at_utc_s = happened_at_utc_s + 1 WHERE id = 7", {4}),
        ("ledger", "UPDATE sale_run SET received_at_utc_s = received_at_utc_s + 1", {4}),
        ("ledger", "UPDATE day_total SET debit_fen = debit_fen + 1 WHERE id = 1", {13}),
        ("ledger", "UPDATE day_balance SET balance_fen = balance_fen + 1 WHERE account_id = 2001", {4, 13}),
        ("ledger", "UPDATE day_close SET entries_hash = zeroblob(32)", {4}),
        ("ledger", "UPDATE purse_balance SET balance_fen = balance_fen + 1", {13}),
        ("ledger", "UPDATE statement SET net_fen = net_fen + 1", {13}),
        ("ledger", "UPDATE terminal_day SET gross_fen = gross_fen + 1 WHERE id = 1", {13}),
        ("office", "UPDATE decision SET by = 'Chen Jie' WHERE position = 2", {4, 11}),
        ("office", "DELETE FROM decision WHERE position = 1", {4, 11}),
    ],
)
def test_tampering_with_decisions_and_closed_days_is_found(
    decided: Campus, file: str, sql: str, points: set[int]
) -> None:
    decided.tamper(file, sql)
    evidence = gather(decided.home, decided.folder)
    nothing: tuple[str, list[str]] = ("", [])
    told = Circumstances(journals=decided.journals, healed=True, replayed=nothing, reordered=nothing)
    with closing(evidence.db):
        assert set(objecting(audit(evidence, told))) == points


@pytest.fixture
def shifted(campus: Campus) -> Campus:
    """The same after a cashier signed on, sold with a subsidy, undid a sale, paid part of another back, and left."""
    till, card = campus.tills[0], 0
    first = len(till.records) + 1
    for kind, amount_fen, more in (
        (TapKind.SIGN_ON, 0, {}),
        (TapKind.SALE, 300, {"subsidy_fen": Fen(200)}),
        (TapKind.SALE, 400, {}),
        (TapKind.REVERSAL, 0, {"credit_fen": Fen(300), "subsidy_fen": Fen(200), "refers_to": first + 1}),
        (TapKind.REFUND, 0, {"credit_fen": Fen(150), "refers_to": first + 2}),
    ):
        campus.sell(0, card, amount_fen)
        till.records[-1] = replace(till.records[-1], kind=kind, **more)
    campus.upload(0)
    report = ShiftReport(
        terminal=till.terminal,
        epoch=till.epoch,
        number=1,
        hash_before=shift_genesis(till.terminal, till.epoch),
        first_seq=1,
        next_seq=len(till.records) + 1,
        journal_hash=till.head_hash(),
        opened_at_utc_s=NOW - 3_600,
        closed_at_utc_s=NOW,
        cashier=campus.cards[card],
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps=add_up(till.records),
    )
    assert accept_report(campus.canteen.db, report.signed(till.key), now_utc_s=NOW).number == 1
    campus.pull()
    return campus


def test_installation_with_every_kind_of_tap_and_a_shift_holds_in_all_thirteen_points(shifted: Campus) -> None:
    findings = shifted.audit()
    assert objecting(findings) == [], findings_text(findings)
    assert findings[12].seen == "1 shift reports, 0 closed days"
    kinds = shifted.ledger.query("SELECT DISTINCT kind FROM entry ORDER BY kind", into=int)
    assert kinds == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("file", "sql", "points"),
    [
        ("ledger", "UPDATE sale SET subsidy_fen = subsidy_fen + 1 WHERE subsidy_fen > 0", {1, 6}),
        ("ledger", "UPDATE other_entry SET amount_fen = amount_fen + 1 WHERE kind = 4", {6}),
        ("ledger", "UPDATE other_entry SET refers_to = 1 WHERE kind = 5", {6}),
        ("ledger", "UPDATE other_entry SET counter = counter + 40 WHERE kind = 6", {6}),
        ("canteen", f"UPDATE shift_report SET raw = {_OTHER_END}", {2}),
        ("canteen", "UPDATE shift_report SET raw = x'00'", {4}),
    ],
)
def test_tampering_with_credits_subsidies_and_shifts_is_found(
    shifted: Campus, file: str, sql: str, points: set[int]
) -> None:
    shifted.tamper(file, sql)
    evidence = gather(shifted.home, shifted.folder)
    nothing: tuple[str, list[str]] = ("", [])
    told = Circumstances(journals=shifted.journals, healed=True, replayed=nothing, reordered=nothing)
    with closing(evidence.db):
        assert set(objecting(audit(evidence, told))) == points


def test_shift_report_that_says_more_than_its_taps_is_found(shifted: Campus) -> None:
    till = shifted.tills[0]
    (raw,) = shifted.canteen.db.query("SELECT raw FROM shift_report", into=bytes)
    first = ShiftReport.from_bytes(raw)
    shifted.sell(0, 1, 400)
    shifted.upload(0)
    shifted.pull()
    more = {(TapKind.SALE, Outcome.DEBITED): Sum(count=1, amount_fen=500)}
    report = replace(
        first,
        number=2,
        hash_before=first.hash,
        first_seq=first.next_seq,
        next_seq=first.next_seq + 1,
        journal_hash=till.head_hash(),
        taps=more,
    )
    accept_report(shifted.canteen.db, report.signed(till.key), now_utc_s=NOW)
    assert objecting(shifted.audit()) == [13]
