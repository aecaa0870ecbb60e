"""What can go wrong with a database, whichever it is."""

from __future__ import annotations

from wire.errors import CampusError


class StoreFault(CampusError):
    """The database could not do what it was asked: disk full, damaged, locked, gone. The transaction was not kept.

    One exception: a connection that is lost during COMMIT leaves open whether it was; whoever repeats gets `exists`.
    """

    code = "store-fault"
    retryable = True


class Collision(StoreFault):
    """Another transaction was in the way (PostgreSQL: 40001 and 40P01); the same again, at once, may well succeed."""


class RuleBroken(CampusError):
    """The database refused a row because of one of its rules; the text names the rule."""

    code = "store-rule-broken"


class SchemaMissing(CampusError):
    """The database was not made, or not migrated to this version."""

    code = "store-schema-missing"
