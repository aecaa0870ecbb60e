"""Resolutions of pending entries and of suspense items."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_rules")]

    operations = [
        migrations.CreateModel(
            name="EntryResolution",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.entry",
                    ),
                ),
                ("outcome", models.SmallIntegerField()),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("happened_at_utc_s", models.BigIntegerField()),
                ("accounting_day", models.DateField()),
            ],
            options={
                "db_table": "entry_resolution",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("outcome__in", (1, 2))), name="a_pending_entry_ends_one_way"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SuspenseResolution",
            fields=[
                (
                    "suspense_item",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.suspenseitem",
                    ),
                ),
                ("outcome", models.SmallIntegerField()),
                (
                    "evidence",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.entry",
                    ),
                ),
                (
                    "entry",
                    models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to="ledger.entry"),
                ),
                ("resolved_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "suspense_resolution",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("entry__isnull", False), ("outcome", 1)),
                            models.Q(("entry__isnull", True), ("outcome", 2)),
                            _connector="OR",
                        ),
                        name="what_was_executed_is_booked",
                    )
                ],
            },
        ),
        # Both may be empty, so that the table is only added to: making it anew would lose its triggers.
        migrations.AddField("SuspenseItem", "happened_at_utc_s", models.BigIntegerField(null=True)),
        migrations.AddField("SuspenseItem", "clock_quality", models.SmallIntegerField(null=True)),
        migrations.AddIndex(
            "Entry",
            models.Index(condition=models.Q(("kind", 3)), fields=["card", "counter"], name="load_by_count"),
        ),
        migrations.AddIndex("SuspenseItem", models.Index(fields=["card", "counter"], name="suspense_by_count")),
    ]
