"""Reports of closed shifts, and those that contradict them: insert-only."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import insert_only, never_replaced


class Migration(migrations.Migration):
    """The tables and their rules."""

    dependencies = [("stream", "0005_intake")]
    operations = [
        migrations.CreateModel(
            name="ShiftReport",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("number", models.BigIntegerField()),
                ("first_seq", models.BigIntegerField()),
                ("next_seq", models.BigIntegerField()),
                ("hash", models.BinaryField()),
                ("raw", models.BinaryField()),
                ("alarms", models.SmallIntegerField()),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "shift_report",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch", "number"), name="a_shift_is_reported_once"),
                    models.CheckConstraint(
                        condition=models.Q(("next_seq__gte", models.F("first_seq"))), name="a_shift_ends_after_it_began"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ShiftConflict",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("number", models.BigIntegerField()),
                ("hash", models.BinaryField()),
                ("raw", models.BinaryField()),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "shift_conflict",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("terminal", "epoch", "number", "hash"), name="a_contradiction_is_kept_once"
                    ),
                ],
            },
        ),
        *insert_only(shift_report="id", shift_conflict="id"),
        never_replaced("a_shift_report_is_never_replaced", table="shift_report", key=("terminal", "epoch", "number")),
        never_replaced(
            "a_contradiction_is_never_replaced", table="shift_conflict", key=("terminal", "epoch", "number", "hash")
        ),
    ]
