"""The ledger's tables; rules that Django cannot say are in the next step."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
            ],
            options={
                "db_table": "account",
            },
        ),
        migrations.CreateModel(
            name="OtherEntry",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("kind", models.SmallIntegerField()),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("terminal", models.BinaryField(null=True)),
                ("epoch", models.IntegerField(null=True)),
                ("seq", models.BigIntegerField(null=True)),
                ("card", models.BinaryField(null=True)),
                ("counter", models.IntegerField(null=True)),
                ("ttsn", models.BigIntegerField(null=True)),
                ("amount_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
                ("refers_to", models.BigIntegerField(null=True)),
                ("balance_before_fen", models.BigIntegerField(null=True)),
                ("happened_at_utc_s", models.BigIntegerField()),
                ("clock_quality", models.SmallIntegerField()),
                ("received_at_utc_s", models.BigIntegerField()),
                ("accounting_day", models.IntegerField()),
            ],
            options={
                "db_table": "other_entry",
            },
        ),
        migrations.CreateModel(
            name="FinishedJournal",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("because", models.TextField()),
                ("proposed_by", models.TextField()),
                ("confirmed_by", models.TextField()),
                ("declared_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "finished_journal",
            },
        ),
        migrations.CreateModel(
            name="OtherPosting",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("purse", models.BinaryField(null=True)),
                ("amount_fen", models.BigIntegerField()),
                ("accounting_day", models.IntegerField()),
            ],
            options={
                "db_table": "other_posting",
            },
        ),
        migrations.CreateModel(
            name="SaleRun",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("taps", models.IntegerField()),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("first_seq", models.BigIntegerField()),
                ("first_ttsn", models.BigIntegerField()),
                ("clock_quality", models.SmallIntegerField()),
                ("received_at_utc_s", models.BigIntegerField()),
                ("accounting_day", models.IntegerField()),
                ("amount_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
            ],
            options={
                "db_table": "sale_run",
                "constraints": [
                    models.UniqueConstraint(fields=("terminal", "epoch", "first_seq"), name="a_run_begins_once"),
                    models.CheckConstraint(
                        condition=models.Q(("taps__gte", 1), ("taps__lte", 500)), name="a_run_is_short"
                    ),
                ],
                "indexes": [models.Index(fields=["terminal", "first_ttsn"], name="run_by_serial")],
            },
        ),
        migrations.CreateModel(
            name="Sale",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("run_id", models.IntegerField()),
                ("purse_id", models.IntegerField()),
                ("counter", models.IntegerField()),
                ("amount_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
                ("balance_before_fen", models.BigIntegerField()),
                ("happened_at_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "sale",
                "constraints": [
                    models.UniqueConstraint(
                        models.F("counter") / 16, "purse_id", "counter", name="a_card_counts_each_sale_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount_fen__gte", 0), ("subsidy_fen__gte", 0)),
                        name="a_sale_amount_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PurseBalance",
            fields=[
                ("purse", models.BinaryField(primary_key=True, serialize=False)),
                ("balance_fen", models.BigIntegerField()),
            ],
            options={
                "db_table": "purse_balance",
            },
        ),
        migrations.CreateModel(
            name="SourceCheckpoint",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("lineage", models.IntegerField()),
                ("position", models.BigIntegerField()),
                ("head_hash", models.BinaryField()),
            ],
            options={
                "db_table": "source_checkpoint",
            },
        ),
        migrations.CreateModel(
            name="SourceCursor",
            fields=[
                ("source", models.TextField(primary_key=True, serialize=False)),
                ("lineage", models.IntegerField()),
                ("position", models.BigIntegerField()),
                ("head_hash", models.BinaryField()),
            ],
            options={
                "db_table": "source_cursor",
            },
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("merchant", models.IntegerField()),
                ("number", models.IntegerField()),
                ("day", models.IntegerField()),
                ("name", models.TextField()),
                ("taps", models.IntegerField()),
                ("gross_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
                ("reversed_fen", models.BigIntegerField()),
                ("refunded_fen", models.BigIntegerField()),
                ("corrected_fen", models.BigIntegerField()),
                ("fee_fen", models.BigIntegerField()),
                ("net_fen", models.BigIntegerField()),
            ],
            options={
                "db_table": "statement",
            },
        ),
        migrations.CreateModel(
            name="SuspenseItem",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("terminal", models.BinaryField()),
                ("epoch", models.IntegerField()),
                ("seq", models.BigIntegerField()),
                ("reason", models.SmallIntegerField()),
                ("kind", models.SmallIntegerField()),
                ("card", models.BinaryField()),
                ("counter", models.IntegerField()),
                ("ttsn", models.BigIntegerField()),
                ("amount_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
                ("refers_to", models.BigIntegerField()),
                ("balance_before_fen", models.BigIntegerField(null=True)),
                ("happened_at_utc_s", models.BigIntegerField()),
                ("clock_quality", models.SmallIntegerField()),
                ("since_utc_s", models.BigIntegerField()),
            ],
            options={
                "db_table": "suspense_item",
            },
        ),
        migrations.CreateModel(
            name="TerminalDay",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("day", models.IntegerField()),
                ("source", models.TextField()),
                ("terminal", models.BinaryField()),
                ("outlet", models.IntegerField()),
                ("merchant", models.IntegerField()),
                ("taps", models.IntegerField()),
                ("gross_fen", models.BigIntegerField()),
                ("subsidy_fen", models.BigIntegerField()),
                ("reversed_fen", models.BigIntegerField()),
                ("refunded_fen", models.BigIntegerField()),
                ("corrected_fen", models.BigIntegerField()),
            ],
            options={
                "db_table": "terminal_day",
            },
        ),
        migrations.CreateModel(
            name="DayBalance",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("day", models.IntegerField()),
                ("balance_fen", models.BigIntegerField()),
                (
                    "account",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.account"),
                ),
            ],
            options={
                "db_table": "day_balance",
            },
        ),
        migrations.CreateModel(
            name="DayClose",
            fields=[
                ("number", models.IntegerField(primary_key=True, serialize=False)),
                ("day", models.IntegerField()),
                ("closed_at_utc_s", models.BigIntegerField()),
                ("entries", models.IntegerField()),
                ("entries_seen", models.IntegerField()),
                ("postings_seen", models.IntegerField()),
                ("entries_last", models.IntegerField()),
                ("postings_last", models.IntegerField()),
                ("entries_hash", models.BinaryField()),
                ("chain_hash", models.BinaryField()),
            ],
            options={
                "db_table": "day_close",
                "constraints": [models.UniqueConstraint(fields=("day",), name="a_day_is_closed_once")],
            },
        ),
        migrations.CreateModel(
            name="DayTotal",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("day", models.IntegerField()),
                ("kind", models.SmallIntegerField()),
                ("debit_fen", models.BigIntegerField()),
                ("credit_fen", models.BigIntegerField()),
                (
                    "account",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.account"),
                ),
            ],
            options={
                "db_table": "day_total",
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("key", models.BinaryField()),
                ("number", models.IntegerField()),
                ("action", models.SmallIntegerField()),
                ("body", models.TextField()),
                ("by", models.TextField()),
                ("decided_at_utc_s", models.BigIntegerField()),
                ("result", models.SmallIntegerField()),
                ("words", models.TextField()),
            ],
            options={
                "db_table": "decision",
                "constraints": [models.UniqueConstraint(fields=("key",), name="a_decision_is_read_once")],
            },
        ),
        migrations.CreateModel(
            name="EntryResolution",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.otherentry",
                    ),
                ),
                ("outcome", models.SmallIntegerField()),
                ("source", models.TextField()),
                ("source_position", models.BigIntegerField()),
                ("happened_at_utc_s", models.BigIntegerField()),
                ("accounting_day", models.IntegerField()),
            ],
            options={
                "db_table": "entry_resolution",
            },
        ),
        migrations.CreateModel(
            name="PendingLoad",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.otherentry",
                    ),
                ),
            ],
            options={
                "db_table": "pending_load",
            },
        ),
        migrations.AddIndex(
            model_name="otherentry",
            index=models.Index(
                condition=models.Q(("kind__in", (3, 9))), fields=["card", "counter"], name="load_by_count"
            ),
        ),
        migrations.AddIndex(
            model_name="otherentry",
            index=models.Index(condition=models.Q(("kind", 7)), fields=["card"], name="adjustment_by_card"),
        ),
        migrations.AddIndex(
            model_name="otherentry",
            index=models.Index(
                condition=models.Q(("refers_to__isnull", False)),
                fields=["terminal", "epoch", "refers_to"],
                name="credit_by_sale",
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.UniqueConstraint(fields=("terminal", "epoch", "seq"), name="a_tap_is_posted_once"),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ttsn__isnull", False)),
                fields=("card", "counter"),
                name="a_card_counts_each_tap_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ttsn__isnull", False)), fields=("terminal", "ttsn"), name="a_tac_pays_for_one_tap"
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", 1)), fields=("card",), name="a_purse_is_opened_in_the_ledger_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", 4)),
                fields=("terminal", "epoch", "refers_to"),
                name="a_sale_is_reversed_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_fen__gte", 0), ("subsidy_fen__gte", 0)), name="entry_amount_is_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="otherentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("card__isnull", False), ("counter__isnull", False)), ("kind__in", (7, 8)), _connector="OR"
                ),
                name="an_entry_names_its_card",
            ),
        ),
        migrations.AddConstraint(
            model_name="finishedjournal",
            constraint=models.UniqueConstraint(fields=("terminal", "epoch"), name="a_journal_is_finished_once"),
        ),
        migrations.AddField(
            model_name="otherposting",
            name="account",
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.account"),
        ),
        migrations.AddField(
            model_name="otherposting",
            name="entry",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="ledger.otherentry"),
        ),
        migrations.AddConstraint(
            model_name="sourcecheckpoint",
            constraint=models.UniqueConstraint(
                fields=("source", "lineage", "position"), name="a_cursor_stands_there_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.UniqueConstraint(
                fields=("merchant", "number"), name="a_merchants_statements_are_numbered"
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.UniqueConstraint(fields=("merchant", "day"), name="a_merchant_has_one_statement_a_day"),
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
                ("evidence_id", models.IntegerField(null=True)),
                ("resolved_at_utc_s", models.BigIntegerField()),
                ("how", models.SmallIntegerField(null=True)),
                ("because", models.TextField(null=True)),
                ("proposed_by", models.TextField(null=True)),
                ("confirmed_by", models.TextField(null=True)),
            ],
            options={
                "db_table": "suspense_resolution",
            },
        ),
        migrations.AddIndex(
            model_name="suspenseitem",
            index=models.Index(fields=["card", "counter"], name="suspense_by_count"),
        ),
        migrations.AddConstraint(
            model_name="suspenseitem",
            constraint=models.UniqueConstraint(
                fields=(
                    "terminal",
                    "epoch",
                    "seq",
                    "source",
                    "reason",
                    "kind",
                    "card",
                    "counter",
                    "ttsn",
                    "amount_fen",
                    "subsidy_fen",
                    "refers_to",
                ),
                name="a_claim_is_suspended_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="terminalday",
            constraint=models.UniqueConstraint(
                fields=("day", "source", "terminal", "outlet"), name="a_terminals_day_is_cleared_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="daybalance",
            constraint=models.UniqueConstraint(fields=("day", "account"), name="a_day_has_one_balance_each"),
        ),
        migrations.AddConstraint(
            model_name="daytotal",
            constraint=models.UniqueConstraint(fields=("day", "account", "kind"), name="a_day_totals_each_kind_once"),
        ),
        migrations.AddConstraint(
            model_name="entryresolution",
            constraint=models.CheckConstraint(
                condition=models.Q(("outcome__in", (1, 2))), name="a_pending_entry_ends_one_way"
            ),
        ),
        migrations.AddConstraint(
            model_name="otherposting",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_fen", 0), _negated=True), name="a_posting_moves_money"
            ),
        ),
        migrations.AddField(
            model_name="suspenseresolution",
            name="entry",
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to="ledger.otherentry"),
        ),
        migrations.AddConstraint(
            model_name="suspenseresolution",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entry__isnull", False), ("evidence_id__isnull", False), ("outcome", 1)),
                    models.Q(("entry__isnull", True), ("evidence_id__isnull", False), ("outcome", 2)),
                    models.Q(("entry__isnull", False), ("evidence_id__isnull", True), ("outcome__in", (3, 4))),
                    _connector="OR",
                ),
                name="what_was_executed_is_booked",
            ),
        ),
        migrations.AddConstraint(
            model_name="suspenseresolution",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", 4), _negated=True),
                    models.Q(
                        ("because__isnull", False),
                        ("confirmed_by__isnull", False),
                        ("how__isnull", False),
                        ("proposed_by__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="people_say_how_and_why",
            ),
        ),
    ]
