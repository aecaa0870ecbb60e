"""A private PostgreSQL server for trials: its own folder and Unix socket, its own passwords, and gone afterwards.

It syncs like a real one. Left out: the databases in it, which `settlement.store.server` makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import psycopg

from wire.errors import CampusError

ADMIN: Final = "campus_admin"
_ADMIN_PASSWORD: Final = "of a server that lives for one trial"
_PROGRAMS: Final = "/usr/lib/postgresql/*/bin/postgres"  # Debian's; they are not in PATH
_READY_S_MAX: Final = 60.0
_END_S_MAX: Final = 30.0
_POLL_S: Final = 0.02

_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_error_verbosity": "terse",  # the details of a broken rule are a row's values: card numbers
}


class PostgresMissing(CampusError):
    """PostgreSQL is not installed, or did not start; the text says which."""

    code = "postgres-missing"


class PostgresServer:
    """One server: `create` it, use `url`, `remove` it. PostgreSQL refuses to run as root, so there it is nobody's."""

    def __init__(self, folder: Path, *, prefix: str = "campus") -> None:
        self.folder = folder
        self.url = f"postgresql://{ADMIN}:{_ADMIN_PASSWORD.replace(' ', '%20')}@/{prefix}?host={folder}"
        self._programs = _programs()
        self._user = _user()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, **settings: str) -> Self:
        """A new, running server in a temporary folder; `settings` go before those of a trial."""
        # Not below a folder that only its owner enters, as pytest's is; and a socket's path has little room.
        server = cls(Path(tempfile.mkdtemp(prefix="campus-pg-")))
        try:
            server._initialise()
            server.start(**settings)
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None, "started"
        return self._process.pid

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers; raises `PostgresMissing` with its log."""
        with (self.folder / "log").open("ab") as log:
            command = [*self._as_user(), str(self._programs / "postgres")]
            options = [f"--{name}={value}" for name, value in {**_SETTINGS, **settings}.items()]
            self._process = subprocess.Popen(
                [*command, "-D", str(self.folder / "data"), "-k", str(self.folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        _wait(self._answers, "the server did not answer", self.folder)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT drops all connections and tidies up; SIGKILL is what a lost machine looks like to clients."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_END_S_MAX)
            self._process = None
            # The backends of a killed server end when they notice; a new one refuses to start beside them.
            _wait(lambda: not self._has_backends(), "backends did not end", self.folder)

    def remove(self) -> None:
        """Stop it and delete all."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        password = self.folder / "password"
        password.write_text(_ADMIN_PASSWORD, encoding="ascii")
        command = [*self._as_user(), str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", ADMIN]
        command += ["-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8", "--locale", "C", "--no-sync"]
        made = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, timeout=_READY_S_MAX
        )
        if made.returncode != 0:
            raise PostgresMissing(f"initdb failed: {made.stderr.strip()}")

    def _as_user(self) -> list[str]:
        start = ["setpriv", "--pdeathsig", "QUIT"]  # it does not outlive whoever tries it
        if self._user is not None:
            start += ["--reuid", str(self._user.pw_uid), "--regid", str(self._user.pw_gid), "--clear-groups"]
        return start

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            raise PostgresMissing(f"the server ended: {log[-500:]}")
        try:
            psycopg.connect(self.url.replace("/campus?", "/postgres?"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _has_backends(self) -> bool:
        data = str(self.folder / "data")
        for status in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if os.readlink(status) == data:
                    return True
            except OSError:  # it has ended in the meantime, or is nobody's that we may look at
                continue
        return False


def _programs() -> Path:
    found = sorted(Path("/").glob(_PROGRAMS.lstrip("/")))
    if not found:
        raise PostgresMissing("PostgreSQL is not installed: apt install postgresql")
    return found[-1].parent


def _user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _wait(done: Callable[[], bool], words: str, folder: Path) -> None:
    for _ in range(int(_READY_S_MAX / _POLL_S)):
        if done():
            return
        time.sleep(_POLL_S)  # nothing tells a stranger that the server is ready
    raise PostgresMissing(f"{words}; see {folder / 'log'}")
