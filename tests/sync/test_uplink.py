"""Sessions with a server on real sockets: what gets lost is sent again in the same bytes, and the cursor stays true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.clock import Clock
from sync.link import Link, LinkDown
from sync.outbox import JournalForked
from sync.store import UplinkStore, Verdict
from sync.uplink import ADVICE, VERDICTS, Uplink, enrol, may_pass, ticket_digest
from terminal.journal import JournalForeign
from tests.sync.conftest import KEY, OPERATOR, SMS_KEY
from wire.batch import decode_batch
from wire.configuration import ClassLimits, Configuration, Name, Product
from wire.downlink import NO_MARK, Answer, HotlistDelta, Question, Request
from wire.enrolment import Ticket
from wire.frame import FrameCorrupt
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId, Stream, TerminalId
from wire.messages import Enrolled
from wire.money import Fen
from wire.receipt import Rejected, Rejection, Suspense
from wire.session import ProtocolViolation
from wire.signature import public_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sync.conftest import Server, Till

NOW_UTC_S = 1767261600  # the fixed clock's
Connect = Callable[[], Link]
Start = Callable[[], Uplink]


def _hotlist(version: int, cards: int) -> Hotlist:
    numbers = (number.to_bytes(10, "big") for number in range(cards))
    return Hotlist(version, frozenset(CardId(IssuerId(bytes(8)), Asn(number)) for number in numbers))


def test_first_batch_goes_with_the_identity_and_moves_the_cursor(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(3)
    signed = start().open()
    assert signed is not None
    assert server.uploads == [signed.raw]
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 4
    assert store.unanswered() is None
    assert (server.identified[0].head_seq, server.identified[0].total_fen) == (3, 3 * 650)
    counters = store.counters()
    assert counters.batches == 1
    assert counters.bytes_sent > len(signed.raw)


def test_session_stays_open_for_further_batches(server: Server, start: Start, store: UplinkStore, till: Till) -> None:
    uplink = start()
    assert uplink.open() is None
    assert uplink.upload() is None
    for count in (1, 2):
        till.tap(count)
        assert uplink.upload() is not None
    assert store.cursor() == server.cursor
    assert (store.cursor().next_seq, len(server.uploads), len(server.identified)) == (4, 2, 1)


def test_long_backlog_goes_in_batches_of_a_hundred(server: Server, start: Start, till: Till) -> None:
    till.tap(230)
    uplink = start()
    uplink.open()
    while uplink.upload() is not None:
        pass
    assert [decode_batch(raw).count for raw in server.uploads] == [100, 100, 30]


@pytest.mark.parametrize("quirk", ["LOSE_ANSWER", "LOSE_UPLOAD", "SILENCE"])
def test_lost_answer_sends_the_same_bytes_again(
    quirk: str, server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(2)
    server.spoil(quirk)
    with pytest.raises(LinkDown):
        start().open()
    assert store.cursor().next_seq == 1
    till.tap(1)  # what came later must not change the batch under way
    uplink = start()
    assert uplink.open() is not None
    assert server.uploads[0] == server.uploads[1]
    assert uplink.upload() is not None
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 4


def test_batch_of_another_version_that_the_server_has_is_cut_again_and_taken_as_overlap(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(2)
    server.spoil("LOSE_ANSWER")
    with pytest.raises(LinkDown):
        start().open()
    store._write("UPDATE batches SET raw = ?", (b"\xff coding of another version",))
    till.tap(1)
    assert start().open() is not None
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 4


def test_half_open_link_is_given_up_at_the_deadline(server: Server, start: Start, till: Till) -> None:
    till.tap(1)
    server.spoil("SILENCE")
    with pytest.raises(LinkDown, match="did not answer within"):
        start().open()


def test_server_restart_between_batches_loses_nothing(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(1)
    uplink = start()
    uplink.open()
    server.stop()
    till.tap(1)
    with pytest.raises(LinkDown):
        uplink.upload()
    with pytest.raises(LinkDown, match="no connection"):
        start()
    server.start()
    start().open()
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 3


def test_gap_is_cut_again_from_the_servers_cursor(server: Server, start: Start, store: UplinkStore, till: Till) -> None:
    till.tap(5)
    start().open()
    del server.hashes[3:]  # the server came back from a backup with two taps
    till.tap(1)
    uplink = start()
    assert uplink.open() is None  # tap 6 was refused: 3 is wanted
    assert store.cursor().next_seq == 3
    assert uplink.upload() is not None
    assert decode_batch(server.uploads[-1]).first_seq == 3
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 7


def test_welcome_that_is_behind_makes_the_terminal_send_again(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(4)
    start().open()
    del server.hashes[2:]
    uplink = start()
    assert uplink.open() is None  # nothing was waiting, the welcome alone says it
    assert uplink.upload() is not None
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 5


def test_welcome_that_is_ahead_is_followed_without_sending(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(4)
    server.hashes += [till.reader.hash_before(seq) for seq in range(2, 5)]
    server.taps |= dict(enumerate(till.reader.canonical(1, 4), start=1))
    uplink = start()
    uplink.open()  # the optimistic batch overlaps; its receipt covers it
    assert store.cursor() == server.cursor


def test_server_that_keeps_finding_gaps_is_not_believed(server: Server, start: Start, till: Till) -> None:
    till.tap(2)
    server.refusals.extend([Rejection.GAP] * 4)
    uplink = start()
    assert uplink.open() is None
    assert uplink.upload() is None
    with pytest.raises(Rejected, match="GAP"):
        uplink.upload()


def test_batch_that_the_server_cannot_read_is_cut_anew_from_the_journal(
    server: Server,
    connect: Connect,
    store: UplinkStore,
    till: Till,
    key: Ed25519PrivateKey,
    clock: Clock,
) -> None:
    till.tap(1)
    spoilt = till.coder.state(store.cursor())
    spoilt.ttsn = 7  # as if memory had failed
    till.coder.keep(spoilt, store.cursor().head_hash)
    server.refusals.append(Rejection.MALFORMED)

    def open_session() -> None:
        uplink = Uplink(
            connect(), store=store, journal=till.reader, key=key, coder=till.coder, clock=clock, answer_s=0.4
        )
        uplink.open()

    with pytest.raises(Rejected, match="MALFORMED"):
        open_session()
    open_session()
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 2
    assert server.uploads[0] != server.uploads[1]


@pytest.mark.parametrize("rejection", sorted(set(Rejection) - {Rejection.GAP, Rejection.MALFORMED}))
def test_rejection_is_a_typed_fault_that_leaves_the_batch_under_way(
    rejection: Rejection, server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(1)
    server.refusals.append(rejection)
    with pytest.raises(Rejected) as caught:
        start().open()
    assert caught.value.rejection is rejection
    assert may_pass(caught.value) is (rejection is Rejection.BUSY)
    assert store.unanswered() == server.uploads[0]
    start().open()
    assert server.uploads[0] == server.uploads[1]


@pytest.mark.parametrize("rejection", sorted(VERDICTS))
@pytest.mark.parametrize("place", ["identity", "first batch", "later batch"])
def test_verdict_is_kept_with_advice_until_the_next_receipt(
    rejection: Rejection, place: str, server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    uplink = start()
    if place == "later batch":
        uplink.open()
    till.tap(1)
    if place == "identity":
        server.unwelcome = rejection
    else:
        server.refusals.append(rejection)
    with pytest.raises(Rejected):
        uplink.upload() if place == "later batch" else uplink.open()
    verdict = store.verdict()
    assert verdict == Verdict(rejection.name, f"{rejection.name}: as the test wants it: {ADVICE[rejection]}", NOW_UTC_S)
    server.unwelcome = None
    assert start().open() is not None
    assert store.verdict() is None


@pytest.mark.parametrize("rejection", sorted(set(Rejection) - VERDICTS - {Rejection.GAP}))
def test_rejection_that_is_no_verdict_says_nothing_to_the_till(
    rejection: Rejection, server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(1)
    server.refusals.append(rejection)
    with pytest.raises(Rejected):
        start().open()
    assert store.verdict() is None


def test_verdict_is_cleared_by_a_welcome_when_nothing_waits(server: Server, start: Start, store: UplinkStore) -> None:
    server.unwelcome = Rejection.UNKNOWN_TERMINAL
    with pytest.raises(Rejected):
        start().open()
    assert store.verdict() is not None
    server.unwelcome = None
    start().open()
    assert store.verdict() is None


def test_verdict_stands_from_the_welcome_until_the_batch_before_it_has_its_answer(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(1)
    server.refusals.append(Rejection.FORK)
    with pytest.raises(Rejected):
        start().open()
    server.spoil("SILENCE")
    with pytest.raises(LinkDown):
        start().open()
    assert store.verdict() is not None


def test_terminal_whose_journal_lost_taps_says_how_far_it_goes_and_keeps_the_verdict(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(2)
    start().open()
    store._write("UPDATE cursor SET next_seq = 9")  # as if six more had been acknowledged before the disk was restored
    till.tap(1)
    with pytest.raises(JournalForked, match="the journal ends at 3"):
        start().open()
    assert [identify.head_seq for identify in server.identified] == [2, 3]
    assert len(server.uploads) == 1
    verdict = store.verdict()
    assert verdict is not None
    assert (verdict.code, verdict.since_utc_s) == ("journal-forked", NOW_UTC_S)
    assert "the journal ends at 3" in verdict.words
    assert store.cursor().next_seq == 9


def test_lost_taps_are_the_verdict_whatever_the_server_says(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    store._write("UPDATE cursor SET next_seq = 9")
    server.unwelcome = Rejection.QUARANTINED
    with pytest.raises(JournalForked):
        start().open()
    assert (verdict := store.verdict()) is not None
    assert verdict.code == "journal-forked"


def test_lost_taps_are_the_verdict_though_the_server_hangs_up(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    store._write("UPDATE cursor SET next_seq = 9")
    server.hangs_up = True
    with pytest.raises(LinkDown):
        start().open()
    assert (verdict := store.verdict()) is not None
    assert verdict.code == "journal-forked"


@pytest.mark.parametrize("ahead_s", [0, -86_400, 3_600])
def test_difference_of_the_clocks_is_kept(ahead_s: int, server: Server, start: Start, store: UplinkStore) -> None:
    assert store.server_ahead_s() is None
    server.utc_s = NOW_UTC_S + ahead_s
    start().open()
    assert store.server_ahead_s() == ahead_s


def test_busy_instead_of_a_challenge_is_retryable(server: Server, start: Start) -> None:
    server.greeting = Rejection.BUSY
    with pytest.raises(Rejected, match="BUSY: as the test wants it") as caught:
        start().open()
    assert may_pass(caught.value)


def test_every_rejection_has_advice() -> None:
    assert set(ADVICE) == set(Rejection)
    assert "again with the same ticket" in ADVICE[Rejection.UNKNOWN_TERMINAL]


def test_receipt_with_suspended_taps_is_kept(server: Server, start: Start, store: UplinkStore, till: Till) -> None:
    till.tap(3)
    server.suspend = {2: Suspense.TAC_WRONG}
    start().open()
    assert store.suspended() == [(2, Suspense.TAC_WRONG)]
    assert store.cursor().next_seq == 4


def test_receipt_that_ends_before_its_batch_is_refused(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(2)
    server.spoil("SHORT_RECEIPT")
    with pytest.raises(ProtocolViolation, match="before its batch"):
        start().open()
    assert store.unanswered() == server.uploads[0]


def test_changes_are_made_to_the_hotlist_that_is_here(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    old, new = _hotlist(1, 3), _hotlist(2, 1)
    store.save_hotlist(old, received_at_utc_s=0)
    server.news.append(HotlistDelta.between(old, new))
    till.tap()
    assert start().open() is not None
    assert store.hotlist() == new


def test_changes_that_do_not_fit_leave_the_list_and_bring_it_whole_at_the_next_contact(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    old, server.hotlist = _hotlist(1, 3), _hotlist(2, 1)
    store.save_hotlist(old, received_at_utc_s=0)
    server.news.append(HotlistDelta.between(EMPTY_HOTLIST, server.hotlist))
    till.tap()
    assert start().open() is not None
    assert store.hotlist() == old
    till.tap()
    assert start().open() is not None
    assert store.hotlist() == server.hotlist
    assert [identify.hotlist_mark for identify in server.identified] == [old.mark, NO_MARK]
    assert store.hotlist_mark() == server.hotlist.mark


CONFIGURATION = Configuration(
    version=1,
    stream=Stream.CANTEEN,
    outlet=1,
    merchant_name=Name("饮食中心"),
    outlet_name=Name("第一食堂"),
    others=ClassLimits(tap_fen_max=Fen(5000)),
    products=(Product(number=1, name=Name("米饭", "rice"), amount_fen=Fen(150)),),
)


def test_configuration_of_the_operator_is_kept_and_named_from_then_on(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    signed = CONFIGURATION.signed(OPERATOR)
    server.news.append(signed)
    for _ in range(2):
        till.tap()
        assert start().open() is not None
    assert store.configuration() == signed
    assert [identify.configuration_mark for identify in server.identified] == [NO_MARK, signed.mark]


def test_configuration_that_comes_while_nothing_is_carried_is_kept(
    server: Server, start: Start, store: UplinkStore
) -> None:
    server.news.append(CONFIGURATION.signed(OPERATOR))
    uplink = start()
    assert uplink.open() is None
    uplink.listen(5.0)
    assert store.configuration() == CONFIGURATION.signed(OPERATOR)


@pytest.mark.parametrize(
    "news",
    [
        CONFIGURATION.signed(KEY),
        replace(CONFIGURATION.signed(OPERATOR), others=ClassLimits(tap_fen_max=Fen(9_999_99))),
        replace(CONFIGURATION, stream=Stream.SHOPS).signed(OPERATOR),
    ],
    ids=["another signer", "changed on its way", "another stream"],
)
def test_configuration_that_is_not_for_this_terminal_stays_out_and_taps_go_on(
    news: Configuration, server: Server, start: Start, store: UplinkStore, till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    server.news.append(news)
    till.tap()
    assert start().open() is not None
    assert store.configuration() is None
    assert "configuration 1 is not taken" in caplog.text


def test_old_configuration_is_not_taken_again_not_even_by_way_of_another_outlet(
    server: Server, start: Start, store: UplinkStore, till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    newest = replace(CONFIGURATION, version=2).signed(OPERATOR)
    other = replace(CONFIGURATION, outlet=2).signed(OPERATOR)
    for news, kept in ((newest, newest), (CONFIGURATION.signed(OPERATOR), newest), (other, other), (newest, newest)):
        server.news.clear()
        server.news.append(news)
        till.tap()
        assert start().open() is not None
        assert store.configuration() == kept
    assert "configuration 1 is not taken: outlet 1 had version 2 here already" in caplog.text


def test_terminal_without_the_operators_key_takes_no_configuration(
    server: Server,
    connect: Connect,
    store: UplinkStore,
    till: Till,
    key: Ed25519PrivateKey,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.news.append(CONFIGURATION.signed(OPERATOR))
    till.tap()
    assert Uplink(connect(), store=store, journal=till.reader, key=key, clock=clock).open() is not None
    assert store.configuration() is None
    assert "enrol with the same ticket" in caplog.text


def test_request_is_answered_also_while_a_batch_waits_for_its_receipt(
    server: Server, start: Start, till: Till, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    server.news.append(Request(3, Question.LOG))
    till.tap()
    assert start().open() is not None
    server.news.append(Request(4, Question.STATUS))
    uplink = start()
    assert uplink.open() is None
    uplink.listen(5.0)
    wait_until(lambda: len(server.answers) == 2)
    assert server.answers == [Answer(3, "my LOG"), Answer(4, "my STATUS")]


def test_terminal_that_has_no_answer_says_nothing_and_goes_on(
    server: Server, connect: Connect, store: UplinkStore, till: Till, key: Ed25519PrivateKey, clock: Clock
) -> None:
    server.news.append(Request(3, Question.LOG))
    till.tap()
    assert Uplink(connect(), store=store, journal=till.reader, key=key, clock=clock).open() is not None
    assert server.answers == []


def test_hotlist_is_replaced_whole(server: Server, start: Start, store: UplinkStore, till: Till) -> None:
    server.hotlist = _hotlist(1, 3)
    till.tap(1)
    start().open()
    assert store.hotlist() == _hotlist(1, 3)
    server.hotlist = _hotlist(2, 1)
    uplink = start()
    uplink.open()
    while store.hotlist().version == 1:
        uplink.listen(1.0)
    assert store.hotlist() == _hotlist(2, 1)
    assert [identify.hotlist_mark for identify in server.identified] == [EMPTY_HOTLIST.mark, _hotlist(1, 3).mark]


def test_garbage_from_the_server_is_a_typed_error(server: Server, start: Start, store: UplinkStore, till: Till) -> None:
    till.tap(1)
    server.spoil("GARBAGE")
    with pytest.raises(FrameCorrupt):
        start().open()
    assert store.unanswered() == server.uploads[0]


def test_server_with_another_history_is_not_followed(
    server: Server, start: Start, store: UplinkStore, till: Till
) -> None:
    till.tap(2)
    start().open()
    server.hashes[2] = bytes(32)
    with pytest.raises(JournalForked, match="another history"):
        start().open()
    server.hashes += [bytes(32)] * 5
    with pytest.raises(JournalForked, match="the journal ends at 2"):
        start().open()
    assert store.cursor().next_seq == 3
    assert (verdict := store.verdict()) is not None
    assert verdict.code == "journal-forked"


def test_journal_of_another_terminal_is_not_sent(
    connect: Connect, store: UplinkStore, till: Till, key: Ed25519PrivateKey, clock: Clock
) -> None:
    till.reader.terminal = TerminalId(bytes(6))
    with pytest.raises(JournalForeign):
        Uplink(connect(), store=store, journal=till.reader, key=key, clock=clock).open()


def test_enrolment_of_another_epoch_than_the_ticket_names_is_refused(
    server: Server, connect: Connect, key: Ed25519PrivateKey, clock: Clock, tmp_path: Path
) -> None:
    says = Ticket(terminal=TerminalId(bytes(6)), stream=Stream.SHOPS, epoch=7, expires_utc_s=1)
    store = UplinkStore.open_or_make(tmp_path / "uplink.db")
    server.epoch_given = 8
    kept: list[Enrolled] = []
    with pytest.raises(ProtocolViolation, match="another terminal or epoch"):
        enrol(connect(), says.issue(key), store=store, key=key, keep=kept.append, clock=clock)
    assert store.enrolment() is None
    assert kept == []
    store.close()


def test_enrolment_is_kept_and_the_same_ticket_works_again(
    server: Server, connect: Connect, tmp_path_factory: pytest.TempPathFactory, clock: Clock
) -> None:
    key, other = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    says = Ticket(terminal=TerminalId(bytes(6)), stream=Stream.SHOPS, epoch=7, expires_utc_s=1)
    ticket = says.issue(key)
    kept: list[Enrolled] = []
    for _ in range(2):  # the second database stands for one that was lost before its commit
        store = UplinkStore.open_or_make(tmp_path_factory.mktemp("home") / "uplink.db")
        enrolment = enrol(connect(), ticket, store=store, key=key, keep=kept.append, clock=clock)
        assert store.enrolment() == enrolment
        assert (enrolment.stream, enrolment.epoch) == (Stream.SHOPS, 7)
        assert enrolment.ticket_digest == ticket_digest(ticket)
        store.close()
    store = UplinkStore.open_or_make(tmp_path_factory.mktemp("home") / "uplink.db")
    with pytest.raises(Rejected, match="TICKET_SPENT"):
        enrol(connect(), ticket, store=store, key=other, keep=kept.append, clock=clock)
    assert store.enrolment() is None
    assert kept == [Enrolled(says.terminal, says.epoch, SMS_KEY, public_bytes(OPERATOR))] * 2
    store.close()
