"""A stream's tables: terminals with their cursors, the journal of taps, batches as they came, evidence of forks."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from settlement.store.enrolled import Enrolled


class Terminal(Enrolled):
    """One journal (terminal and epoch) and how far the server has it; one of two tables here whose rows change."""

    class Meta:
        db_table = "terminal"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch"], name="a_terminal_starts_an_epoch_once"),
            models.CheckConstraint(condition=Q(epoch__gte=1), name="epoch_starts_at_one"),
            models.CheckConstraint(condition=Q(next_seq__gte=1), name="terminal_seq_starts_at_one"),
            models.CheckConstraint(condition=Q(total_fen__gte=0), name="terminal_total_is_not_negative"),
        ]


class Intake(models.Model):
    """A piece of the stream's journal: taps of one terminal journal that came together, at positions without gaps.

    `records` are their canonical bytes, one behind the other, `hash_before` is the terminal's chain before them. The
    stream's own chain goes from intake to intake. Migration 0005 makes the view `tap` of it, with a row for each tap.
    """

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    next_position: models.Field[int, int] = models.BigIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    first_seq: models.Field[int, int] = models.BigIntegerField()
    next_seq: models.Field[int, int] = models.BigIntegerField()
    hash_before: models.Field[bytes, bytes] = models.BinaryField()
    stream_hash: models.Field[bytes, bytes] = models.BinaryField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    # Last: SQLite reads through what comes before a column, and the journal's end is looked up for every batch.
    records: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "intake"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "first_seq"], name="a_tap_is_taken_in_once"),
            models.CheckConstraint(condition=Q(next_seq__gt=F("first_seq")), name="an_intake_holds_a_tap"),
        ]


class SuspendedTap(models.Model):
    """Why the tap at this position cannot be booked."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    reason: models.Field[int, int] = models.SmallIntegerField()

    class Meta:
        db_table = "suspended_tap"


class Batch(models.Model):
    """Every batch and datagram that was taken, byte for byte, with its receipt; a batch's first byte is below 16."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    digest: models.Field[bytes, bytes] = models.BinaryField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    first_seq: models.Field[int, int] = models.BigIntegerField()
    next_seq: models.Field[int, int] = models.BigIntegerField()
    raw: models.Field[bytes, bytes] = models.BinaryField()
    receipt: models.Field[bytes, bytes] = models.BinaryField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "batch"
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="a_batch_is_taken_once"),
            models.CheckConstraint(condition=Q(next_seq__gt=F("first_seq")), name="a_batch_holds_a_tap"),
        ]


class Fork(models.Model):
    """The batch that contradicted the journal; the version that was here first stays in `tap`."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    seq: models.Field[int, int] = models.BigIntegerField()
    raw: models.Field[bytes, bytes] = models.BinaryField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "fork"


class SmsContact(models.Model):
    """A journal's way by short message: the number, the last datagrams either way, and what it knows of the hotlist.

    `heard_number` and `last_number` are those of the newest datagrams from and to the terminal, `hotlist_mark` is the
    list that it was last known to have, `pushed_mark` the one sent since, `pushes` times, the next at `push_at_utc_s`.
    Its rows change, as those of `Terminal` do.
    """

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    phone: models.Field[str | None, str | None] = models.TextField(null=True)
    heard_number: models.Field[int, int] = models.BigIntegerField()
    by_sms: models.Field[bool, bool] = models.BooleanField()
    last_number: models.Field[int, int] = models.BigIntegerField()
    hotlist_mark: models.Field[bytes, bytes] = models.BinaryField()
    pushed_mark: models.Field[bytes, bytes] = models.BinaryField()
    pushes: models.Field[int, int] = models.IntegerField()
    push_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "sms_contact"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch"], name="a_journal_has_one_contact"),
            models.CheckConstraint(condition=Q(last_number__gte=0), name="datagram_number_is_not_negative"),
        ]


class Answer(models.Model):
    """What a terminal answered to the operator's request with this number; the request is in the card registry."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    text: models.Field[str, str] = models.TextField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "answer"


class ShiftReport(models.Model):
    """A closed shift as its terminal signed it, with what was amiss when it came, in bits; 0: nothing was."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    number: models.Field[int, int] = models.BigIntegerField()
    first_seq: models.Field[int, int] = models.BigIntegerField()
    next_seq: models.Field[int, int] = models.BigIntegerField()
    hash: models.Field[bytes, bytes] = models.BinaryField()
    raw: models.Field[bytes, bytes] = models.BinaryField()
    alarms: models.Field[int, int] = models.SmallIntegerField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "shift_report"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "number"], name="a_shift_is_reported_once"),
            models.CheckConstraint(condition=Q(next_seq__gte=F("first_seq")), name="a_shift_ends_after_it_began"),
        ]


class ShiftConflict(models.Model):
    """Another report under a number that is in `shift_report`."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    number: models.Field[int, int] = models.BigIntegerField()
    hash: models.Field[bytes, bytes] = models.BinaryField()
    raw: models.Field[bytes, bytes] = models.BinaryField()
    received_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "shift_conflict"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch", "number", "hash"], name="a_contradiction_is_kept_once")
        ]
