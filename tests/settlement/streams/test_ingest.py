"""What a stream does with a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.onecard.keys import FileKeyStore
from settlement.store.database import RuleBroken, open_reader
from settlement.streams import store
from settlement.streams.coding import CodingStates
from wire.batch import SettlementBatch, SignedBatch, decode_batch, sign_batch
from wire.fields import FormatError
from wire.ids import Asn, CardId, IssuerId, Stream
from wire.messages import Receipt, Refused
from wire.receipt import BatchReceipt, Rejection, Suspense
from wire.record import Mac2, Outcome
from wire.signature import SIGNATURE_BYTES
from wire.sms import DatagramKind, Envelope, SmsInvalid, pack_up

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


def taken(answer: Receipt | Refused) -> BatchReceipt:
    assert isinstance(answer, Receipt), answer
    return answer.receipt


def refused(answer: Receipt | Refused) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer


def test_first_batch_moves_the_cursor_to_its_end(canteen: StreamDriver, till: FakeTill) -> None:
    assert canteen.enrol(till) == canteen.enrolled(till)
    for _ in range(3):
        till.tap()
    receipt = taken(canteen.accept(till.batch()))
    assert (receipt.cursor.next_seq, receipt.cursor.head_hash) == (4, till.head_hash())
    assert receipt.suspended == ()
    row = store.find_terminal(canteen.db, till.terminal, 1)
    assert row is not None
    assert (row.next_seq, row.total_fen) == (4, 3750)


def test_replayed_batch_gets_the_first_receipt_though_the_cursor_moved_on(
    canteen: StreamDriver, till: FakeTill
) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(wrong_tac=True)
    first = till.batch()
    answer = taken(canteen.accept(first))
    till.tap()
    canteen.accept(till.batch(3))
    before = canteen.counts()
    assert taken(canteen.accept(first)).to_bytes() == answer.to_bytes()
    assert canteen.counts() == before


def test_every_kind_of_doubt_is_taken_in_and_suspended_with_its_reason(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(wrong_tac=True)
    till.tap(mac2=Mac2.REFUSED)
    till.tap(mac2=Mac2.NOT_CHECKED)
    till.tap(outcome=Outcome.UNKNOWN)
    till.tap(outcome=Outcome.REFUSED)
    till.tap(outcome=Outcome.VOIDED)
    receipt = taken(canteen.accept(till.batch()))
    assert receipt.suspended == ((2, Suspense.TAC_WRONG), (3, Suspense.MAC2_REFUSED), (5, Suspense.OUTCOME_UNKNOWN))
    assert receipt.cursor.next_seq == 8


def test_unknown_outcome_is_decided_by_the_tac(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap(outcome=Outcome.UNKNOWN, with_tac=True)
    till.tap(outcome=Outcome.UNKNOWN, with_tac=True, wrong_tac=True)
    till.tap(outcome=Outcome.UNKNOWN)
    receipt = taken(canteen.accept(till.batch()))
    assert receipt.suspended == ((2, Suspense.OUTCOME_UNKNOWN), (3, Suspense.OUTCOME_UNKNOWN))
    row = store.find_terminal(canteen.db, till.terminal, 1)
    assert row is not None
    assert row.total_fen == 0, "the total is what the terminal claims, and it claims none of these"


def test_unknown_terminal_is_refused_and_nothing_is_stored(canteen: StreamDriver, till: FakeTill) -> None:
    till.tap()
    answer = refused(canteen.accept(till.batch()))
    assert (answer.rejection, answer.cursor) == (Rejection.UNKNOWN_TERMINAL, None)
    assert canteen.counts() == {"tap": 0, "batch": 0, "fork": 0}


def test_epoch_that_was_never_enrolled_is_refused(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.epoch = 2
    till.tap()
    assert refused(canteen.accept(till.batch())).rejection is Rejection.WRONG_EPOCH


def test_older_epoch_of_a_terminal_is_still_taken(canteen: StreamDriver, till: FakeTill, keys: FileKeyStore) -> None:
    canteen.enrol(till)
    till.tap()
    assert canteen.enrol(till, canteen.ticket(till.terminal, epoch=2)) == canteen.enrolled(till, 2)
    assert taken(canteen.accept(till.batch())).cursor.epoch == 1


def test_batch_signed_by_another_key_is_refused(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    canteen.enrol(till)
    till.key = make_till(7).key
    till.tap()
    assert refused(canteen.accept(till.batch())).rejection is Rejection.SIGNATURE_INVALID
    assert canteen.counts()["tap"] == 0


def test_gap_is_refused_with_the_number_wanted_and_heard_of(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    for _ in range(4):
        till.tap()
    canteen.accept(till.batch(1, 2))
    answer = refused(canteen.accept(till.batch(3)))
    assert answer.rejection is Rejection.GAP
    assert answer.cursor is not None
    assert answer.cursor.next_seq == 2
    row = store.find_terminal(canteen.db, till.terminal, 1)
    assert row is not None
    assert (row.heard_seq, row.heard_total_fen) == (4, 5000)


def test_overlap_skips_the_known_prefix_and_repeats_its_suspense(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(wrong_tac=True)
    till.tap()
    canteen.accept(till.batch(1, 4))
    till.tap(wrong_tac=True)
    till.tap()
    receipt = taken(canteen.accept(till.batch(2)))
    assert receipt.cursor.next_seq == 6
    assert receipt.suspended == ((2, Suspense.TAC_WRONG), (4, Suspense.TAC_WRONG))
    assert canteen.counts()["tap"] == 5


def test_batch_that_is_known_in_other_pieces_changes_no_tap(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    for _ in range(4):
        till.tap()
    canteen.accept(till.batch(1, 3))
    canteen.accept(till.batch(3))
    receipt = taken(canteen.accept(till.batch(2, 4)))
    assert receipt.cursor.next_seq == 5
    assert canteen.counts()["tap"] == 4


@pytest.mark.parametrize("sent_before", [1, 3])
def test_fork_quarantines_the_terminal_and_keeps_both_versions(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill], sent_before: int
) -> None:
    canteen.enrol(till)
    for _ in range(3):
        till.tap()
    for at in range(1, 4, 3 // sent_before):
        taken(canteen.accept(till.batch(at, at + 3 // sent_before)))
    twin = make_till(1)
    twin.terminal, twin.key = till.terminal, till.key
    twin.tap()
    twin.tap(amount_fen=99)
    twin.tap()
    answer = refused(canteen.accept(twin.batch()))
    assert answer.rejection is Rejection.FORK
    assert canteen.db.query("SELECT seq, raw FROM fork", into=lambda *row: row) == [(2, twin.batch().raw)]
    ours = canteen.db.query("SELECT record FROM tap ORDER BY seq", into=bytes)
    assert ours == [record.to_bytes() for record in till.records]
    till.tap()
    assert refused(canteen.accept(till.batch(4))).rejection is Rejection.QUARANTINED


def test_fork_right_at_the_cursor_is_found_by_the_hash_before(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    twin = make_till(1)
    twin.terminal, twin.key = till.terminal, till.key
    twin.tap(amount_fen=99)
    twin.tap()
    assert refused(canteen.accept(twin.batch(2))).rejection is Rejection.FORK


@pytest.mark.parametrize(("first_seq", "next_seq", "total_before_fen"), [(3, 4, 2501), (2, 4, 1249), (1, 3, 1)])
def test_totals_that_contradict_the_journal_are_refused(
    canteen: StreamDriver, till: FakeTill, first_seq: int, next_seq: int, total_before_fen: int
) -> None:
    canteen.enrol(till)
    for _ in range(3):
        till.tap()
    taken(canteen.accept(till.batch(1, 3)))
    lying = SettlementBatch(
        terminal=till.terminal,
        epoch=till.epoch,
        hash_before=till.head_hash(first_seq),
        total_before_fen=total_before_fen,
        records=tuple(till.records[first_seq - 1 : next_seq - 1]),
    )
    answer = refused(canteen.accept(sign_batch(lying, till.key, till.state(first_seq))))
    assert answer.rejection is Rejection.MALFORMED
    assert canteen.counts() == {"tap": 2, "batch": 1, "fork": 0}


def test_flipped_bit_anywhere_in_a_batch_stores_nothing(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(outcome=Outcome.REFUSED)
    raw = till.batch().raw
    answers = set()
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            signed: SignedBatch = decode_batch(bytes(damaged))
        except FormatError:
            answers.add("format")
            continue
        answers.add(refused(canteen.accept(signed)).rejection.name)
    assert answers == {"format", "SIGNATURE_INVALID", "UNKNOWN_TERMINAL", "WRONG_EPOCH"}
    assert canteen.counts() == {"tap": 0, "batch": 0, "fork": 0}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=12))
def test_batches_cut_repeated_and_reordered_at_will_leave_the_same_journal(
    canteen: StreamDriver, make_till: Callable[[int], FakeTill], cuts: list[tuple[int, int]]
) -> None:
    till = make_till(canteen.db.number("SELECT count(*) FROM terminal") + 1)
    canteen.enrol(till)
    for number in range(12):
        till.tap(100 + number, wrong_tac=number % 5 == 4)
    wanted = 1
    for first, count in [*cuts, (1, 12)]:
        end = min(first + count, 13)
        answer = canteen.accept(till.batch(first, end))
        if first > wanted:
            assert refused(answer).rejection is Rejection.GAP
            continue
        receipt = taken(answer)
        assert receipt.cursor.next_seq >= end
        assert [seq for seq, _ in receipt.suspended] == [seq for seq in (5, 10) if first <= seq < end]
        wanted = max(wanted, end)
    (row,) = [row for row in store.all_terminals(canteen.db) if row.terminal == till.terminal]
    assert (row.next_seq, row.total_fen, row.head_hash) == (13, till.total_fen, till.head_hash())
    stored = canteen.db.query("SELECT record FROM tap WHERE terminal = %s ORDER BY seq", (till.terminal,), into=bytes)
    assert stored == [record.to_bytes() for record in till.records]


@pytest.mark.parametrize("statement", ["INSERT ON intake", "UPDATE ON terminal", "INSERT ON batch"])
def test_failure_at_any_statement_keeps_nothing_and_the_batch_is_taken_later(
    canteen: StreamDriver, till: FakeTill, statement: str
) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap()
    canteen.db.execute(f"CREATE TRIGGER disk_fails AFTER {statement} BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken, match="full"):
        canteen.accept(till.batch())
    assert canteen.counts() == {"tap": 0, "batch": 0, "fork": 0}
    row = store.find_terminal(canteen.db, till.terminal, 1)
    assert row is not None
    assert row.next_seq == 1
    canteen.db.execute("DROP TRIGGER disk_fails")
    assert taken(canteen.accept(till.batch())).cursor.next_seq == 3


def test_nobody_sees_taps_without_the_cursor(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    seen = []

    class WatchingKeys(FileKeyStore):
        """Looks at the database from outside in the middle of the transaction."""

        def verify_purchase_tacs(self, records: Sequence[bytes]) -> list[bool]:
            with sqlite3.connect(canteen.home.database("canteen")) as other:
                seen.append(other.execute("SELECT count(*), max(next_seq) FROM tap, terminal").fetchone())
            other.close()
            return [True for _ in records]

    canteen.keys = WatchingKeys(till.keys._masters, two_level=False)
    taken(canteen.accept(till.batch()))
    assert seen == [(0, None)]


def test_stream_chain_covers_record_suspense_and_time(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(wrong_tac=True)
    canteen.accept(till.batch())
    till.tap()
    canteen.accept(till.batch(3))
    with open_reader(canteen.home.place("canteen"), "canteen") as reader:
        rows = store.intakes_after(reader, 0, 10)
    head = store.stream_genesis(Stream.CANTEEN)
    for row, found in zip(rows, ([(1, Suspense.TAC_WRONG)], []), strict=True):
        head = store.next_stream_hash(head, row.records, found, row.received_at_utc_s)
        assert row.stream_hash == head
    assert store.journal_head(canteen.db, Stream.CANTEEN) == store.JournalHead(3, head)


def sealed(till: FakeTill, first_seq: int, *, number: int = 1, stream: Stream = Stream.CANTEEN) -> bytes:
    """The till's taps from `first_seq` on as a datagram."""
    envelope = Envelope(kind=DatagramKind.UP, stream=stream, terminal=till.terminal, number=number)
    datagram = pack_up(till.state(first_seq), till.head_hash(first_seq), till.records[first_seq - 1 :])
    return envelope.seal(datagram.to_bytes(), till.keys.sms_key(till.terminal, till.epoch), till.epoch)


