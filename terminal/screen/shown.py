"""What the till is at, as one value that may go from the till's thread to the screen's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from terminal.basket import Mode, Offer
from terminal.errands import Errand
from terminal.events import Notice, Phase, Trouble
from terminal.result import Result
from terminal.standing import Standing
from terminal.till import Till
from wire.configuration import MealPeriod, Name, Product
from wire.record import TapRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The till's attributes that a cashier can see, and how it stands; nothing in it changes."""

    phase: Phase
    mode: Mode
    offer: Offer | None = None
    held: bool = False
    doubted: bool = False
    errand: Errand | None = None
    result: Result | None = None
    notice: Notice | None = None
    torn: TapRecord | None = None
    giving_up: bool = False
    training: bool = False
    working: bool = False
    reader_fault: Trouble | None = None
    psam_fault: Trouble | None = None
    verdict: Trouble | None = None
    failure: str | None = None
    card_silent: bool = False
    card_lies: bool = False
    products: tuple[Product, ...] = ()
    period: MealPeriod | None = None
    outlet: Name | None = None
    standing: Standing | None = None

    @classmethod
    def of(cls, till: Till, standing: Standing | None) -> Self:
        """The till as it is now; to be called from its own thread."""
        configuration = till.configuration
        return cls(
            phase=till.phase,
            mode=till.selling.mode,
            offer=till.offer,
            held=till.selling.held,
            doubted=till.doubted is not None,
            errand=till.errand,
            result=till.result,
            notice=till.notice,
            torn=till.torn,
            giving_up=till.giving_up,
            training=till.training,
            working=till.working,
            reader_fault=till.reader_fault,
            psam_fault=till.psam_fault,
            verdict=till.verdict,
            failure=till.failure,
            card_silent=till.card_silent,
            card_lies=till.card_lies,
            products=() if configuration is None else configuration.products,
            period=till.selling.period,
            outlet=None if configuration is None else configuration.outlet_name,
            standing=standing,
        )

    @property
    def asks_to_confirm(self) -> bool:
        """Whether Enter alone lets the card pay that was just turned away, or the basket wait for another."""
        return (self.doubted or self.held) and self.phase in (Phase.AMOUNT, Phase.CARD)
