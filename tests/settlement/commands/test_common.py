"""What commands share: progress is for a person at a screen alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from settlement.commands.common import progress
from settlement.settings import Home

ROOT = Path(__file__).parents[3]


def test_nobody_at_a_screen_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress()("copying ledger")
    assert capsys.readouterr() == ("", "")


def test_whoever_waits_at_a_screen_is_told_what_is_done_and_the_output_stays_clean(home: Home, tmp_path: Path) -> None:
    screen, end = pty.openpty()
    command = [sys.executable, "-m", "settlement", "backup", str(tmp_path / "copy"), "--home", str(home.root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=end, text=True, timeout=60, check=True)
    os.close(end)
    assert "... copying ledger" in os.read(screen, 4096).decode()
    os.close(screen)
    assert "..." not in done.stdout
