"""Names shared by both sides of the private pcscd: files in its folder, the reader's name, ports inside its network
namespace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DRIVERS_FOLDER: Final = Path("/usr/lib/pcsc/drivers")
VPCD_DRIVER: Final = Path("serial/libifdvpcd.so")

PCSCD_SOCKET: Final = Path("pcscd/pcscd.comm")
DIAL: Final = Path("dial")
PCSCD_LOG: Final = Path("pcscd.log")
READERS_CONF: Final = Path("readers/campus")
EMPTY: Final = Path("empty")

READER_NAME: Final = "Campus Reader"
SLOTS: Final = 2
SLOT_NAMES: Final = tuple(f"{READER_NAME} 00 {slot:02X}" for slot in range(SLOTS))  # as pcscd announces them
FIRST_PORT: Final = 0x9000  # inside the private network namespace; the second slot listens on the next one
