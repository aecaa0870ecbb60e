"""Triggers that make a table insert-only, for migrations. Corrections are new rows."""

from __future__ import annotations

from django.db import migrations


def insert_only(**primary_keys: str) -> list[migrations.RunSQL]:
    """Operations after which no row of these tables can be changed, deleted or replaced (SQLite); table=primary key."""
    operations = []
    for table, primary_key in primary_keys.items():
        for event, verb in (("UPDATE", "changed"), ("DELETE", "deleted")):
            operations.append(never_when(f"{table}_is_never_{verb}", table=table, event=event, condition="1"))
        operations.append(never_replaced(f"{table}_is_never_replaced", table=table, key=(primary_key,)))
    return operations


def never_replaced(rule: str, *, table: str, key: tuple[str, ...], where: str | None = None) -> migrations.RunSQL:
    """An operation after which a row with a key that is there is refused, among the rows `where` holds for (SQLite).

    INSERT OR REPLACE deletes what stands in its way without firing DELETE triggers, so every unique key needs this.
    """
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    condition = f"EXISTS (SELECT 1 FROM {table} WHERE {same}{f' AND {where}' if where else ''})"
    return never_when(
        rule, table=table, event="INSERT", condition=f"NEW.{where} AND {condition}" if where else condition
    )


def never_when(rule: str, *, table: str, event: str, condition: str) -> migrations.RunSQL:
    """An operation after which `event` on `table` is refused, by the rule's name, where `condition` holds (SQLite)."""
    return migrations.RunSQL(
        f"CREATE TRIGGER {rule} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{rule}'); END",
        f"DROP TRIGGER {rule}",
    )
