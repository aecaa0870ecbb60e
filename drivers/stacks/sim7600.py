"""The TCP stack of SIMCom's SIM7500/SIM7600 family (AT command manual, chapter 11): NETOPEN, CIPOPEN and on.

Received data is asked for as hex, so that every line stays ASCII.
"""

from __future__ import annotations

import re
from typing import Final

from drivers import at
from drivers.modemfaults import AtError, BearerLost, SocketDown
from drivers.stacks.stack import Stack, hex_body

ERRORS: Final = {
    1: "network failure",
    2: "the network is not open",
    3: "wrong parameter",
    4: "operation not supported",
    5: "no socket could be made",
    6: "the socket could not be bound",
    7: "the socket is already listening",
    8: "busy",
    9: "sockets are open",
    10: "timed out: the far end refuses or does not answer",
    11: "the name service did not know the name",
    12: "unknown error",
}
_NOT_OPEN: Final = 2
_BEARER: Final = frozenset({1, _NOT_OPEN})
_READ_BYTES_MAX: Final = 750  # in hex mode
_OPEN_S: Final = 120.0
_CLOSE_S: Final = 15.0
_SENT_S: Final = 15.0  # as CIPTIMEOUT sets it
_DNS_S: Final = 60.0
_NOT_CONNECTED: Final = -1


class Sim7600Stack(Stack):
    """Context 1, manual receive in hex."""

    piece_bytes_max = 1_500
    closed_pattern = re.compile(r"\+IPCLOSE: ?(\d+)")
    readable_pattern = re.compile(r"\+CIPRXGET: ?1, ?(\d+)")
    lost_pattern = re.compile(r"\+CIPEVENT: ?NETWORK CLOSED")

    def bring_up(self, apn: str, user: str, password: str) -> None:
        """See `Stack`."""
        if self._is_open():
            self.take_down()
        self.line.exchange(f'AT+CGDCONT=1,"IP",{at.quoted(apn)}')
        if user:
            self.line.exchange(f"AT+CGAUTH=1,1,{at.quoted(password)},{at.quoted(user)}", shown="AT+CGAUTH")
        for setting in ("CIPMODE=0", "CIPSENDMODE=0", "CIPCCFG=10,0,0,0,1,0,75000", "CIPTIMEOUT=75000,15000,15000"):
            self.try_command(f"AT+{setting}")  # not every firmware has each of them, and the defaults will do
        self.line.exchange("AT+CIPRXGET=1")
        try:
            answer = self.line.exchange("AT+NETOPEN")
        except AtError as error:
            raise BearerLost(f"no bearer: {_reason(error)[1]}") from error
        # The same name with the opposite sense: said by itself 0 is success, as the answer to NETOPEN? it is closed.
        if code := int(self.line.await_line(r"\+NETOPEN: ?(\d+)", _OPEN_S, answer)[1]):
            raise BearerLost(f"no bearer: {in_words(code)}")

    def take_down(self) -> None:
        """See `Stack`."""
        try:
            answer = self.line.exchange("AT+NETCLOSE", _OPEN_S)
        except AtError:
            return  # it was not open
        self.line.await_line(r"\+NETCLOSE: ?(\d+)", _OPEN_S, answer)

    def look_up(self, host: str) -> str:
        """See `Stack`."""
        try:
            answer = self.line.exchange(f"AT+CDNSGIP={at.quoted(host)}", _DNS_S)
        except AtError as error:
            code, reason = _reason(error)
            raise fault(code, f"{host} is not known: {reason}") from error
        return self.line.await_line(r'\+CDNSGIP: ?1, ?"[^"]*", ?"([\d.]+)"', _DNS_S, answer)[1]

    def connect(self, link: int, host: str, port: int, timeout_s: float) -> None:
        """See `Stack`."""
        self.free(link)
        try:
            answer = self.line.exchange(f'AT+CIPOPEN={link},"TCP",{at.quoted(host)},{port}')
        except AtError as error:
            code, reason = _reason(error)
            raise fault(code, f"no connection: {reason}") from error
        code = int(self.line.await_line(rf"\+CIPOPEN: ?{link}, ?(\d+)", timeout_s, answer)[1])
        if code:
            raise fault(code, f"no connection: {in_words(code)}")

    def hand_over(self, link: int, piece: bytes) -> int:
        """See `Stack`. A piece taken in part makes the connection unusable, says the manual."""
        answer = self.prompt(f"AT+CIPSEND={link},{len(piece)}", piece)
        taken = int(self.line.await_line(rf"\+CIPSEND: ?{link}, ?\d+, ?(-?\d+)", _SENT_S, answer)[1])
        if taken == _NOT_CONNECTED:
            raise SocketDown("the connection is no more")
        if taken not in (0, len(piece)):
            raise SocketDown(f"the modem took {taken} of {len(piece)} bytes")
        return taken

    def fetch(self, link: int) -> bytes:
        """See `Stack`."""
        try:
            lines = self.line.exchange(f"AT+CIPRXGET=3,{link},{_READ_BYTES_MAX}")
        except AtError as error:
            if any("No data" in line for line in error.lines):
                return b""
            raise
        parts = at.answer(lines, "+CIPRXGET")
        size = at.number(parts[2]) if len(parts) > 2 else 0
        return hex_body(lines, size) if size else b""

    def is_connected(self, link: int) -> bool:
        """See `Stack`."""
        return at.answer(self.line.exchange("AT+CIPCLOSE?"), "+CIPCLOSE")[link : link + 1] == ["1"]

    def disconnect(self, link: int) -> None:
        """See `Stack`."""
        answer = self.line.exchange(f"AT+CIPCLOSE={link}", _CLOSE_S)
        self.line.await_line(rf"\+CIPCLOSE: ?{link}, ?\d+", _CLOSE_S, answer)

    def count_unacknowledged(self, link: int) -> int | None:
        """See `Stack`."""
        parts = at.answer(self.line.exchange(f"AT+CIPACK={link}"), "+CIPACK")
        return at.number(parts[0]) - at.number(parts[1]) if len(parts) > 1 else None

    def _is_open(self) -> bool:
        return any(re.match(r"\+NETOPEN: ?1", line) for line in self.try_command("AT+NETOPEN?"))


def in_words(code: int) -> str:
    """One of the stack's errors."""
    return f"{ERRORS.get(code, 'an error that the manual does not list')} ({code})"


def fault(code: int, text: str) -> SocketDown:
    """The fault for one of the stack's errors."""
    return BearerLost(text) if code in _BEARER else SocketDown(text)


def _reason(error: AtError) -> tuple[int, str]:
    """The reason, which stands in a line above the bare ERROR: number and words, or 0 and words."""
    for line in error.lines:
        if found := re.match(r"\+IP ERROR: ?(.+)", line):
            return _NOT_OPEN if "not opened" in found[1] else 0, found[1]
        if found := re.match(r"\+CIP(?:OPEN|SEND): ?\d+, ?(\d+)|\+CIPERROR: ?(\d+)|\+CDNSGIP: ?0, ?(\d+)", line):
            code = int(found[1] or found[2] or found[3])
            return code, in_words(code)
    return 0, error.words
