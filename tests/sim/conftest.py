"""Chips to test with: one issuer's masters, cards and a PSAM in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sim.card.issue import issue_card
from sim.card.memory import open_memory
from sim.card.profile import CAMPUS, CardProfile
from sim.card.purse import Purse
from sim.psam.psam import Psam, issue_psam
from wire.ids import Asn, CardId, IssuerId, TerminalId
from wire.money import Fen
from wire.purse_keys import PurseKeys

MASTERS = PurseKeys(
    purchase=bytes.fromhex("101112131415161718191A1B1C1D1E1F"),
    load=bytes.fromhex("202122232425262728292A2B2C2D2E2F"),
    tac=bytes.fromhex("303132333435363738393A3B3C3D3E3F"),
)
ISSUER = IssuerId(bytes.fromhex("6100000000000001"))
ASN = Asn(bytes.fromhex("00006100000000001234"))
OPENING_BALANCE_FEN = Fen(5000)
TERMINAL = TerminalId(bytes.fromhex("610000000001"))

MakeCard = Callable[..., Purse]


@pytest.fixture
def masters() -> PurseKeys:
    return MASTERS


@pytest.fixture
def make_card_file(tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str = "card",
        *,
        profile: CardProfile = CAMPUS,
        opening_balance_fen: Fen = OPENING_BALANCE_FEN,
        opening_counter: int = 0,
        asn: Asn = ASN,
    ) -> Path:
        issue_card(
            tmp_path / name,
            keys=MASTERS.of_card(CardId(ISSUER, asn), two_level=profile.two_level_keys),
            card=CardId(ISSUER, asn),
            valid_from_bcd=bytes.fromhex("20250901"),
            valid_to_bcd=bytes.fromhex("20290831"),
            opening_balance_fen=opening_balance_fen,
            opening_counter=opening_counter,
            profile=profile,
        )
        return tmp_path / name

    return make


@pytest.fixture
def make_card(make_card_file: Callable[..., Path]) -> MakeCard:
    """A powered card on disk, with the same options as `make_card_file`."""

    def make(*args: object, **options: object) -> Purse:
        return Purse(open_memory(make_card_file(*args, **options)), Random(1))

    return make


@pytest.fixture
def psam_file(tmp_path: Path) -> Path:
    issue_psam(
        tmp_path / "psam",
        terminal=TERMINAL,
        purchase_master=MASTERS.purchase,
        serial=bytes.fromhex("00006100000000000077"),
    )
    return tmp_path / "psam"


@pytest.fixture
def psam(psam_file: Path) -> Psam:
    return Psam(open_memory(psam_file))
