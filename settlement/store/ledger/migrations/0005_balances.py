"""The purse's balance before a purchase, as the terminal read it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_resolution_rules")]

    operations = [
        # Both may be empty, so that the table is only added to: making it anew would lose its triggers.
        migrations.AddField("Entry", "balance_before_fen", models.BigIntegerField(null=True)),
        migrations.AddField("SuspenseItem", "balance_before_fen", models.BigIntegerField(null=True)),
    ]
