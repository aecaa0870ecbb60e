"""Which tables belong in which database: the stream tables in each stream's, the others in the one of their name."""

from __future__ import annotations

from typing import Final

from wire.ids import CONSUMPTION_STREAMS

STREAM_ALIASES: Final = frozenset(stream.label for stream in CONSUMPTION_STREAMS)
LEDGER: Final = "ledger"
ONECARD: Final = "onecard"
TOPUP: Final = "topup"
OFFICE: Final = "office"
ALIASES: Final = (*sorted(STREAM_ALIASES), LEDGER, ONECARD, TOPUP, OFFICE)


def app_of(alias: str) -> str:
    """The label of the one app whose tables database `alias` holds."""
    return "stream" if alias in STREAM_ALIASES else alias


class OneAppEach:
    """Django's router: every database holds the tables of exactly one app."""

    def allow_migrate(self, db: str, app_label: str, **_hints: object) -> bool:
        """True where the app belongs in that database."""
        return app_of(db) == app_label
