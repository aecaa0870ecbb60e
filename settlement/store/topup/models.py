"""The top-up desk's tables: its points, the journal of loads, and each grant's answer as it was given."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from settlement.store.enrolled import Enrolled


class TopupPoint(Enrolled):
    """A top-up point and epoch, in the columns of a stream's terminal; it has no journal, so its cursor stays at 1."""

    class Meta:
        db_table = "terminal"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch"], name="a_point_starts_an_epoch_once"),
            models.CheckConstraint(condition=Q(epoch__gte=1), name="point_epoch_starts_at_one"),
        ]


class LoadEvent(models.Model):
    """The desk's journal: positions without gaps from 1, each with the canonical event and the chain's hash."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    kind: models.Field[int, int] = models.SmallIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    number: models.Field[int, int] = models.BigIntegerField()
    card: models.Field[bytes, bytes] = models.BinaryField()
    online_counter: models.Field[int, int] = models.IntegerField()
    event: models.Field[bytes, bytes] = models.BinaryField()
    chain_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "load_event"
        constraints = [
            models.UniqueConstraint(
                fields=["terminal", "epoch", "number"], condition=Q(kind=1), name="a_load_is_granted_once"
            ),
            models.UniqueConstraint(
                fields=["terminal", "epoch", "number"], condition=Q(kind__gt=1), name="a_load_ends_once"
            ),
            models.UniqueConstraint(
                fields=["card", "online_counter"], condition=Q(kind=2), name="a_counter_is_confirmed_once"
            ),
            models.CheckConstraint(condition=Q(kind__gte=1, kind__lte=3), name="load_event_kind_is_known"),
        ]
        indexes = [models.Index(fields=["card", "position"], name="load_event_by_card")]


class LoadAnswer(models.Model):
    """What a point asked and what it was granted, at the grant's position: a repeated request gets this again."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    request: models.Field[bytes, bytes] = models.BinaryField()
    answer: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "load_answer"
