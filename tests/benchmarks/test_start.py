"""The cold start's benchmark starts the real till, on a new journal and on an old one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.start import measure, report


def test_every_start_comes_to_ready_and_takes_longer_than_bare_python(tmp_path: Path) -> None:
    times = measure(folder=tmp_path, rounds=1, taps=20)
    assert all(found[0] > times.seconds["python"][0] for name, found in times.seconds.items() if name != "python")
    text = report(times, taps=20)
    assert "screen drawn, 20 taps" in text
    assert "1.0" in text
