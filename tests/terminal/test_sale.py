"""A tap over simulated card and PSAM: every way it can end, every place it can tear, and DEBIT never twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from drivers.channel import CardRemoved, ResolvingChannel
from drivers.purse import CAMPUS_CARD, SECOND_MAKER, CardProfile, CardUnreadable
from settlement.onecard.keys import FileKeyStore
from settlement.streams.ingest import judge
from sim.card.flaws import Replay
from sim.card.memory import Memory, RamFile
from sim.card.profile import CAMPUS, CAMPUS_T0, PROVE_BEFORE
from sim.card.profile import SECOND_MAKER as SIM_SECOND_MAKER
from sim.card.profile import CardProfile as SimProfile
from sim.card.purse import Purse
from sim.pcsc.local import Tear, local_channel
from terminal.basket import amount_offer
from terminal.journal import JournalUnwritable
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refused,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.rules import Limits
from tests.terminal.conftest import MASTERS, Card, World
from wire import pboc
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.receipt import Suspense
from wire.record import NO_TAC, Mac2, Outcome, Refusal, TapRecord, VoidReason

PRICE = Fen(1200)
GET_RESPONSE = 0xC0
KEYS = FileKeyStore(MASTERS, two_level=False)
WRONG = PurseKeys(purchase=bytes(range(16)), load=bytes(range(16)), tac=bytes(range(16)))


def torn(world: World, card: Card, how: Tear) -> TapRecord:
    """Charge, with the card torn at DEBIT."""
    card.chip.tear(how, after=2)
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Torn)
    assert result.record == world.journal.opened_tap()
    assert world.journal.head().seq == 0
    return result.record


class OverT0:
    """A card behind a reader that has every answer to a command with data fetched."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._answer = b""
        card.chip.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        if apdu[1] == GET_RESPONSE:
            return self._answer
        self._answer = self._card.chip.transmit_raw(apdu)
        return bytes((0x61, len(self._answer) - 2)) if len(apdu) > 5 and len(self._answer) > 2 else self._answer


@pytest.mark.parametrize(
    ("made_as", "profile", "t0"),
    [
        (CAMPUS, CAMPUS_CARD, False),
        (CAMPUS, CAMPUS_CARD, True),
        (CAMPUS_T0, CAMPUS_CARD, False),  # it does so by itself
        (SIM_SECOND_MAKER, SECOND_MAKER, False),
        (SIM_SECOND_MAKER, SECOND_MAKER, True),
    ],
)
def test_good_card_pays_once_with_three_card_and_two_psam_commands(
    world: World, made_as: SimProfile, profile: CardProfile, t0: bool
) -> None:
    world.profile = profile
    world.restart()
    card = world.card(counter=7, profile=made_as)
    before = len(world.psam.received)
    result = world.sale.charge(ResolvingChannel(OverT0(card)) if t0 else world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Approved)
    assert (result.balance_fen, card.purse.balance_fen, card.purse.counter) == (3800, 3800, 8)
    record = result.record
    assert [record] == world.journal.records(1, 10)
    facts = (record.outcome, record.mac2, record.counter, record.balance_before_fen)
    assert facts == (Outcome.DEBITED, Mac2.VERIFIED, 7, 5000)
    assert judge(record, FileKeyStore(MASTERS, two_level=made_as.two_level_keys)) is None
    commands = [apdu[1] for apdu in card.chip.received if apdu[1] != GET_RESPONSE]
    assert (commands, len(world.psam.received) - before) == ([0xA4, 0x50, 0x54], 2)


