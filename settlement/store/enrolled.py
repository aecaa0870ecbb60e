"""Who has enrolled with a gateway: the columns that a stream's terminals and the desk's top-up points share."""

from __future__ import annotations

from django.db import models


class Enrolled(models.Model):
    """One journal (terminal and epoch): its key, how far the server has it, and how far it was heard to go."""

    id: models.Field[int, int] = models.IntegerField(primary_key=True)
    terminal: models.Field[bytes, bytes] = models.BinaryField()
    epoch: models.Field[int, int] = models.IntegerField()
    public_key: models.Field[bytes, bytes] = models.BinaryField()
    enrolled_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    next_seq: models.Field[int, int] = models.BigIntegerField()
    head_hash: models.Field[bytes, bytes] = models.BinaryField()
    total_fen: models.Field[int, int] = models.BigIntegerField()
    heard_seq: models.Field[int, int] = models.BigIntegerField()
    heard_total_fen: models.Field[int, int] = models.BigIntegerField()
    heard_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    quarantined_because: models.Field[str | None, str | None] = models.TextField(null=True)
    rolled_back_to_seq: models.Field[int | None, int | None] = models.BigIntegerField(null=True)

    class Meta:
        abstract = True
