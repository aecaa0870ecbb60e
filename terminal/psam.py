"""The PSAM in its slot: connected once, kept powered, found again after a fault, and never a stranger's."""

from __future__ import annotations

from contextlib import ExitStack

from drivers.apdu import Sw
from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.purse import PsamIdentity, PsamLost, read_psam
from drivers.reader import Reader
from wire.errors import CampusError
from wire.ids import TerminalId


class PsamForeign(CampusError):
    """The PSAM in the slot carries another terminal's number."""

    code = "psam-foreign"


class PsamLocked(CampusError):
    """The PSAM answers nothing any more."""

    code = "psam-locked"


class PsamSlot:
    """A `CardChannel` to the terminal's own PSAM; powering it up costs time, so it happens once."""

    def __init__(self, reader: Reader, terminal: TerminalId) -> None:
        self._reader = reader
        self._terminal = terminal
        self._connection = ExitStack()
        self._channel: CardChannel | None = None
        self._identity: PsamIdentity | None = None

    def ensure(self) -> PsamIdentity:
        """Connect if need be; raises `PsamForeign`, `PsamUnusable` or `PsamLost`."""
        if self._identity is None:
            try:
                self._channel = self._connection.enter_context(self._reader.connect())
                identity = read_psam(self._channel)
                if identity.terminal != self._terminal:
                    raise PsamForeign(
                        f"the PSAM belongs to terminal {identity.terminal.hex()}, this is {self._terminal.hex()}"
                    )
            except (CardRemoved, ReaderFault) as fault:
                self.close()
                raise PsamLost(str(fault)) from fault
            except CampusError:
                self.close()
                raise
            self._identity = identity
        return self._identity

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """One command; after a fault or an error word the next `ensure` connects again. Raises `PsamLocked`, too."""
        assert self._channel is not None, "ensure comes before the first command"
        try:
            data, sw = self._channel.transmit(apdu)
        except (CardRemoved, ReaderFault):
            self.close()
            raise
        if sw == Sw.PERMANENTLY_BLOCKED:
            raise PsamLocked("the PSAM has locked itself after too many wrong card proofs; it has to be replaced")
        if sw not in (Sw.OK, Sw.MAC_WRONG):
            self.close()  # it may have been reset behind our back and lost its selection
        return data, sw

    def close(self) -> None:
        """Let the PSAM go."""
        self._identity = self._channel = None
        self._connection.close()
