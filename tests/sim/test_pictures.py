"""The pictures: made by the command, in both languages, and what they show is text of the till."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sim import pictures


@pytest.mark.slow
def test_pictures_of_a_small_terminal_come_in_both_languages(tmp_path: Path) -> None:
    said: list[str] = []
    assert pictures.run(tmp_path, monotonic_s=time.monotonic, say=said.append, sizes=((80, 24),)) == 0
    made = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert len(made) == 26
    assert {name.split("-80x24")[0].rpartition("-")[2] for name in made} == {"zh", "en"}
    assert said[0].startswith("26 pictures in")
    approved = (tmp_path / "approved-zh-80x24.svg").read_text(encoding="utf-8")
    assert "支付成功" in approved
    assert ET.fromstring(approved).attrib["width"] == "800"