def test_sealed_tac_is_what_the_issuer_computes(world: World) -> None:
    result = world.sale.charge(world.channel(world.card()), amount_offer(PRICE))
    assert isinstance(result, Approved)
    record = result.record
    date, time = record.opened_at.card_date_time()
    assert (date.hex(), time.hex()) == ("20260302", "120000")
    keys = PurseKeys(
        purchase=bytes.fromhex("101112131415161718191A1B1C1D1E1F"),
        load=bytes.fromhex("202122232425262728292A2B2C2D2E2F"),
        tac=bytes.fromhex("303132333435363738393A3B3C3D3E3F"),
    )
    assert record.tac == pboc.purchase_tac(
        tac_key=pboc.tac_key(keys.of_card(record.card, two_level=False).tac),
        amount_fen=PRICE,
        terminal=record.tap_id.terminal,
        ttsn=record.ttsn,
        date_time_bcd=date + time,
    )


@pytest.mark.parametrize(
    ("options", "limit_fen", "why"),
    [
        ({"valid_from": "20260303"}, 10_000, Refusal.NOT_YET_VALID),
        ({"valid_to": "20260301"}, 10_000, Refusal.EXPIRED),
        ({"balance_fen": 1199}, 10_000, Refusal.INSUFFICIENT_BALANCE),
        ({"counter": 0xFFFF}, 10_000, Refusal.COUNTER_EXHAUSTED),
        ({}, 1199, Refusal.OVER_TAP_LIMIT),
    ],
)
def test_refused_card_is_recorded_and_keeps_its_money(
    world: World, options: dict[str, object], limit_fen: int, why: Refusal
) -> None:
    world.limits = Limits(tap_fen_max=Fen(limit_fen))
    card = world.card(**options)  # type: ignore[arg-type]  # each row names the options it sets
    balance_fen = card.purse.balance_fen
    psam_commands = len(world.psam.received)
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Refused)
    assert (result.refusal, card.purse.balance_fen, card.debits) == (why, balance_fen, 0)
    (record,) = world.journal.records(1, 10)
    assert (record.outcome, record.reason, record.card) == (Outcome.REFUSED, why, card.id)
    assert len(world.psam.received) == psam_commands


def test_card_is_refused_as_soon_as_the_hotlist_names_it(world: World) -> None:
    card = world.card()
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(PRICE)), Approved)
    world.hotlist = Hotlist(1, frozenset({card.id}))
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Refused)
    assert (result.refusal, card.debits) == (Refusal.HOTLISTED, 1)


def test_exact_balance_and_whole_limit_may_be_spent(world: World) -> None:
    card = world.card(balance_fen=10_000)
    result = world.sale.charge(world.channel(card), amount_offer(Fen(10_000)))
    assert isinstance(result, Approved)
    assert result.balance_fen == 0


def test_card_with_wrong_keys_refuses_the_debit_is_asked_and_the_tap_is_voided(world: World) -> None:
    card = world.card(masters=WRONG)
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, NotPaid)
    assert card.purse.balance_fen == 5000
    (record,) = world.journal.records(1, 10)
    assert (record.outcome, record.reason) == (Outcome.VOIDED, VoidReason.NOT_EXECUTED)
    assert judge(record, KEYS) is None  # nothing to book


class Forger:
    """A card that answers as the real one does, but for its MAC2."""

    def __init__(self, channel: Callable[[bytes], tuple[bytes, int]]) -> None:
        self._channel = channel

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        data, sw = self._channel(apdu)
        return (data[:4] + bytes(4), sw) if apdu[1] == 0x54 else (data, sw)


def test_forged_mac2_is_sealed_as_refused_and_gives_no_goods(world: World) -> None:
    card = world.card()
    result = world.sale.charge(Forger(world.channel(card).transmit), amount_offer(PRICE))
    assert isinstance(result, ProofRefused)
    assert (result.record.outcome, result.record.mac2) == (Outcome.DEBITED, Mac2.REFUSED)
    assert card.purse.balance_fen == 3800  # the PSAM is asked when the money has moved
    assert judge(result.record, KEYS) is Suspense.MAC2_REFUSED


