"""The SIM is let in once, networks that refuse are told apart from those that are far, a modem is found again."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from drivers.modem import Modem, PdpLost
from drivers.modemfaults import NotAModem, RegistrationDenied, SimLocked
from drivers.serialport import find_port
from sim.carrier.carrier import Carrier, Registration
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, hurried
from sim.modem.simcard import SimCard
from sync.link import LinkDown
from sync.links.modemport import Access, ModemPort, NoCoverage
from sync.store import UplinkStore
from tests.drivers.scripted import OK, ScriptedModem
from tests.sync.links.conftest import boot

PlugIn = Callable[..., SimulatedModem]
PortOf = Callable[..., ModemPort]


def _registers(port: ModemPort) -> None:
    with port.registered():
        return


def test_right_pin_is_entered_by_itself(plug_in: PlugIn, port_of: PortOf) -> None:
    modem = plug_in(sim=SimCard(pin="4711", pin_enabled=True))
    port = port_of(modem, Access(pin="4711"))
    _registers(port)
    assert port.seen()["sim"] == "ready"


def test_wrong_pin_is_tried_once_for_good(plug_in: PlugIn, port_of: PortOf) -> None:
    sim = SimCard(pin="4711", pin_enabled=True)
    modem = plug_in(sim=sim)
    before = sim.pin_tries
    for attempt in range(3):
        port = port_of(modem, Access(pin="1111"))
        with pytest.raises(SimLocked, match="not tried again" if attempt else "refused"), port.registered():
            pass
        port.close()
    assert sim.pin_tries == before - 1
    _registers(port_of(modem, Access(pin="4711")))


def test_pin_whose_answer_never_came_is_tried_again_if_the_sim_counted_nothing(
    plug_in: PlugIn, port_of: PortOf, store: UplinkStore
) -> None:
    sim = SimCard(pin="4711", pin_enabled=True)
    modem = plug_in(sim=sim)
    digest = hashlib.sha256(f"{sim.iccid} 4711".encode()).digest()
    store.save_refused_pin(sim.iccid, digest, 3)  # and then the power failed
    port = port_of(modem, Access(pin="4711"))
    _registers(port)
    assert store.refused_pin(sim.iccid) is None


@pytest.mark.parametrize("tries_before", [None, 3])
def test_pin_whose_answer_never_came_is_not_tried_again_if_it_may_have_been_wrong(
    tries_before: int | None, plug_in: PlugIn, port_of: PortOf, store: UplinkStore
) -> None:
    sim = SimCard(pin="4711", pin_enabled=True, pin_tries=2)
    digest = hashlib.sha256(f"{sim.iccid} 1111".encode()).digest()
    store.save_refused_pin(sim.iccid, digest, tries_before)
    port = port_of(plug_in(sim=sim), Access(pin="1111"))
    with pytest.raises(SimLocked, match="not tried again"), port.registered():
        pass
    assert sim.pin_tries == 2


def test_secrets_are_not_in_what_a_log_would_print() -> None:
    assert "4711" not in repr(Access(apn="cmnet", user="campus", password="4711", pin="4711"))


def test_bearer_that_went_while_nothing_was_connected_is_made_anew(plug_in: PlugIn, port_of: PortOf) -> None:
    modem = plug_in()
    port = port_of(modem)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port.connect("127.0.0.1", server.getsockname()[1]).close()
        modem.urc('+QIURC: "pdpdeact",1')
        while PdpLost() not in port.events(1.0):
            pass
        port.connect("127.0.0.1", server.getsockname()[1]).close()


def test_stranger_in_the_modems_place_is_asked_who_it_is_and_nothing_more(store: UplinkStore, tmp_path: Path) -> None:
    place = tmp_path / "usb-modem-if02-port0"
    carrier = Carrier(Random(1), time.monotonic)
    carrier.register_s = 0.02
    port = ModemPort(lambda: Modem.open(find_port(str(place))), Access(apn="internet"), store=store, search_s=1.5)
    with SimulatedModem(profile=hurried(EC25), sim=SimCard(), carrier=carrier, rng=Random(2), link=place) as modem:
        boot(modem)
        _registers(port)
        modem.unplug()
        with pytest.raises(LinkDown), port.registered():
            pass
    with closing(carrier), ScriptedModem({"ATI": b"\r\nHAL 9000\r\n" + OK}) as stranger:
        place.symlink_to(stranger.path)
        for _ in range(2):
            with pytest.raises(NotAModem), port.registered():
                pass
        assert stranger.raw == b"ATI\rATI\r"
    port.close()


def test_sim_that_wants_a_pin_nobody_gave_calls_for_a_technician(plug_in: PlugIn, port_of: PortOf) -> None:
    sim = SimCard(pin_enabled=True)
    port = port_of(plug_in(sim=sim), Access())
    with pytest.raises(SimLocked, match=r"terminal\.toml, \[modem\] pin"), port.registered():
        pass
    assert sim.pin_tries == 3


@pytest.mark.parametrize(
    ("answer", "fault"), [(Registration.DENIED, RegistrationDenied), (Registration.SEARCHING, NoCoverage)]
)
def test_network_that_refuses_is_told_apart_from_none(
    answer: Registration, fault: type[Exception], carrier: Carrier, plug_in: PlugIn, port_of: PortOf
) -> None:
    carrier.accepts = answer
    port = port_of(plug_in())
    with pytest.raises(fault), port.registered():
        pass


def test_modem_that_comes_back_under_another_name_is_found_again(plug_in: PlugIn, port_of: PortOf) -> None:
    modem = plug_in()
    port = port_of(modem)
    _registers(port)
    modem.unplug()
    with pytest.raises(LinkDown), port.registered():
        pass
    modem.plug()
    boot(modem)
    _registers(port)
