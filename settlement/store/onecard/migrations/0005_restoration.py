"""When the registry was restored from a backup: insert-only."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import insert_only


class Migration(migrations.Migration):
    """The table and its rules."""

    dependencies = [("onecard", "0004_request")]
    operations = [
        migrations.CreateModel(
            name="Restoration",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("taken_at_utc_s", models.BigIntegerField()),
                ("restored_at_utc_s", models.BigIntegerField()),
            ],
            options={"db_table": "restoration"},
        ),
        *insert_only(restoration="id"),
    ]
