"""A card's three keys for its upkeep: application maintenance, PIN unblocking and PIN reloading (JR/T 0025.2-2010's
DAMK, DPUK and DRPK).

Left out: the keys that move money (`wire.purse_keys`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wire.ids import CardId
from wire.purse_keys import card_key, strong_key


@dataclass(frozen=True, slots=True)
class MaintenanceKeys:
    """16 bytes each, of an issuer (masters) or of one card; never shown."""

    application: bytes = field(repr=False)
    pin_unblock: bytes = field(repr=False)
    pin_reload: bytes = field(repr=False)

    def of_card(self, card: CardId, *, two_level: bool) -> MaintenanceKeys:
        """A card's keys below these masters, as its purse keys descend; `KeyHalvesEqual` if any is weak."""
        masters = (self.application, self.pin_unblock, self.pin_reload)
        derived = (card_key(strong_key(master), card, two_level=two_level) for master in masters)
        return MaintenanceKeys(*map(strong_key, derived))
