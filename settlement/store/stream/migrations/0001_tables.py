"""The first tables of the stream database."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Fork",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("seq", models.BigIntegerField()),
                ("raw", models.BinaryField()),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "fork",
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("digest", models.BinaryField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("first_seq", models.BigIntegerField()),
                ("next_seq", models.BigIntegerField()),
                ("raw", models.BinaryField()),
                ("receipt", models.BinaryField()),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "batch",
                "constraints": [
                    models.UniqueConstraint(fields=("digest",), name="a_batch_is_taken_once"),
                    models.CheckConstraint(
                        condition=models.Q(("next_seq__gt", models.F("first_seq"))),
                        name="a_batch_holds_a_tap",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tap",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("seq", models.BigIntegerField()),
                ("record", models.BinaryField()),
                ("chain_hash", models.BinaryField()),
                ("stream_hash", models.BinaryField()),
                ("outcome", models.SmallIntegerField()),
                ("card", models.BinaryField()),
                ("counter", models.IntegerField()),
                ("amount_fen", models.BigIntegerField()),
                ("suspense", models.SmallIntegerField(null=True)),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "tap",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch", "seq"), name="a_tap_is_taken_in_once"),
                    models.CheckConstraint(
                        condition=models.Q(("amount_fen__gte", 0)), name="tap_amount_is_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("outcome__gte", 1), ("outcome__lte", 4)),
                        name="tap_outcome_is_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("seq__gte", 1)), name="tap_seq_starts_at_one"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Terminal",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("public_key", models.BinaryField()),
                ("enrolled_at_utc_s", models.BigIntegerField()),
                ("next_seq", models.BigIntegerField()),
                ("head_hash", models.BinaryField()),
                ("total_fen", models.BigIntegerField()),
                ("heard_seq", models.BigIntegerField()),
                ("heard_total_fen", models.BigIntegerField()),
                ("heard_at_utc_s", models.BigIntegerField()),
                ("quarantined_because", models.TextField(null=True)),
                ("rolled_back_to_seq", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "terminal",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch"), name="a_terminal_starts_an_epoch_once"),
                    models.CheckConstraint(condition=models.Q(("epoch__gte", 1)), name="epoch_starts_at_one"),
                    models.CheckConstraint(condition=models.Q(("next_seq__gte", 1)), name="terminal_seq_starts_at_one"),
                    models.CheckConstraint(
                        condition=models.Q(("total_fen__gte", 0)), name="terminal_total_is_not_negative"
                    ),
                ],
            },
        ),
    ]
