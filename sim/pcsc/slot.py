"""A virtual reader's slot: serves one simulated chip at a time to the private pcscd, in a thread.

The protocol is vpcd's: a 2-byte length, then data; one byte alone is control. Left out: what the chip answers.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from drivers.channel import CardRemoved
from sim.card.chip import PoweredCard
from wire.errors import CampusError

POLL_S: Final = 0.4  # pcscd asks for the card's presence this often; compiled in
REMOVE_S_MAX: Final = 10 * POLL_S
ABSENCE_S_MIN: Final = 2.5 * POLL_S  # long enough for pcscd to notice an absence that it was not seen to notice

_POWER_OFF: Final = 0
_POWER_ON: Final = 1
_RESET: Final = 2
_GET_ATR: Final = 4
_LENGTH_BYTES: Final = 2
_RECV_BYTES: Final = 4096
_ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class Dialler(Protocol):
    """Who gives connections to a virtual reader; `PrivatePcscd` does."""

    def dial(self, slot: int) -> socket.socket:
        """A new connection to the reader `slot`."""
        ...


class VirtualSlot:
    """Slot `slot` of the private pcscd; `clock` gives monotonic seconds.

    One owner calls `insert` and `remove`; the chip is served by a thread between them.

    From `remove()` on the chip carries out no more APDUs; the call returns when pcscd has noticed (0.4 s, or 1 s if an
    APDU was cut off), so that it sees every exchange of cards. A chip that raises `CardRemoved` leaves the reader
    at once; so does one whose memory fails, and `remove()` raises what it raised.

    While `stuck` is set the reader powers chips and carries no command to them (80100016).
    """

    def __init__(self, dialler: Dialler, slot: int, *, clock: Callable[[], float]) -> None:
        self._dialler = dialler
        self._slot = slot
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._connection: socket.socket | None = None
        self._leaving = threading.Event()
        self._fault: CampusError | None = None
        self.stuck = False
        self._stuck_at_apdu = False
        self._absence_noticed = True
        self._absent_since_s = 0.0
        self._last_apdu_s: float | None = None
        self._apdu_under_way = False

    @property
    def last_apdu_monotonic_s(self) -> float | None:
        """When the chip now or last in the slot answered its last APDU, on the slot's clock; None if it had none."""
        return self._last_apdu_s

    @property
    def apdu_under_way(self) -> bool:
        """Whether the chip is working on an APDU right now."""
        return self._apdu_under_way

    @property
    def occupied(self) -> bool:
        """Whether a chip is being served; false again when pcscd or the chip went away by itself."""
        return self._thread is not None and self._thread.is_alive()

    def insert(self, card: PoweredCard) -> None:
        """Put a chip in; pcscd notices within `POLL_S`. The slot must be empty."""
        assert self._thread is None, "a chip is still in the slot"
        self._leaving.clear()
        self._fault, self._last_apdu_s = None, None
        self._connection = self._dialler.dial(self._slot)
        card.reset()
        self._thread = threading.Thread(
            target=self._serve, args=(self._connection, card), name=f"slot-{self._slot}", daemon=True
        )
        self._thread.start()

    def remove(self) -> None:
        """Take the chip out, if there is one; an APDU under way is finished but its answer is lost."""
        if self._thread is None or self._connection is None:
            return
        self._leaving.set()
        self._thread.join(REMOVE_S_MAX)
        if self._thread.is_alive():
            # pcscd has stopped asking; nothing will be noticed by it any more.
            self._connection.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self._thread = self._connection = None
        if not self._absence_noticed:
            left_s = self._absent_since_s + ABSENCE_S_MIN - self._clock()
            time.sleep(max(0.0, left_s))  # pcscd tells nobody when it has looked; this is how long it may take
        if self._fault is not None:
            raise self._fault

    def _serve(self, connection: socket.socket, card: PoweredCard) -> None:
        noticed = False
        try:
            while True:
                with connection:
                    noticed = self._serve_connection(connection, card)
                    if not self._stuck_at_apdu:
                        break
                    # The driver finds its command lost, and the chip still there: the next connection waits already.
                    self._stuck_at_apdu = False
                    connection = self._connection = self._dialler.dial(self._slot)
        except OSError:
            noticed = False  # pcscd is gone or dropped the card; `occupied` shows it
        except CardRemoved:
            noticed = False  # the chip left by itself, as `sim.card.faults` makes it
        except CampusError as error:
            self._fault = error
        finally:
            card.reset()
            self._apdu_under_way = False
            self._absence_noticed, self._absent_since_s = noticed, self._clock()

    def _serve_connection(self, connection: socket.socket, card: PoweredCard) -> bool:
        """Answer until the chip leaves; true if pcscd's own question after its presence went unanswered."""
        buffer = bytearray()
        powering = False
        while True:
            message = _receive(connection, buffer)
            if message is None:
                return False
            if len(message) > 1:
                if self._leaving.is_set():
                    return False
                if self.stuck:
                    self._stuck_at_apdu = True
                    # The driver takes an orderly end for an answer of no bytes, and this one for an error.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                    return False
                answer = self._exchange(card, message)
                if self._leaving.is_set():
                    return False
                _send(connection, answer)
            elif message[0] == _GET_ATR:
                # The ATR is asked for in a poll of presence, and after power on; only the former notices an absence.
                if self._leaving.is_set() and not powering:
                    return True
                _send(connection, card.atr)
            elif message[0] in (_POWER_OFF, _POWER_ON, _RESET):
                card.reset()
            powering = len(message) == 1 and message[0] in (_POWER_ON, _RESET)

    def _exchange(self, card: PoweredCard, apdu: bytes) -> bytes:
        self._apdu_under_way = True
        answer = card.transmit_raw(apdu)
        self._last_apdu_s = self._clock()
        self._apdu_under_way = False
        return answer


def _receive(connection: socket.socket, buffer: bytearray) -> bytes | None:
    """The next message, or None when pcscd closed the connection."""
    while True:
        if len(buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(buffer[:_LENGTH_BYTES])
            if len(buffer) >= end:
                message = bytes(buffer[_LENGTH_BYTES:end])
                del buffer[:end]
                if message:
                    return message
                continue
        # Linux forgets this option by itself. Without it each APDU waits 40 ms: the driver writes length and data
        # apart,
        # and Nagle holds the second back until the first is acknowledged.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data = connection.recv(_RECV_BYTES)
        if not data:
            return None
        buffer += data


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(len(data).to_bytes(_LENGTH_BYTES) + data)
