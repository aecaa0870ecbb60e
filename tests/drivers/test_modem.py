"""The modem as a whole, on simulated ones of three families; and the library's defects with messages beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from drivers import sms_pdu
from drivers.line import Line
from drivers.modem import (
    Modem,
    ModemRestarted,
    Registration,
    RegistrationState,
    SimState,
    SimStatus,
    SmsArrived,
)
from drivers.modemfaults import (
    AtError,
    ModemFault,
    ModemGarbled,
    ModemGone,
    ModemSilent,
    NotAModem,
    RegistrationDenied,
    SimLocked,
)
from drivers.sms_pdu import Delivery
from sim.carrier import carrier as operator
from sim.carrier.carrier import Carrier
from sim.modem.faults import fill_messages
from sim.modem.modem import SimulatedModem
from sim.modem.profile import PROFILES
from sim.modem.simcard import SimCard
from tests.drivers.scripted import OK, ScriptedModem

# isort: split
# After drivers.line, which keeps the library's own warnings down when it is first imported.
from gsmmodem.modem import GsmModem, SentSms, StatusReport
from gsmmodem.pdu import decodeSmsPdu
from gsmmodem.serial_comms import SerialComms

PATIENCE_S = 10.0
OWN = "+8613900000001"
ICCID = "89860012345678901234"
BAD_PDU = "0791"
GOOD_PDU = "00040D91683109000000F1000462112281031223024142"
LISTING = (
    f"\r\n+CMGL: 1,1,,24\r\n{BAD_PDU}\r\n+CMGL: 2,1,,23\r\n{GOOD_PDU}\r\n+CMGL: 3,1,,23\r\n{GOOD_PDU}\r\n".encode() + OK
)


class Bench:
    """A simulated modem, what it heard, and a driver at it."""

    def __init__(self, profile: str, sim: SimCard | None) -> None:
        rng = Random(1)
        self.heard: list[bytes] = []
        self.card = sim
        self.carrier = Carrier(rng, time.monotonic)
        self.carrier.register_s = 0.05
        self.sim = SimulatedModem(profile=PROFILES[profile], sim=sim, carrier=self.carrier, rng=rng, watch=self._watch)

    def __enter__(self) -> Bench:
        self.sim.__enter__()
        try:
            self.modem = Modem.open(self.sim.path)
        except BaseException:
            self.sim.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.modem.close()
        self.sim.close()
        self.carrier.data.close()

    def ready(self) -> Modem:
        """The modem, booted and registered."""
        self.until(lambda: ModemRestarted() in self.modem.poll(0.5))
        self.until(lambda: self.modem.registration().registered)
        return self.modem

    def until(self, condition: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, "it did not come about"
            self.modem.poll(0.05)

    def _watch(self, way: str, data: bytes) -> None:
        if way == ">":
            self.heard.append(data)


# The modems differ least in what is here: two of them are left to the long tests.
SOME = ["quectel-ec25", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simcom-sim7600", "simcom-sim800"))]


@pytest.fixture(params=SOME)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Bench(request.param, SimCard(number=OWN, iccid=ICCID)) as bench:
        yield bench


@pytest.mark.parametrize("bench", PROFILES, indirect=True)
def test_modem_says_who_it_is_and_how_it_stands(bench: Bench) -> None:
    modem = bench.ready()
    profile = bench.sim.device.profile
    assert (modem.identity.maker, modem.identity.model) == (profile.maker, profile.model)
    assert modem.identity.imei == profile.imei
    assert modem.identity.revision.endswith(profile.revision.split(":")[-1].strip())
    assert modem.sim() == SimStatus(SimState.READY, 3, ICCID)
    assert modem.registration() == Registration(RegistrationState.HOME, "LTE" if profile.lte else "GSM")
    assert -113 <= (modem.signal().dbm or 0) <= -51
    assert modem.operator() == "CAMPUS MOBILE"
    assert modem.ussd("*100#").startswith("Balance")
    clock = modem.network_clock()
    assert clock is not None
    assert abs((clock - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()) < PATIENCE_S


def test_message_goes_out_comes_in_and_is_deleted_by_order_alone(bench: Bench) -> None:
    modem = bench.ready()
    data = bytes(range(140))
    modem.send_sms(OWN, data)
    bench.until(lambda: any(isinstance(event, SmsArrived) for event in modem.poll(0.5)))
    [stored] = modem.read_sms()
    assert (stored.sender, stored.data, stored.part) == (OWN, data, None)
    assert modem.read_sms() == [stored]  # reading leaves it there
    modem.delete_sms(stored)
    modem.delete_sms(stored)
    assert modem.read_sms() == []


def test_restart_is_told_and_forgets_nothing_that_matters(bench: Bench) -> None:
    modem = bench.ready()
    modem.soft_reset()
    assert ModemRestarted() in modem.poll(PATIENCE_S)
    bench.until(lambda: modem.registration().registered)
    modem.send_sms(OWN, b"after")
    bench.until(modem.read_sms)


def test_restart_that_nobody_heard_of_shows_by_its_echo(bench: Bench) -> None:
    modem = bench.ready()
    bench.sim.device.engine.settings.echo = True
    assert modem.signal().dbm is not None
    modem.signal()
    assert ModemRestarted() in modem.poll(0)
    assert not bench.sim.device.engine.settings.echo


def test_radio_goes_off_and_on(bench: Bench) -> None:
    modem = bench.ready()
    modem.radio_off_on()
    bench.until(lambda: modem.registration().registered)


def test_refused_registration_stops_before_the_bearer(bench: Bench) -> None:
    modem = bench.ready()
    bench.carrier.accepts = operator.Registration.DENIED
    bench.until(lambda: modem.registration().state is RegistrationState.DENIED)
    with pytest.raises(RegistrationDenied):
        modem.attach(apn="internet")
    assert modem.network_clock() is None


def test_modem_without_a_sim_says_so(bench: Bench) -> None:
    with bench.carrier.lock:
        bench.sim.device.sim = None
    status = bench.modem.sim()
    assert (status.state, status.iccid) == (SimState.ABSENT, None)
    with pytest.raises(SimLocked):
        bench.modem.enter_pin("1234")


@pytest.mark.parametrize("profile", SOME)
def test_right_pin_opens_the_sim(profile: str) -> None:
    with Bench(profile, SimCard(pin="4711", pin_enabled=True)) as bench:
        bench.until(lambda: bench.modem.sim().state is SimState.PIN)
        bench.modem.enter_pin("4711")
        bench.until(lambda: bench.modem.sim().state is SimState.READY)
        bench.modem.enter_pin("4711")  # nothing to do
        bench.until(lambda: bench.modem.registration().registered)
        bench.modem.send_sms(OWN, b"x")


@pytest.mark.parametrize("profile", SOME)
def test_wrong_pin_is_never_tried_for_the_last_time(profile: str) -> None:
    card = SimCard(pin="4711", pin_enabled=True)
    with Bench(profile, card) as bench:
        bench.until(lambda: bench.modem.sim().state is SimState.PIN)
        for tries_left in (2, 1):
            with pytest.raises(SimLocked) as refused:
                bench.modem.enter_pin("0000")
            assert "0000" not in str(refused.value)
            assert bench.modem.sim().tries_left == tries_left
        with pytest.raises(SimLocked, match="technician"):
            bench.modem.enter_pin("4711")
        assert card.pin_tries == 1


def test_sim_that_wants_its_puk_gets_nothing() -> None:
    card = SimCard(pin="4711", pin_enabled=True, pin_tries=0)
    with Bench("quectel-ec25", card) as bench:
        bench.until(lambda: bench.modem.sim().state is SimState.PUK)
        bench.heard.clear()
        with pytest.raises(SimLocked, match="PUK"):
            bench.modem.enter_pin("4711")
        assert not [line for line in bench.heard if b"AT+CPIN=" in line]
        assert card.puk_tries == 10


def poll_on(modem: Modem) -> None:
    """Poll until it raises; what the modem has said before is told first."""
    for _ in range(20):
        modem.poll(PATIENCE_S)


def test_port_that_is_unplugged_is_found_again_by_its_link(tmp_path: Path) -> None:
    rng = Random(1)
    link = tmp_path / "usb-Quectel_EC25-if02-port0"
    carrier = Carrier(rng, time.monotonic)
    with SimulatedModem(profile=PROFILES["quectel-ec25"], sim=SimCard(), carrier=carrier, rng=rng, link=link) as sim:
        with closing(Modem.open(link)) as modem:
            before = sim.path
            sim.unplug()
            with pytest.raises(ModemGone):
                poll_on(modem)
            sim.plug()
            assert sim.path != before
        with closing(Modem.open(link)) as modem:
            assert modem.identity.model == "EC25"


# Strangers.


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"ATI": b"\r\nHAL 9000\r\n" + OK}, NotAModem),
        ({"ATI": b"\r\nHuawei E220\r\n" + OK}, NotAModem),
        ({"ATI": b"\r\nQuectel\r\nL76 GNSS\r\n" + OK}, NotAModem),
        ({}, NotAModem),
        ({"ATI": b""}, ModemSilent),
        ({"ATI": b"$GPGGA,,,,*00\r\n"}, ModemSilent),
    ],
)
def test_stranger_gets_no_command_but_the_question(
    answers: dict[str, bytes], fault: type[ModemFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.modem.IDENTIFY_S", 0.1)
    with ScriptedModem(answers) as stranger:
        with pytest.raises(fault):
            Modem.open(Path(stranger.path))
        assert set(stranger.raw.replace(b"\x1b", b"").split(b"\r")) == {b"ATI", b""}


def test_unlisted_model_of_a_known_maker_is_taken_by_order_alone() -> None:
    known = {
        "ATI": b"\r\nQuectel\r\nRM500Q\r\n" + OK,
        "AT+CGMI": b"\r\nQuectel\r\n" + OK,
        "AT+CGMM": b"\r\nRM500Q\r\n" + OK,
    }
    known |= {"AT+CGMR": b"\r\nR1\r\n" + OK, "AT+CGSN": b"\r\n86\r\n" + OK} | dict.fromkeys(
        ("AT", "ATE0", "AT+CMEE=1"), OK
    )
    with ScriptedModem(known) as other:
        with pytest.raises(NotAModem):
            Modem.open(Path(other.path))
        with closing(Modem.open(Path(other.path), stack="quectel")) as modem:
            assert modem.identity.stack == "quectel"


# The library's defects with messages (8 to 12), each beside ours.


@pytest.fixture
def store() -> Iterator[ScriptedModem]:
    """A modem with one message that cannot be read, and two after it that can."""
    answers = {"AT+CMGL=4": LISTING, "AT+CPMS=?": b'\r\n+CPMS: ("ME"),("ME"),("ME")\r\n' + OK}
    answers |= {"ATI": b"\r\nQuectel\r\nEC25\r\n" + OK, "AT+CGSN": b"\r\n861107030000014\r\n" + OK}
    answers |= {"AT+CGMI": b"\r\nQuectel\r\n" + OK, "AT+CGMM": b"\r\nEC25\r\n" + OK, "AT+CGMR": b"\r\nR1\r\n" + OK}
    commands = ("AT", "ATE0", "AT+CMEE=1", "AT+CMGF=0", 'AT+CPMS="ME","ME","ME"', "AT+CNMI=2,1,0,0,0", "AT+CMGD=1,0")
    with ScriptedModem(answers | dict.fromkeys((*commands, "AT+CMGD=2,0", "AT+CMGD=1", "AT+CMGD=2"), OK)) as store:
        yield store


@pytest.fixture
def bare(store: ScriptedModem) -> Iterator[GsmModem]:
    """The library as it is, its port open, without the commands that its connect() sends."""
    bare = GsmModem(store.path)
    bare.timeout = 0.1  # of its reader, so that it is closed soon
    SerialComms.connect(bare)
    yield bare
    bare.close()


def test_library_reads_a_message_under_its_neighbours_number(bare: GsmModem) -> None:
    assert [message.index for message in bare.listStoredSms()] != [2, 3]


def test_ours_reads_each_message_under_its_own_number(store: ScriptedModem) -> None:
    with closing(Modem.open(Path(store.path))) as modem:
        assert [(s.index, s.data) for s in modem.read_sms()] == [(1, b""), (2, b"AB"), (3, b"AB")]
        assert not [line for line in store.heard if b"CMGD" in line]
        modem.delete_sms(modem.read_sms()[1])
        assert store.heard[-1] == b"AT+CMGD=2"


def test_library_deletes_before_it_hands_over(store: ScriptedModem, bare: GsmModem) -> None:
    deleted: list[bool] = []
    bare.smsReceivedCallback = lambda sms: deleted.append(any(b"CMGD" in line for line in store.heard))
    store.answers |= {"AT+CMGL=1": LISTING, "AT+CMGL=0": OK, "AT+CMGD=3,0": OK}
    bare.processStoredSms()
    assert deleted
    assert all(deleted)


def test_library_cannot_send_where_character_sets_have_no_brackets(store: ScriptedModem, bare: GsmModem) -> None:
    store.answers |= {"AT+CSCS=?": b'\r\n+CSCS: "IRA"\r\n' + OK}
    bare._commands = ["+CSCS"]
    with pytest.raises(NotImplementedError):  # the bare library gives up on an answer without brackets
        bare.sendSms("+86139", "x")


def test_ours_sends_there(store: ScriptedModem) -> None:
    store.answers |= {"AT+CSCS=?": b'\r\n+CSCS: "IRA"\r\n' + OK, "data": b"\r\n+CMGS: 77\r\n" + OK}
    submit = sms_pdu.encode_submit(OWN, b"\x00\xff")
    store.answers[f"AT+CMGS={submit.length}"] = b"\r\n> "
    with closing(Modem.open(Path(store.path))) as modem:
        assert modem.send_sms(OWN, b"\x00\xff") == 77
    assert store.heard[-1] == submit.pdu.encode()


def test_library_reads_binary_messages_with_a_class_as_text() -> None:
    pdu = GOOD_PDU.replace("0004621", "00F5621").replace("024142", "0480FF0102")
    assert decodeSmsPdu(pdu)["text"].encode("latin-1", "replace") != bytes.fromhex("80FF0102")
    ours = sms_pdu.decode(pdu)
    assert isinstance(ours, sms_pdu.Deliver)
    assert ours.data == bytes.fromhex("80FF0102")


@pytest.mark.parametrize("status", [0x01, 0x02, 0x20, 0x30])
def test_library_takes_a_message_on_its_way_for_failed(status: int, bare: GsmModem) -> None:
    sent = SentSms("+86139", "x", 42)
    sent.report = StatusReport(bare, 0, 42, "+86139", None, None, status)
    assert sent.status == SentSms.FAILED
    ours = sms_pdu.decode(f"00062A0D91683109000000F1{'62112281031223' * 2}{status:02X}")
    assert isinstance(ours, sms_pdu.StatusReport)
    assert ours.delivery is not Delivery.FAILED


def test_library_does_not_read_the_head_of_a_report_and_line_keeps_it_with_its_body(store: ScriptedModem) -> None:
    assert GsmModem.CDS_REGEX.match("+CDS: 26") is None
    with closing(Line(store.path)) as line:
        line.connect()
        store.say(b"\r\n+CDS: 26\r\n00062A\r\n")
        assert line.await_line(r"\+CDS: ", PATIENCE_S).string == "+CDS: 26\n00062A"


# What the network or the store refuses, in words.


def test_full_refusals_are_told_in_words(store: ScriptedModem) -> None:
    submit = sms_pdu.encode_submit(OWN, b"x")
    store.answers |= {f"AT+CMGS={submit.length}": b"\r\n> ", "data": b"\r\n+CMS ERROR: 50\r\n"}
    with closing(Modem.open(Path(store.path))) as modem:
        with pytest.raises(AtError, match="not subscribed"):
            modem.send_sms(OWN, b"x")
        store.answers[f"AT+CMGS={submit.length}"] = b"\r\n+CMS ERROR: 331\r\n"
        with pytest.raises(AtError, match="no network service"):
            modem.send_sms(OWN, b"x")
        with pytest.raises(ModemGarbled):
            modem.ussd('*100#";+CFUN=0;"')


def test_store_that_junk_has_filled_can_be_emptied() -> None:
    card = SimCard(number=OWN)
    count = fill_messages(card)
    with Bench("quectel-ec25", card) as bench:
        modem = bench.ready()
        junk = modem.read_sms()
        assert len(junk) == count > 5
        assert {stored.data for stored in junk} == {b"spam!"}
        for stored in junk:
            modem.delete_sms(stored)
        assert modem.read_sms() == []
