"""What terminals answered to the operator's requests: insert-only."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import insert_only


class Migration(migrations.Migration):
    """The table and its rules."""

    dependencies = [("stream", "0003_sms")]
    operations = [
        migrations.CreateModel(
            name="Answer",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("text", models.TextField()),
                ("received_at_utc_s", models.BigIntegerField()),
            ],
            options={"db_table": "answer"},
        ),
        *insert_only(answer="number"),
    ]