def test_card_that_replays_what_a_genuine_one_said_gives_no_goods_and_is_never_booked(world: World) -> None:
    card = world.card()
    replay = Replay(card.chip)
    assert isinstance(world.sale.charge(local_channel(replay), amount_offer(PRICE)), Approved)
    replay.forge()
    result = world.sale.charge(local_channel(replay), amount_offer(PRICE))
    assert isinstance(result, ProofRefused)
    first, second = world.journal.records(1, 10)
    assert (second.counter, second.tac) == (first.counter, first.tac)
    assert (judge(first, KEYS), judge(second, KEYS)) == (None, Suspense.TAC_WRONG)
    assert card.purse.balance_fen == 3800


def test_card_whose_tac_is_false_is_approved_here_and_caught_by_the_server(world: World) -> None:
    # Made by somebody who has a purchase key and not the issuer's TAC key: the PSAM cannot tell.
    card = world.card(masters=replace(MASTERS, tac=WRONG.tac))
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Approved)
    assert judge(result.record, KEYS) is Suspense.TAC_WRONG


def test_clone_with_all_keys_shows_by_the_counter_that_two_taps_share(world: World) -> None:
    card = world.card()
    memory = card.purse._memory._file
    assert isinstance(memory, RamFile)
    clone = Purse(Memory(RamFile(bytes(memory.image))), Random(99))
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(PRICE)), Approved)
    assert isinstance(world.sale.charge(local_channel(clone), amount_offer(PRICE)), Approved)
    first, second = world.journal.records(1, 10)
    assert (judge(first, KEYS), judge(second, KEYS)) == (None, None)
    assert (first.card, first.counter) == (second.card, second.counter)  # which the ledger takes once


def test_replay_whose_mac2_nobody_could_check_is_left_to_the_server_which_says_no(world: World) -> None:
    replay = Replay(world.card().chip)
    assert isinstance(world.sale.charge(local_channel(replay), amount_offer(PRICE)), Approved)
    replay.forge()
    world.psam.tear(Tear.AFTER, after=1)
    result = world.sale.charge(local_channel(replay), amount_offer(PRICE))
    assert isinstance(result, Unresolved)
    assert judge(result.record, KEYS) is Suspense.OUTCOME_UNKNOWN


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("how", list(Tear))
def test_card_lost_before_debit_leaves_nothing_behind(world: World, step: int, how: Tear) -> None:
    card = world.card()
    card.chip.tear(how, after=step)
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(PRICE)), NotPaid)
    assert (world.journal.head().seq, world.journal.opened_tap(), card.debits) == (0, None, 0)


def test_psam_lost_before_debit_leaves_nothing_behind(world: World) -> None:
    card = world.card()
    world.psam.tear(Tear.AFTER)
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(PRICE)), NotPaid)
    assert (world.journal.head().seq, world.journal.opened_tap(), card.debits) == (0, None, 0)


@pytest.mark.parametrize("how", list(Tear))
def test_psam_lost_at_mac2_leaves_the_verdict_to_the_server(world: World, how: Tear) -> None:
    world.psam.tear(how, after=1)
    result = world.sale.charge(world.channel(world.card()), amount_offer(PRICE))
    assert isinstance(result, Unresolved)
    assert (result.record.outcome, result.record.mac2) == (Outcome.UNKNOWN, Mac2.NOT_CHECKED)
    assert result.record.tac != NO_TAC
    assert (world.journal.head().seq, world.journal.opened_tap()) == (1, None)


@pytest.mark.parametrize("how", [Tear.AFTER, Tear.ANSWER_LOST])
def test_debit_whose_answer_was_lost_is_sealed_on_return(world: World, how: Tear) -> None:
    card = world.card()
    tap = torn(world, card, how)
    result = world.sale.resolve(world.channel(card), tap)
    assert isinstance(result, Approved)
    assert (result.record.outcome, result.record.mac2, result.balance_fen) == (Outcome.DEBITED, Mac2.VERIFIED, 3800)
    assert result.record.tac != NO_TAC
    assert (card.debits, card.purse.balance_fen, world.journal.opened_tap()) == (1, 3800, None)


