"""The TCP stack of Quectel's EC2x family (TCP/IP application note): AT+QIACT, QIOPEN, QISEND, QIRD and their like.

Left out: UDP and servers (AT+QIOPEN answers 555), the modem's own TLS, a prompt's time limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sim.carrier.bearer import Bearer, BearerState, Failure, Lookup
from sim.modem.engine import ERROR, LATER, OK, Answer, Call, Online, Prompt, Reply
from sim.modem.stacks.links import CONTEXTS_MAX, Link, Stack
from sim.modem.syntax import SyntaxFault

if TYPE_CHECKING:
    from sim.modem.device import Device

ACTIVE_CONTEXTS_MAX: Final = 3
LINKS_MAX: Final = 12
SEND_BYTES_MAX: Final = 1460
HEX_BYTES_MAX: Final = 512
READ_BYTES_MAX: Final = 1500
_HOST_MAX: Final = 150
_URCS_WAITING_MAX: Final = 8  # pushed data is held in the socket, not in the port's queue

ERRORS: Final = {
    0: "operate successfully",
    550: "Unknown error",
    552: "Invalid parameters",
    553: "Memory not enough",
    555: "Operation not supported",
    558: "Socket write failed",
    561: "Open PDP context failed",
    563: "Socket identity has been used",
    565: "DNS parse failed",
    566: "Socket connect failed",
    569: "Operation timeout",
    570: "PDP context broken down",
    572: "Operation not allowed",
    573: "APN not configured",
}
_OPEN_ERRORS: Final = {
    Failure.UNKNOWN_HOST: 565,
    Failure.BEARER_LOST: 570,
}

_BUFFER, _PUSH, _TRANSPARENT = range(3)
# +QISTATE's numbers.
_OPENING, _CONNECTED, _CLOSING = 1, 2, 4


@dataclass(slots=True)
class _Account:
    user: str = ""
    password: str = ""
    authentication: int = 0

    @property
    def line(self) -> str:
        return f'"{self.user}","{self.password}",{self.authentication}'


@dataclass(slots=True)
class _Configuration:
    """What AT+QICFG sets: each option's numbers. Keep-alives and time limits are only remembered."""

    values: dict[str, list[int]] = field(
        default_factory=lambda: {
            "dataformat": [0, 0],
            "viewmode": [0],
            "recvind": [0],
            "sendinfo": [0],
            "passiveclosed": [0],
            "tcp/keepalive": [0, 120, 10, 3],
            "qisend/timeout": [5],
        }
    )

    def is_on(self, option: str, index: int = 0) -> bool:
        return self.values[option][index] == 1


