"""The first tables of the top-up desk's database."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="LoadAnswer",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("request", models.BinaryField()),
                ("answer", models.BinaryField()),
            ],
            options={
                "db_table": "load_answer",
            },
        ),
        migrations.CreateModel(
            name="LoadEvent",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("kind", models.SmallIntegerField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("number", models.BigIntegerField()),
                ("card", models.BinaryField()),
                ("online_counter", models.IntegerField()),
                ("event", models.BinaryField()),
                ("chain_hash", models.BinaryField()),
            ],
            options={
                "db_table": "load_event",
                "indexes": [models.Index(fields=["card", "position"], name="load_event_by_card")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", 1)),
                        fields=("terminal", "epoch", "number"),
                        name="a_load_is_granted_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind__gt", 1)),
                        fields=("terminal", "epoch", "number"),
                        name="a_load_ends_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", 2)),
                        fields=("card", "online_counter"),
                        name="a_counter_is_confirmed_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__gte", 1), ("kind__lte", 3)), name="load_event_kind_is_known"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TopupPoint",
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
                    models.UniqueConstraint(fields=("terminal", "epoch"), name="a_point_starts_an_epoch_once"),
                    models.CheckConstraint(condition=models.Q(("epoch__gte", 1)), name="point_epoch_starts_at_one"),
                ],
            },
        ),
    ]