def test_debit_that_never_reached_the_card_is_voided_on_return(world: World) -> None:
    card = world.card()
    tap = torn(world, card, Tear.BEFORE)
    assert isinstance(world.sale.resolve(world.channel(card), tap), NotPaid)
    (record,) = world.journal.records(1, 10)
    assert (record.outcome, record.reason) == (Outcome.VOIDED, VoidReason.NOT_EXECUTED)
    assert card.purse.balance_fen == 5000


def test_previous_debits_proof_is_not_taken_for_this_one(world: World) -> None:
    # A known terminal bug: the card proves the sale before, and the terminal thinks that it was paid.
    world.profile = replace(CAMPUS_CARD, prove_offset=0)
    world.restart()
    card = world.card()
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(PRICE)), Approved)
    card.chip.tear(Tear.BEFORE, after=2)
    result = world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert isinstance(result, Torn)
    assert isinstance(world.sale.resolve(world.channel(card), result.record), NotPaid)
    assert card.purse.balance_fen == 3800


@pytest.mark.parametrize("offset", [0, 1])
def test_either_prove_convention_finds_the_proof(world: World, offset: int) -> None:
    world.profile = replace(CAMPUS_CARD, prove_offset=offset, key_levels=2)
    world.restart()
    card = world.card(profile=PROVE_BEFORE)
    tap = torn(world, card, Tear.AFTER)
    result = world.sale.resolve(world.channel(card), tap)
    assert isinstance(result, Approved)
    assert (result.record.tac != NO_TAC, result.record.mac2) == (True, Mac2.VERIFIED)


def test_other_card_is_sent_away_and_the_tap_stays_open(world: World) -> None:
    card, other = world.card(1), world.card(2)
    tap = torn(world, card, Tear.AFTER)
    assert world.sale.resolve(world.channel(other), tap) == WrongCard(card.id)
    assert (world.journal.opened_tap(), other.debits, other.purse.balance_fen) == (tap, 0, 5000)
    assert isinstance(world.sale.resolve(world.channel(card), tap), Approved)


def test_card_that_has_moved_on_leaves_the_tap_unknown(world: World) -> None:
    card = world.card(counter=5)
    tap = torn(world, card, Tear.BEFORE)
    card.purse._memory.commit({"counter": (7).to_bytes(2), "balance": (1).to_bytes(4)})  # it paid twice elsewhere
    result = world.sale.resolve(world.channel(card), tap)
    assert isinstance(result, Unresolved)
    assert world.journal.records(1, 10) == [tap]
    assert (tap.outcome, tap.debited_fen) == (Outcome.UNKNOWN, 0)


def test_card_that_paid_another_amount_elsewhere_leaves_the_tap_unknown(world: World) -> None:
    card = world.card(counter=5)
    tap = torn(world, card, Tear.BEFORE)
    card.purse._memory.commit({"counter": (6).to_bytes(2), "balance": (4999).to_bytes(4)})
    assert isinstance(world.sale.resolve(world.channel(card), tap), Unresolved)


def test_debit_without_a_proof_is_not_believed(world: World) -> None:
    # A card without keys can show any counter and balance; goods against that would be given away.
    card = world.card()
    tap = torn(world, card, Tear.AFTER)
    card.purse._memory.commit({"proof": b""})
    result = world.sale.resolve(world.channel(card), tap)
    assert isinstance(result, Unresolved)
    assert (result.record.outcome, result.record.tac) == (Outcome.UNKNOWN, NO_TAC)


