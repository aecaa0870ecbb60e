"""The ledger's tables: chart, entries with postings, suspense and its ways out, closed days, how far sources were read.

Days are whole numbers such as 20260901, which read and sort alike in both databases.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

_RUN_TAPS_MAX = 500  # a stream takes no more in at once; so short that the run of a tap is found by its first number

_OPENING, _LOAD, _REVERSAL, _ADJUSTMENT, _FEE, _COLLECTION = 1, 3, 4, 7, 8, 9
_POSTED, _VOIDED = 1, 2
_EXECUTED, _NOT_EXECUTED, _BOOKED_LATER, _BY_PEOPLE = 1, 2, 3, 4


class Account(models.Model):
    """A place in the chart."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    name: models.Field[str, str] = models.TextField()

    class Meta:
        db_table = "account"


class OtherEntry(models.Model):
    """Whatever is no usual sale (`Sale`): something that moved money, or a tap that proved a card; with three dates.

    The views `entry` and `posting` show all of both. A load is pending until its resolution is here, and has its
    postings from then on, if any. `terminal`, `epoch` and
    `seq` name a tap, or a load by its point's own number; an adjustment of a load has the terminal alone. `counter` is
    the card's offline one, or a load's online one; `ttsn` is there for taps, and for adjustments by which the purse
    paid. `amount_fen` is what left the purse, was loaded, or is owed back; `refers_to` is the sale that a reversal or
    refund takes back.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    kind: models.Field[int, int] = models.SmallIntegerField()
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes | None, bytes | None] = models.BinaryField(null=True)
    epoch: models.Field[int | None, int | None] = models.IntegerField(null=True)
    seq: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    card: models.Field[bytes | None, bytes | None] = models.BinaryField(null=True)
    counter: models.Field[int | None, int | None] = models.IntegerField(null=True)
    ttsn: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()
    refers_to: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    balance_before_fen: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    clock_quality: models.Field[int, int] = models.SmallIntegerField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[int, int] = models.IntegerField()

    class Meta:
        db_table = "other_entry"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "seq"], name="a_tap_is_posted_once"),
            models.UniqueConstraint(
                fields=["card", "counter"], condition=Q(ttsn__isnull=False), name="a_card_counts_each_tap_once"
            ),
            models.UniqueConstraint(
                fields=["terminal", "ttsn"], condition=Q(ttsn__isnull=False), name="a_tac_pays_for_one_tap"
            ),
            models.UniqueConstraint(
                fields=["card"], condition=Q(kind=_OPENING), name="a_purse_is_opened_in_the_ledger_once"
            ),
            models.UniqueConstraint(
                fields=["terminal", "epoch", "refers_to"], condition=Q(kind=_REVERSAL), name="a_sale_is_reversed_once"
            ),
            models.CheckConstraint(
                condition=Q(amount_fen__gte=0, subsidy_fen__gte=0), name="entry_amount_is_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(card__isnull=False, counter__isnull=False) | Q(kind__in=(_ADJUSTMENT, _FEE)),
                name="an_entry_names_its_card",
            ),
        ]
        indexes = [
            # Not unique: a load that was voided leaves its count to the next; a trigger holds the rule.
            models.Index(fields=["card", "counter"], condition=Q(kind__in=(_LOAD, _COLLECTION)), name="load_by_count"),
            models.Index(fields=["card"], condition=Q(kind=_ADJUSTMENT), name="adjustment_by_card"),
            models.Index(
                fields=["terminal", "epoch", "refers_to"],
                condition=Q(refers_to__isnull=False),
                name="credit_by_sale",
            ),
        ]


class OtherPosting(models.Model):
    """One side of an `OtherEntry`: debit above zero, credit below; an entry's postings sum to zero.

    `accounting_day` is the entry's, or for a load the day that it was confirmed on.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    entry: models.ForeignKey[OtherEntry, OtherEntry] = models.ForeignKey(OtherEntry, on_delete=models.PROTECT)
    account: models.ForeignKey[Account, Account] = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    purse: models.Field[bytes | None, bytes | None] = models.BinaryField(null=True)
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[int, int] = models.IntegerField()

    class Meta:
        db_table = "other_posting"
        constraints = [
            models.CheckConstraint(condition=~Q(amount_fen=0), name="a_posting_moves_money"),
        ]


