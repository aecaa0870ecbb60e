"""What the pages show of an empty installation, and of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.settings import Home
from settlement.web.reading import LastAudit, StreamState, read_last_audit, read_standing
from tests.settlement.conftest import NOW
from wire.ids import CONSUMPTION_STREAMS


def test_new_installation_has_four_empty_streams_and_no_trouble(home: Home) -> None:
    standing = read_standing(home, now_utc_s=NOW, outage_s=604_800)
    assert standing.streams == tuple(StreamState(stream, 0, 0, None) for stream in CONSUMPTION_STREAMS)
    assert (standing.supervised, standing.audit, standing.terminals, standing.suspense) == (None, None, (), ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at_utc_s": 1}', '{"at_utc_s": "x", "points": [{}]}'])
def test_what_is_no_audit_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.json").write_text(text)
    assert read_last_audit(tmp_path / "audit.json") is None


def test_points_that_hold_are_not_told_of(tmp_path: Path) -> None:
    points = '[{"point": 1, "says": "a", "holds": true}, {"point": 2, "says": "b", "holds": false}]'
    (tmp_path / "audit.json").write_text(f'{{"at_utc_s": 7, "points": {points}}}')
    assert read_last_audit(tmp_path / "audit.json") == LastAudit(7, ("2. b",))
