"""Terminals that are reached by short message."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import ALWAYS, never_replaced, never_when


class Migration(migrations.Migration):
    dependencies = [("stream", "0002_rules")]

    operations = [
        migrations.CreateModel(
            name="SmsContact",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("phone", models.TextField(null=True)),
                ("heard_number", models.BigIntegerField()),
                ("by_sms", models.BooleanField()),
                ("last_number", models.BigIntegerField()),
                ("hotlist_mark", models.BinaryField()),
                ("pushed_mark", models.BinaryField()),
                ("pushes", models.IntegerField()),
                ("push_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "sms_contact",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch"), name="a_journal_has_one_contact"),
                    models.CheckConstraint(
                        condition=models.Q(("last_number__gte", 0)), name="datagram_number_is_not_negative"
                    ),
                ],
            },
        ),
        # A number that came twice would seal two datagrams with one nonce.
        never_when(
            "datagram_number_moves_forward",
            table="sms_contact",
            event="UPDATE",
            condition="NEW.last_number < OLD.last_number OR NEW.heard_number < OLD.heard_number",
        ),
        never_when("sms_contact_is_never_deleted", table="sms_contact", event="DELETE", condition=ALWAYS),
        never_replaced("sms_contact_is_never_replaced", table="sms_contact", key=("id",)),
    ]
