"""What the operator asked terminals for: insert-only."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import insert_only


class Migration(migrations.Migration):
    """The table and its rules."""

    dependencies = [("onecard", "0003_outlets")]
    operations = [
        migrations.CreateModel(
            name="Request",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("stream", models.SmallIntegerField()),
                ("terminal", models.BinaryField()),
                ("what", models.SmallIntegerField()),
                ("asked_at_utc_s", models.BigIntegerField()),
            ],
            options={"db_table": "request"},
        ),
        *insert_only(request="number"),
    ]
