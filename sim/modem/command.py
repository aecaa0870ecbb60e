"""`campus-sim modem`: simulated modems on pseudo-terminals, for any program that talks to one. Left out: the campus."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from sim.carrier.carrier import Carrier
from sim.carrier.smsc import Phone
from sim.carrier.tpdu import Deliver
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, PROFILES
from sim.modem.simcard import SimCard
from sync.clock import Clock
from wire.errors import CampusError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

ECHO_NUMBER: Final = "+8613800000000"
_NUMBERS: Final = ("+8613900000001", "+8613900000002")
_PIN_DIGITS: Final = range(4, 9)
_PAUSE_S: Final = 3600.0


class LinkUnusable(CampusError):
    """The name that was asked for with --link cannot be made."""

    code = "link-unusable"


def add_parser(commands: Commands) -> None:
    """Add `modem` to the commands of `campus-sim`."""
    modem = commands.add_parser(
        "modem",
        help="a simulated GSM or 4G modem for any program",
        description="Runs a simulated modem on a pseudo-terminal until Ctrl-C, and prints the path to open.\n"
        f"What is sent to {ECHO_NUMBER} by SMS is shown here, and comes back. Data connections reach\n"
        "servers of this machine alone.",
        epilog="examples:\n"
        "  campus-sim modem --link /tmp/modem       a stable name; then: gammu -c gammurc identify\n"
        "  campus-sim modem --two                   two, which can send each other messages\n"
        "  campus-sim modem --pin 1234 --dialogue   a locked SIM, and every command and answer shown",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    modem.add_argument("--profile", choices=PROFILES, default=EC25.name, help=f"its make (default: {EC25.name})")
    modem.add_argument("--pin", type=_pin, help="its SIM asks for this PIN (default: it asks for none)")
    modem.add_argument("--link", type=Path, help="a symbolic link to the pseudo-terminal; a second modem's ends in -2")
    modem.add_argument("--two", action="store_true", help="a second modem of the same make, with its own number")
    modem.add_argument("--dialogue", action="store_true", help="show every command and answer")


def run(
    arguments: argparse.Namespace,
    *,
    rng: Random,
    clock: Clock,
    pause: Callable[[float], None],
    say: Callable[[str], None],
) -> int:
    """Run them until interrupted; `LinkUnusable` if one cannot have its name."""
    carrier = Carrier(rng, clock.monotonic_s, utc_s=clock.utc_s)
    phone = Phone(carrier.smsc, ECHO_NUMBER)
    phone.on_message = lambda message: _echo(message, phone, say)
    with contextlib.ExitStack() as stack:
        stack.callback(carrier.close)
        for index, number in enumerate(_NUMBERS[: 2 if arguments.two else 1]):
            sim = _sim(number, index, arguments.pin)
            modem = SimulatedModem(
                profile=PROFILES[arguments.profile],
                sim=sim,
                carrier=carrier,
                rng=rng,
                link=_link(arguments.link, index),
                watch=_dialogue(number, say) if arguments.dialogue else None,
            )
            try:
                stack.enter_context(modem)
            except OSError as error:
                raise LinkUnusable(f"{_link(arguments.link, index)}: {error.strerror}") from error
            say(f"{_link(arguments.link, index) or modem.path}: {arguments.profile}, number {sim.number}")
        try:
            while True:
                pause(_PAUSE_S)
        except KeyboardInterrupt:
            say("the modem is unplugged")
    return 0


def _sim(number: str, index: int, pin: str | None) -> SimCard:
    sim = SimCard(number=number, iccid=f"8986001234567890123{index}", imsi=f"46000123456789{index}")
    if pin is not None:
        sim.pin, sim.pin_enabled = pin, True
    return sim


def _link(asked: Path | None, index: int) -> Path | None:
    return asked if asked is None or index == 0 else asked.with_name(f"{asked.name}-{index + 1}")


def _echo(message: Deliver, phone: Phone, say: Callable[[str], None]) -> None:
    content = message.content
    text = content.text
    say(f"SMS from {message.sender}: {content.body.hex() if text is None else text}")
    phone.send(message.sender, content)


def _dialogue(number: str, say: Callable[[str], None]) -> Callable[[str, bytes], None]:
    def watch(way: str, data: bytes) -> None:
        # The echo comes one character at a time, and says nothing that the command's own line does not.
        for line in data.decode("latin-1").split("\r\n") if way == ">" or len(data) > 1 else []:
            if line:
                say(f"{number} {way} {line}")

    return watch


def _pin(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) in _PIN_DIGITS):
        raise argparse.ArgumentTypeError("a PIN has 4 to 8 digits")
    return text
