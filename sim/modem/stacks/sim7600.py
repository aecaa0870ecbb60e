"""The TCP stack of SIMCom's SIM7600 (AT command manual, chapter 11): AT+NETOPEN, CIPOPEN, CIPSEND, CIPRXGET.

Left out: UDP and servers, transparent mode (AT+CIPMODE=1 is ERROR), numbers instead of words in `+IP ERROR`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sim.carrier.bearer import Bearer, BearerState, Failure, Lookup
from sim.modem.engine import ERROR, LATER, OK, Answer, Call, Prompt, Reply
from sim.modem.engine import Final as Result
from sim.modem.stacks.links import Link, Stack

if TYPE_CHECKING:
    from sim.modem.device import Device

LINKS_MAX: Final = 10
SEND_BYTES_MAX: Final = 1500
READ_BYTES_MAX: Final = 1500
READ_HEX_BYTES_MAX: Final = 750
_CONTEXT: Final = 1
_URCS_WAITING_MAX: Final = 8

# <err> of +CIPOPEN, +NETOPEN and the like.
_OK, _NETWORK_FAILURE, _NOT_OPENED, _WRONG_PARAMETER, _NOT_SUPPORTED, _CREATE_FAILED = range(6)
_TIMED_OUT, _DNS_FAILED = 10, 11
_OPEN_ERRORS: Final = {
    Failure.UNKNOWN_HOST: _DNS_FAILED,
    Failure.REFUSED: _CREATE_FAILED,
    Failure.NO_ANSWER: _TIMED_OUT,
    Failure.BEARER_LOST: _NETWORK_FAILURE,
}
_CLOSED_BY_PEER, _SENDING_TIMED_OUT = 1, 2

_MANUAL, _READ, _READ_HEX, _COUNT = 1, 2, 3, 4
_INVALID: Final = Reply("+IP ERROR: Invalid parameter", final=Result.ERROR)


class Sim7600Stack(Stack):
    """See the module."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.forget()
        commands = device.commands
        commands.add("+NETOPEN", execute=self._net_open, read=self._net_state)
        commands.add("+NETCLOSE", execute=self._net_close)
        commands.add("+IPADDR", execute=self._address)
        commands.add("+CIPMODE", read=Reply("+CIPMODE: 0"), test=Reply("+CIPMODE: (0)"), set=self._mode)
        commands.add("+CIPSENDMODE", read=self._send_mode_is, test=Reply("+CIPSENDMODE: (0-1)"), set=self._send_mode)
        commands.add("+CIPTIMEOUT", read=self._timeouts_are, set=self._timeouts)
        commands.add("+CIPCCFG", read=self._configuration_is, set=self._configure)
        commands.add("+CIPRXGET", read=self._receiving_is, test=Reply("+CIPRXGET: (0-4),(0-9),(1-1500)"), set=self._get)
        commands.add("+CIPOPEN", read=self._opened, test=Reply('+CIPOPEN: (0-9),("TCP","UDP")'), set=self._open)
        commands.add("+CIPSEND", test=Reply("+CIPSEND: (0-9),(1-1500)"), set=self._send)
        commands.add("+CIPCLOSE", read=self._closed, test=Reply("+CIPCLOSE: (0-9)"), set=self._close)
        commands.add("+CIPACK", test=Reply("+CIPACK: (0-9)"), set=self._acknowledged)
        commands.add("+CDNSGIP", set=self._resolve)

    def forget(self) -> None:
        """See `Stack`."""
        self._is_open = False
        self._is_opening = False
        self._is_manual = False
        self._waits_for_ack = False
        self._header_type = 0
        self._timeouts_ms = [120_000, 120_000, 120_000]
        self._configured = [10, 0, 0, 1, 0, 0, 75_000]
        self._lookups: list[tuple[str, Lookup, Call]] = []
        self._unacknowledged: dict[int, list[tuple[int, int]]] = {}  # by link: total then sent, and length

    # --- the network

    def _net_open(self, _: Call) -> Answer:
        if self._is_open:
            return Reply("+IP ERROR: Network is already opened", final=Result.ERROR)
        if self._is_opening or self.device.sim is None:
            return ERROR
        self._is_opening = True
        self.device.after(self.activation_s, self._net_opened)
        return OK

    def _net_opened(self) -> None:
        self._is_opening = False
        bearer = self.activate(_CONTEXT, self.apns.get(_CONTEXT, ""))
        self._is_open = isinstance(bearer, Bearer)
        self.device.urc(f"+NETOPEN: {_OK if self._is_open else _NETWORK_FAILURE}")

    def _net_state(self, _: Call) -> Answer:
        return Reply(f"+NETOPEN: {int(self._is_open)}")  # 1 is open here, while 0 is success in the URC

    def _net_close(self, _: Call) -> Answer:
        if not self._is_open:
            return Reply(f"+NETCLOSE: {_NOT_OPENED}", final=Result.ERROR)
        self._is_open = False
        self._drop_all()
        self.deactivate(_CONTEXT)
        self.device.urc(f"+NETCLOSE: {_OK}")
        return OK

    def _address(self, _: Call) -> Answer:
        bearer = self._bearer
        if bearer is None:
            return Reply("+IP ERROR: Network not opened", final=Result.ERROR)
        return Reply(f"+IPADDR: {bearer.address}")

    @property
    def _bearer(self) -> Bearer | None:
        bearer = self.contexts.get(_CONTEXT)
        return bearer if self._is_open and bearer is not None and bearer.state is BearerState.ACTIVE else None

    def context_lost(self, context: int) -> None:
        """See `Stack`. Sometimes the network still counts as open, and must be closed by command."""
        self._drop_all()
        if self.device.rng.random() < 0.5:
            self._is_open = False
            self.deactivate(context)
        self.device.urc("+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY")

    def _drop_all(self) -> None:
        for number in list(self.links):
            self.drop_link(number)
        self._unacknowledged.clear()

    # --- settings

    def _mode(self, call: Call) -> Answer:
        call.integer(0, high=0)
        return OK

    def _send_mode_is(self, _: Call) -> Answer:
        return Reply(f"+CIPSENDMODE: {int(self._waits_for_ack)}")

    def _send_mode(self, call: Call) -> Answer:
        self._waits_for_ack = call.integer(0, high=1) == 1
        return OK

    def _timeouts_are(self, _: Call) -> Answer:
        return Reply(f"+CIPTIMEOUT: {','.join(map(str, self._timeouts_ms))}")

    def _timeouts(self, call: Call) -> Answer:
        self._timeouts_ms = [
            call.integer(index, default, low=3000, high=120_000) for index, default in enumerate(self._timeouts_ms)
        ]
        return OK

    def _configuration_is(self, _: Call) -> Answer:
        return Reply(f"+CIPCCFG: {','.join(map(str, self._configured))}")

    def _configure(self, call: Call) -> Answer:
        highest = (10, 1000, 1, 1, 1, 1, 120_000)
        self._configured = [
            call.integer(index, self._configured[index], high=high) for index, high in enumerate(highest)
        ]
        self._header_type = self._configured[4]
        return OK

    # --- links

    def _open(self, call: Call) -> Answer:
        number = _link_number(call)
        if number is None or len(call.arguments) < 4:
            return _INVALID
        service, host, port = call.string(1).upper(), call.string(2), call.integer(3, low=0, high=65535)
        if service != "TCP":
            return Reply(f"+CIPOPEN: {number},{_NOT_SUPPORTED}", final=Result.ERROR)
        bearer, old = self._bearer, self.links.get(number)
        if bearer is None or (old is not None and not old.ended):
            return Reply(f"+CIPOPEN: {number},{_NOT_OPENED}", final=Result.ERROR)
        self.drop_link(number)
        self._unacknowledged.pop(number, None)
        self.open_link(number, _CONTEXT, host, port)
        return OK

    def _opened(self, _: Call) -> Answer:
        lines = []
        for number in range(LINKS_MAX):
            link = self.links.get(number)
            if link is not None and link.is_connected:
                lines.append(f'+CIPOPEN: {number},"TCP","{link.connection.host}",{link.connection.port},-1')
            else:
                lines.append(f"+CIPOPEN: {number}")
        return Reply(*lines)

    def link_opened(self, link: Link) -> None:
        """See `Stack`."""
        self.device.urc(f"+CIPOPEN: {link.number},{_OK}")

    def link_failed(self, link: Link) -> None:
        """See `Stack`. Unlike Quectel's, the number is free again."""
        error = _OPEN_ERRORS.get(link.connection.failure or Failure.NO_ANSWER, _NETWORK_FAILURE)
        self.device.urc(f"+CIPOPEN: {link.number},{error}")
        self.drop_link(link.number)

    def link_ended(self, link: Link) -> None:
        """See `Stack`."""
        if not self._is_manual:
            self._hand_over(link)
        timed_out = link.connection.failure is Failure.GAVE_UP
        self.device.urc(f"+IPCLOSE: {link.number},{_SENDING_TIMED_OUT if timed_out else _CLOSED_BY_PEER}")

    def _close(self, call: Call) -> Answer:
        number = _link_number(call)
        if number is None:
            return _INVALID
        link = self.links.get(number)
        if link is None or link.ended:
            return Reply(f"+CIPCLOSE: {number},{_NOT_SUPPORTED}", final=Result.ERROR)
        self.drop_link(number)
        self.device.urc(f"+CIPCLOSE: {number},{_OK}")
        return OK

    def _closed(self, _: Call) -> Answer:
        states = [int(number in self.links and self.links[number].is_connected) for number in range(LINKS_MAX)]
        return Reply(f"+CIPCLOSE: {','.join(map(str, states))}")

    # --- sending

    def _send(self, call: Call) -> Answer:
        number = _link_number(call)
        if number is None:
            return _INVALID
        # `AT+CIPSEND=0,` leaves the length out: then ^Z ends, and 03 takes the next byte as it is.
        given = len(call.arguments) > 1 and call.arguments[1] != ""
        length = call.integer(1, low=1, high=SEND_BYTES_MAX) if given else None
        link = self.links.get(number)
        if link is None or not link.is_connected:
            return Reply(f"+CIPERROR: {_NOT_SUPPORTED if self._is_open else _NOT_OPENED}", final=Result.ERROR)
        return Prompt(
            lambda data: self._sent(link, data),
            length=length,
            sign=self.device.profile.prompt,
            etx_escapes=True,
            size_max=SEND_BYTES_MAX,
        )

    def _sent(self, link: Link, data: bytes) -> Answer:
        requested = len(data)
        if not link.is_connected:
            self.device.urc(f"+CIPSEND: {link.number},{requested},-1")
        elif not link.send(data):
            self.device.urc(f"+CIPSEND: {link.number},{requested},0")
        elif self._waits_for_ack:
            self._unacknowledged.setdefault(link.number, []).append((link.connection.sent, requested))
        else:
            self.device.urc(f"+CIPSEND: {link.number},{requested},{requested}")
        return OK

    def watch_sent(self, link: Link) -> None:
        """See `Stack`."""
        waiting = self._unacknowledged.get(link.number, [])
        while waiting and link.connection.acked >= waiting[0][0]:
            _, requested = waiting.pop(0)
            self.device.urc(f"+CIPSEND: {link.number},{requested},{requested}")

    def _acknowledged(self, call: Call) -> Answer:
        number = _link_number(call)
        link = self.links.get(number) if number is not None else None
        if link is None:
            return _INVALID if number is None else ERROR
        connection = link.connection
        return Reply(f"+CIPACK: {connection.sent},{connection.acked},{connection.received}")

    # --- receiving

    def _receiving_is(self, _: Call) -> Answer:
        return Reply(f"+CIPRXGET: {int(self._is_manual)}")

    def _get(self, call: Call) -> Answer:
        what = call.integer(0, high=_COUNT)
        if what <= _MANUAL:
            self._is_manual = what == _MANUAL
            return OK
        number = _link_number(call, 1)
        if number is None:
            return _INVALID
        link = self.links.get(number)
        if link is None or not self._is_manual:
            return ERROR
        if what == _COUNT:
            return Reply(f"+CIPRXGET: {_COUNT},{number},{link.unread_bytes}")
        size_max = READ_BYTES_MAX if what == _READ else READ_HEX_BYTES_MAX
        data = link.read(call.integer(2, size_max, low=1, high=size_max))
        if not data:
            return Reply("+IP ERROR: No data", final=Result.ERROR)
        head = f"+CIPRXGET: {what},{number},{len(data)},{link.unread_bytes}\r\n".encode("ascii")
        return Reply(head + (data if what == _READ else data.hex().upper().encode("ascii")))

    def data_waits(self, link: Link) -> None:
        """See `Stack`."""
        if self._is_manual:
            if not link.told:
                link.told = True
                self.device.urc(f"+CIPRXGET: 1,{link.number}")
        elif self.device.engine.urcs_waiting < _URCS_WAITING_MAX:
            self._hand_over(link)

    def _hand_over(self, link: Link) -> None:
        while data := link.read(READ_BYTES_MAX):
            if self._header_type:
                self.device.urc(f"+RECEIVE,{link.number},{len(data)}", data=data)
            else:
                head = f"RECV FROM:{link.connection.host}:{link.connection.port}"
                self.device.urc(head, data=f"+IPD{len(data)}\r\n".encode("ascii") + data)

    # --- names

    def _resolve(self, call: Call) -> Answer:
        host, bearer = call.string(0), self._bearer
        if bearer is None:
            return Reply(f"+CDNSGIP: 0,{_TIMED_OUT}", final=Result.ERROR)
        self._lookups.append((host, bearer.resolve(host), call))
        return LATER

    def poll(self) -> None:
        """See `Stack`."""
        super().poll()
        for entry in [entry for entry in self._lookups if entry[1].done]:
            self._lookups.remove(entry)
            host, lookup, call = entry
            if lookup.address is None:
                call.answer(Reply(f"+CDNSGIP: 0,{_TIMED_OUT}", final=Result.ERROR))
            else:
                call.answer(Reply(f'+CDNSGIP: 1,"{host}","{lookup.address}"'))


def _link_number(call: Call, index: int = 0) -> int | None:
    number = call.integer(index)
    return number if number < LINKS_MAX else None
