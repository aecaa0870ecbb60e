"""What goes wrong between a reader and a chip, by a plan that a seed makes: removed at any APDU, an answer corrupted or
late, another card in its place.

Left out: chips that are wrong in themselves (`sim.card.flaws`), power cuts inside the memory (`sim.card.memory`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, NoReturn, Protocol

from drivers.channel import CardRemoved
from sim.card.chip import PoweredCard

SLOW_S: Final = 2.0  # longer than any command of a sound card, shorter than a reader's patience


class Fault(Enum):
    """What happens at an APDU."""

    REMOVED_BEFORE = "removed before"  # the chip never sees it
    ANSWER_LOST = "removed during"  # the chip carries it out, nobody hears
    REMOVED_AFTER = "removed after"
    CORRUPTED = "answer corrupted at"
    SLOW = "slow at"
    SWAPPED = "swapped before"  # removed; at the next power on the other card is there


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault at one APDU, the first being 0; `bit` is which one of a corrupted answer."""

    apdu: int
    fault: Fault
    bit: int = 0

    def __str__(self) -> str:
        bit = f", bit {self.bit}" if self.fault is Fault.CORRUPTED else ""
        return f"{self.fault.value} APDU {self.apdu}{bit}"


class Plan(Protocol):
    """What happens at which APDU."""

    def at(self, number: int, apdu: bytes) -> PlannedFault | None:
        """The fault at this APDU, the first being 0."""
        ...


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Every fault of a run, in order."""

    seed: int
    faults: tuple[PlannedFault, ...]

    def at(self, number: int, apdu: bytes) -> PlannedFault | None:
        """See `Plan`."""
        return next((planned for planned in self.faults if planned.apdu == number), None)

    def __str__(self) -> str:
        return f"seed {self.seed}: {'; '.join(map(str, self.faults)) or 'no faults'}"


class OneCommand:
    """One fault, at the first APDU that begins with `header`."""

    def __init__(self, header: bytes, fault: Fault) -> None:
        self._header = header
        self._fault = fault
        self.struck = False

    def at(self, number: int, apdu: bytes) -> PlannedFault | None:
        """See `Plan`."""
        if self.struck or not apdu.startswith(self._header):
            return None
        self.struck = True
        return PlannedFault(number, self._fault)


def plan_faults(seed: int, *, apdus: int, count: int) -> FaultPlan:
    """`count` faults at different ones of the first `apdus` APDUs; the same for the same seed."""
    rng = Random(seed)
    places = sorted(rng.sample(range(apdus), count))
    faults = (PlannedFault(apdu, rng.choice(list(Fault)), rng.getrandbits(11)) for apdu in places)
    return FaultPlan(seed, tuple(faults))


class FaultyChip:
    """A powered chip that suffers a plan. Its APDUs are counted through; after a removal every one raises `CardRemoved`
    until the next reset, which is the card put back.
    """

    def __init__(self, chip: PoweredCard, plan: Plan, *, other: PoweredCard, pause: Callable[[float], None]) -> None:
        self._chip = chip
        self._other = other
        self._plan = plan
        self._pause = pause
        self._removed = False
        self.apdus = 0

    @property
    def atr(self) -> bytes:
        """The answer to reset of the chip that is there."""
        return self._chip.atr

    def reset(self) -> None:
        """Power off, power on."""
        self._removed = False
        self._chip.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU; raises `CardRemoved` where the plan says so."""
        if self._removed:
            raise CardRemoved("the card was removed")
        planned, self.apdus = self._plan.at(self.apdus, apdu), self.apdus + 1
        fault = planned.fault if planned is not None else None
        if fault is Fault.SWAPPED:
            self._chip.reset()
            self._chip, self._other = self._other, self._chip
        if fault in (Fault.REMOVED_BEFORE, Fault.SWAPPED):
            self._remove()
        answer = self._chip.transmit_raw(apdu)
        if fault is Fault.ANSWER_LOST:
            self._remove()
        if fault is Fault.SLOW:
            self._pause(SLOW_S)
        if fault is Fault.REMOVED_AFTER:
            self._chip.reset()
            self._removed = True
        if planned is not None and fault is Fault.CORRUPTED:
            place, bit = divmod(planned.bit % (8 * len(answer)), 8)
            return answer[:place] + bytes((answer[place] ^ 1 << bit,)) + answer[place + 1 :]
        return answer

    def _remove(self) -> NoReturn:
        self._chip.reset()
        self._removed = True
        raise CardRemoved("the card was removed")
