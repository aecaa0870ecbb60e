"""The first tables of the onecard database."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="HotlistEntry",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("issuer", models.BinaryField()),
                ("asn", models.BinaryField()),
                ("listed", models.BooleanField()),
                ("reason", models.TextField()),
                ("changed_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "hotlist_entry",
            },
        ),
        migrations.CreateModel(
            name="Ticket",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("stream", models.SmallIntegerField()),
                ("issued_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "ticket",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch"), name="an_epoch_is_given_out_once"),
                    models.CheckConstraint(
                        condition=models.Q(("epoch__gte", 1), ("epoch__lte", 65535)), name="epoch_fits_the_wire"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Card",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("issuer", models.BinaryField()),
                ("asn", models.BinaryField()),
                ("registered_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "card",
                "constraints": [models.UniqueConstraint(fields=("issuer", "asn"), name="a_card_is_registered_once")],
            },
        ),
        migrations.CreateModel(
            name="PurseOpening",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("opening_balance_fen", models.BigIntegerField()),
                ("opening_counter", models.IntegerField()),
                ("opened_at_utc_s", models.BigIntegerField()),
                ("chain_hash", models.BinaryField()),
                ("card", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="onecard.card")),
            ],
            options={
                "db_table": "purse_opening",
                "constraints": [
                    models.UniqueConstraint(fields=("card",), name="a_purse_is_opened_once"),
                    models.CheckConstraint(
                        condition=models.Q(("opening_balance_fen__gte", 0)),
                        name="opening_balance_is_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("opening_counter__gte", 0), ("opening_counter__lte", 65535)),
                        name="opening_counter_fits_the_card",
                    ),
                ],
            },
        ),
    ]
