"""The TCP stack of Quectel's EC2x family (TCP/IP application note): QIACT, QIOPEN, QISEND, QIRD.

Received data is asked for as hex, so that every line stays ASCII; data to send goes as it is, into a prompt that knows
its length.
"""

from __future__ import annotations

import re
from typing import Final

from drivers import at
from drivers.modemfaults import AtError, BearerLost, SocketDown
from drivers.stacks.stack import Stack, hex_body

ERRORS: Final = {
    550: "unknown error",
    551: "operation blocked",
    552: "invalid parameters",
    553: "not enough memory",
    554: "no socket could be made",
    555: "operation not supported",
    556: "the socket could not be bound",
    557: "the socket could not listen",
    558: "writing to the socket failed",
    559: "reading from the socket failed",
    560: "accepting failed",
    561: "the bearer could not be opened: is the APN right?",
    562: "the bearer could not be closed",
    563: "the socket's number is in use",
    564: "the name service is busy",
    565: "the name service did not know the name",
    566: "the far end refuses or does not answer",
    567: "the socket was closed",
    568: "operation busy",
    569: "operation timed out",
    570: "the bearer broke down",
    571: "cancelled",
    572: "operation not allowed",
    573: "no APN is set",
    574: "the port is busy",
}
_BEARER: Final = frozenset({561, 570, 572, 573})
_CONNECTED: Final = "2"
_READ_BYTES_MAX: Final = 750  # as hex twice that; 1500 is the note's limit for a line
_ACTIVATE_S: Final = 150.0
_DEACTIVATE_S: Final = 40.0
_CLOSE_S: Final = 12.0  # the command's own limit is 10 s
_DNS_S: Final = 60.0


class QuectelStack(Stack):
    """Context 1, buffer mode."""

    piece_bytes_max = 1_460
    closed_pattern = re.compile(r'\+QIURC: ?"closed", ?(\d+)')
    readable_pattern = re.compile(r'\+QIURC: ?"recv", ?(\d+)')
    lost_pattern = re.compile(r'\+QIURC: ?"pdpdeact", ?1\b')

    def bring_up(self, apn: str, user: str, password: str) -> None:
        """See `Stack`."""
        # A second QIACT is refused, also where the network took the first away, and its sockets are another life's.
        self.try_command("AT+QIDEACT=1", _DEACTIVATE_S)
        login = f"{at.quoted(user)},{at.quoted(password)},{1 if user else 0}"
        self.line.exchange(f"AT+QICSGP=1,1,{at.quoted(apn)},{login}", shown="AT+QICSGP")
        self.line.exchange('AT+QICFG="dataformat",0,1')
        try:
            self.line.exchange("AT+QIACT=1", _ACTIVATE_S)
        except AtError as error:
            raise BearerLost(f"no bearer: {self._reason(error)[1]}") from error

    def take_down(self) -> None:
        """See `Stack`."""
        self.line.exchange("AT+QIDEACT=1", _DEACTIVATE_S)

    def look_up(self, host: str) -> str:
        """See `Stack`."""
        try:
            answer = self.line.exchange(f"AT+QIDNSGIP=1,{at.quoted(host)}")
        except AtError as error:
            code, reason = self._reason(error)
            raise fault(code, f"{host} is not known: {reason}") from error
        said = self.line.await_line(r'\+QIURC: ?"dnsgip", ?(\d+)', _DNS_S, answer)
        if code := int(said[1]):
            raise fault(code, f"{host} is not known: {in_words(code)}")
        found = self.line.await_line(r'\+QIURC: ?"dnsgip", ?"([\d.]+)"', _DNS_S, answer)
        return found[1]

    def connect(self, link: int, host: str, port: int, timeout_s: float) -> None:
        """See `Stack`. A link that failed keeps its number until it is closed, so it always is first."""
        self.free(link)
        try:
            answer = self.line.exchange(f'AT+QIOPEN=1,{link},"TCP",{at.quoted(host)},{port},0,0')
        except AtError as error:
            code, reason = self._reason(error)
            raise fault(code, f"no connection: {reason}") from error
        code = int(self.line.await_line(rf"\+QIOPEN: ?{link}, ?(\d+)", timeout_s, answer)[1])
        if code:
            raise fault(code, f"no connection: {in_words(code)}")

    def hand_over(self, link: int, piece: bytes) -> int:
        """See `Stack`. SEND FAIL says that the buffer is full and nothing was taken."""
        return len(piece) if self.prompt(f"AT+QISEND={link},{len(piece)}", piece)[-1] == "SEND OK" else 0

    def fetch(self, link: int) -> bytes:
        """See `Stack`."""
        lines = self.line.exchange(f"AT+QIRD={link},{_READ_BYTES_MAX}")
        size = at.number(at.answer(lines, "+QIRD")[0])
        return hex_body(lines, size) if size else b""

    def is_connected(self, link: int) -> bool:
        """See `Stack`."""
        lines = [line for line in self.line.exchange(f"AT+QISTATE=1,{link}") if line.startswith("+QISTATE:")]
        return any(at.fields(line)[5:6] == [_CONNECTED] for line in lines)

    def disconnect(self, link: int) -> None:
        """See `Stack`."""
        self.line.exchange(f"AT+QICLOSE={link}", _CLOSE_S)

    def count_unacknowledged(self, link: int) -> int | None:
        """See `Stack`."""
        parts = at.answer(self.line.exchange(f"AT+QISEND={link},0"), "+QISEND")
        return at.number(parts[2]) if len(parts) > 2 else None

    def _reason(self, error: AtError) -> tuple[int, str]:
        """What the modem itself says of its last failure, as number and words; 0 and the refusal's if it does not."""
        try:
            parts = at.answer(self.line.exchange("AT+QIGETERROR"), "+QIGETERROR")
        except AtError:
            return 0, error.words
        code = at.number(parts[0])
        return code, in_words(code)


def in_words(code: int) -> str:
    """One of the stack's errors."""
    return f"{ERRORS.get(code, 'an error that the note does not list')} ({code})"


def fault(code: int, text: str) -> SocketDown:
    """The fault for one of the stack's errors."""
    return BearerLost(text) if code in _BEARER else SocketDown(text)
