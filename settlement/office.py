"""What people decide about the books: an insert-only journal that the ledger reads and carries out.

So nobody but the ledger writes the books, and commands and pages need not wait for it. Left out: what a decision means
(`settlement.ledger.decide`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from settlement.store.database import Database
from wire.errors import CampusError

KEY_BYTES: Final = 16
NAME_MAX: Final = 64
REASON_MAX: Final = 500

_COLUMNS: Final = "position, key, action, body, by, decided_at_utc_s, chain_hash"
_HEAD: Final = f"SELECT {_COLUMNS} FROM decision ORDER BY position DESC LIMIT 1"
_AFTER: Final = f"SELECT {_COLUMNS} FROM decision WHERE position > %s ORDER BY position LIMIT %s"
_AT: Final = f"SELECT {_COLUMNS} FROM decision WHERE position = %s"


class Action(IntEnum):
    """What was decided. Proposals wait until another person confirms them."""

    RESOLVE = 1
    FINISH = 2
    CONFIRM = 3
    CLOSE_DAY = 4


class DecisionInvalid(CampusError):
    """The decision cannot be carried out; the text says why."""

    code = "decision-invalid"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision; `body` is canonical JSON."""

    position: int
    key: bytes
    action: int
    body: str
    by: str
    decided_at_utc_s: int
    chain_hash: bytes = b""

    def fact(self, name: str) -> str | int:
        """One value of the body; `ValueError` if it is not there."""
        facts = json.loads(self.body)
        found = facts.get(name) if isinstance(facts, dict) else None
        if not isinstance(found, str | int):
            raise ValueError(f"decision {self.position} has no {name}")
        return found

    def number(self, name: str) -> int:
        """A whole number of the body; `ValueError` if it is none."""
        return int(self.fact(name))

    def words(self, name: str) -> str:
        """A text of the body; `ValueError` if it is not there."""
        return str(self.fact(name))


def new_decision(
    db: Database, *, key: bytes, action: Action, facts: Mapping[str, str | int], by: str, now_utc_s: int
) -> Decision:
    """The next decision, not written yet. Raises `DecisionInvalid` for a name or reason that is none."""
    by, because = by.strip(), str(facts.get("because", "-")).strip()
    if not by or len(by) > NAME_MAX or not by.isprintable():
        raise DecisionInvalid(f"--by is the name of a person, at most {NAME_MAX} characters")
    if not because or len(because) > REASON_MAX:
        raise DecisionInvalid(f"--reason says why, in at most {REASON_MAX} characters")
    head = find_head(db)
    position = 1 if head is None else head.position + 1
    body = json.dumps(dict(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Decision(position, key, int(action), body, by, now_utc_s)


def put_decision(db: Database, decision: Decision) -> None:
    """Write it, in one transaction with nothing else."""
    with db.transaction():
        head = find_head(db)
        chain = next_decision_hash(decisions_genesis() if head is None else head.chain_hash, decision)
        row = (decision.position, decision.key, decision.action, decision.body, decision.by)
        columns = _COLUMNS.split(", ")
        db.append("decision", columns, [(*row, decision.decided_at_utc_s, chain)])


def find_head(db: Database) -> Decision | None:
    """The last decision."""
    return next(iter(db.query(_HEAD, into=Decision)), None)


def decisions_after(db: Database, position: int, count_max: int) -> list[Decision]:
    """The next decisions."""
    return db.query(_AFTER, (position, count_max), into=Decision)


def find_decision(db: Database, position: int) -> Decision | None:
    """One decision by its number."""
    return next(iter(db.query(_AT, (position,), into=Decision)), None)


def decisions_genesis() -> bytes:
    """The chain's start."""
    return hashlib.sha256(b"campus decisions v1").digest()


def next_decision_hash(before: bytes, decision: Decision) -> bytes:
    """SHA-256 over what was before and all of the decision, each text with its length."""
    digest = hashlib.sha256(before + decision.key + bytes((decision.action,)))
    for text in (decision.body, decision.by):
        data = text.encode()
        digest.update(len(data).to_bytes(4) + data)
    digest.update(decision.decided_at_utc_s.to_bytes(8))
    return digest.digest()
