"""The TCP stack of SIMCom's SIM800 and SIM900: AT+CSTT, CIICR, CIFSR, CIPSTART, CIPSEND, CIPRXGET, CIPSHUT.

Its states must be gone through in their order, and what is out of order is an error. Left out: UDP and servers,
transparent mode, switching the prompt off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sim.carrier.bearer import Bearer, BearerState, Lookup
from sim.modem.engine import LATER, OK, Answer, Call, Prompt, Reply
from sim.modem.engine import Final as Result
from sim.modem.errors import Cme
from sim.modem.stacks.links import Link, Stack
from sim.modem.syntax import SyntaxFault

if TYPE_CHECKING:
    from sim.modem.device import Device

LINKS_MAX: Final = 6
SEND_BYTES_MAX: Final = 1460
READ_BYTES_MAX: Final = 1460
READ_HEX_BYTES_MAX: Final = 730
_CONTEXT: Final = 1
_URCS_WAITING_MAX: Final = 8
_DNS_FAILED: Final = 8

_INITIAL, _START, _GPRSACT, _STATUS = "IP INITIAL", "IP START", "IP GPRSACT", "IP STATUS"
_DEACT: Final = "PDP DEACT"
_OUT_OF_ORDER: Final = Reply(final=Cme.NOT_ALLOWED)

_MANUAL, _READ, _READ_HEX, _COUNT = 1, 2, 3, 4


class Sim800Stack(Stack):
    """See the module."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.forget()
        commands = device.commands
        commands.add("+CIPMUX", read=self._mux_is, test=Reply("+CIPMUX: (0,1)"), set=self._set_mux)
        commands.add("+CIPQSEND", read=self._quick_is, test=Reply("+CIPQSEND: (0,1)"), set=self._set_quick)
        commands.add("+CIPHEAD", read=self._head_is, test=Reply("+CIPHEAD: (0,1)"), set=self._set_head)
        commands.add("+CSTT", execute=self._start, read=self._apn_is, set=self._start)
        commands.add("+CIICR", execute=self._bring_up)
        commands.add("+CIFSR", execute=self._address)
        commands.add("+CIPSTATUS", execute=self._status, set=self._link_status)
        commands.add("+CIPSTART", test=Reply(*_START_TEST), set=self._open)
        commands.add("+CIPSEND", execute=self._send, read=self._send_sizes, set=self._send)
        commands.add("+CIPRXGET", read=self._receiving_is, set=self._get)
        commands.add("+CIPACK", execute=self._acknowledged, set=self._acknowledged)
        commands.add("+CIPCLOSE", execute=self._close, set=self._close)
        commands.add("+CIPSHUT", execute=self._shut)
        commands.add("+CDNSGIP", set=self._resolve)

    def forget(self) -> None:
        """See `Stack`."""
        self._phase = _INITIAL
        self._apn = ("CMNET", "", "")
        self._mux = False
        self._quick = False
        self._head = False
        self._is_manual = False
        self._lookups: list[tuple[str, Lookup]] = []
        self._unacknowledged: tuple[Link, int, Call] | None = None

    # --- states and settings

    @property
    def state(self) -> str:
        """As AT+CIPSTATUS tells it."""
        if self._phase != _STATUS or not self.links:
            return self._phase
        if self._mux:
            return "IP PROCESSING"
        link = self.links[0]
        return "CONNECT OK" if link.is_connected else "TCP CLOSED" if link.ended else "TCP CONNECTING"

    def _mux_is(self, _: Call) -> Answer:
        return Reply(f"+CIPMUX: {int(self._mux)}")

    def _set_mux(self, call: Call) -> Answer:
        mux = call.integer(0, high=1) == 1
        if mux != self._mux and self.state != _INITIAL:
            return _OUT_OF_ORDER
        self._mux = mux
        return OK

    def _quick_is(self, _: Call) -> Answer:
        return Reply(f"+CIPQSEND: {int(self._quick)}")

    def _set_quick(self, call: Call) -> Answer:
        self._quick = call.integer(0, high=1) == 1
        return OK

    def _head_is(self, _: Call) -> Answer:
        return Reply(f"+CIPHEAD: {int(self._head)}")

    def _set_head(self, call: Call) -> Answer:
        self._head = call.integer(0, high=1) == 1
        return OK

    def _apn_is(self, _: Call) -> Answer:
        return Reply(f'+CSTT: "{self._apn[0]}","{self._apn[1]}","{self._apn[2]}"')

    def _start(self, call: Call) -> Answer:
        if self.state != _INITIAL:
            return _OUT_OF_ORDER
        if call.arguments:
            self._apn = (call.string(0), call.string(1, ""), call.string(2, ""))
        self._phase = _START
        return OK

    def _bring_up(self, call: Call) -> Answer:
        if self.state != _START:
            return _OUT_OF_ORDER
        self.device.after(self.activation_s, lambda: call.answer(self._brought_up()))
        return LATER

    def _brought_up(self) -> Answer:
        if isinstance(self.activate(_CONTEXT, self._apn[0]), Bearer):
            self._phase = _GPRSACT
            return OK
        self._phase = _DEACT
        return Reply("+PDP: DEACT", final=Result.ERROR)

    def _address(self, _: Call) -> Answer:
        bearer = self._bearer
        if bearer is None:
            return _OUT_OF_ORDER
        self._phase = _STATUS
        return Reply(bearer.address, final=None)  # the maker forgot the OK

    def _shut(self, call: Call) -> Answer:
        self._drop_all()
        self.deactivate(_CONTEXT)
        self._phase = _INITIAL
        self.device.after(self.activation_s / 2, lambda: call.answer(Reply(final="SHUT OK")))
        return LATER

    @property
    def _bearer(self) -> Bearer | None:
        bearer = self.contexts.get(_CONTEXT)
        return bearer if bearer is not None and bearer.state is BearerState.ACTIVE else None

    def context_lost(self, context: int) -> None:
        """See `Stack`. Only AT+CIPSHUT leads out of this."""
        self._drop_all()
        self._phase = _DEACT
        self.device.urc("+PDP: DEACT")

    def _drop_all(self) -> None:
        waiting, self._unacknowledged = self._unacknowledged, None
        if waiting is not None:
            waiting[2].answer(Reply(final=self._of(waiting[0], "SEND FAIL")))
        for number in list(self.links):
            self.drop_link(number)

    def _status(self, _: Call) -> Answer:
        """The OK comes first, then the state."""
        self.device.urc(f"STATE: {self.state}")
        if self._mux:
            for number in range(LINKS_MAX):
                self.device.urc(f"C: {self._link_line(number)}")
        return OK

    def _link_status(self, call: Call) -> Answer:
        if not self._mux:
            return _OUT_OF_ORDER
        return Reply(f"+CIPSTATUS: {self._link_line(call.integer(0, high=LINKS_MAX - 1))}")

    def _link_line(self, number: int) -> str:
        link = self.links.get(number)
        if link is None:
            return f'{number},,"","","","INITIAL"'
        word = "CONNECTED" if link.is_connected else "REMOTE CLOSING" if link.unread_bytes else "CLOSED"
        if not link.opened and not link.ended:
            word = "CONNECTING"
        return f'{number},0,"TCP","{link.connection.host}","{link.connection.port}","{word}"'

    # --- links

    def _of(self, link: Link, text: str) -> str:
        """With several links every message begins with the link's number."""
        return f"{link.number}, {text}" if self._mux else text

    def _number(self, call: Call) -> tuple[int, int]:
        """The link that a command is about, and the index of the argument after it."""
        return (call.integer(0, high=LINKS_MAX - 1), 1) if self._mux else (0, 0)

    def _open(self, call: Call) -> Answer:
        number, after = self._number(call)
        service, host = call.string(after).upper(), call.string(after + 1)
        port = _port(call.string(after + 2))
        if service != "TCP" or not host:
            raise SyntaxFault("TCP alone")
        old = self.links.get(number)
        if old is not None and not old.ended:
            self.device.urc(self._of(old, "ALREADY CONNECT"))
            return OK
        if not self._mux and self._phase in (_INITIAL, _START, _GPRSACT):
            return self._open_from_nothing(call, host, port)
        if self._bearer is None or self._phase != _STATUS:
            return _OUT_OF_ORDER
        self.drop_link(number)
        self.open_link(number, _CONTEXT, host, port)
        return OK

    def _open_from_nothing(self, call: Call, host: str, port: int) -> Answer:
        """With a single link, AT+CIPSTART goes through the states by itself."""

        def open_now() -> None:
            if self._bearer is None and not isinstance(self.activate(_CONTEXT, self._apn[0]), Bearer):
                self._phase = _DEACT
                self.device.urc("STATE: PDP DEACT")
                self.device.urc("CONNECT FAIL")
            else:
                self._phase = _STATUS
                self.open_link(0, _CONTEXT, host, port)
            call.answer(OK)

        self.device.after(self.activation_s, open_now)
        return LATER

    def link_opened(self, link: Link) -> None:
        """See `Stack`."""
        self.device.urc(self._of(link, "CONNECT OK"))

    def link_failed(self, link: Link) -> None:
        """See `Stack`."""
        if not self._mux:
            self.device.urc("STATE: TCP CLOSED")
        self.device.urc(self._of(link, "CONNECT FAIL"))
        self.drop_link(link.number)

    def link_ended(self, link: Link) -> None:
        """See `Stack`."""
        waiting = self._unacknowledged
        if waiting is not None and waiting[0] is link:
            self._unacknowledged = None
            waiting[2].answer(Reply(final=self._of(link, "SEND FAIL")))
        if not self._is_manual:
            self._hand_over(link)
        self.device.urc(self._of(link, "CLOSED"))

    def _close(self, call: Call) -> Answer:
        number, _ = self._number(call)
        link = self.links.get(number)
        if link is None or link.ended:
            self.drop_link(number)
            return _OUT_OF_ORDER
        self.drop_link(number)
        return Reply(final=self._of(link, "CLOSE OK"))

    # --- sending

    def _send_sizes(self, _: Call) -> Answer:
        if not self._mux:
            return Reply(f"+CIPSEND: {SEND_BYTES_MAX}")
        return Reply(*(f"+CIPSEND: {number},{SEND_BYTES_MAX}" for number in range(LINKS_MAX)))

    def _send(self, call: Call) -> Answer:
        number, after = self._number(call)
        given = len(call.arguments) > after
        length = call.integer(after, low=1, high=SEND_BYTES_MAX) if given else None
        link = self.links.get(number)
        if link is None or not link.is_connected:
            return _OUT_OF_ORDER
        sign = self.device.profile.prompt
        return Prompt(lambda data: self._sent(call, link, data), length=length, sign=sign, size_max=SEND_BYTES_MAX)

    def _sent(self, call: Call, link: Link, data: bytes) -> Answer:
        if not link.is_connected or not link.send(data):
            return Reply(final=self._of(link, "SEND FAIL"))
        if self._quick:
            return Reply(final=f"DATA ACCEPT:{link.number},{len(data)}" if self._mux else f"DATA ACCEPT:{len(data)}")
        self._unacknowledged = (link, link.connection.sent, call)
        return LATER

    def watch_sent(self, link: Link) -> None:
        """See `Stack`. Without quick send the peer's acknowledgement is waited for."""
        waiting = self._unacknowledged
        if waiting is not None and waiting[0] is link and link.connection.acked >= waiting[1]:
            self._unacknowledged = None
            waiting[2].answer(Reply(final=self._of(link, "SEND OK")))

    def _acknowledged(self, call: Call) -> Answer:
        link = self.links.get(self._number(call)[0])
        if link is None:
            return _OUT_OF_ORDER
        sent, acked = link.connection.sent, link.connection.acked
        return Reply(f"+CIPACK: {sent}, {acked}, {sent - acked}")

    # --- receiving

    def _receiving_is(self, _: Call) -> Answer:
        return Reply(f"+CIPRXGET: {int(self._is_manual)}")

    def _get(self, call: Call) -> Answer:
        what = call.integer(0, high=_COUNT)
        if what <= _MANUAL:
            self._is_manual = what == _MANUAL
            return OK
        number = call.integer(1, high=LINKS_MAX - 1) if self._mux else 0
        after = 2 if self._mux else 1
        shown = f"{number}," if self._mux else ""
        link = self.links.get(number)
        if link is None or not self._is_manual:
            return _OUT_OF_ORDER
        if what == _COUNT:
            return Reply(f"+CIPRXGET: {_COUNT},{shown}{link.unread_bytes}")
        size_max = READ_BYTES_MAX if what == _READ else READ_HEX_BYTES_MAX
        data = link.read(call.integer(after, size_max, low=1, high=size_max))
        head = f"+CIPRXGET: {what},{shown}{len(data)},{link.unread_bytes}"
        if not data:
            return Reply(head)
        body = data if what == _READ else data.hex().upper().encode("ascii")
        return Reply(f"{head}\r\n".encode("ascii") + body)

    def data_waits(self, link: Link) -> None:
        """See `Stack`."""
        if self._is_manual:
            if not link.told:
                link.told = True
                self.device.urc(f"+CIPRXGET: 1,{link.number}" if self._mux else "+CIPRXGET: 1")
        elif self.device.engine.urcs_waiting < _URCS_WAITING_MAX:
            self._hand_over(link)

    def _hand_over(self, link: Link) -> None:
        """Without AT+CIPRXGET=1 data comes as it comes; a single link's without a word, unless AT+CIPHEAD=1."""
        while data := link.read(READ_BYTES_MAX):
            if self._mux:
                self.device.urc(f"+RECEIVE,{link.number},{len(data)}:", data=data)
            elif self._head:
                self.device.urc(f"+IPD,{len(data)}:".encode("ascii") + data)
            else:
                self.device.urc(data)

    # --- names

    def _resolve(self, call: Call) -> Answer:
        host, bearer = call.string(0), self._bearer
        if bearer is None:
            return _OUT_OF_ORDER
        self._lookups.append((host, bearer.resolve(host)))
        return OK

    def poll(self) -> None:
        """See `Stack`."""
        super().poll()
        for entry in [entry for entry in self._lookups if entry[1].done]:
            self._lookups.remove(entry)
            host, lookup = entry
            if lookup.address is None:
                self.device.urc(f"+CDNSGIP: 0,{_DNS_FAILED}")
            else:
                self.device.urc(f'+CDNSGIP: 1,"{host}","{lookup.address}"')


_START_TEST: Final = (
    '+CIPSTART: (0-5),("TCP"),("(0-255).(0-255).(0-255).(0-255)"),(1-65535)',
    '+CIPSTART: (0-5),("TCP"),("DOMAIN NAME"),(1-65535)',
)


def _port(text: str) -> int:
    """In quotes or not."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise SyntaxFault("not a port")
    return int(text)
