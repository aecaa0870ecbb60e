"""Chips to test with: one issuer's masters, cards and a PSAM in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from sim.card.issue import issue_card
from sim.card.keys import MaintenanceKeys
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
MAINTENANCE_MASTERS = MaintenanceKeys(
    application=bytes.fromhex("404142434445464748494A4B4C4D4E4F"),
    pin_unblock=bytes.fromhex("505152535455565758595A5B5C5D5E5F"),
    pin_reload=bytes.fromhex("606162636465666768696A6B6C6D6E6F"),
)
ISSUER = IssuerId(bytes.fromhex("6100000000000001"))
ASN = Asn(bytes.fromhex("00006100000000001234"))
OPENING_BALANCE_FEN = Fen(5000)
TERMINAL = TerminalId(bytes.fromhex("610000000001"))

RUN_S_MAX = 120.0

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
        compound: Sequence[bytes] = (),
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
            maintenance=MAINTENANCE_MASTERS.of_card(CardId(ISSUER, asn), two_level=profile.two_level_keys),
            compound=compound,
        )
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def make_session_card() -> Callable[[Path], Path]:
    """A campus card in a folder, for fixtures that outlive a test."""

    def make(folder: Path) -> Path:
        issue_card(
            folder / "card",
            keys=MASTERS.of_card(CardId(ISSUER, ASN), two_level=False),
            card=CardId(ISSUER, ASN),
            valid_from_bcd=bytes.fromhex("20250901"),
            valid_to_bcd=bytes.fromhex("20290831"),
            opening_balance_fen=OPENING_BALANCE_FEN,
        )
        return folder / "card"

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


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A new home in which `campus-sim run --taps 8` has been, and what that printed."""
    home = tmp_path_factory.mktemp("campus") / "home #1 100%"
    run = run_campus(home, 8)
    assert run.returncode == 0, run.stdout + run.stderr
    return home, run.stdout


@pytest.fixture
def home(first_run: tuple[Path, str]) -> Path:
    """A home shared by all tests, which may run in it again but must not harm it."""
    return first_run[0]


@pytest.fixture
def copied_home(home: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("*pcscd")))


@pytest.fixture(scope="session")
def run_sim() -> Callable[[Path, int], subprocess.CompletedProcess[str]]:
    """`campus-sim run` without a screen."""
    return run_campus


def run_campus(home: Path, taps: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim", "run", "--home", str(home), "--taps", str(taps)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )
