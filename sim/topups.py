"""Students at the top-up point, without a screen: the program is driven as the person at the desk would, card and PIN.

Now and then a card is pulled away in the middle, by seed, and put back. Left out: whether the money came out right
(`sim.audit`).
"""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from random import Random
from typing import Final

from sim.campus import Campus
from sim.card.faults import Fault, OneCommand
from sim.crowd import Student
from sim.process import Child, ChildFailed
from wire.money import Fen, format_fen

PIN: Final = "123456"  # of every card that is issued without another
_LINE_S_MAX: Final = 30.0  # a start, a handshake and a reader's slow eye, on a busy machine too
_PRESENTATIONS_MAX: Final = 6
_CREDIT: Final = bytes.fromhex("8052")
TORN: Final = (Fault.REMOVED_BEFORE, Fault.ANSWER_LOST)
_TORN_SHARE: Final = 0.3


def drawn_fault(rng: Random) -> Fault | None:
    """What happens to a card at CREDIT, mostly nothing."""
    return rng.choice(TORN) if rng.random() < _TORN_SHARE else None


def top_up(campus: Campus, student: Student, amount_fen: Fen, rng: Random, *, torn: Fault | None = None) -> int:
    """Load this card with cash at the point, torn so at first; how often it had to be put back.

    Raises `ChildFailed` if it does not come to an end.
    """
    return _load(campus, student, ("--amount", format_fen(amount_fen)), rng, torn)


def collect(campus: Campus, student: Student, rng: Random, *, torn: Fault | None = None) -> int:
    """Load this card with what the books owe its holder; else as `top_up`."""
    return _load(campus, student, ("--collect",), rng, torn)


def _load(campus: Campus, student: Student, arguments: tuple[str, ...], rng: Random, torn: Fault | None) -> int:
    plan = None if torn is None else OneCommand(_CREDIT, torn)
    with ExitStack() as stack:
        point = campus.start_point(stack, *arguments)
        hand = campus.hand_at_point()
        stack.callback(hand.take_away)
        for presented in range(_PRESENTATIONS_MAX):
            said = _next_that_waits(point)
            if said == "loaded":
                _hear_out(point)
                return max(presented - 1, 0)
            hand.take_away()
            hand.present(student, Random(rng.random()), plan if presented == 0 else None)
    raise ChildFailed(f"card {student.card} was put on the point's reader {_PRESENTATIONS_MAX} times and is not loaded")


def _hear_out(point: Child) -> None:
    """All that it still says, until it has ended; whether that was well `Child.end` tells."""
    with suppress(ChildFailed):
        while point.line(_LINE_S_MAX) is not None:
            pass


def _next_that_waits(point: Child) -> str:
    """The next thing said that asks for the card, or that it is loaded; the PIN is typed on the way."""
    while (line := point.line(_LINE_S_MAX)) is not None:
        event = str(json.loads(line)["event"])
        if event == "ask-pin":
            point.say(PIN)
        if event in ("present-card", "put-card-back", "card-trouble", "loaded"):
            return event
    raise ChildFailed(f"the point said nothing for {_LINE_S_MAX:.0f} s")
