"""Secret files are the owner's, and never replaced; every file is whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from settlement.secretfile import SecretExists, write_secret, write_whole


def test_secret_is_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    write_secret(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SecretExists):
        write_secret(path, b"two")
    assert path.read_bytes() == b"one"
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_draft_left_by_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_bytes(b"half")
    write_secret(tmp_path / "secret", b"whole")
    assert (tmp_path / "secret").read_bytes() == b"whole"


def test_other_file_is_replaced_whole_also_after_a_draft_that_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"old")
    (tmp_path / "ca.pem.new").write_bytes(b"half of something longer")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"old", "who has it open goes on with the file that it was"
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["ca.pem"]
