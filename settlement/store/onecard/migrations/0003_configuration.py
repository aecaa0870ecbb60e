"""What the operator set for each stream's terminals: insert-only, versions without gaps."""

from __future__ import annotations

from django.db import migrations, models

from settlement.store.triggers import insert_only, never_replaced, never_when


class Migration(migrations.Migration):
    """The table and its rules."""

    dependencies = [("onecard", "0002_rules")]
    operations = [
        migrations.CreateModel(
            name="Configuration",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("stream", models.SmallIntegerField()),
                ("version", models.IntegerField()),
                ("body", models.BinaryField()),
                ("made_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "configuration",
                "constraints": [
                    models.UniqueConstraint(fields=("stream", "version"), name="a_version_is_made_once"),
                ],
            },
        ),
        *insert_only(configuration="id"),
        never_replaced("a_version_is_made_once", table="configuration", key=("stream", "version")),
        never_when(
            "configuration_versions_have_no_gap",
            table="configuration",
            event="INSERT",
            condition="NEW.version <> "
            "(SELECT coalesce(max(version), 0) FROM configuration WHERE stream = NEW.stream) + 1",
        ),
    ]
