"""The auditor as a check that can fail: healthy evidence is left alone, and each harm is seen by its finding."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.__main__ import main as settlement
from settlement.audit.auditor import findings_text
from sim.audit import audit
from sim.card.issue import CardImage
from sim.evidence import _MONEY_TABLES, Evidence, LedgerEntry, Posting, StreamTap, Suspended
from terminal.journal import Journal, TapIntent
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import (
    NO_TAC,
    ClockQuality,
    Mac2,
    Outcome,
    Refusal,
    TapRecord,
    TapTime,
    VoidReason,
)

CARDS, FLOAT, RULES, TORN, LOADS = range(14, 19)

TERMINAL = TerminalId(bytes.fromhex("000000000101"))
OPENING_FEN = Fen(50_00)
AT = TapTime(utc_s=1_764_000_000, boot=1, uptime_s=1, quality=ClockQuality.NETWORK)
RECEIVED_UTC_S = 1_764_000_060
CASH, PURSES, MERCHANT = 1010, 2001, 2002


def card(number: int) -> CardId:
    return CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(number.to_bytes(10)))


A, B, C = (card(number) for number in range(1, 4))


def issued(card: CardId) -> CardImage:
    return CardImage("campus", card, OPENING_FEN, 0, balance_fen=OPENING_FEN, counter=0, online_counter=0, log=())


@dataclass
class Story:
    """What cards and till did; `evidence` tells how far the stream and the ledger have got with it."""

    cards: dict[CardId, CardImage] = field(default_factory=lambda: {card: issued(card) for card in (A, B, C)})
    taps: list[TapRecord] = field(default_factory=list)
    opened: list[TapRecord] = field(default_factory=list)
    suspended: dict[int, Suspense] = field(default_factory=dict)

    def debit(self, card: CardId, amount_fen: int, suspense: Suspense | None = None) -> None:
        self.taps.append(self._record(card, amount_fen, Outcome.DEBITED))
        self._spend(card, amount_fen)
        if suspense is not None:
            self.suspended[len(self.taps)] = suspense

    def refuse(self, card: CardId, amount_fen: int) -> None:
        self.taps.append(replace(self._record(card, amount_fen, Outcome.REFUSED), reason=Refusal.HOTLISTED))

    def void(self, card: CardId, amount_fen: int) -> None:
        self.taps.append(replace(self._record(card, amount_fen, Outcome.VOIDED), reason=VoidReason.NOT_EXECUTED))

    def lose(self, card: CardId, amount_fen: int, *, executed: bool, confirmed: bool = False) -> None:
        tac = b"\1\2\3\4" if confirmed else NO_TAC
        self.taps.append(replace(self._record(card, amount_fen, Outcome.UNKNOWN), tac=tac))
        if not confirmed:
            self.suspended[len(self.taps)] = Suspense.OUTCOME_UNKNOWN
        if executed:
            self._spend(card, amount_fen)

    def leave_open(self, card: CardId, amount_fen: int, *, executed: bool) -> None:
        self.opened.append(self._record(card, amount_fen, Outcome.UNKNOWN))
        if executed:
            self._spend(card, amount_fen)

    def evidence(self, files: Files, *, sent: int | None = None, pulled: int | None = None) -> Evidence:
        sent = len(self.taps) if sent is None else sent
        pulled = sent if pulled is None else pulled
        stream = self._stream(sent)
        entries = [LedgerEntry(number, 1, None, OPENING_FEN) for number in range(1, 4)]
        postings = []
        for entry, purse in zip(entries, (A, B, C), strict=True):
            postings += [Posting(entry.id, CASH, None, OPENING_FEN), Posting(entry.id, PURSES, purse, -OPENING_FEN)]
        suspense = []
        for row, tap in zip(stream[:pulled], self.taps, strict=False):
            if row.suspense is not None:
                suspense.append(Suspended(tap.tap_id, row.suspense, tap.amount_fen))
            elif tap.outcome is Outcome.DEBITED or tap.tac != NO_TAC:
                new = LedgerEntry(len(entries) + 1, 2, tap.tap_id, tap.amount_fen)
                entries.append(new)
                postings += [Posting(new.id, PURSES, tap.card, tap.amount_fen)]
                postings += [Posting(new.id, MERCHANT, None, -tap.amount_fen)]
        return Evidence(
            cards=dict(self.cards),
            sealed=list(self.taps),
            opened=list(self.opened),
            stream=stream,
            entries=entries,
            postings=postings,
            suspense=suspense,
            ledger_position=pulled,
            copies=files.copies,
        )

    def _record(self, card: CardId, amount_fen: int, outcome: Outcome) -> TapRecord:
        image = self.cards[card]
        return TapRecord(
            tap_id=TapId(TERMINAL, 1, len(self.taps) + 1),
            outcome=outcome,
            reason=None,
            mac2=Mac2.NOT_CHECKED,
            card=card,
            amount_fen=Fen(amount_fen),
            balance_before_fen=image.balance_fen,
            counter=image.counter,
            ttsn=len(self.taps) + 1,
            tac=NO_TAC,
            opened_at=AT,
        )

    def _spend(self, card: CardId, amount_fen: int) -> None:
        image = self.cards[card]
        balance_fen = Fen(image.balance_fen - amount_fen)
        self.cards[card] = replace(image, balance_fen=balance_fen, counter=image.counter + 1)

    def _stream(self, sent: int) -> list[StreamTap]:
        rows = []
        for position, tap in enumerate(self.taps[:sent], start=1):
            rows.append(StreamTap(position, tap.tap_id, tap.to_bytes(), self.suspended.get(position), RECEIVED_UTC_S))
        return rows


@dataclass(frozen=True)
class Files:
    """The databases that production makes, with a row in all but three of the money tables."""

    copies: dict[str, Path]

    def copied_to(self, folder: Path) -> Files:
        return Files({role: Path(shutil.copy(path, folder / path.name)) for role, path in self.copies.items()})


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    home = tmp_path_factory.mktemp("audit") / "home"
    cards = home.with_name("cards.csv")
    cards.write_text(f"issuer,asn,opening_balance_fen,opening_counter\n{A.issuer.hex()},{A.asn.hex()},5000,0\n")
    with redirect_stdout(StringIO()):
        assert settlement(["init", "--home", str(home)]) == 0
        assert settlement(["import-cards", "--home", str(home), str(cards)]) == 0
        assert settlement(["hotlist", "--home", str(home), "add", A.issuer.hex(), A.asn.hex()]) == 0
    path = home / "settlement" / "journal.db"
    with closing(Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=None)) as journal:
        intent = TapIntent(card=A, amount_fen=Fen(1), balance_before_fen=OPENING_FEN, counter=0, ttsn=1, opened_at=AT)
        journal.seal_tap(journal.open_tap(intent), tac=bytes(4), mac2=Mac2.VERIFIED)
    names = {"ledger": "ledger", "onecard": "onecard", "topup": "topup", "stream": "canteen", "journal": "journal"}
    copies = {role: home / "settlement" / f"{name}.db" for role, name in names.items()}
    with closing(sqlite3.connect(copies["stream"])) as db, db:
        filled = "zeroblob(32), x'', 0, zeroblob(78)"
        db.execute(f"INSERT INTO intake VALUES (1, 2, x'', 1, 1, 2, {filled})")
        db.execute("INSERT INTO suspended_tap VALUES (1, 1)")
        db.execute("INSERT INTO batch VALUES (1, x'', x'', 1, 1, 2, x'', x'', 0)")
    with closing(sqlite3.connect(copies["ledger"])) as db, db:
        db.execute(
            "INSERT INTO other_entry (id, kind, source, source_position, card, counter, amount_fen, subsidy_fen, "
            "happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day) "
            "VALUES (1, 1, '', 1, x'', 0, 1, 0, 0, 0, 0, 20250101)"
        )
        db.execute(
            "INSERT INTO other_posting (id, entry_id, account_id, purse, amount_fen, accounting_day) "
            "VALUES (1, 1, 1010, NULL, 1, 20250101)"
        )
        db.execute("INSERT INTO sale VALUES (2, 2, 1, 0, 0, 0, 1, 0)")
        db.execute("INSERT INTO sale_run VALUES (2, 1, '', 1, x'', 1, 1, 1, 0, 0, 20250101, 0, 0)")
    return Files(copies)


@pytest.fixture
def story() -> Story:
    """A bit of everything; eight taps are meant to be sent, seven of them read by the ledger."""
    story = Story()
    story.debit(A, 7_50)
    story.refuse(B, 3_00)
    story.debit(B, 3_00, Suspense.MAC2_REFUSED)
    story.void(A, 5_00)
    story.lose(A, 6_00, executed=False)
    story.debit(A, 6_00)
    story.lose(B, 2_00, executed=True)
    story.debit(C, 1_00)
    story.debit(C, 2_00)
    story.leave_open(A, 4_00, executed=True)
    return story


@pytest.fixture
def evidence(story: Story, files: Files) -> Evidence:
    return story.evidence(files, sent=8, pulled=7)


def broken(evidence: Evidence) -> set[int]:
    """Which findings object."""
    return {finding.point for finding in audit(evidence) if not finding.holds}


def test_healthy_evidence_with_taps_on_every_stage_of_their_way_gives_no_objection(evidence: Evidence) -> None:
    findings = audit(evidence)
    assert [finding.objections for finding in findings] == [()] * 5
    assert findings[FLOAT - CARDS].seen.endswith("unsent 2.00, not pulled 1.00, suspended 3.00, torn 6.00")
    assert findings[TORN - CARDS].seen == "tap 10 of 4.00 is open; tap 5 of 6.00 is unknown; tap 7 of 2.00 is unknown"
    assert findings_text(findings).endswith("content\n")


@pytest.mark.parametrize("executed", [True, False])
def test_torn_open_tap_gives_no_objection_whether_or_not_the_card_debited(files: Files, executed: bool) -> None:
    story = Story()
    story.leave_open(A, 4_00, executed=executed)
    assert broken(story.evidence(files)) == set()


def test_several_unknown_taps_at_one_counter_take_the_money_once(files: Files) -> None:
    story = Story()
    story.lose(A, 9_00, executed=False)
    story.lose(A, 4_00, executed=False)
    story.leave_open(A, 5_00, executed=True)
    assert broken(story.evidence(files)) == set()


def test_installation_without_any_tap_gives_no_objection(files: Files) -> None:
    assert broken(Story().evidence(files)) == set()


def test_two_taps_that_claim_one_counter_are_the_cards_matter_when_the_ledger_parks_one(files: Files) -> None:
    story = Story()
    story.debit(A, 5_00)
    story.taps.append(replace(story.taps[0], tap_id=TapId(TERMINAL, 1, 2)))
    evidence = story.evidence(files)
    evidence.entries.pop()
    evidence = replace(evidence, postings=evidence.postings[:-2])
    evidence.suspense.append(Suspended(story.taps[1].tap_id, Suspense.COUNTER_TAKEN, 5_00))
    assert broken(evidence) == {CARDS, FLOAT}


# Each kind of harm: done to healthy evidence, and the findings that must see it, and no others.


def without_stream_row(seq: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, stream=[row for row in e.stream if row.tap_id.seq != seq])


def with_card(card: CardId, *, balance_fen: int = 0, counter: int = 0) -> Callable[[Evidence], Evidence]:
    def harm(e: Evidence) -> Evidence:
        image = e.cards[card]
        changed = replace(image, balance_fen=Fen(image.balance_fen + balance_fen), counter=image.counter + counter)
        return replace(e, cards={**e.cards, card: changed})

    return harm


def entry_of(e: Evidence, seq: int) -> LedgerEntry:
    return next(entry for entry in e.entries if entry.tap_id is not None and entry.tap_id.seq == seq)


def with_entry(seq: int, *, amount_fen: int, posted_fen: int) -> Callable[[Evidence], Evidence]:
    """The entry of a tap with other amounts: its own, and those of its postings, by so much more."""

    def harm(e: Evidence) -> Evidence:
        entry = entry_of(e, seq)
        entries = [replace(o, amount_fen=o.amount_fen + amount_fen) if o is entry else o for o in e.entries]
        postings = [
            replace(p, amount_fen=p.amount_fen + (posted_fen if p.amount_fen > 0 else -posted_fen))
            if p.entry == entry.id
            else p
            for p in e.postings
        ]
        return replace(e, entries=entries, postings=postings)

    return harm


def without_entry(seq: int, *parked: Suspended) -> Callable[[Evidence], Evidence]:
    def harm(e: Evidence) -> Evidence:
        gone = entry_of(e, seq)
        return replace(
            e,
            entries=[entry for entry in e.entries if entry is not gone],
            postings=[posting for posting in e.postings if posting.entry != gone.id],
            suspense=[*e.suspense, *parked],
        )

    return harm


def with_more(entry: LedgerEntry, *postings: tuple[int, CardId | None, int]) -> Callable[[Evidence], Evidence]:
    more = [Posting(entry.id, account, purse, amount_fen) for account, purse, amount_fen in postings]
    return lambda e: replace(e, entries=[*e.entries, entry], postings=[*e.postings, *more])


def with_posting(seq: int, account: int, /, **changes: object) -> Callable[[Evidence], Evidence]:
    def harm(e: Evidence) -> Evidence:
        number = entry_of(e, seq).id
        postings = [
            replace(p, **changes) if (p.entry, p.account) == (number, account) else p  # type: ignore[arg-type] # by name
            for p in e.postings
        ]
        return replace(e, postings=postings)

    return harm


def with_item(seq: int, **changes: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(
        e,
        suspense=[replace(item, **changes) if item.tap_id == tap(seq) else item for item in e.suspense],  # type: ignore[arg-type] # by name
    )


def without_item(seq: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, suspense=[item for item in e.suspense if item.tap_id != tap(seq)])


def tap(seq: int) -> TapId:
    return TapId(TERMINAL, 1, seq)


def bought(seq: int | None, amount_fen: int, kind: int = 2) -> LedgerEntry:
    return LedgerEntry(99, kind, None if seq is None else tap(seq), amount_fen)


def sold(seq: int, card: CardId, amount_fen: int) -> Callable[[Evidence], Evidence]:
    return with_more(bought(seq, amount_fen), (PURSES, card, amount_fen), (MERCHANT, None, -amount_fen))


HARM: dict[str, tuple[Callable[[Evidence], Evidence], set[int]]] = {
    "a booked tap missing in the stream": (without_stream_row(1), {FLOAT}),
    "a stream that lost its end which the ledger read": (
        lambda e: replace(e, stream=e.stream[:4]),
        {FLOAT},
    ),
    "a tap of no journal in the stream": (lambda e: replace(e, sealed=e.sealed[:7]), {CARDS, FLOAT}),
    "an entry doubled": (sold(1, A, 7_50), {FLOAT}),
    "an entry for a tap that nobody made": (sold(98, A, 1_00), {FLOAT}),
    "an entry for a refused tap": (sold(2, B, 3_00), {FLOAT}),
    "an entry before it was read": (sold(8, C, 1_00), {FLOAT}),
    "an entry that is missing": (without_entry(1), {FLOAT}),
    "an entry with its postings one fen off": (with_entry(1, amount_fen=-1, posted_fen=-1), {FLOAT}),
    "balanced postings one fen off": (with_entry(1, amount_fen=0, posted_fen=1), {FLOAT}),
    "a posting to another purse": (with_posting(1, PURSES, purse=B), {FLOAT}),
    "a posting to no purse": (with_posting(1, PURSES, purse=None), {FLOAT}),
    "a purchase without a tap": (with_more(bought(None, 5), (PURSES, A, 5), (MERCHANT, None, -5)), {FLOAT}),
    "a purse opened twice": (with_more(bought(None, 5, kind=1), (CASH, None, 5), (PURSES, A, -5)), {FLOAT}),
    "a purse of an unknown card": (with_more(bought(None, 5, kind=1), (CASH, None, 5), (PURSES, card(9), -5)), {FLOAT}),
    "a purse that was never opened": (lambda e: replace(e, entries=e.entries[1:], postings=e.postings[2:]), {FLOAT}),
    "a card whose counter is ahead": (with_card(C, counter=1), {CARDS}),
    "a card whose counter is behind": (with_card(C, counter=-1), {CARDS}),
    "a card with a fen too much": (with_card(C, balance_fen=1), {CARDS, FLOAT}),
    "a card with a fen too little": (with_card(C, balance_fen=-1), {CARDS, FLOAT}),
    "a card that debited after its tap was voided": (with_card(C, balance_fen=-5, counter=1), {CARDS, FLOAT}),
    "a card that nobody issued": (lambda e: replace(e, cards={A: e.cards[A], B: e.cards[B]}), {CARDS, FLOAT}),
    "an open tap that the journal has lost": (lambda e: replace(e, opened=[]), {CARDS, FLOAT}),
    "an unsent tap that the journal has lost": (lambda e: replace(e, sealed=e.sealed[:-1]), {CARDS, FLOAT}),
    "a suspended debit booked as well": (sold(3, B, 3_00), {FLOAT}),
    "a suspended debit neither booked nor parked": (without_item(3), {FLOAT}),
    "an unknown tap that is not listed": (without_item(7), {TORN}),
    "an unknown tap listed with another amount": (with_item(7, amount_fen=1), {TORN}),
    "an unknown tap listed as something else": (with_item(7, reason=Suspense.TAC_WRONG), {TORN}),
    "a ledger that has read more than there is": (lambda e: replace(e, ledger_position=9), {FLOAT}),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_seen_by_the_findings_that_it_breaks_and_by_no_others(evidence: Evidence, name: str) -> None:
    harm, seen_by = HARM[name]
    assert broken(harm(evidence)) == seen_by


def test_every_table_without_its_rules_is_seen_full_or_empty(evidence: Evidence, files: Files, tmp_path: Path) -> None:
    for role, tables in _MONEY_TABLES.items():
        for table in tables:
            for verb in ("changed", "deleted"):
                copies = files.copied_to(tmp_path).copies
                with closing(sqlite3.connect(copies[role])) as db:
                    db.execute(f"DROP TRIGGER {table}_is_never_{verb}")
                assert broken(replace(evidence, copies=copies)) == {RULES}, (table, verb)


def test_rule_that_guards_one_column_alone_is_seen(evidence: Evidence, files: Files, tmp_path: Path) -> None:
    copies = files.copied_to(tmp_path).copies
    with closing(sqlite3.connect(copies["ledger"])) as db:
        db.execute("DROP TRIGGER other_posting_is_never_changed")
        db.execute(
            "CREATE TRIGGER other_posting_is_never_changed BEFORE UPDATE OF entry_id ON other_posting "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    assert broken(replace(evidence, copies=copies)) == {RULES}


def test_missing_table_is_seen(evidence: Evidence, files: Files, tmp_path: Path) -> None:
    copies = files.copied_to(tmp_path).copies
    with closing(sqlite3.connect(copies["stream"])) as db:
        db.execute("DROP TABLE fork")
    (finding,) = (finding for finding in audit(replace(evidence, copies=copies)) if not finding.holds)
    assert finding.objections == ("canteen.db: table fork is missing",)


def test_attempts_to_change_a_copy_leave_it_as_it_was(evidence: Evidence, files: Files, tmp_path: Path) -> None:
    copies = files.copied_to(tmp_path).copies
    with closing(sqlite3.connect(copies["ledger"])) as db:
        db.execute("DROP TRIGGER other_posting_is_never_deleted")
    assert broken(replace(evidence, copies=copies)) == {RULES}
    with closing(sqlite3.connect(copies["ledger"])) as db:
        assert db.execute("SELECT count(*) FROM posting").fetchone() == (1,)


def test_no_card_number_is_told_whole(evidence: Evidence) -> None:
    for harm, _ in HARM.values():
        report = findings_text(audit(harm(evidence)))
        assert not any(number.asn.hex() in report for number in (A, B, C, card(9)))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("debit", "park", "refuse", "void", "lost", "lost but done", "done and confirmed")),
        st.sampled_from((A, B, C)),
        st.integers(min_value=1, max_value=2_00),
    ),
    min_size=1,
    max_size=20,
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[Story, int, int]:
    """Any taps, any of them on their way, perhaps one open."""
    story = Story()
    for step, who, amount_fen in draw(STEPS):
        match step:
            case "debit":
                story.debit(who, amount_fen)
            case "park":
                story.debit(who, amount_fen, Suspense.MAC2_REFUSED)
            case "refuse" | "void":
                (story.refuse if step == "refuse" else story.void)(who, amount_fen)
            case _:
                story.lose(who, amount_fen, executed="done" in step, confirmed="confirmed" in step)
    if draw(st.booleans()):
        story.leave_open(draw(st.sampled_from((A, B, C))), 50, executed=draw(st.booleans()))
    sent = draw(st.integers(min_value=0, max_value=len(story.taps)))
    return story, sent, draw(st.integers(min_value=0, max_value=sent))


@given(told=stories())
def test_any_healthy_story_gives_no_objection(files: Files, told: tuple[Story, int, int]) -> None:
    story, sent, pulled = told
    assert broken(story.evidence(files, sent=sent, pulled=pulled)) == set()


@given(told=stories(), data=st.data())
def test_any_fen_that_is_out_of_place_is_seen(files: Files, told: tuple[Story, int, int], data: st.DataObject) -> None:
    story, sent, pulled = told
    evidence = story.evidence(files, sent=sent, pulled=pulled)
    more = data.draw(st.sampled_from((-1, 1)))
    if data.draw(st.booleans()):
        changed = with_card(data.draw(st.sampled_from((A, B, C))), balance_fen=more)(evidence)
    else:
        rows = list(evidence.postings)
        at = data.draw(st.sampled_from([place for place, row in enumerate(rows) if row.account == PURSES]))
        rows[at] = replace(rows[at], amount_fen=rows[at].amount_fen + more)
        changed = replace(evidence, postings=rows)
    assert broken(changed) != set()
