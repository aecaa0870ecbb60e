"""A card in front of any PC/SC program: a private pcscd, the card in its first reader, and a tear on demand.

Left out: what the programs do with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from sim.card.chip import PoweredCard
from sim.card.faults import Fault, FaultyChip, OneCommand
from sim.card.memory import open_memory
from sim.card.pace import PacedChip, card_pace
from sim.card.purse import Purse
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot

CARD_SLOT: Final = 0
COMMANDS: Final = {
    "SELECT": bytes.fromhex("00A4"),
    "VERIFY": bytes.fromhex("0020"),
    "BALANCE": bytes.fromhex("805C"),
    "INIT": bytes.fromhex("805001"),
    "DEBIT": bytes.fromhex("8054"),
    "INIT-LOAD": bytes.fromhex("805000"),
    "CREDIT": bytes.fromhex("8052"),
    "PROVE": bytes.fromhex("805A"),
}
MOMENTS: Final = {"before": Fault.REMOVED_BEFORE, "after": Fault.ANSWER_LOST}

_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Tear:
    """Where the card is torn out, once: before the command reaches it, or after it was carried out and unanswered."""

    command: str
    moment: str

    def __str__(self) -> str:
        return f"{self.command}:{self.moment}"


def serve(
    path: Path,
    *,
    tear: Tear | None,
    real_time: bool,
    rng: Random,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    say: Callable[[str], None],
) -> None:
    """Serve the card in `path` until `KeyboardInterrupt`; a torn card is put back as soon as pcscd saw it go."""
    memory = open_memory(path)
    card: PoweredCard = Purse(memory, rng)
    plan = OneCommand(COMMANDS[tear.command], MOMENTS[tear.moment]) if tear is not None else None
    try:
        if real_time:
            card = PacedChip(card, card_pace, pause)
        if plan is not None:
            card = FaultyChip(card, plan, other=card, pause=pause)
        with tempfile.TemporaryDirectory(prefix="campus-card-") as folder, PrivatePcscd(Path(folder)) as daemon:
            slot = VirtualSlot(daemon, CARD_SLOT, clock=clock)
            try:
                slot.insert(card)
                say(f"export PCSCLITE_CSOCK_NAME={daemon.socket_path}")
                say(f"{path} is in reader {daemon.reader_names[CARD_SLOT]!r} until Ctrl-C")
                while daemon.running:
                    pause(_LOOK_S)
                    if not slot.occupied:
                        slot.remove()
                        slot.insert(card)
                        say(
                            f"the card was torn out at {tear} and is back"
                            if plan and plan.struck
                            else "the card is back"
                        )
            finally:
                slot.remove()
    finally:
        memory.close()
