"""The ledger's tables: chart, entries with postings, suspense, and how far each source journal was read."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.db.models import Q

_OPENING, _PURCHASE = 1, 2


class Account(models.Model):
    """A place in the chart."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    name: models.Field[str, str] = models.TextField()

    class Meta:
        db_table = "account"


class Entry(models.Model):
    """Something that moved money, with its three dates; `corrects` names an older entry that this one puts right."""

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


class SuspenseItem(models.Model):
    """A tap whose money waits for an explanation."""

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

    class Meta:
        db_table = "suspense_item"
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


class SourceCursor(models.Model):
    """How far a source journal was read, and its chain's hash there."""

    source: models.Field[str, str] = models.TextField(primary_key=True)
    position: models.Field[int, int] = models.BigIntegerField()
    head_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "source_cursor"
