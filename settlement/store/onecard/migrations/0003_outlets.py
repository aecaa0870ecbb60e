"""Merchants, outlets, which terminal stands where, and what the operator set for each outlet: insert-only, no gaps."""

from __future__ import annotations

from typing import Final

from django.db import migrations, models

from settlement.store.triggers import insert_only, never_replaced, never_when

_VERSIONS: Final = "NEW.version <> (SELECT coalesce(max(version), 0) FROM {table} WHERE {key} = NEW.{key}) + 1"
# For terminals that nobody assigned: an outlet of each stream, and its merchant, with the stream's number.
_DEFAULTS: Final = """
    INSERT INTO merchant (id, number, version, name_zh, name_en, made_at_utc_s) VALUES
        (1, 1, 1, '学费', 'Tuition', 0), (2, 2, 1, '食堂', 'Canteen', 0),
        (3, 3, 1, '超市', 'Supermarket', 0), (4, 4, 1, '商铺', 'Shops', 0);
    INSERT INTO outlet (number, stream, merchant, opened_at_utc_s) VALUES
        (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 3, 0), (4, 4, 4, 0);
"""
_NO_OUTLET: Final = "NOT EXISTS (SELECT 1 FROM outlet WHERE number = NEW.outlet)"


class Migration(migrations.Migration):
    """The tables and their rules."""

    dependencies = [("onecard", "0002_rules")]
    operations = [
        migrations.CreateModel(
            name="Merchant",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("version", models.IntegerField()),
                ("name_zh", models.TextField()),
                ("name_en", models.TextField()),
                ("made_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "merchant",
                "constraints": [
                    models.UniqueConstraint(fields=("number", "version"), name="a_merchants_version_is_made_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Outlet",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("stream", models.SmallIntegerField()),
                ("merchant", models.IntegerField()),
                ("opened_at_utc_s", models.BigIntegerField()),
            ],
            options={"db_table": "outlet"},
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("outlet", models.IntegerField()),
                ("from_utc_s", models.BigIntegerField()),
                ("made_at_utc_s", models.BigIntegerField()),
            ],
            options={"db_table": "assignment"},
        ),
        migrations.CreateModel(
            name="Configuration",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("outlet", models.IntegerField()),
                ("version", models.IntegerField()),
                ("body", models.BinaryField()),
                ("made_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "configuration",
                "constraints": [
                    models.UniqueConstraint(fields=("outlet", "version"), name="a_version_is_made_once"),
                ],
            },
        ),
        *insert_only(merchant="id", outlet="number", assignment="id", configuration="id"),
        never_replaced("a_merchants_version_is_made_once", table="merchant", key=("number", "version")),
        never_replaced("a_version_is_made_once", table="configuration", key=("outlet", "version")),
        never_when(
            "merchant_versions_have_no_gap",
            table="merchant",
            event="INSERT",
            condition=_VERSIONS.format(table="merchant", key="number"),
        ),
        # They leave out what a restore of the registry lost (`settlement.onecard.restoration`).
        never_when(
            "configuration_versions_go_up",
            table="configuration",
            event="INSERT",
            condition="NEW.version <= (SELECT coalesce(max(version), 0) FROM configuration WHERE outlet = NEW.outlet)",
        ),
        never_when(
            "an_outlet_has_its_merchant",
            table="outlet",
            event="INSERT",
            condition="NOT EXISTS (SELECT 1 FROM merchant WHERE number = NEW.merchant)",
        ),
        never_when("an_assignment_has_its_outlet", table="assignment", event="INSERT", condition=_NO_OUTLET),
        never_when("a_configuration_has_its_outlet", table="configuration", event="INSERT", condition=_NO_OUTLET),
        migrations.RunSQL(_DEFAULTS),
    ]
