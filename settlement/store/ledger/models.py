"""The ledger's tables: chart, entries with postings, suspense, how both were resolved, how far sources were read."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.db.models import Q

_OPENING, _PURCHASE, _LOAD = 1, 2, 3
_POSTED, _VOIDED = 1, 2
_EXECUTED, _NOT_EXECUTED = 1, 2


class Account(models.Model):
    """A place in the chart."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    name: models.Field[str, str] = models.TextField()

    class Meta:
        db_table = "account"


class Entry(models.Model):
    """Something that moved money, with its three dates; `corrects` names an older entry that this one puts right.

    A load is pending until its resolution is here, and has its postings from then on, if any. `terminal`, `epoch` and
    `seq` name a tap, or a load by its point's own number; `counter` is the card's offline one, or a load's online one.
    `balance_before_fen` is a purchase's, empty in rows from before it was kept.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    kind: models.Field[int, int] = models.SmallIntegerField()
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes | None, bytes | None] = models.BinaryField(null=True)
    epoch: models.Field[int | None, int | None] = models.IntegerField(null=True)
    seq: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    card: models.Field[bytes, bytes] = models.BinaryField()
    counter: models.Field[int, int] = models.IntegerField()
    ttsn: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    balance_before_fen: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    clock_quality: models.Field[int, int] = models.SmallIntegerField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[date, date] = models.DateField()
    corrects: models.ForeignKey[Entry | None, Entry | None] = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, db_index=False
    )

    class Meta:
        db_table = "entry"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "seq"], name="a_tap_is_posted_once"),
            models.UniqueConstraint(
                fields=["card", "counter"],
                condition=Q(kind=_PURCHASE),
                name="a_card_counts_each_purchase_once",
            ),
            models.UniqueConstraint(
                fields=["terminal", "ttsn"], condition=Q(kind=_PURCHASE), name="a_tac_pays_for_one_purchase"
            ),
            models.UniqueConstraint(
                fields=["card"], condition=Q(kind=_OPENING), name="a_purse_is_opened_in_the_ledger_once"
            ),
            models.CheckConstraint(condition=Q(amount_fen__gte=0), name="entry_amount_is_not_negative"),
        ]
        # Not unique: a load that was voided leaves its count to the next; a trigger holds the rule.
        indexes = [models.Index(fields=["card", "counter"], condition=Q(kind=_LOAD), name="load_by_count")]


class Posting(models.Model):
    """One side of an entry: debit above zero, credit below; an entry's postings sum to zero."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    entry: models.ForeignKey[Entry, Entry] = models.ForeignKey(Entry, on_delete=models.PROTECT)
    account: models.ForeignKey[Account, Account] = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    purse: models.Field[bytes | None, bytes | None] = models.BinaryField(null=True)
    amount_fen: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "posting"
        constraints = [
            models.CheckConstraint(condition=~Q(amount_fen=0), name="a_posting_moves_money"),
        ]


class EntryResolution(models.Model):
    """How a pending entry ended, on the word of its source; `accounting_day` is that of the postings made with it."""

    entry: models.OneToOneField[Entry, Entry] = models.OneToOneField(Entry, primary_key=True, on_delete=models.PROTECT)
    outcome: models.Field[int, int] = models.SmallIntegerField()
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    happened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    accounting_day: models.Field[date, date] = models.DateField()

    class Meta:
        db_table = "entry_resolution"
        constraints = [
            models.CheckConstraint(condition=Q(outcome__in=(_POSTED, _VOIDED)), name="a_pending_entry_ends_one_way")
        ]


class SuspenseItem(models.Model):
    """A tap or load whose money waits for an explanation; `ttsn` is 0 for a load.

    `happened_at_utc_s`, `clock_quality` and `balance_before_fen` are empty in rows from before these were kept.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    source: models.Field[str, str] = models.TextField()
    source_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    seq: models.Field[int, int] = models.BigIntegerField()
    reason: models.Field[int, int] = models.SmallIntegerField()
    card: models.Field[bytes, bytes] = models.BinaryField()
    counter: models.Field[int, int] = models.IntegerField()
    ttsn: models.Field[int, int] = models.BigIntegerField()
    amount_fen: models.Field[int, int] = models.BigIntegerField()
    since_utc_s: models.Field[int, int] = models.BigIntegerField()
    balance_before_fen: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    happened_at_utc_s: models.Field[int | None, int | None] = models.BigIntegerField(null=True)
    clock_quality: models.Field[int | None, int | None] = models.SmallIntegerField(null=True)

    class Meta:
        db_table = "suspense_item"
        indexes = [models.Index(fields=["card", "counter"], name="suspense_by_count")]
        constraints = [
            # The whole content, not the tap's number: what differs in anything is another claim, and kept, too.
            models.UniqueConstraint(
                fields=[
                    "source",
                    "source_position",
                    "terminal",
                    "epoch",
                    "seq",
                    "reason",
                    "card",
                    "counter",
                    "ttsn",
                    "amount_fen",
                    "since_utc_s",
                ],
                name="a_claim_is_suspended_once",
            ),
        ]


class SuspenseResolution(models.Model):
    """What the card's later counters proved about a tap with an unknown outcome.

    `evidence` is the purchase that proves it: the one with the same count if the tap was not executed, one with a
    higher count if it was; then `entry` is what was booked for it.
    """

    suspense_item: models.OneToOneField[SuspenseItem, SuspenseItem] = models.OneToOneField(
        SuspenseItem, primary_key=True, on_delete=models.PROTECT
    )
    outcome: models.Field[int, int] = models.SmallIntegerField()
    evidence: models.ForeignKey[Entry, Entry] = models.ForeignKey(
        Entry, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    entry: models.OneToOneField[Entry | None, Entry | None] = models.OneToOneField(
        Entry, null=True, on_delete=models.PROTECT
    )
    resolved_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "suspense_resolution"
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome=_EXECUTED, entry__isnull=False) | Q(outcome=_NOT_EXECUTED, entry__isnull=True),
                name="what_was_executed_is_booked",
            )
        ]


class SourceCursor(models.Model):
    """How far a source journal was read, and its chain's hash there."""

    source: models.Field[str, str] = models.TextField(primary_key=True)
    position: models.Field[int, int] = models.BigIntegerField()
    head_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "source_cursor"
