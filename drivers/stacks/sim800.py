"""The TCP stack of SIMCom's SIM800/SIM900 family: CSTT, CIICR, CIPSTART, CIPSEND, CIPRXGET, each in its right order.

Received data is asked for as hex, so that every line stays ASCII.
"""

from __future__ import annotations

import re
from typing import Final

from drivers import at
from drivers.modemfaults import AtError, BearerLost, ModemGarbled, SocketDown
from drivers.stacks.stack import Stack, hex_body

_READ_BYTES_MAX: Final = 730  # in hex mode
_SHUT_S: Final = 65.0
_BEARER_S: Final = 85.0
_ATTACH_S: Final = 75.0
_CLOSE_S: Final = 10.0
_DNS_S: Final = 60.0


class Sim800Stack(Stack):
    """Several connections at once (CIPMUX), quick send, manual receive in hex."""

    piece_bytes_max = 1_460
    closed_pattern = re.compile(r"(\d+), ?CLOSED$")
    readable_pattern = re.compile(r"\+CIPRXGET: ?1, ?(\d+)")
    lost_pattern = re.compile(r"\+PDP: ?DEACT")

    def bring_up(self, apn: str, user: str, password: str) -> None:
        """See `Stack`. CIPSHUT is the one way out of every state, that after +PDP: DEACT among them."""
        self.take_down()
        login = f"{at.quoted(apn)},{at.quoted(user)},{at.quoted(password)}"
        try:
            self.line.exchange("AT+CGATT=1", _ATTACH_S)
            for setting in ("CIPMUX=1", "CIPQSEND=1", "CIPRXGET=1"):
                self.line.exchange(f"AT+{setting}")
            self.line.exchange(f"AT+CSTT={login}", shown="AT+CSTT")
            self.line.exchange("AT+CIICR", _BEARER_S)
            # CIFSR answers with the address alone; echo off, which is off already, brings the OK.
            self.line.exchange("AT+CIFSR;E0")
        except AtError as error:
            raise BearerLost(f"no bearer: {error}") from error

    def take_down(self) -> None:
        """See `Stack`."""
        self.line.exchange("AT+CIPSHUT", _SHUT_S)

    def look_up(self, host: str) -> str:
        """See `Stack`."""
        try:
            answer = self.line.exchange(f"AT+CDNSGIP={at.quoted(host)}", _DNS_S)
        except AtError as error:
            raise SocketDown(f"{host} is not known: {error.words}") from error
        said = self.line.await_line(r'\+CDNSGIP: ?(\d)(?:, ?"[^"]*", ?"([\d.]+)"|, ?(\d+))', _DNS_S, answer)
        if said[1] != "1" or not said[2]:
            raise SocketDown(f"{host} is not known: error {said[3]}")
        return said[2]

    def connect(self, link: int, host: str, port: int, timeout_s: float) -> None:
        """See `Stack`."""
        self.free(link)
        try:
            answer = self.line.exchange(f'AT+CIPSTART={link},"TCP",{at.quoted(host)},{at.quoted(str(port))}')
        except AtError as error:
            raise BearerLost(f"no connection, which only a lost bearer refuses at once: {error.words}") from error
        said = self.line.await_line(rf"{link}, ?(CONNECT OK|CONNECT FAIL|ALREADY CONNECT)", timeout_s, answer)
        if said[1] != "CONNECT OK":
            raise SocketDown(f"no connection: the modem says {said[1]}")

    def hand_over(self, link: int, piece: bytes) -> int:
        """See `Stack`."""
        said = self.prompt(f"AT+CIPSEND={link},{len(piece)}", piece)[-1]
        if found := re.match(r"DATA ACCEPT: ?(?:\d+, ?)?(\d+)$", said):
            taken = int(found[1])
            if taken > len(piece):
                raise ModemGarbled(f"the modem took {taken} of {len(piece)} bytes")
            return taken
        if said.endswith("SEND OK"):
            return len(piece)
        raise SocketDown(f"the data was not sent: the modem says {said}")

    def fetch(self, link: int) -> bytes:
        """See `Stack`."""
        lines = self.line.exchange(f"AT+CIPRXGET=3,{link},{_READ_BYTES_MAX}")
        parts = at.answer(lines, "+CIPRXGET")
        size = at.number(parts[2]) if len(parts) > 2 else 0
        return hex_body(lines, size) if size else b""

    def is_connected(self, link: int) -> bool:
        """See `Stack`."""
        return at.answer(self.line.exchange(f"AT+CIPSTATUS={link}"), "+CIPSTATUS")[-1] == "CONNECTED"

    def disconnect(self, link: int) -> None:
        """See `Stack`."""
        self.line.exchange(f"AT+CIPCLOSE={link},1", _CLOSE_S)

    def count_unacknowledged(self, link: int) -> int | None:
        """See `Stack`."""
        parts = at.answer(self.line.exchange(f"AT+CIPACK={link}"), "+CIPACK")
        return at.number(parts[2]) if len(parts) > 2 else None
