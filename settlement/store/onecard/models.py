"""The card registry's tables: cards, openings, hotlist, tickets; merchants, outlets, terminals, what they go by."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Card(models.Model):
    """One purse that this school answers for."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    issuer: models.Field[bytes, bytes] = models.BinaryField()
    asn: models.Field[bytes, bytes] = models.BinaryField()
    registered_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "card"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "asn"], name="a_card_is_registered_once"),
        ]


class PurseOpening(models.Model):
    """Money that was on a purse when the school took it over; positions without gaps from 1."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    card: models.ForeignKey[Card, Card] = models.ForeignKey(Card, on_delete=models.PROTECT, db_constraint=True)
    opening_balance_fen: models.Field[int, int] = models.BigIntegerField()
    opening_counter: models.Field[int, int] = models.IntegerField()
    opened_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    chain_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "purse_opening"
        constraints = [
            models.UniqueConstraint(fields=["card"], name="a_purse_is_opened_once"),
            models.CheckConstraint(condition=Q(opening_balance_fen__gte=0), name="opening_balance_is_not_negative"),
            models.CheckConstraint(
                condition=Q(opening_counter__gte=0, opening_counter__lte=0xFFFF),
                name="opening_counter_fits_the_card",
            ),
        ]


class HotlistEntry(models.Model):
    """A card put on the hotlist or taken off it; the newest position is the hotlist's version."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    issuer: models.Field[bytes, bytes] = models.BinaryField()
    asn: models.Field[bytes, bytes] = models.BinaryField()
    listed: models.Field[bool, bool] = models.BooleanField()
    reason: models.Field[str, str] = models.TextField()
    changed_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "hotlist_entry"


class Ticket(models.Model):
    """An epoch that was given out to a terminal, whichever stream it is for."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    stream: models.Field[int, int] = models.SmallIntegerField()
    issued_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "ticket"
        constraints = [
            models.UniqueConstraint(fields=["terminal", "epoch"], name="an_epoch_is_given_out_once"),
            models.CheckConstraint(condition=Q(epoch__gte=1, epoch__lte=0xFFFF), name="epoch_fits_the_wire"),
        ]


class Merchant(models.Model):
    """Who is paid, by its number; the highest version of its name is in force."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    number: models.Field[int, int] = models.IntegerField()
    version: models.Field[int, int] = models.IntegerField()
    name_zh: models.Field[str, str] = models.TextField()
    name_en: models.Field[str, str] = models.TextField()
    made_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "merchant"
        constraints = [
            models.UniqueConstraint(fields=["number", "version"], name="a_merchants_version_is_made_once"),
        ]


class Outlet(models.Model):
    """A place where something is sold: its stream and its merchant are the same for ever."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    stream: models.Field[int, int] = models.SmallIntegerField()
    merchant: models.Field[int, int] = models.IntegerField()
    opened_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "outlet"


class Assignment(models.Model):
    """A terminal stands in an outlet from some time on, until another assignment of it begins."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    outlet: models.Field[int, int] = models.IntegerField()
    from_utc_s: models.Field[int, int] = models.BigIntegerField()
    made_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "assignment"


class Configuration(models.Model):
    """What the operator signed for all terminals of an outlet; the highest version is in force."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    outlet: models.Field[int, int] = models.IntegerField()
    version: models.Field[int, int] = models.IntegerField()
    body: models.Field[bytes, bytes] = models.BinaryField()
    made_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "configuration"
        constraints = [
            models.UniqueConstraint(fields=["outlet", "version"], name="a_version_is_made_once"),
        ]


class Request(models.Model):
    """What the operator asked a terminal for; answers are in the stream's database."""

    number: models.Field[int, int] = models.IntegerField(primary_key=True)
    stream: models.Field[int, int] = models.SmallIntegerField()
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    what: models.Field[int, int] = models.SmallIntegerField()
    asked_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "request"


class Restoration(models.Model):
    """The registry is as of `taken_at_utc_s` again: numbers that it gave out since are lost, and not repeated."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    taken_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    restored_at_utc_s: models.Field[int, int] = models.BigIntegerField()

    class Meta:
        db_table = "restoration"
