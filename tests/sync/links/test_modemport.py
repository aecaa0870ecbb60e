"""The SIM is let in once, networks that refuse are told apart from those that are far, a modem is found again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.modemfaults import RegistrationDenied, SimLocked
from sim.carrier.carrier import Carrier, Registration
from sim.modem.modem import SimulatedModem
from sim.modem.simcard import SimCard
from sync.link import LinkDown
from sync.links.modemport import Access, ModemPort, NoCoverage

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
    _registers(port)
