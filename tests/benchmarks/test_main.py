"""The command prints what it was asked for, and how to have it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import isolation
from benchmarks.__main__ import main
from wire.ids import Stream


def test_all_benchmarks_are_printed_with_their_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path), "--seed", "7", "--count", "2"]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("python -m")] == [
        f"python -m benchmarks {name} --seed 7" for name in ("tap", "bytes", "air")
    ]
    assert "cores, Python" in text


def test_one_benchmark_is_printed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bytes", "--folder", str(tmp_path), "--count", "1"])
    assert "ingest" not in capsys.readouterr().out


def test_ingest_is_printed_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ingest", "--folder", str(tmp_path), "--count", "1"])
    assert "goal 0.25" in capsys.readouterr().out


def test_unknown_benchmark_is_wrong_usage() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])


@pytest.mark.parametrize(("failed", "status"), [("", 0), ("NotServing: the server did not come up", 1)])
def test_isolation_that_is_not_met_is_an_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failed: str, status: int
) -> None:
    row = isolation.Row("disk full", Stream.SHOPS, failed=failed, not_tried="" if failed else "not root")
    found = isolation.Isolation(100.0, 13.0, 5.0, [], [row])
    monkeypatch.setattr(isolation, "measure", lambda **_: found)
    assert main(["isolation"]) == status
    assert "shops: disk full" in capsys.readouterr().out