class SaleRun(models.Model):
    """Usual sales of one journal that follow each other without a gap, received together: what they have in common.

    `id` is the first one's number as an entry; the others, and their positions in the source, their seqs and serials,
    count on from there. `amount_fen` and `subsidy_fen` are the sums over all of them.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    taps: models.Field[int, int] = models.IntegerField()
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    first_seq: models.Field[int, int] = models.BigIntegerField()
    first_ttsn: models.Field[int, int] = models.BigIntegerField()
    clock_quality: models.Field[int, int] = models.SmallIntegerField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[int, int] = models.IntegerField()
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "sale_run"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "first_seq"], name="a_run_begins_once"),
            models.CheckConstraint(condition=Q(taps__gte=1, taps__lte=_RUN_TAPS_MAX), name="a_run_is_short"),
        ]
        indexes = [models.Index(fields=["terminal", "first_ttsn"], name="run_by_serial")]


class Sale(models.Model):
    """One usual sale: an entry whose postings follow from it, the purse to the merchant and the school's part with it.

    `purse_id` is the number of the purse's opening, which names the card; `id` is the entry's.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    run_id: models.Field[int, int] = models.IntegerField()
    purse_id: models.Field[int, int] = models.IntegerField()
    counter: models.Field[int, int] = models.IntegerField()
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()
    balance_before_fen: models.Field[int, int] = models.BigIntegerField()
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "sale"
        constraints = [
            # By sixteens of the card's count first: what is sold at one time lies together, and is written together.
            models.UniqueConstraint(F("counter") / 16, "purse_id", "counter", name="a_card_counts_each_sale_once"),
            models.CheckConstraint(
                condition=Q(amount_fen__gte=0, subsidy_fen__gte=0), name="a_sale_amount_is_not_negative"
            ),
        ]


class EntryResolution(models.Model):
    """How a pending entry ended, on the word of its source; `accounting_day` is that of the postings made with it."""

    entry: models.OneToOneField[OtherEntry, OtherEntry] = models.OneToOneField(
        OtherEntry, primary_key=True, on_delete=models.PROTECT
    )
    outcome: models.Field[int, int] = models.SmallIntegerField()
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[int, int] = models.IntegerField()

    class Meta:
        db_table = "entry_resolution"
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=(_POSTED, _VOIDED)), name="a_pending_entry_ends_one_way")
        ]


class PendingLoad(models.Model):
    """The loads that have not ended: a list to work by, which follows from entries and their resolutions."""

    entry: models.OneToOneField[OtherEntry, OtherEntry] = models.OneToOneField(
        OtherEntry, primary_key=True, on_delete=models.PROTECT
    )

    class Meta:
        db_table = "pending_load"


