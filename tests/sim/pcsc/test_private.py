"""The private pcscd: apart from everything else, gone when its owner is, and clear about what it lacks."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from sim.pcsc.private import SUN_PATH_MAX, PcscdUnavailable, PrivatePcscd

ROOT = Path(__file__).parents[3]


def reader_names(daemon: PrivatePcscd) -> list[str]:
    """What a program that starts now lists; in its own process, for the library remembers its first pcscd."""
    program = (
        "from smartcard import scard; _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)\n"
        "result, names = scard.SCardListReaders(context, []); assert result == 0; print(*names, sep='\\n')"
    )
    listing = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PCSCLITE_CSOCK_NAME": str(daemon.socket_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return listing.stdout.splitlines()


def pcscd_pid(daemon: PrivatePcscd) -> int:
    return int((daemon.socket_path.parent / "pcscd.pid").read_text().strip("\0"))


def test_two_private_pcscd_serve_two_readers_each(tmp_path: Path) -> None:
    with PrivatePcscd(tmp_path / "a") as one, PrivatePcscd(tmp_path / "b") as two:
        for daemon in (one, two):
            assert daemon.running
            assert reader_names(daemon) == ["Campus Reader 00 00", "Campus Reader 00 01"]
            assert list(daemon.reader_names) == ["Campus Reader 00 00", "Campus Reader 00 01"]
        assert pcscd_pid(one) != pcscd_pid(two)


def test_stopped_pcscd_is_gone_and_can_be_started_again(tmp_path: Path) -> None:
    daemon = PrivatePcscd(tmp_path)
    for _ in range(2):
        with daemon:
            alive = os.pidfd_open(pcscd_pid(daemon))
            assert len(reader_names(daemon)) == 2
        assert not daemon.running
        assert select.select([alive], [], [], 0)[0], "pcscd outlived stop()"
        os.close(alive)
        assert not daemon.socket_path.exists()
    daemon.stop()


def test_pcscd_is_gone_when_its_owner_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sim.pcsc.private import PrivatePcscd\n"
        "with PrivatePcscd(Path(sys.argv[1])):\n    print('up', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        alive = os.pidfd_open(pcscd_pid(PrivatePcscd(tmp_path)))
        owner.kill()
    assert select.select([alive], [], [], 10.0)[0], "pcscd outlived its owner"
    os.close(alive)
    with PrivatePcscd(tmp_path) as after:  # what the killed one left is no hindrance
        assert after.running


def test_folder_with_a_long_name_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    with PrivatePcscd(tmp_path / ("long" * 30)) as daemon:
        assert len(os.fsencode(daemon.socket_path)) <= SUN_PATH_MAX
        assert daemon.socket_path.is_socket()
    assert not daemon.folder.exists()


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    with PrivatePcscd(tmp_path) as daemon:
        with pytest.raises(PcscdUnavailable, match="already serves another"):
            PrivatePcscd(tmp_path).start()
        assert daemon.running
        assert daemon.socket_path.is_socket()


def test_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PcscdUnavailable, match="unshare is missing; install the Debian package util-linux"):
        PrivatePcscd(tmp_path / "pcscd").start()


@pytest.mark.parametrize(
    ("words", "explanation"),
    [
        ("unshare: unshare failed: Operation not permitted", "does not let .* make the namespaces"),
        ("something else", "did not start: something else"),
    ],
)
def test_refused_namespaces_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, explanation: str
) -> None:
    unshare = tmp_path / "unshare"
    unshare.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(PcscdUnavailable, match=explanation):
        PrivatePcscd(tmp_path / "pcscd").start()


def test_dialling_a_stopped_pcscd_is_a_typed_fault(tmp_path: Path) -> None:
    with pytest.raises(PcscdUnavailable):
        PrivatePcscd(tmp_path).dial(0)
    with PrivatePcscd(tmp_path) as daemon, pytest.raises(PcscdUnavailable):
        daemon.dial(7)