class QuectelStack(Stack):
    """See the module."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.forget()
        commands = device.commands
        commands.add(
            "+QICSGP", test=Reply("+QICSGP: (1-16),(1-3),<APN>,<username>,<password>,(0-3)"), set=self._account
        )
        commands.add("+QIACT", test=Reply("+QIACT: (1-16)"), read=self._contexts, set=self._activate)
        commands.add("+QIDEACT", test=Reply("+QIDEACT: (1-16),(0-40)"), set=self._deactivate)
        commands.add("+QIOPEN", test=Reply(_OPEN_TEST), set=self._open)
        commands.add("+QICLOSE", test=Reply("+QICLOSE: (0-11),(0-65535)"), set=self._close)
        commands.add("+QISTATE", execute=self._states, read=self._states, set=self._states)
        commands.add("+QISEND", test=Reply("+QISEND: (0-11),(0-1460)"), set=self._send)
        commands.add("+QISENDEX", test=Reply("+QISENDEX: (0-11),<hex_string>"), set=self._send_hex)
        commands.add("+QIRD", test=Reply("+QIRD: (0-11),(0-1500)"), set=self._read)
        commands.add("+QISWTMD", test=Reply("+QISWTMD: (0-11),(0-2)"), set=self._switch)
        commands.add("+QIDNSGIP", test=Reply("+QIDNSGIP: (1-16),<hostname>"), set=self._resolve)
        commands.add("+QICFG", set=self._configure)
        commands.add("+QIGETERROR", execute=self._last_error)

    def forget(self) -> None:
        """See `Stack`."""
        self._accounts: dict[int, _Account] = {}
        self._configuration = _Configuration()
        self._error = 0
        self._lookups: list[Lookup] = []
        self._transparent: Link | None = None
        self._opening: tuple[Link, Call] | None = None

    # --- contexts

    def _account(self, call: Call) -> Answer:
        context = call.integer(0, low=1, high=CONTEXTS_MAX)
        if len(call.arguments) == 1:
            account = self._accounts.get(context, _Account())
            return Reply(f'+QICSGP: 1,"{self.apns.get(context, "")}",{account.line}')
        call.integer(1, low=1, high=3)
        account = _Account(call.string(3, ""), call.string(4, ""), call.integer(5, 0, high=3))
        self.apns[context], self._accounts[context] = call.string(2, ""), account
        return OK

    def _contexts(self, _: Call) -> Answer:
        active = [(n, b) for n, b in sorted(self.contexts.items()) if b.state is BearerState.ACTIVE]
        return Reply(*(f'+QIACT: {number},1,1,"{bearer.address}"' for number, bearer in active))

    def _activate(self, call: Call) -> Answer:
        context = call.integer(0, low=1, high=CONTEXTS_MAX)
        if context in self.contexts or len(self.contexts) >= ACTIVE_CONTEXTS_MAX:
            return self._fault(572)
        self.device.after(self.activation_s, lambda: call.answer(self._activated(context)))
        return LATER

    def _activated(self, context: int) -> Answer:
        bearer = self.activate(context, self.apns.get(context, ""))
        return OK if isinstance(bearer, Bearer) else self._fault(561)

    def _deactivate(self, call: Call) -> Answer:
        context = call.integer(0, low=1, high=CONTEXTS_MAX)
        self.deactivate(context)
        for link in [link for link in self.links.values() if link.context == context]:
            self.drop_link(link.number)
        return OK

    def context_lost(self, context: int) -> None:
        """See `Stack`."""
        self.device.engine.hang_up()
        self._transparent = None
        self.device.urc(f'+QIURC: "pdpdeact",{context}')

    # --- sockets

    def _open(self, call: Call) -> Answer:
        context = call.integer(0, low=1, high=CONTEXTS_MAX)
        number = call.integer(1, low=0, high=LINKS_MAX - 1)
        service, host = call.string(2).upper(), call.string(3)
        port, mode = call.integer(4, low=0, high=65535), call.integer(6, _BUFFER, high=_TRANSPARENT)
        call.integer(5, 0, high=65535)
        if not 0 < len(host) <= _HOST_MAX:
            raise SyntaxFault("no host")
        if service != "TCP":
            return self._cannot_open(number, 555, mode)
        if number in self.links:
            return self._cannot_open(number, 563, mode)
        bearer = self.contexts.get(context)
        if bearer is None or bearer.state is not BearerState.ACTIVE:
            return self._cannot_open(number, 561, mode)
        link = self.open_link(number, context, host, port)
        link.mode = mode
        if mode == _TRANSPARENT:
            self._opening = (link, call)
            return LATER
        return OK

    def _cannot_open(self, number: int, error: int, mode: int) -> Answer:
        self._error = error
        if mode == _TRANSPARENT:
            return ERROR
        self.device.urc(f"+QIOPEN: {number},{error}")
        return OK

    def link_opened(self, link: Link) -> None:
        """See `Stack`."""
        opening, self._opening = self._opening, None
        if opening is not None and opening[0] is link:
            opening[1].answer(self._online(link))
            return
        self._opening = opening
        self.device.urc(f"+QIOPEN: {link.number},0")

    def link_failed(self, link: Link) -> None:
        """See `Stack`. The number stays taken until AT+QICLOSE."""
        self._error = _OPEN_ERRORS.get(link.connection.failure or Failure.NO_ANSWER, 566)
        opening, self._opening = self._opening, None
        if opening is not None and opening[0] is link:
            opening[1].answer(ERROR)
            return
        self._opening = opening
        self.device.urc(f"+QIOPEN: {link.number},{self._error}")

    def link_ended(self, link: Link) -> None:
        """See `Stack`."""
        if link is self._transparent:
            self._transparent = None
            self.device.engine.hang_up()
            return
        if link.mode == _PUSH:
            self._push(link)
        self.device.urc(f'+QIURC: "closed",{link.number}')
        if self._configuration.is_on("passiveclosed"):
            self.drop_link(link.number)

    def _close(self, call: Call) -> Answer:
        number = call.integer(0, low=0, high=LINKS_MAX - 1)
        call.integer(1, 10, high=65535)
        self.drop_link(number)
        return OK

    def _states(self, call: Call) -> Answer:
        links = sorted(self.links.values(), key=lambda link: link.number)
        if call.arguments:
            by_number = call.integer(0, low=0, high=1)
            wanted = call.integer(1, high=CONTEXTS_MAX)
            links = [link for link in links if (link.number if by_number else link.context) == wanted]
        return Reply(*(self._state_line(link) for link in links))

    def _state_line(self, link: Link) -> str:
        state = _CLOSING if link.ended else _CONNECTED if link.opened else _OPENING
        connection = link.connection
        local_port = 65535 - link.number
        return (
            f'+QISTATE: {link.number},"TCP","{connection.host}",{connection.port},{local_port},{state},'
            f'{link.context},{link.number},{link.mode},"usbmodem"'
        )

    # --- sending

    def _send(self, call: Call) -> Answer:
        link = self.links.get(call.integer(0, low=0, high=LINKS_MAX - 1))
        if link is None or not link.opened:
            return self._fault(558)
        fixed = len(call.arguments) > 1
        length = call.integer(1, high=SEND_BYTES_MAX) if fixed else None
        if length == 0:
            sent, acked = link.connection.sent, link.connection.acked
            return Reply(f"+QISEND: {sent},{acked},{sent - acked}")
        if not link.is_connected:
            return self._fault(558)
        as_hex = self._configuration.is_on("dataformat")
        return Prompt(
            lambda data: self._sent(link, _from_hex(data.decode("latin-1")) if as_hex else data),
            length=length,
            sign=self.device.profile.prompt,
            size_max=SEND_BYTES_MAX,
        )

    def _send_hex(self, call: Call) -> Answer:
        link = self.links.get(call.integer(0, low=0, high=LINKS_MAX - 1))
        data = _from_hex(call.string(1))
        if len(data) > HEX_BYTES_MAX:
            raise SyntaxFault("too much")
        if link is None or not link.is_connected:
            return self._fault(558)
        return self._sent(link, data)

    def _sent(self, link: Link, data: bytes) -> Answer:
        if not link.is_connected:
            return self._fault(558)
        result = "SEND OK" if link.send(data) else "SEND FAIL"
        if self._configuration.is_on("sendinfo"):
            room = link.connection.room_bytes
            return Reply(f"+QISEND: {link.number},{0 if result == 'SEND OK' else 1},{room}", final=result)
        return Reply(final=result)

    def watch_sent(self, link: Link) -> None:
        """See `Stack`: nothing waits, `SEND OK` is only that the modem has it."""

    # --- receiving

    def data_waits(self, link: Link) -> None:
        """See `Stack`."""
        if link is self._transparent:
            self.device.engine.write(link.read(READ_BYTES_MAX))
        elif link.mode == _PUSH:
            if self.device.engine.urcs_waiting < _URCS_WAITING_MAX:
                self._push(link)
        elif link.mode == _BUFFER and not link.told:
            link.told = True
            length = f",{link.unread_bytes}" if self._configuration.is_on("recvind") else ""
            self.device.urc(f'+QIURC: "recv",{link.number}{length}')

    def _push(self, link: Link) -> None:
        while data := link.read(READ_BYTES_MAX):
            body = self._formatted(data)
            head = f'+QIURC: "recv",{link.number},{len(data)}'
            if self._configuration.is_on("viewmode"):
                self.device.urc(f"{head},".encode("ascii") + body)
            else:
                self.device.urc(head, data=body)

    def _read(self, call: Call) -> Answer:
        link = self.links.get(call.integer(0, low=0, high=LINKS_MAX - 1))
        size = call.integer(1, READ_BYTES_MAX, high=READ_BYTES_MAX)
        if link is None or not link.opened or link.mode != _BUFFER:
            return self._fault(572)
        if len(call.arguments) > 1 and size == 0:
            total = link.read_bytes + link.unread_bytes
            return Reply(f"+QIRD: {total},{link.read_bytes},{link.unread_bytes}")
        data = link.read(size)
        if not data:
            return Reply("+QIRD: 0")
        between = b"," if self._configuration.is_on("viewmode") else b"\r\n"
        return Reply(f"+QIRD: {len(data)}".encode("ascii") + between + self._formatted(data))

    def _formatted(self, data: bytes) -> bytes:
        return data.hex().upper().encode("ascii") if self._configuration.is_on("dataformat", 1) else data

    # --- data mode

    def _online(self, link: Link) -> Online:
        self._transparent = link
        return Online(receive=lambda data: self._pass_on(link, data), left=self._left)

    def _pass_on(self, link: Link, data: bytes) -> None:
        if not link.send(data):
            self.device.engine.hang_up()  # a data mode without flow control has nowhere to put it
            self._transparent = None

    def _left(self) -> None:
        self._transparent = None

    def _switch(self, call: Call) -> Answer:
        link = self.links.get(call.integer(0, low=0, high=LINKS_MAX - 1))
        mode = call.integer(1, high=_TRANSPARENT)
        if link is None or not link.is_connected:
            return self._fault(572)
        link.mode = mode
        return self._online(link) if mode == _TRANSPARENT else OK

    # --- the rest

    def _resolve(self, call: Call) -> Answer:
        context, host = call.integer(0, low=1, high=CONTEXTS_MAX), call.string(1)
        bearer = self.contexts.get(context)
        if bearer is None or bearer.state is not BearerState.ACTIVE:
            return self._fault(561)
        self._lookups.append(bearer.resolve(host))
        return OK

    def poll(self) -> None:
        """See `Stack`."""
        super().poll()
        for lookup in [lookup for lookup in self._lookups if lookup.done]:
            self._lookups.remove(lookup)
            if lookup.address is None:
                self._error = 565
                self.device.urc('+QIURC: "dnsgip",565')
            else:
                self.device.urc('+QIURC: "dnsgip",0,1,3600')
                self.device.urc(f'+QIURC: "dnsgip","{lookup.address}"')

    def _configure(self, call: Call) -> Answer:
        option = call.string(0).lower()
        values = self._configuration.values.get(option)
        if values is None:
            raise SyntaxFault(f"no option {option}")
        if len(call.arguments) == 1:
            return Reply(f'+QICFG: "{option}",{",".join(map(str, values))}')
        call.command.at_most(1 + len(values))
        highest = [65535 if value > 1 else 1 for value in _Configuration().values[option]]
        new = [call.integer(index + 1, values[index], high=high) for index, high in enumerate(highest)]
        self._configuration.values[option] = new
        return OK

    def _last_error(self, _: Call) -> Answer:
        return Reply(f'+QIGETERROR: {self._error},"{ERRORS[self._error]}"')

    def _fault(self, error: int) -> Reply:
        self._error = error
        return ERROR


_OPEN_TEST: Final = '+QIOPEN: (1-16),(0-11),"TCP",<IP_address>/<domain_name>,(0-65535),(0-65535),(0-2)'


def _from_hex(text: str) -> bytes:
    if len(text) % 2 or not text or not text.isascii():
        raise SyntaxFault("not hex")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise SyntaxFault("not hex") from error
