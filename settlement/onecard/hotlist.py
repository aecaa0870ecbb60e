"""The hotlist's journal: each change is a row, the last row's position is the version."""

from __future__ import annotations

from typing import Final

from settlement.store.database import Database
from wire.errors import CampusError
from wire.hotlist import CARDS_MAX, EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId

_VERSION: Final = "SELECT coalesce(max(position), 0) FROM hotlist_entry"
_LAST_CHANGE: Final = """
    SELECT position, issuer, asn, listed, reason, changed_at_utc_s FROM hotlist_entry ORDER BY position DESC LIMIT 1
"""
_LISTED: Final = """
    SELECT entry.issuer, entry.asn FROM hotlist_entry entry
    WHERE entry.listed AND entry.position =
        (SELECT max(position) FROM hotlist_entry later WHERE later.issuer = entry.issuer AND later.asn = entry.asn)
"""
_NEWEST_CHANGES: Final = "SELECT position, issuer, asn FROM hotlist_entry ORDER BY position DESC LIMIT %s"
PAST_VERSIONS: Final = 50  # a terminal that is further behind gets the whole list when it has data again
_ADD: Final = """
    INSERT INTO hotlist_entry (position, issuer, asn, listed, reason, changed_at_utc_s) VALUES (%s, %s, %s, %s, %s, %s)
"""


class HotlistFull(CampusError):
    """A terminal cannot be told of more cards than these at once."""

    code = "hotlist-full"


def read_version(db: Database) -> int:
    """The hotlist's version, without the list."""
    return db.number(_VERSION)


def read_last_change(db: Database) -> tuple[object, ...]:
    """The newest row whole: unlike a version it tells apart two lists that got the same number around a restore."""
    return next(iter(db.query(_LAST_CHANGE, into=lambda *row: row)), ())


def read_hotlist(db: Database) -> Hotlist:
    """The list as terminals get it."""
    with db.transaction():
        cards = db.query(_LISTED, into=lambda issuer, asn: CardId(IssuerId(issuer), Asn(asn)))
        return Hotlist(read_version(db), frozenset(cards))


def find_hotlist(db: Database, mark: bytes) -> Hotlist | None:
    """The list with this mark, among the newest ones; None: it is older, or from before a restore."""
    if mark == EMPTY_HOTLIST.mark:
        return EMPTY_HOTLIST
    with db.transaction():
        cards = set(db.query(_LISTED, into=lambda issuer, asn: CardId(IssuerId(issuer), Asn(asn))))
        changes = db.query(
            _NEWEST_CHANGES, (PAST_VERSIONS,), into=lambda at, issuer, asn: (at, CardId(IssuerId(issuer), Asn(asn)))
        )
    for version, card in changes:
        if (hotlist := Hotlist(version, frozenset(cards))).mark == mark:
            return hotlist
        cards ^= {card}  # back to before this change: every row is one
    return None


def list_card(db: Database, card: CardId, *, listed: bool, reason: str, now_utc_s: int) -> bool:
    """Put a card on the hotlist or take it off; False if that changes nothing. Raises `HotlistFull`."""
    with db.transaction():
        cards = db.query(_LISTED, into=lambda issuer, asn: CardId(IssuerId(issuer), Asn(asn)))
        if (card in cards) == listed:
            return False
        if listed and len(cards) >= CARDS_MAX:
            raise HotlistFull(f"the hotlist holds {CARDS_MAX} cards already")
        db.execute(_ADD, (read_version(db) + 1, card.issuer, card.asn, listed, reason, now_utc_s))
    return True
