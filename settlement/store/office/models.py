"""The office's table: what people decided about the books."""

from __future__ import annotations

from django.db import models


class Decision(models.Model):
    """One decision, who took it and when; `key` is made with it, `body` is canonical JSON, all of it is chained."""

    position: models.Field[int, int] = models.IntegerField(primary_key=True)
    key: models.Field[bytes, bytes] = models.BinaryField()
    action: models.Field[int, int] = models.SmallIntegerField()
    body: models.Field[str, str] = models.TextField()
    by: models.Field[str, str] = models.TextField()
    decided_at_utc_s: models.Field[int, int] = models.BigIntegerField()
    chain_hash: models.Field[bytes, bytes] = models.BinaryField()

    class Meta:
        db_table = "decision"
        constraints = [models.UniqueConstraint(fields=["key"], name="a_decision_is_taken_once")]
