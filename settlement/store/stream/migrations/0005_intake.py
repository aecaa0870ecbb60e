"""The stream's journal is kept by what came together, so that a tap costs bytes and not rows; `tap` is a view of it."""

from __future__ import annotations

from typing import Final

from django.db import migrations, models

from settlement.store.triggers import insert_only, never_when

_RECORD_BYTES: Final = 78
_HASH_BYTES: Final = 32
_TAPS_MAX: Final = 500

_LAST_POSITION: Final = "(SELECT next_position FROM intake ORDER BY position DESC LIMIT 1)"
_LAST_SEQ: Final = """
    (SELECT next_seq FROM intake WHERE terminal = NEW.terminal AND epoch = NEW.epoch ORDER BY first_seq DESC LIMIT 1)
"""

_TAP: Final = f"""
    CREATE VIEW tap AS
    WITH RECURSIVE place (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM place WHERE number < {_TAPS_MAX - 1})
    SELECT intake.position + place.number AS position, terminal, epoch, first_seq + place.number AS seq,
           substr(records, {_RECORD_BYTES} * place.number + 1, {_RECORD_BYTES}) AS record,
           CASE WHEN place.number = next_seq - first_seq - 1 THEN stream_hash END AS stream_hash,
           suspended_tap.reason AS suspense, received_at_utc_s
    FROM intake JOIN place ON place.number < next_seq - first_seq
    LEFT JOIN suspended_tap ON suspended_tap.position = intake.position + place.number
"""


class Migration(migrations.Migration):
    """Tables, rules and the view."""

    dependencies = [("stream", "0004_answer")]
    operations = [
        migrations.DeleteModel("Tap"),
        migrations.CreateModel(
            name="Intake",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("next_position", models.BigIntegerField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("first_seq", models.BigIntegerField()),
                ("next_seq", models.BigIntegerField()),
                ("hash_before", models.BinaryField()),
                ("stream_hash", models.BinaryField()),
                ("received_at_utc_s", models.BigIntegerField()),
                ("records", models.BinaryField()),
            ],
            options={
                "db_table": "intake",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch", "first_seq"), name="a_tap_is_taken_in_once"),
                    models.CheckConstraint(
                        condition=models.Q(("next_seq__gt", models.F("first_seq"))), name="an_intake_holds_a_tap"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SuspendedTap",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("reason", models.SmallIntegerField()),
            ],
            options={"db_table": "suspended_tap"},
        ),
        *insert_only(intake="position", suspended_tap="position"),
        never_when(
            "positions_have_no_gap",
            table="intake",
            event="INSERT",
            condition=f"NEW.position <> coalesce({_LAST_POSITION}, 1)"
            " OR NEW.next_position - NEW.position <> NEW.next_seq - NEW.first_seq",
        ),
        never_when(
            "a_journal_is_taken_in_without_gap",
            table="intake",
            event="INSERT",
            condition=f"NEW.first_seq <> coalesce({_LAST_SEQ}, 1)",
        ),
        never_when(
            "an_intake_has_all_its_records",
            table="intake",
            event="INSERT",
            condition=f"length(NEW.records) <> {_RECORD_BYTES} * (NEW.next_seq - NEW.first_seq)"
            f" OR length(NEW.hash_before) <> {_HASH_BYTES}"
            f" OR NEW.next_seq - NEW.first_seq > {_TAPS_MAX}",
        ),
        migrations.RunSQL(_TAP, "DROP VIEW tap"),
    ]
