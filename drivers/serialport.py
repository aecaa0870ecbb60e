"""Finding and opening the serial port of a modem: by what the device is, never by its number.

Left out: what is said over it (`drivers.line`).
"""

from __future__ import annotations

import errno
import glob
import re
from pathlib import Path
from typing import Final

import serial

from drivers.modemfaults import PortBusy, PortMissing

BAUD: Final = 115_200
READ_S: Final = 0.5  # how long the reader may not notice that it should end
WRITE_S: Final = 5.0  # a modem that takes nothing for so long hangs; without a limit the write would hang with it

# The AT port of both makers' USB modems; the others carry diagnostics, GNSS and dial-up.
BY_ID: Final = "/dev/serial/by-id/*-if02-port0"

# Numbers given in the order of plugging: tomorrow another device has them.
_BY_NUMBER: Final = re.compile(r"/dev/tty(?:USB|ACM)\d+$")


def find_port(pattern: str = BY_ID) -> Path:
    """The one device that a path or glob `pattern` names now; `PortMissing` says in words why there is none.

    A modem that comes back after a brown-out has another number and the same id: look again before each opening.
    """
    if _BY_NUMBER.match(pattern):
        raise PortMissing(
            f"{pattern} is a number that changes at each plugging: name the port by /dev/serial/by-id/..."
        )
    found = sorted(glob.glob(pattern))
    if len(found) == 1:
        return Path(found[0])
    if found:
        raise PortMissing(f"{pattern} fits {len(found)} devices: {', '.join(found)}; name one of them")
    beside = (
        sorted(path.name for path in Path(pattern).parent.glob("*")) if Path(pattern).parent.name == "by-id" else []
    )
    there = f"; there are {', '.join(beside)}" if beside else ""
    raise PortMissing(f"no device {pattern}: is it plugged in and powered?{there}")


def open_port(port: Path, *, baud: int = BAUD) -> serial.Serial:
    """The port, held exclusively, without hardware flow control; `PortMissing` or `PortBusy` in words.

    Boards with three wires have no RTS and CTS: with flow control on, a write to them never ends.
    """
    try:
        return serial.Serial(
            port=str(port),
            baudrate=baud,
            timeout=READ_S,
            write_timeout=WRITE_S,
            exclusive=True,
            rtscts=False,
            dsrdtr=False,
        )
    except (OSError, ValueError) as error:
        raise _in_words(port, error) from error


def _in_words(port: Path, error: OSError | ValueError) -> PortBusy | PortMissing:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EWOULDBLOCK, errno.EBUSY) or "exclusively lock" in str(error):
        return PortBusy(f"another program has {port} open: stop it, or keep ModemManager away (ID_MM_PORT_IGNORE=1)")
    if number in (errno.EACCES, errno.EPERM):
        return PortBusy(f"no permission to open {port}: the user has to be in the group dialout")
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO):
        return PortMissing(f"{port} is not there: is it plugged in and powered?")
    return PortMissing(f"{port} cannot be opened: {error}")
