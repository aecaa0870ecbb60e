"""The server's modem served by Debian's smstools, as it is: a child with a configuration and a spool of its own.

Left out: what the messages say, and the modem (`sim.modem`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sim.process import ChildFailed

_END_S_MAX: Final = 10.0  # it finishes a message that it is sending
_FOLDERS: Final = ("outgoing", "checked", "incoming", "sent", "failed")
_LOG_BYTES_SHOWN: Final = 600


class Smstools:
    """`smsd` on one modem; a context manager. `incoming` and `outgoing` are for the server's settings."""

    def __init__(self, folder: Path, device: Path) -> None:
        self._folder = folder
        self.incoming, self.outgoing = folder / "incoming", folder / "outgoing"
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True)
        places = "".join(f"{name} = {folder / name}\n" for name in _FOLDERS)
        self._log = folder / "smsd.log"
        self._config = folder / "smsd.conf"
        self._config.write_text(
            f"devices = GSM1\n{places}logfile = {self._log}\ninfofile = {folder}/working\npidfile = {folder}/pid\n"
            "delaytime = 1\nerrorsleeptime = 1\nautosplit = 0\nexecutable_check = no\nreceive_before_send = no\n"
            f"[GSM1]\ndevice = {device}\nbaudrate = 115200\nincoming = high\nrtscts = no\nmemory_start = 1\n"
        )

    def __enter__(self) -> Self:
        smsd = shutil.which("smsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if smsd is None:
            raise ChildFailed("smstools is not installed: apt install smstools")
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", smsd, "-t", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise `ChildFailed` if it has ended."""
        if (status := self._process.poll()) is not None:
            tail = self._log.read_text(errors="replace")[-_LOG_BYTES_SHOWN:] if self._log.exists() else ""
            raise ChildFailed(f"smstools ended with status {status}; {tail}")