def test_same_price_paid_at_another_till_is_not_taken_for_this_sale(world: World) -> None:
    card = world.card()
    tap = torn(world, card, Tear.BEFORE)
    proof = bytes.fromhex("1122334455667788")
    moved = {"counter": (tap.counter + 1).to_bytes(2), "balance": (tap.balance_before_fen - PRICE).to_bytes(4)}
    card.purse._memory.commit(moved)

    class Elsewhere(Forger):
        def transmit(self, apdu: bytes) -> tuple[bytes, int]:
            return (proof, 0x9000) if apdu[1] == 0x5A else self._channel(apdu)

    result = world.sale.resolve(Elsewhere(world.channel(card).transmit), tap)
    assert isinstance(result, Unresolved)
    assert (result.record.outcome, result.record.tac) == (Outcome.UNKNOWN, proof[4:])


def test_debit_that_a_reader_sent_twice_is_asked_about_and_approved(world: World) -> None:
    card = world.card()
    channel = world.channel(card)

    class Repeating(Forger):
        def transmit(self, apdu: bytes) -> tuple[bytes, int]:
            if apdu[1] == 0x54:
                self._channel(apdu)  # carried out, and its answer lost between reader and card
            return self._channel(apdu)

    result = world.sale.charge(Repeating(channel.transmit), amount_offer(PRICE))
    assert isinstance(result, Approved)
    assert (card.purse.balance_fen, world.journal.head().total_fen) == (3800, PRICE)


@pytest.mark.parametrize("how", list(Tear))
def test_torn_tap_survives_a_restart(world: World, how: Tear) -> None:
    card = world.card()
    tap = torn(world, card, how)
    world.restart()
    world.psam.received.clear()
    assert world.journal.opened_tap() == tap
    result = world.sale.resolve(world.channel(card), tap)
    (record,) = world.journal.records(1, 10)
    if how is Tear.BEFORE:
        assert isinstance(result, NotPaid)
    else:
        assert isinstance(result, Unresolved)
        # The PSAM's session died with the till; the TAC is there for the server to decide.
        assert (record.outcome, record.mac2, record.tac != NO_TAC) == (Outcome.UNKNOWN, Mac2.NOT_CHECKED, True)
        assert world.psam.received == []
    assert card.debits == 1


@pytest.mark.parametrize("step", [0, 1, 2])
def test_card_torn_again_while_it_is_asked_can_be_asked_again(world: World, step: int) -> None:
    card = world.card()
    tap = torn(world, card, Tear.AFTER)
    card.chip.tear(Tear.AFTER, after=step)
    with pytest.raises(CardRemoved):
        world.sale.resolve(world.channel(card), tap)
    assert world.journal.opened_tap() == tap
    assert isinstance(world.sale.resolve(world.channel(card), tap), Approved)
    assert card.debits == 1


def test_t0_card_whose_answer_cannot_be_fetched_is_torn_and_not_voided(world: World) -> None:
    card = world.card(profile=CAMPUS_T0)

    class Raw:
        """Loses the answer that the card has announced with 61xx."""

        def transmit_raw(self, apdu: bytes) -> bytes:
            if apdu[1] == 0xC0 and card.debits:
                return bytes.fromhex("6985")
            return card.chip.transmit_raw(apdu)

    card.chip.reset()
    result = world.sale.charge(ResolvingChannel(Raw()), amount_offer(PRICE))
    assert isinstance(result, Torn)
    assert card.purse.balance_fen == 3800
    assert isinstance(world.sale.resolve(world.channel(card), result.record), Approved)


def test_something_that_is_no_purse_is_unreadable_and_not_recorded(world: World) -> None:
    with pytest.raises(CardUnreadable):
        world.sale.charge(Forgetful(), amount_offer(PRICE))
    assert world.journal.head().seq == 0


class Forgetful:
    """A card without a purse application."""

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        return b"", 0x6A82


def test_debit_is_not_sent_when_the_journal_does_not_take_the_tap(world: World) -> None:
    world.journal._db.execute("PRAGMA query_only = 1")
    card = world.card()
    with pytest.raises(JournalUnwritable):
        world.sale.charge(world.channel(card), amount_offer(PRICE))
    assert (card.debits, card.purse.balance_fen) == (0, 5000)
