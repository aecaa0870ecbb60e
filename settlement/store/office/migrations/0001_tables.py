"""The first table of the office's database."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("position", models.IntegerField(primary_key=True, serialize=False)),
                ("key", models.BinaryField()),
                ("action", models.SmallIntegerField()),
                ("body", models.TextField()),
                ("by", models.TextField()),
                ("decided_at_utc_s", models.BigIntegerField()),
                ("chain_hash", models.BinaryField()),
            ],
            options={
                "db_table": "decision",
                "constraints": [models.UniqueConstraint(fields=("key",), name="a_decision_is_taken_once")],
            },
        ),
    ]