class SuspenseItem(models.Model):
    """A tap or load whose money waits for an explanation; `kind` is what its entry would be.

    `ttsn` is 0 for a load, `refers_to` for what takes no sale back.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    seq: models.Field[int, int] = models.BigIntegerField()
    reason: models.Field[int, int] = models.SmallIntegerField()
    kind: models.Field[int, int] = models.SmallIntegerField()
    card: models.Field[bytes, bytes] = models.BinaryField()
    counter: models.Field[int, int] = models.IntegerField()
    ttsn: models.Field[int, int] = models.BigIntegerField()
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()
    refers_to: models.Field[int, int] = models.BigIntegerField()
    balance_before_fen: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    clock_quality: models.Field[int, int] = models.SmallIntegerField()
    since_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "suspense_item"
        indexes = [models.Index(fields=["card", "counter"], name="suspense_by_count")]
        constraints = [
            # The whole content, not the tap's number: what differs in anything is another claim, and kept, too. Not
            # where and when it was read: a source that was restored from a backup tells the same again elsewhere.
            models.UniqueConstraint(
                fields=[
                    "terminal",
                    "epoch",
                    "seq",
                    "source",
                    "reason",
                    "kind",
                    "card",
                    "counter",
                    "ttsn",
                    "amount_fen",
                    "subsidy_fen",
                    "refers_to",
                ],
                name="a_claim_is_suspended_once",
            ),
        ]


class SuspenseResolution(models.Model):
    """What became of a suspense item.

    EXECUTED and NOT_EXECUTED: what the card's later counters proved of a tap with an unknown outcome; `evidence` is the
    tap that proves it: the one with the same count if it was not executed, one with a higher count if it was.
    BOOKED_LATER: what it lacked came. BY_PEOPLE: one proposed it, `how` and why, and another confirmed it.
    `entry` is what was booked for it. The evidence may be a usual sale: a trigger sees that it is there.
    """

    suspense_item: models.OneToOneField[SuspenseItem, SuspenseItem] = models.OneToOneField(
        SuspenseItem, primary_key=True, on_delete=models.PROTECT
    )
    outcome: models.Field[int, int] = models.SmallIntegerField()
    evidence_id: models.Field[int | None, int | None] = models.IntegerField(null=True)
    entry: models.OneToOneField[OtherEntry | None, OtherEntry | None] = models.OneToOneField(
        OtherEntry, null=True, on_delete=models.PROTECT
    )
    resolved_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    how: models.Field[int | None, int | None] = models.SmallIntegerField(null=True)
    because: models.Field[str | None, str | None] = models.TextField(null=True)
    proposed_by: models.Field[str | None, str | None] = models.TextField(null=True)
    confirmed_by: models.Field[str | None, str | None] = models.TextField(null=True)

    class Meta:
        db_table = "suspense_resolution"
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome=_EXECUTED, entry__isnull=False, evidence_id__isnull=False)
                | Q(outcome=_NOT_EXECUTED, entry__isnull=True, evidence_id__isnull=False)
                | Q(outcome__in=(_BOOKED_LATER, _BY_PEOPLE), entry__isnull=False, evidence_id__isnull=True),
                name="what_was_executed_is_booked",
            ),
            models.CheckConstraint(
                condition=~Q(outcome=_BY_PEOPLE)
                | Q(
                    how__isnull=False,
                    because__isnull=False,
                    proposed_by__isnull=False,
                    confirmed_by__isnull=False,
                ),
                name="people_say_how_and_why",
            ),
        ]


class Decision(models.Model):
    """A decision of the office that the ledger has read, and what became of it; the key is made where it is taken."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    key: models.Field[bytes, bytes] = models.BinaryField()
    number: models.Field[int, int] = models.IntegerField()
    action: models.Field[int, int] = models.SmallIntegerField()
    body: models.Field[str, str] = models.TextField()
    by: models.Field[str, str] = models.TextField()
    decided_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    result: models.Field[int, int] = models.SmallIntegerField()
    words: models.Field[str, str] = models.TextField()

    class Meta:
        db_table = "decision"
        constraints = [models.UniqueConstraint(fields=["key"], name="a_decision_is_read_once")]


class FinishedJournal(models.Model):
    """A terminal's journal that two people declared finished: nobody waits for more of it. What comes is taken."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    because: models.Field[str, str] = models.TextField()
    proposed_by: models.Field[str, str] = models.TextField()
    confirmed_by: models.Field[str, str] = models.TextField()
    declared_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "finished_journal"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch"], name="a_journal_is_finished_once"),
        ]


class DayClose(models.Model):
    """A closed day: nothing is ever booked on it or before it again. Closes have numbers without gaps, and a chain.

    `entries_hash` is over all its entries and postings; `chain_hash` over that, its balances and the close before.
    No entry (usual sales among them) or posting with a number up to `entries_seen` and `postings_seen` is of a later
    day, and none beyond `entries_last` and `postings_last` is of this one.
    """

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    day: models.Field[int, int] = models.IntegerField()
    closed_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    entries: models.Field[int, int] = models.IntegerField()
    entries_seen: models.Field[int, int] = models.IntegerField()
    postings_seen: models.Field[int, int] = models.IntegerField()
    entries_last: models.Field[int, int] = models.IntegerField()
    postings_last: models.Field[int, int] = models.IntegerField()
    entries_hash: models.Field[bytes, bytes] = models.BinaryField()
    chain_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "day_close"
        constraints = [models.UniqueConstraint(fields=["day"], name="a_day_is_closed_once")]


class DayTotal(models.Model):
    """What one kind of entries moved on one account on a closed day: debits and credits, both above zero."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    day: models.Field[int, int] = models.IntegerField()
    account: models.ForeignKey[Account, Account] = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    kind: models.Field[int, int] = models.SmallIntegerField()
    debit_fen: models.Field[int, int] = models.BigIntegerField()
    credit_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "day_total"
        constraints = [models.UniqueConstraint(fields=["day", "account", "kind"], name="a_day_totals_each_kind_once")]


