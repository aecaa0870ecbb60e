"""The program inside the private namespaces: it runs pcscd and hands out connections to its virtual readers.

Started by `sim.pcsc.private` as `python -m sim.pcsc FOLDER`, with new mount and network namespaces already around it.
FOLDER becomes /run, pcscd's drivers folder becomes empty (so that USB readers stay with the machine's own pcscd), and
nothing listens outside. A client connects to FOLDER/dial, sends a slot's digit and is passed a TCP connection to that
slot. Ends when its standard input ends or on SIGTERM.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from sim.pcsc.layout import (
    DIAL,
    DRIVERS_FOLDER,
    EMPTY,
    FIRST_PORT,
    PCSCD_LOG,
    PCSCD_SOCKET,
    READER_NAME,
    READERS_CONF,
    SLOTS,
    VPCD_DRIVER,
)

START_S_MAX: Final = 15.0  # pcscd starts in 0.1 s; a loaded Raspberry Pi may need some seconds
DIAL_S_MAX: Final = 5.0
STOP_S_MAX: Final = 5.0
_POLL_S: Final = 0.01

_RUN: Final = Path("/run")
_LIBRARY: Final = "libifdvpcd.so"
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_TCP_LISTEN: Final = "0A"


def main(folder: Path) -> int:
    """Run pcscd until standard input ends (0) or pcscd does (1)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _prepare(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(_RUN / DIAL))
    listener.listen(8)
    with open(_RUN / PCSCD_LOG, "wb") as log:
        pcscd = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *_pcscd_command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        if not _wait_until_ready(pcscd):
            print(f"pcscd did not start: {_last_lines(_RUN / PCSCD_LOG)}", file=sys.stderr)
            return 1
        print("ready", flush=True)
        return _serve(listener, pcscd)
    finally:
        pcscd.terminate()
        try:
            pcscd.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            pcscd.kill()
            pcscd.wait()


def _prepare(folder: Path) -> None:
    """Everything outside of `folder` that pcscd needs goes into it, for it is about to become /run."""
    shutil.copyfile(DRIVERS_FOLDER / VPCD_DRIVER, folder / _LIBRARY)
    conf = folder / READERS_CONF
    conf.parent.mkdir()
    conf.write_text(
        f'FRIENDLYNAME "{READER_NAME}"\nDEVICENAME /dev/null:{FIRST_PORT:#x}\n'
        f"LIBPATH {_RUN / _LIBRARY}\nCHANNELID {FIRST_PORT:#x}\n"
    )
    (folder / EMPTY).mkdir()
    (folder / PCSCD_SOCKET).parent.mkdir()
    for source, target in ((folder / EMPTY, DRIVERS_FOLDER), (folder, _RUN)):
        subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    # A new network namespace has its loopback interface down.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _IFF_UP, b""))


def _pcscd_command() -> list[str]:
    command = ["pcscd", "--foreground", "--config", str((_RUN / READERS_CONF).parent)]
    # pcscd 2 asks polkit over a bus that this /run does not have.
    knows = subprocess.run(["pcscd", "--help"], capture_output=True, text=True, check=False).stdout
    return [*command, "--disable-polkit"] if "--disable-polkit" in knows else command


def _wait_until_ready(pcscd: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and pcscd.poll() is None:
        if (_RUN / PCSCD_SOCKET).exists() and _listening_ports() >= set(range(FIRST_PORT, FIRST_PORT + SLOTS)):
            return True
        time.sleep(_POLL_S)  # pcscd tells nobody when it listens
    return False


def _listening_ports() -> set[int]:
    # Connecting would be taken for a card being inserted, so look instead.
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _TCP_LISTEN}


def _serve(listener: socket.socket, pcscd: subprocess.Popen[bytes]) -> int:
    exited = os.pidfd_open(pcscd.pid)
    while True:
        ready, _, _ = select.select([sys.stdin, listener, exited], [], [])
        if exited in ready:
            print(f"pcscd ended: {_last_lines(_RUN / PCSCD_LOG)}", file=sys.stderr)
            return 1
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
            return 0
        if listener in ready:
            _dial(listener)


def _dial(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        client.settimeout(DIAL_S_MAX)
        try:
            slot = int(client.recv(1))
            with socket.create_connection(("127.0.0.1", FIRST_PORT + slot), DIAL_S_MAX) as reader:
                reader.settimeout(None)
                socket.send_fds(client, [b"\0"], [reader.fileno()])
        except (OSError, ValueError) as error:
            # The client sees its connection closed without a descriptor, which is its error to raise.
            print(f"no connection to a slot: {error}", file=sys.stderr, flush=True)


def _last_lines(path: Path) -> str:
    return " | ".join(path.read_text(errors="replace").splitlines()[-3:])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
