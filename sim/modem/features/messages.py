"""Short messages (27.005): stores, lists, sending, arrival, reports, in PDU and text mode. Left out: cell broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sim.carrier.smsc import Delivery, Refusal
from sim.carrier.tpdu import Deliver, Submit, TpduFault, decode_submit, encode_smsc, encode_submit
from sim.modem.engine import ERROR, LATER, OK, Answer, Call, Prompt, Reply
from sim.modem.errors import Cme, Cms
from sim.modem.message_text import (
    Parameters,
    decode_stored,
    shown_body,
    shown_time,
    typed_content,
    typed_submit,
)
from sim.modem.simcard import SimCard, Status, Store, Stored

if TYPE_CHECKING:
    from sim.modem.device import Device

_SEND_S: Final = (0.1, 0.3)  # the network's answer to one message; seconds on a bad cell
_PDU_BYTES_MAX: Final = 2 * (164 + 12)
_REFUSALS: Final = {
    Refusal.NO_CREDIT: Cms.FACILITY_NOT_SUBSCRIBED,
    Refusal.TOO_FAST: Cms.CONGESTION,
    Refusal.OUT_OF_ORDER: Cms.NETWORK_OUT_OF_ORDER,
}
_ALL: Final = 4
_SILENT, _INDICATED, _ROUTED = 0, 1, 2


class _Messages:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._memories = ["SM", "SM", "SM"]  # kept over restarts, as modems do
        self._next_reference = 0
        self._forget()
        device.on_reset.append(self._forget)
        if device.sim is not None:
            centre, number = device.carrier.smsc, device.sim.number
            centre.join(number, self)
            for store in (device.sim.store, device.me_store):
                store.on_free = lambda: centre.back(number)

    def _forget(self) -> None:
        self._text_mode = False
        self._parameters = Parameters()
        self._shows_header = False
        self._indication, self._reports = _INDICATED, _SILENT
        self._service = 0

    # --- stores

    def _store(self, place: int) -> Store:
        """The store of reading (0), writing (1) or arrival (2)."""
        sim = self._device.sim
        return sim.store if sim is not None and self._memories[place] == "SM" else self._device.me_store

    def _fault(self) -> Cms | None:
        """Why there are no messages now: the SIM."""
        sim = self._device.ready_sim()
        if isinstance(sim, SimCard):
            return None
        return {
            Cme.SIM_NOT_INSERTED: Cms.SIM_NOT_INSERTED,
            Cme.SIM_PIN_REQUIRED: Cms.SIM_PIN_REQUIRED,
            Cme.SIM_PUK_REQUIRED: Cms.SIM_PUK_REQUIRED,
        }.get(sim, Cms.SIM_FAILURE)

    def with_sim(self, handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        """The handler, where the SIM is ready; else the fault."""

        def guarded(call: Call) -> Answer:
            fault = self._fault()
            return handler(call) if fault is None else Reply(final=fault)

        return guarded

    def read_memories(self, _call: Call) -> Answer:
        parts = [f'"{name}",{self._usage(place)}' for place, name in enumerate(self._memories)]
        return Reply(f"+CPMS: {','.join(parts)}")

    def choose_memories(self, call: Call) -> Answer:
        call.command.at_most(3)
        chosen = [call.string(place, self._memories[place]) for place in range(3)]
        if any(name not in ("SM", "ME") for name in chosen):
            return Reply(final=Cms.NOT_ALLOWED)
        self._memories = chosen
        return Reply(f"+CPMS: {','.join(self._usage(place) for place in range(3))}")

    def _usage(self, place: int) -> str:
        store = self._store(place)
        return f"{store.used},{store.capacity}"

    # --- settings

    def read_mode(self, _call: Call) -> Answer:
        return Reply(f"+CMGF: {int(self._text_mode)}")

    def set_mode(self, call: Call) -> Answer:
        self._text_mode = call.integer(0, 0, high=1) == 1
        return OK

    def read_centre(self, _call: Call) -> Answer:
        sim = self._device.sim
        assert sim is not None, "checked before"
        number = self._device.in_charset(sim.smsc if sim.smsc_known else "")
        return Reply(f'+CSCA: "{number}",{145 if sim.smsc.startswith("+") else 129}')

    def set_centre(self, call: Call) -> Answer:
        sim = self._device.sim
        assert sim is not None, "checked before"
        number = call.string(0)
        if not number.removeprefix("+").isdecimal():
            return Reply(final=Cms.NOT_ALLOWED)
        sim.smsc, sim.smsc_known = number, True
        return OK

    def read_parameters(self, _call: Call) -> Answer:
        p = self._parameters
        return Reply(f"+CSMP: {p.first_octet},{p.validity},{p.pid},{p.dcs}")

    def set_parameters(self, call: Call) -> Answer:
        old = self._parameters
        numbers = zip(range(4), (old.first_octet, old.validity, old.pid, old.dcs), strict=True)
        self._parameters = Parameters(*(call.integer(index, default, high=255) for index, default in numbers))
        return OK

    def read_header(self, _call: Call) -> Answer:
        return Reply(f"+CSDH: {int(self._shows_header)}")

    def set_header(self, call: Call) -> Answer:
        self._shows_header = call.integer(0, 0, high=1) == 1
        return OK

    def read_service(self, _call: Call) -> Answer:
        return Reply(f"+CSMS: {self._service},1,1,1")

    def set_service(self, call: Call) -> Answer:
        self._service = call.integer(0, high=1)
        return Reply("+CSMS: 1,1,1")

    def read_indications(self, _call: Call) -> Answer:
        return Reply(f"+CNMI: 2,{self._indication},0,{self._reports},0")

    def set_indications(self, call: Call) -> Answer:
        call.integer(0, 0, high=2)
        indication = call.integer(1, _SILENT, high=3)
        call.integer(2, 0, high=3)
        self._reports = call.integer(3, _SILENT, high=2)
        call.integer(4, 0, high=1)
        self._indication = _INDICATED if indication == 3 else indication  # 3 needs a link that is online, as none is
        return OK

    # --- reading and deleting

    def states(self, _call: Call) -> Answer:
        words = ",".join(f'"{status.value[1]}"' for status in Status)
        return Reply(f'+CMGL: ({words},"ALL")' if self._text_mode else "+CMGL: (0-4)")

    def list_messages(self, call: Call) -> Answer:
        wanted = self._wanted(call)
        if wanted is None:
            return Reply(final=Cms.NOT_ALLOWED)
        lines = []
        for index, stored in sorted(self._store(0).messages.items()):
            if wanted in ("ALL", stored.status):
                lines.append(f"+CMGL: {self._listed(index, stored)}")
                _mark_read(stored)
        return Reply(*(["\r\n".join(lines)] if lines else []))

    def _wanted(self, call: Call) -> Status | str | None:
        if self._text_mode:
            word = call.string(0, Status.REC_UNREAD.value[1])
            return "ALL" if word == "ALL" else next((s for s in Status if s.value[1] == word), None)
        number = call.integer(0, 0, high=_ALL)
        return "ALL" if number == _ALL else next(s for s in Status if s.value[0] == number)

    def read_message(self, call: Call) -> Answer:
        index = call.integer(0)
        stored = self._store(0).messages.get(index)
        if stored is None:
            return Reply(final=Cms.INVALID_INDEX)
        reply = Reply(f"+CMGR: {self._listed(None, stored)}")
        _mark_read(stored)
        return reply

    def _listed(self, index: int | None, stored: Stored) -> str:
        number, word = stored.status.value
        head = [] if index is None else [str(index)]
        if not self._text_mode:
            pdu = (stored.smsc + stored.tpdu).hex().upper()
            return f"{','.join([*head, str(number)])},,{len(stored.tpdu)}\r\n{pdu}"
        message, charset = decode_stored(stored.tpdu), self._device.charset
        head.append(f'"{word}"')
        if message is None:  # a report
            return f"{','.join(head)}\r\n{stored.tpdu.hex().upper()}"
        return f"{','.join([*head, self._text_head(message)])}\r\n{shown_body(message.content, charset)}"

    def _text_head(self, message: Deliver | Submit) -> str:
        number = message.sender if isinstance(message, Deliver) else message.destination
        parts = [f'"{self._device.in_charset(number)}"', ""]
        if isinstance(message, Deliver):
            parts.append(f'"{shown_time(message.sent_at_utc_s, self._device.carrier.zone_quarters)}"')
        if self._shows_header:
            parts += [str(145 if number.startswith("+") else 129), str(message.content.length)]
        return ",".join(parts)

    def deletable(self, _call: Call) -> Answer:
        indexes = ",".join(map(str, sorted(self._store(0).messages)))
        return Reply(f"+CMGD: ({indexes}),(0-4)")

    def delete_message(self, call: Call) -> Answer:
        index, flag = call.integer(0), call.integer(1, 0, high=_ALL)
        store = self._store(0)
        doomed = {Status.REC_READ, *([Status.STO_SENT] if flag > 1 else []), *([Status.STO_UNSENT] if flag > 2 else [])}
        if flag == 0:
            if not store.first <= index < store.first + store.capacity:
                return Reply(final=Cms.INVALID_INDEX)
            store.delete(index)
            return OK
        for each in [i for i, stored in store.messages.items() if flag == _ALL or stored.status in doomed]:
            store.delete(each)
        return OK

    # --- sending

    def send(self, call: Call) -> Answer:
        if self._text_mode:
            number = self._number(call)
            return self._prompt(lambda typed: self._submit(call, lambda: self._typed(number, typed)))
        length = call.integer(0, low=1, high=164)
        return self._prompt(lambda typed: self._submit(call, lambda: self._given(length, typed)))

    def write(self, call: Call) -> Answer:
        """+CMGW: keep it in the second store, unsent."""
        if self._text_mode:
            number = self._number(call) if call.arguments else ""
            return self._prompt(lambda typed: self._keep(lambda: self._typed(number, typed)))
        length = call.integer(0, low=1, high=164)
        return self._prompt(lambda typed: self._keep(lambda: self._given(length, typed)))

    def send_stored(self, call: Call) -> Answer:
        """+CMSS: one that was kept."""
        stored = self._store(1).messages.get(call.integer(0))
        if stored is None:
            return Reply(final=Cms.INVALID_INDEX)
        answer = self._submit(call, lambda: decode_submit(stored.tpdu))
        stored.status = Status.STO_SENT
        return answer

    def _number(self, call: Call) -> str:
        try:
            return self._device.from_charset(call.string(0))
        except ValueError:
            return call.string(0)

    def _prompt(self, then: Callable[[bytes], Answer]) -> Answer:
        return Prompt(then, size_max=_PDU_BYTES_MAX)

    def _typed(self, number: str, typed: bytes) -> Submit:
        content = typed_content(typed, self._parameters, self._device.charset)
        return typed_submit(number, content, self._parameters, 0)

    def _given(self, length: int, typed: bytes) -> Submit:
        """The PDU that was typed in hex; its service centre's address is looked over and the SIM's is used."""
        try:
            pdu = bytes.fromhex(typed.decode("ascii"))
        except ValueError as error:
            raise TpduFault("not hex") from error
        smsc_octets = 1 + (pdu[0] if pdu else 0)
        if len(pdu) - smsc_octets != length:
            raise TpduFault("the length is another")
        return decode_submit(pdu[smsc_octets:])

    def _submit(self, call: Call, make: Callable[[], Submit]) -> Answer:
        try:
            submit = make()
        except TpduFault:
            return Reply(final=Cms.INVALID_TEXT if self._text_mode else Cms.INVALID_PDU)
        device, sim = self._device, self._device.sim
        assert sim is not None, "checked before"
        if not device.is_registered:
            return Reply(final=Cms.NO_NETWORK_SERVICE)
        if not sim.smsc_known:
            return Reply(final=Cms.SMSC_UNKNOWN)
        device.after(device.rng.uniform(*_SEND_S), lambda: call.answer(self._hand_over(sim, submit)))
        return LATER

    def _hand_over(self, sim: SimCard, submit: Submit) -> Reply:
        if not self._device.is_registered:
            return Reply(final=Cms.NO_NETWORK_SERVICE)
        reference, self._next_reference = self._next_reference, (self._next_reference + 1) % 256
        numbered = Submit(
            reference=reference,
            destination=submit.destination,
            content=submit.content,
            validity_s=submit.validity_s,
            wants_report=submit.wants_report,
            rejects_duplicates=submit.rejects_duplicates,
        )
        refusal = self._device.carrier.smsc.submit(sim.number, numbered)
        return Reply(f"+CMGS: {reference}") if refusal is None else Reply(final=_REFUSALS[refusal])

    def _keep(self, make: Callable[[], Submit]) -> Answer:
        try:
            submit = make()
        except TpduFault:
            return Reply(final=Cms.INVALID_TEXT if self._text_mode else Cms.INVALID_PDU)
        index = self._store(1).put(Stored(Status.STO_UNSENT, b"\0", encode_submit(submit)))
        return Reply(final=Cms.MEMORY_FULL) if index is None else Reply(f"+CMGW: {index}")

    # --- arriving

    def deliver(self, tpdu: bytes) -> Delivery:
        """See `sim.carrier.smsc.Subscriber`."""
        device, sim = self._device, self._device.sim
        if sim is None or not device.is_registered:
            return Delivery.AWAY
        is_report = tpdu[0] & 3 == 2
        routed = self._reports == _INDICATED if is_report else self._indication == _ROUTED
        smsc = encode_smsc(sim.smsc)
        if routed:
            device.urc(self._routed(smsc, tpdu, is_report=is_report))
            return Delivery.TAKEN
        if is_report and self._reports == _SILENT:
            return Delivery.TAKEN  # nobody wants it
        index = self._store(2).put(Stored(Status.REC_UNREAD, smsc, tpdu))
        if index is None:
            return Delivery.FULL
        if is_report or self._indication == _INDICATED:
            device.urc(f'{"+CDSI" if is_report else "+CMTI"}: "{self._memories[2]}",{index}')
        return Delivery.TAKEN

    def _routed(self, smsc: bytes, tpdu: bytes, *, is_report: bool) -> str:
        message = decode_stored(tpdu) if self._text_mode and not is_report else None
        if message is None:
            head = f"+CDS: {len(tpdu)}" if is_report else f"+CMT: ,{len(tpdu)}"
            return f"{head}\r\n{(smsc + tpdu).hex().upper()}"
        return f"+CMT: {self._text_head(message)}\r\n{shown_body(message.content, self._device.charset)}"


def _mark_read(stored: Stored) -> None:
    if stored.status is Status.REC_UNREAD:
        stored.status = Status.REC_READ


def install(device: Device) -> None:
    """Register them."""
    messages, commands = _Messages(device), device.commands
    sim = messages.with_sim
    places = '("SM","ME")'
    commands.add(
        "+CPMS",
        read=sim(messages.read_memories),
        test=Reply(f"+CPMS: {places},{places},{places}"),
        set=sim(messages.choose_memories),
    )
    commands.add("+CMGF", read=messages.read_mode, test=Reply("+CMGF: (0,1)"), set=messages.set_mode)
    commands.add("+CSCA", read=sim(messages.read_centre), set=sim(messages.set_centre))
    commands.add("+CSMP", read=messages.read_parameters, set=messages.set_parameters)
    commands.add("+CSDH", read=messages.read_header, test=Reply("+CSDH: (0,1)"), set=messages.set_header)
    commands.add("+CSMS", read=messages.read_service, test=Reply("+CSMS: (0,1)"), set=messages.set_service)
    indications = Reply("+CNMI: (0-2),(0-3),(0-3),(0-2),(0,1)")
    commands.add("+CNMI", read=messages.read_indications, test=indications, set=messages.set_indications)
    commands.add("+CMMS", read=Reply("+CMMS: 0"), test=Reply("+CMMS: (0-2)"), set=OK)
    commands.add("+CNMA", execute=OK, set=OK)
    commands.add(
        "+CMGL",
        execute=sim(messages.list_messages),
        test=messages.states,
        set=sim(messages.list_messages),
    )
    commands.add("+CMGR", set=sim(messages.read_message))
    commands.add("+CMGD", test=sim(messages.deletable), set=sim(messages.delete_message))
    commands.add("+CMGS", set=sim(messages.send))
    commands.add("+CMGW", execute=lambda _: ERROR, set=sim(messages.write))
    commands.add("+CMSS", set=sim(messages.send_stored))