class DayBalance(models.Model):
    """An account's balance at the end of a closed day."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    day: models.Field[int, int] = models.IntegerField()
    account: models.ForeignKey[Account, Account] = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    balance_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "day_balance"
        constraints = [models.UniqueConstraint(fields=["day", "account"], name="a_day_has_one_balance_each")]


class PurseBalance(models.Model):
    """What each purse holds as of the last closed day: the float's sub-ledger, rolled up when a day is closed."""

    purse: models.Field[bytes, bytes] = models.BinaryField(primary_key=True)
    balance_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "purse_balance"


class TerminalDay(models.Model):
    """What a terminal took in an outlet on a closed day: what clearing goes by.

    `gross_fen` are its sales at full price, `subsidy_fen` the school's part of them; `reversed_fen` and `refunded_fen`
    were taken back; `corrected_fen` came out of suspense by people's decision.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    day: models.Field[int, int] = models.IntegerField()
    source: models.Field[str, str] = models.TextField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    outlet: models.Field[int, int] = models.IntegerField()
    merchant: models.Field[int, int] = models.IntegerField()
    taps: models.Field[int, int] = models.IntegerField()
    gross_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()
    reversed_fen: models.Field[int, int] = models.BigIntegerField()
    refunded_fen: models.Field[int, int] = models.BigIntegerField()
    corrected_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "terminal_day"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "source", "terminal", "outlet"], name="a_terminals_day_is_cleared_once"
            )
        ]


class Statement(models.Model):
    """What a merchant is owed for a closed day, payable the day after: its outlets' `TerminalDay`s, less the fee.

    A merchant's statements are numbered from 1.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    merchant: models.Field[int, int] = models.IntegerField()
    number: models.Field[int, int] = models.IntegerField()
    day: models.Field[int, int] = models.IntegerField()
    name: models.Field[str, str] = models.TextField()
    taps: models.Field[int, int] = models.IntegerField()
    gross_fen: models.Field[int, int] = models.BigIntegerField()
    subsidy_fen: models.Field[int, int] = models.BigIntegerField()
    reversed_fen: models.Field[int, int] = models.BigIntegerField()
    refunded_fen: models.Field[int, int] = models.BigIntegerField()
    corrected_fen: models.Field[int, int] = models.BigIntegerField()
    fee_fen: models.Field[int, int] = models.BigIntegerField()
    net_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "statement"
        constraints = [
            models.UniqueConstraint(fields=["merchant", "number"], name="a_merchants_statements_are_numbered"),
            models.UniqueConstraint(fields=["merchant", "day"], name="a_merchant_has_one_statement_a_day"),
        ]


class SourceCursor(models.Model):
    """How far a source journal was read, and its chain's hash there; `lineage` counts on when it was restored."""

    source: models.Field[str, str] = models.TextField(primary_key=True)
    lineage: models.Field[int, int] = models.IntegerField()
    position: models.Field[int, int] = models.BigIntegerField()
    head_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "source_cursor"


class SourceCheckpoint(models.Model):
    """Where the cursor stood in between, so that a source that was restored is found again where both agree."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    source: models.Field[str, str] = models.TextField()
    lineage: models.Field[int, int] = models.IntegerField()
    position: models.Field[int, int] = models.BigIntegerField()
    head_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "source_checkpoint"
        constraints = [
            models.UniqueConstraint(fields=["source", "lineage", "position"], name="a_cursor_stands_there_once")
        ]