def test_taps_by_sms_move_the_cursor_and_the_next_batch_signs_for_them(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    for _ in range(3):
        till.tap()
    taken(canteen.accept(till.batch()))
    till.tap(wrong_tac=True)
    till.tap()
    data = sealed(till, 4)
    receipt = taken(canteen.accept_datagram(data))
    assert (receipt.cursor.next_seq, receipt.cursor.head_hash) == (6, till.head_hash())
    assert receipt.suspended == ((4, Suspense.TAC_WRONG),)
    assert canteen.db.query("SELECT raw FROM batch WHERE first_seq = 4", into=bytes) == [data]
    till.tap()
    assert taken(canteen.accept(till.batch(4))).cursor.next_seq == 7
    assert canteen.counts()["tap"] == 6


def test_same_datagram_again_gets_the_same_receipt(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    first = canteen.accept_datagram(sealed(till, 1))
    till.tap()
    taken(canteen.accept(till.batch(2)))
    assert canteen.accept_datagram(sealed(till, 1)) != first, "another datagram: it says more"
    till.records.pop()
    assert canteen.accept_datagram(sealed(till, 1)) == first
    assert canteen.counts()["tap"] == 2


def test_datagram_beyond_the_cursor_is_a_gap_and_one_of_another_history_proves_nothing(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    canteen.enrol(till)
    for _ in range(3):
        till.tap()
    answer = refused(canteen.accept_datagram(sealed(till, 3)))
    assert (answer.rejection, answer.cursor and answer.cursor.next_seq) == (Rejection.GAP, 1)
    taken(canteen.accept(till.batch(1, 3)))
    twin = make_till(1)
    twin.terminal = till.terminal
    for amount_fen in (99, 100, 101):
        twin.tap(amount_fen)
    for first_seq in (1, 3):
        answer = refused(canteen.accept_datagram(sealed(twin, first_seq, number=2)))
        assert answer.rejection is Rejection.MALFORMED
    assert taken(canteen.accept(till.batch(3))).cursor.next_seq == 4, "not quarantined"
    assert canteen.counts() == {"tap": 3, "batch": 2, "fork": 0}


def test_datagram_of_a_quarantined_terminal_is_not_taken_in(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.db.execute("UPDATE terminal SET quarantined_because = 'tap 1 differs'")
    assert refused(canteen.accept_datagram(sealed(till, 1))).rejection is Rejection.QUARANTINED
    assert canteen.counts() == {"tap": 0, "batch": 0, "fork": 0}


def test_datagram_that_nobody_here_sealed_is_not_answered(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    till.tap()
    with pytest.raises(SmsInvalid, match="not enrolled"):
        canteen.accept_datagram(sealed(till, 1))
    canteen.enrol(till)
    with pytest.raises(SmsInvalid, match="shops"):
        canteen.accept_datagram(sealed(till, 1, stream=Stream.SHOPS))
    data = sealed(till, 1)
    for at in range(len(data)):
        damaged = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        with pytest.raises(SmsInvalid):
            canteen.accept_datagram(damaged)
    assert canteen.counts() == {"tap": 0, "batch": 0, "fork": 0}


def test_state_that_was_thrown_out_or_spoilt_is_made_again_from_the_taps(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.states = CodingStates(cards_max=1)
    canteen.enrol(till)
    for number in range(12):
        till.tap(100 + number, card=CardId(IssuerId(bytes(8)), Asn(bytes(9) + bytes((number % 3,)))))
    for first_seq in range(1, 13, 3):
        bad = till.batch(first_seq, first_seq + 3)
        body = bytearray(bad.raw[:-SIGNATURE_BYTES])
        body[-1] ^= 0x80
        spoilt = decode_batch(bytes(body) + till.key.sign(b"campus batch v2" + bytes(body)))
        assert refused(canteen.accept(spoilt)).rejection is Rejection.MALFORMED
        taken(canteen.accept(bad))
    assert canteen.counts()["tap"] == 12
