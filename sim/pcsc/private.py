"""A private PC/SC daemon with two virtual readers, apart from any pcscd and readers that the machine already uses.

It runs in its own mount and network namespaces, as root or, with a user namespace, as an ordinary user. A program
reaches it with the environment variable PCSCLITE_CSOCK_NAME set to `socket_path`. Left out: the chips in the readers
(`sim.pcsc.slot`).
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import sim
from sim.pcsc.layout import DIAL, DRIVERS_FOLDER, PCSCD_SOCKET, SLOT_NAMES, VPCD_DRIVER
from wire.errors import CampusError

START_S_MAX: Final = 20.0  # longer than the inner program's own limit, so that its words are heard
STOP_S_MAX: Final = 10.0
DIAL_S_MAX: Final = 5.0
SUN_PATH_MAX: Final = 107  # Linux: a unix socket's name, without the final zero

_WORDS: Final = "start.log"  # what unshare and the inner program say
_PROGRAMS: Final = {"pcscd": "pcscd", "unshare": "util-linux", "setpriv": "util-linux", "mount": "mount"}


class PcscdUnavailable(CampusError):
    """The private pcscd cannot run here; the text says what is missing."""

    code = "pcscd-unavailable"


class PrivatePcscd:
    """A context manager: inside it pcscd serves the readers `SLOT_NAMES`. `folder` keeps its socket and log and is
    emptied at the start.

    If the folder's name is too long for a socket, a short temporary one is used instead; `folder` says which. Nothing
    is left running when this process ends, however it ends.
    """

    reader_names: Final = SLOT_NAMES

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def socket_path(self) -> Path:
        """What PCSCLITE_CSOCK_NAME must be for a program to reach this pcscd."""
        return self.folder / PCSCD_SOCKET

    @property
    def running(self) -> bool:
        """Whether pcscd is up."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start pcscd and wait until it serves; raises `PcscdUnavailable`."""
        _require_programs()
        try:
            self._prepare_folder()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End pcscd and wait until it has ended; harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()  # its pcscd gets SIGTERM from the kernel
                process.wait()
            process.stdout.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def dial(self, slot: int) -> socket.socket:
        """A connection to pcscd's virtual reader `slot`, which takes it as a card being inserted."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DIAL_S_MAX)
            try:
                client.connect(str(self.folder / DIAL))
                client.sendall(str(slot).encode("ascii"))
                _, descriptors, _, _ = socket.recv_fds(client, 1, 1)
            except OSError as error:
                raise PcscdUnavailable(f"the private pcscd does not answer: {error}") from error
        if not descriptors:
            raise PcscdUnavailable(f"the private pcscd has no free connection to slot {slot}")
        return socket.socket(fileno=descriptors[0])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare_folder(self) -> None:
        if len(os.fsencode(self.socket_path)) > SUN_PATH_MAX:
            self._temporary = tempfile.TemporaryDirectory(prefix="campus-pcscd-", dir="/tmp")
            self.folder = Path(self._temporary.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "w")  # noqa: SIM115  held until stop()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PcscdUnavailable(f"{self.folder} already serves another private pcscd") from error
        # What a killed run left (pcscd.pid among it) would keep pcscd from starting.
        for left in self.folder.iterdir():
            if left.name == "lock":
                continue
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    def _launch(self) -> None:
        command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount", "--net"]
        code_root = str(Path(next(iter(sim.__path__))).parent)
        with open(self.folder / _WORDS, "w") as words:
            process = subprocess.Popen(
                [*command, sys.executable, "-P", "-m", "sim.pcsc", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                env={**os.environ, "PATH": _search_path(), "PYTHONPATH": code_root},
                # Ctrl-C in a terminal is for the owner, who then stops this one in order.
                start_new_session=True,
            )
        self._process = process
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
        if not ready:
            raise PcscdUnavailable(f"the private pcscd was not ready within {START_S_MAX:.0f} s")
        if process.stdout.readline() != "ready\n":
            process.wait(STOP_S_MAX)
            raise PcscdUnavailable(_explanation((self.folder / _WORDS).read_text()))


def _require_programs() -> None:
    for program, package in _PROGRAMS.items():
        # pcscd lives in /usr/sbin, which an ordinary user's PATH may lack.
        if shutil.which(program, path=_search_path()) is None:
            raise PcscdUnavailable(f"the program {program} is missing; install the Debian package {package}")
    driver = DRIVERS_FOLDER / VPCD_DRIVER
    if not driver.exists():
        raise PcscdUnavailable(f"{driver} is missing; install the Debian package vsmartcard-vpcd")


def _search_path() -> str:
    """PATH with the folders of system programs at its end."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def _explanation(words: str) -> str:
    last = (words.strip().splitlines() or ["it ended without a word"])[-1]
    if last.startswith("unshare:"):
        who = "root here" if os.geteuid() == 0 else "an ordinary user"
        return f"this system does not let {who} make the namespaces for a private pcscd ({last})"
    return f"the private pcscd did not start: {last}"
