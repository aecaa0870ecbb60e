"""What counts against limits: each rule, and any history against a plain model."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from terminal.usage import TAPS_SHOWN, Spending, Usage
from tests.terminal.conftest import INTENT, ISSUER, NOON, TERMINAL, at
from wire.ids import Asn, CardId, TapId
from wire.money import Fen
from wire.record import NO_TAC, Mac2, Outcome, Refusal, TapKind, TapRecord, VoidReason

CARD = INTENT.card
NOON_S = NOON.utc_s


def tap(seq: int, **changes: object) -> TapRecord:
    made = TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CARD,
        amount_fen=Fen(700),
        subsidy_fen=Fen(500),
        balance_before_fen=Fen(5000),
        counter=seq,
        ttsn=seq,
        tac=NO_TAC,
        opened_at=NOON,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names and types are the record's


def reversal(seq: int, refers_to: int, **changes: object) -> TapRecord:
    usual = {"kind": TapKind.REVERSAL, "amount_fen": Fen(0), "credit_fen": Fen(700), "refers_to": refers_to}
    return tap(seq, **{**usual, **changes})


def used(*records: TapRecord, since_s: int = NOON_S) -> Spending:
    usage = Usage()
    for record in records:
        usage.add(record)
    return usage.since(CARD, since_s)


def test_sale_counts_with_what_the_school_paid() -> None:
    assert used(tap(1), tap(2)) == Spending(2, 2_400)


def test_unknown_sale_counts_and_a_void_or_refused_one_does_not() -> None:
    assert used(tap(1, outcome=Outcome.UNKNOWN, mac2=Mac2.NOT_CHECKED)) == Spending(1, 1_200)
    assert used(tap(1, outcome=Outcome.VOIDED, reason=VoidReason.NOT_EXECUTED)) == Spending(0, 0)
    assert used(tap(1, outcome=Outcome.REFUSED, reason=Refusal.EXPIRED)) == Spending(0, 0)
    assert used(tap(1, mac2=Mac2.REFUSED)) == Spending(1, 1_200)


def test_certain_reversal_gives_back_and_a_doubtful_one_does_not() -> None:
    assert used(tap(1), reversal(2, 1)) == Spending(0, 0)
    assert used(tap(1), reversal(2, 1, outcome=Outcome.UNKNOWN)) == Spending(1, 1_200)
    assert used(tap(1), reversal(2, 1, mac2=Mac2.REFUSED)) == Spending(1, 1_200)
    assert used(tap(1), reversal(2, 1, outcome=Outcome.REFUSED, reason=Refusal.REVERSAL_NOT_ALLOWED)) == Spending(
        1, 1_200
    )


def test_refund_gives_back_no_share_but_is_remembered() -> None:
    usage = Usage()
    usage.add(tap(1))
    refund = reversal(2, 1, kind=TapKind.REFUND, subsidy_fen=Fen(0), credit_fen=Fen(300))
    usage.add(refund)
    usage.add(replace(refund, tap_id=TapId(TERMINAL, 1, 3), credit_fen=Fen(100)))
    assert (usage.since(CARD, NOON_S).fen, usage.credited_fen(1), usage.is_credited(1)) == (1_200, 400, True)
    assert (usage.credited_fen(2), usage.is_credited(2)) == (0, False)


def test_doubtful_reversal_may_have_credited() -> None:
    usage = Usage()
    usage.add(tap(1, amount_fen=Fen(0)))
    usage.add(reversal(2, 1, credit_fen=Fen(0), outcome=Outcome.UNKNOWN))
    assert usage.is_credited(1)


def test_other_cards_and_earlier_sales_do_not_count() -> None:
    other = CardId(ISSUER, Asn(bytes(10)))
    assert used(tap(1, card=other), tap(2, opened_at=at(-1))) == Spending(0, 0)


def test_clock_that_was_set_back_gives_nobody_a_second_share() -> None:
    ahead = tap(1, opened_at=at(86_400))
    assert used(ahead) == Spending(1, 1_200)


def test_meals_are_counted_as_they_were_sold() -> None:
    usage = Usage()
    usage.add(tap(1), 3)
    assert usage.since(CARD, NOON_S) == Spending(3, 1_200)


def test_last_sale_is_forgotten_when_it_is_taken_back() -> None:
    usage = Usage()
    usage.add(tap(1))
    usage.add(tap(2))
    usage.add(reversal(3, 2))
    last = usage.last(CARD)
    assert last is not None
    assert (last.seq, last.price_fen) == (1, 1_200)


def test_last_taps_are_the_ten_newest() -> None:
    usage = Usage()
    for seq in range(1, 15):
        usage.add(tap(seq))
    usage.add(tap(15, outcome=Outcome.REFUSED, reason=Refusal.EXPIRED))
    usage.add(reversal(16, 14))
    assert usage.last_seqs(CARD) == (16, *range(14, 14 - TAPS_SHOWN + 1, -1))


def test_old_sales_are_dropped_and_what_the_school_paid_is_kept() -> None:
    usage = Usage()
    for day in range(30):
        usage.add(tap(2 * day + 1, subsidy_fen=Fen(0), opened_at=at(86_400 * day)))
        usage.add(tap(2 * day + 2, opened_at=at(86_400 * day)))
    assert len(list(usage.subsidised(CARD, 0))) == 30
    plain = Usage()
    for day in range(30):
        plain.add(tap(day + 1, subsidy_fen=Fen(0), opened_at=at(86_400 * day)))
    assert plain.since(CARD, 0).meals < 6


HISTORY = st.lists(
    st.tuples(
        st.integers(0, 2),  # card
        st.sampled_from([Outcome.DEBITED, Outcome.UNKNOWN, Outcome.REFUSED, Outcome.VOIDED]),
        st.sampled_from([Mac2.VERIFIED, Mac2.REFUSED]),
        st.integers(-30, 30).map(lambda hours: hours * 3_600),  # by a clock that steps
        st.integers(0, 12),  # of an earlier tap that it takes back, if it is one
    ),
    max_size=25,
)


@given(HISTORY, st.integers(-24, 24))
def test_any_history_counts_as_the_plain_rule_says(
    history: list[tuple[int, Outcome, Mac2, int, int]], since_h: int
) -> None:
    usage = Usage()
    records: list[TapRecord] = []
    for seq, (number, outcome, mac2, second, of) in enumerate(history, 1):
        reason = {Outcome.REFUSED: Refusal.EXPIRED, Outcome.VOIDED: VoidReason.NOT_EXECUTED}.get(outcome)
        common = {
            "card": CardId(ISSUER, Asn(number.to_bytes(10))),
            "outcome": outcome,
            "reason": reason,
            "mac2": mac2,
            "opened_at": at(second),
        }
        sale = next((one for one in records if one.tap_id.seq == of and one.kind is TapKind.SALE), None)
        if sale is not None:
            record = reversal(seq, of, **{**common, "card": sale.card})
        else:
            record = tap(seq, **common)
        records.append(record)
        usage.add(record)
    sure = [one for one in records if one.outcome is Outcome.DEBITED and one.mac2 is Mac2.VERIFIED]
    gone = {one.refers_to for one in sure if one.kind is TapKind.REVERSAL}
    for number in range(3):
        card = CardId(ISSUER, Asn(number.to_bytes(10)))
        counted = [
            one
            for one in records
            if one.kind is TapKind.SALE
            and one.card == card
            and one.outcome in (Outcome.DEBITED, Outcome.UNKNOWN)
            and one.tap_id.seq not in gone
            and one.opened_at.utc_s >= at(since_h * 3_600).utc_s
        ]
        expected = Spending(len(counted), sum(one.price_fen for one in counted))
        assert usage.since(card, at(since_h * 3_600).utc_s) == expected
