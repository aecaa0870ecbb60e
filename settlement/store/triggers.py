"""Triggers that make a table insert-only, for migrations, on SQLite and PostgreSQL alike. Corrections are new rows.

A condition is SQL that both databases take: it names the row as NEW and OLD.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

ALWAYS: Final = "TRUE"

# The SQLSTATE class 23 is what a constraint raises; the constraint's name is how the fault is told (`RuleBroken`).
_FUNCTION: Final = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $rule$
BEGIN
    IF {condition} THEN
        RAISE EXCEPTION USING MESSAGE = '{rule}', ERRCODE = 'integrity_constraint_violation', CONSTRAINT = '{rule}';
    END IF;
    {end}
END
$rule$
"""

_UNIQUE_INDEXES: Final = """
    SELECT relname, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)
                          ORDER BY attname), indpred IS NOT NULL
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indisunique AND indrelid = %s::regclass
"""


def insert_only(**primary_keys: str) -> list[Operation]:
    """Operations after which no row of these tables can be changed, deleted or replaced; table=primary key."""
    operations: list[Operation] = []
    for table, primary_key in primary_keys.items():
        for event, verb in (("UPDATE", "changed"), ("DELETE", "deleted")):
            operations.append(never_when(f"{table}_is_never_{verb}", table=table, event=event, condition=ALWAYS))
        operations.append(never_replaced(f"{table}_is_never_replaced", table=table, key=(primary_key,)))
    return operations


def never_replaced(
    rule: str, *, table: str, key: tuple[str, ...], where: str | None = None, same: str | None = None
) -> Operation:
    """An operation after which a row with a key that is there is refused by this name, among the rows of `where`.

    `where` is a condition on one column. `same` finds such a row where the unique index is not of the key's columns
    alone. SQLite's INSERT OR REPLACE deletes what stands in its way without firing
    DELETE triggers, so every unique key needs this; PostgreSQL knows no such thing: there the unique index speaks.
    """
    return _NeverReplaced(rule, table, key, where, same or " AND ".join(f"{column} = NEW.{column}" for column in key))


def never_when(rule: str, *, table: str, event: str, condition: str) -> Operation:
    """An operation after which `event` on `table` is refused, by the rule's name, where `condition` holds."""
    return _NeverWhen(rule, table, event, condition)


class _Rule(Operation):
    """An operation on the database alone: Django's models know nothing of it."""

    reduces_to_sql = True
    reversible = False

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing changes for the models."""


class _NeverWhen(_Rule):
    def __init__(self, rule: str, table: str, event: str, condition: str) -> None:
        self.rule, self.table, self.event, self.condition = rule, table, event, condition

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Make the trigger."""
        rule, table, event, condition = self.rule, self.table, self.event, self.condition
        if schema_editor.connection.vendor == "sqlite":
            # FAIL, not ABORT: that would make SQLite copy every page before each row, to undo a statement of many rows
            # by itself. Whoever writes does so in a transaction, which is undone whole.
            schema_editor.execute(
                f"CREATE TRIGGER {rule} BEFORE {event} ON {table} WHEN {condition}"
                f" BEGIN SELECT RAISE(FAIL, '{rule}'); END",
                None,
            )
            return
        end = "RETURN OLD;" if event == "DELETE" else "RETURN NEW;"
        schema_editor.execute(_FUNCTION.format(name=rule, rule=rule, condition=condition, end=end), None)
        schema_editor.execute(
            f"CREATE TRIGGER {rule} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {rule}()", None
        )
        if (event, condition) == ("DELETE", ALWAYS):  # TRUNCATE deletes without firing DELETE triggers
            schema_editor.execute(
                f"CREATE TRIGGER {rule}_at_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {rule}()", None
            )


class _NeverReplaced(_Rule):
    def __init__(self, rule: str, table: str, key: tuple[str, ...], where: str | None, same: str) -> None:
        self.rule, self.table, self.key, self.where, self.same = rule, table, key, where, same

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Make a trigger on SQLite; on PostgreSQL see that the unique index is there, under the rule's name."""
        if schema_editor.connection.vendor == "sqlite":
            where = self.where
            condition = f"EXISTS (SELECT 1 FROM {self.table} WHERE {self.same}{f' AND {where}' if where else ''})"
            if where:
                condition = f"NEW.{where} AND {condition}"
            trigger = _NeverWhen(self.rule, self.table, "INSERT", condition)
            trigger.database_forwards(app_label, schema_editor, from_state, to_state)
            return
        if any(self.rule in str(sql) for sql in schema_editor.deferred_sql):
            return  # the model's own unique index, which Django makes when the migration ends
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(_UNIQUE_INDEXES, (self.table,))
            found = cursor.fetchall()
        if self.rule in {name for name, *_ in found}:
            return
        whole = {tuple(columns): name for name, columns, partial in found if not partial}
        key, where = ", ".join(self.key), f" WHERE {self.where}" if self.where else ""
        if not where and (name := whole.get(tuple(sorted(self.key)))) is not None:
            schema_editor.execute(f"ALTER INDEX {name} RENAME TO {self.rule}", None)
        else:
            schema_editor.execute(f"CREATE UNIQUE INDEX {self.rule} ON {self.table} ({key}){where}", None)
