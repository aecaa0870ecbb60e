"""What the books credited to a holder, and what loads collected of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.clearing import Owner
from settlement.ledger.days import close_days
from settlement.ledger.entries import Account, Entry, LoadEnd, Resolved, Source, entry_for, load_for
from settlement.ledger.owed import LedgerBooks, credited
from settlement.ledger.pending import pending_loads, post_loads
from settlement.ledger.store import Posted
from settlement.ledger.trial import roll_forward
from settlement.report import read_report, report_text
from settlement.settings import Home
from settlement.store.database import Database, SchemaMissing
from settlement.store.router import LEDGER, TOPUP
from wire.ids import CardId, LoadId, TerminalId
from wire.load import Funding
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import TapKind, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

POINT = TerminalId(bytes.fromhex("000000000901"))
AT = 1_764_000_000

pytestmark = pytest.mark.usefixtures("purses")


class OneMerchant:
    def owner_of(self, source: str, terminal: bytes, utc_s: int) -> Owner:
        return Owner(1, 1, "merchant")

    def is_same(self, source: str, terminal: bytes, first_utc_s: int, last_utc_s: int) -> bool:
        return True


def book(db: Database, record: TapRecord) -> None:
    entry = entry_for(record, suspense=None, source=Source("canteen", record.tap_id.seq), received_at_utc_s=AT)
    assert isinstance(entry, Entry)
    with db.transaction():
        assert store.post(db, [entry]) == [Posted.CREATED]


def take_back(db: Database, till: FakeTill, amount_fen: int) -> CardId:
    """A sale that is undone."""
    sale = till.tap(amount_fen)
    book(db, sale)
    undone = replace(
        till.tap(0), kind=TapKind.REVERSAL, credit_fen=Fen(amount_fen), refers_to=sale.tap_id.seq, card=sale.card
    )
    book(db, undone)
    return sale.card


def collection(card: CardId, amount_fen: int, number: int = 1) -> Entry:
    return load_for(
        LoadId(POINT, 1, number),
        card,
        funding=Funding.REFUND,
        online_counter=0,
        amount_fen=Fen(amount_fen),
        source=Source("topup", 2 * number),
        granted_at_utc_s=AT,
    )


def end(load: Entry, resolved: Resolved, funding: Funding = Funding.REFUND) -> LoadEnd:
    assert isinstance(load.origin, LoadId)
    assert load.card is not None
    return LoadEnd(
        source=Source("topup", load.source.position + 1),
        load_id=load.origin,
        funding=funding,
        resolved=resolved,
        card=load.card,
        counter=0,
        amount_fen=load.amount_fen,
        happened_at_utc_s=AT + 5,
    )


def balance(db: Database, account: Account) -> int:
    return {found.number: found.balance_fen for found in store.balances(db)}[account]


def test_undone_sale_is_owed_and_a_sale_is_not(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    book(ledger_db, till.tap(900))
    card = take_back(ledger_db, till, 350)
    assert credited(ledger_db, card).credited_fen == 350
    assert credited(ledger_db, numbered_card(7)).credited_fen == 0


@pytest.mark.parametrize("resolved", [None, *Resolved])
def test_collected_refund_leaves_what_was_credited_and_counts_unless_it_was_voided(
    ledger_db: Database, till: FakeTill, resolved: Resolved | None
) -> None:
    card = take_back(ledger_db, till, 350)
    before_fen = balance(ledger_db, Account.CARD_FLOAT)
    load = collection(card, 300)
    with ledger_db.transaction():
        post_loads(ledger_db, [load] if resolved is None else [load, end(load, resolved)])
    found = credited(ledger_db, card)
    assert found.credited_fen == 350
    assert found.collected == ({} if resolved is Resolved.VOIDED else {LoadId(POINT, 1, 1): 300})
    moved_fen = 300 if resolved is Resolved.POSTED else 0
    assert balance(ledger_db, Account.REFUNDS_PAYABLE) == -350 + moved_fen
    assert balance(ledger_db, Account.CARD_FLOAT) == before_fen - moved_fen
    assert balance(ledger_db, Account.CASH_POINTS) == 0
    assert bool(pending_loads(ledger_db)) is (resolved is None)
    assert store.unbalanced_entries(ledger_db) == []


def test_report_names_what_is_owed_and_a_collection_on_its_way(home: Home, ledger_db: Database, till: FakeTill) -> None:
    card = take_back(ledger_db, till, 350)
    with ledger_db.transaction():
        post_loads(ledger_db, [collection(card, 300)])
    report = read_report(home, now_utc_s=AT, outage_s=1)
    assert "3.50 owed to holders" in report_text(report)
    assert "out of refunds" in report_text(report)
    assert "2006  refunds payable" in report_text(report)


def test_float_rolls_forward_with_what_was_collected_on_a_line_of_its_own(ledger_db: Database, till: FakeTill) -> None:
    load = collection(take_back(ledger_db, till, 350), 350)
    with ledger_db.transaction():
        post_loads(ledger_db, [load, end(load, Resolved.POSTED)])
    close_days(ledger_db, through=20251231, now_utc_s=AT + 99 * 86_400, owners=OneMerchant(), fee_per_10000=0)
    roll = roll_forward(ledger_db, 20250101, 20251231)
    assert (roll.loads_fen, roll.collected_fen, roll.refunds_payable_fen) == (0, 350, 0)
    assert roll.is_right


def test_end_of_a_collection_as_a_load_for_cash_is_suspended(ledger_db: Database, till: FakeTill) -> None:
    load = collection(take_back(ledger_db, till, 350), 350)
    with ledger_db.transaction():
        told = post_loads(ledger_db, [load, end(load, Resolved.POSTED, Funding.CASH)])
    assert told == [Posted.CREATED, Posted.EXISTS_WITH_DIFFERENT_AMOUNT]
    assert [item.reason for item in store.open_suspense(ledger_db)] == [Suspense.TAP_DIFFERS]
    assert balance(ledger_db, Account.REFUNDS_PAYABLE) == -350


def test_desk_reads_the_books_in_its_own_role_and_again_after_a_fault(
    home: Home, ledger_db: Database, till: FakeTill
) -> None:
    books = LedgerBooks(home.place(LEDGER, role=TOPUP))
    card = take_back(ledger_db, till, 350)
    assert books.credited(card).credited_fen == 350
    books.close()
    take_back(ledger_db, till, 50)
    assert books.credited(card).credited_fen == 400
    books.close()


def test_desk_without_a_ledger_says_so_with_a_code(tmp_path: Path, numbered_card: Callable[[int], CardId]) -> None:
    with pytest.raises(SchemaMissing):
        LedgerBooks(tmp_path / "ledger.db").credited(numbered_card(1))
