"""The first tables of the ledger database."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
            ],
            options={
                "db_table": "account",
            },
        ),
        migrations.CreateModel(
            name="SourceCursor",
            fields=[
                ("source", models.TextField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("head_hash", models.BinaryField()),
            ],
            options={
                "db_table": "source_cursor",
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("kind", models.SmallIntegerField()),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("terminal", models.BinaryField(null=True)),
                ("epoch", models.IntegerField(null=True)),
                ("seq", models.BigIntegerField(null=True)),
                ("card", models.BinaryField()),
                ("counter", models.IntegerField()),
                ("ttsn", models.BigIntegerField(null=True)),
                ("amount_fen", models.BigIntegerField()),
                ("happened_at_utc_s", models.BigIntegerField()),
                ("clock_quality", models.SmallIntegerField()),
                ("received_at_utc_s", models.BigIntegerField()),
                ("accounting_day", models.DateField()),
                (
                    "corrects",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to="ledger.entry"
                    ),
                ),
            ],
            options={
                "db_table": "entry",
            },
        ),
        migrations.CreateModel(
            name="Posting",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("purse", models.BinaryField(null=True)),
                ("amount_fen", models.BigIntegerField()),
                (
                    "account",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.account"),
                ),
                ("entry", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="ledger.entry")),
            ],
            options={
                "db_table": "posting",
            },
        ),
        migrations.CreateModel(
            name="SuspenseItem",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("seq", models.BigIntegerField()),
                ("reason", models.SmallIntegerField()),
                ("card", models.BinaryField()),
                ("counter", models.IntegerField()),
                ("ttsn", models.BigIntegerField()),
                ("amount_fen", models.BigIntegerField()),
                ("since_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "suspense_item",
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
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
                        ),
                        name="a_claim_is_suspended_once",
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(fields=("terminal", "epoch", "seq"), name="a_tap_is_posted_once"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", 2)), fields=("card", "counter"), name="a_card_counts_each_purchase_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", 2)), fields=("terminal", "ttsn"), name="a_tac_pays_for_one_purchase"
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", 1)), fields=("card",), name="a_purse_is_opened_in_the_ledger_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_fen__gte", 0)), name="entry_amount_is_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="posting",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_fen", 0), _negated=True), name="a_posting_moves_money"
            ),
        ),
    ]
