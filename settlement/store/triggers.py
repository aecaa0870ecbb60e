"""Triggers that make a table insert-only, for migrations. Corrections are new rows."""

from __future__ import annotations

from django.db import migrations


def insert_only(*tables: str) -> list[migrations.RunSQL]:
    """Operations after which no row of these tables can be changed or deleted (SQLite)."""
    operations = []
    for table in tables:
        for event, verb in (("UPDATE", "changed"), ("DELETE", "deleted")):
            rule = f"{table}_is_never_{verb}"
            operations.append(
                migrations.RunSQL(
                    f"CREATE TRIGGER {rule} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{rule}'); END",
                    f"DROP TRIGGER {rule}",
                )
            )
    return operations


def never_when(rule: str, *, table: str, event: str, condition: str) -> migrations.RunSQL:
    """An operation after which `event` on `table` is refused, by the rule's name, where `condition` holds (SQLite)."""
    return migrations.RunSQL(
        f"CREATE TRIGGER {rule} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{rule}'); END",
        f"DROP TRIGGER {rule}",
    )
