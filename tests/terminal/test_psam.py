"""The PSAM's slot: connected once, again after a fault, and never a stranger's."""

from __future__ import annotations

import pytest

from drivers.channel import CardRemoved, ReaderFault
from drivers.purse import PsamLost, PsamUnusable
from sim.pcsc.local import LocalReader, Tear
from terminal.psam import PsamForeign, PsamSlot
from tests.terminal.conftest import TERMINAL, World
from wire.ids import TerminalId

READ_TERMINAL = bytes.fromhex("00B0960006")


def test_psam_is_read_once_and_stays_powered(world: World) -> None:
    reader = LocalReader()
    reader.insert(world.psam)
    slot = PsamSlot(reader, TERMINAL)
    before = len(world.psam.received)
    identity = slot.ensure()
    assert (identity.terminal, identity.key_index) == (TERMINAL, 1)
    assert slot.ensure() is identity
    assert len(world.psam.received) - before == 3
    slot.close()


@pytest.mark.parametrize("how", list(Tear))
def test_psam_is_found_again_after_a_fault(world: World, how: Tear) -> None:
    reader = LocalReader()
    reader.insert(world.psam)
    slot = PsamSlot(reader, TERMINAL)
    identity = slot.ensure()
    world.psam.tear(how)
    with pytest.raises((CardRemoved, ReaderFault)):
        slot.transmit(READ_TERMINAL)
    again = slot.ensure()
    # Equal, but another session: nobody may take its PSAM for one that can still check an earlier MAC2.
    assert again == identity
    assert again is not identity
    slot.close()


def test_strangers_psam_is_refused_and_let_go(world: World) -> None:
    reader = LocalReader()
    reader.insert(world.psam)
    slot = PsamSlot(reader, TerminalId(bytes(6)))
    with pytest.raises(PsamForeign):
        slot.ensure()
    assert PsamSlot(reader, TERMINAL).ensure().terminal == TERMINAL


def test_purse_in_the_psams_slot_is_unusable_until_the_psam_comes(world: World) -> None:
    reader = LocalReader()
    slot = PsamSlot(reader, TERMINAL)
    with pytest.raises(PsamLost):
        slot.ensure()
    reader.insert(world.card().chip)
    with pytest.raises(PsamUnusable):
        slot.ensure()
    reader.remove()
    reader.insert(world.psam)
    assert slot.ensure().terminal == TERMINAL
    slot.close()
