"""`campus-sim card`: issue a card, show one, serve one to PC/SC programs. Left out: a campus around it."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from sim.card.flaws import Flaw, give_flaw
from sim.card.issue import DEFAULT_PIN, issue_card
from sim.card.keys import MaintenanceKeys
from sim.card.memory import MemoryFault, open_memory, read_fields
from sim.card.pin import PIN_BYTES
from sim.card.profile import CAMPUS, PROFILES, CardProfile
from sim.card.serve import COMMANDS, MOMENTS, Tear, serve
from sim.card.show import card_lines
from wire.errors import CampusError
from wire.ids import Asn, CardId, IssuerId
from wire.money import parse_yuan
from wire.pboc import KEY_BYTES
from wire.purse_keys import PurseKeys

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

_VALID_FROM: Final = bytes.fromhex("20250101")
_VALID_TO: Final = bytes.fromhex("20391231")
_PURSE_KEYS: Final = tuple(field.name for field in fields(PurseKeys))
_MAINTENANCE_KEYS: Final = tuple(field.name for field in fields(MaintenanceKeys))


class MastersUnreadable(CampusError):
    """The file of master keys is missing, or is not what it must be."""

    code = "masters-unreadable"


def add_parser(commands: Commands) -> None:
    """Add `card` to the commands of `campus-sim`."""
    card = commands.add_parser(
        "card", help="issue, show or serve one simulated card", description="One simulated card, kept in one file."
    )
    below = card.add_subparsers(dest="card_command", required=True, metavar="COMMAND")
    issue = below.add_parser("issue", help="make a new card", description="Makes a new card; never overwrites one.")
    issue.add_argument("file", type=Path, help="the card's file")
    keys = issue.add_mutually_exclusive_group(required=True)
    keys.add_argument("--home", type=Path, help="an installation whose issuer's keys the card gets")
    keys.add_argument("--masters", type=Path, help="a TOML file with master keys in hex")
    issue.add_argument("--issuer", type=_hex(8), required=True, help="8 bytes in hex")
    issue.add_argument(
        "--asn", type=_hex(10), required=True, help="the card application's serial number, 10 bytes in hex"
    )
    issue.add_argument("--balance", default="0", help="what it holds, in yuan (default: 0)")
    issue.add_argument("--profile", choices=PROFILES, default=CAMPUS.name, help=f"its maker (default: {CAMPUS.name})")
    issue.add_argument("--pin", type=_pin, default=DEFAULT_PIN, help=f"4 to 12 digits (default: {DEFAULT_PIN.hex()})")
    issue.add_argument("--flaw", choices=[flaw.value for flaw in Flaw], help="make it a card with this wrong")
    show = below.add_parser("show", help="everything on a card", description="Shows a card's file, powered or not.")
    show.add_argument("file", type=Path, help="the card's file")
    show.add_argument("--show-keys", action="store_true", help="its keys and PIN too")
    offer = below.add_parser(
        "serve",
        help="put a card in front of PC/SC programs",
        description="Runs a private pcscd with the card in it until Ctrl-C.",
        epilog="example: campus-sim card serve my.card --tear DEBIT:after",
    )
    offer.add_argument("file", type=Path, help="the card's file")
    offer.add_argument(
        "--tear",
        type=_tear,
        metavar="COMMAND:WHEN",
        help=f"pull the card out once, at one of {', '.join(COMMANDS)}; {' or '.join(MOMENTS)} it is carried out",
    )
    offer.add_argument("--real-time", action="store_true", help="answer as slowly as a real card")


def run(
    arguments: argparse.Namespace,
    *,
    rng: Random,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    say: Callable[[str], None],
) -> int:
    """Run one command; raises `CampusError` where it cannot."""
    file: Path = arguments.file
    if arguments.card_command == "issue":
        _issue(arguments)
        say(f"{file}: a new {arguments.profile} card with {arguments.balance} yuan")
    elif arguments.card_command == "show":
        for line in card_lines(_card_fields(file), show_keys=arguments.show_keys):
            say(line)
    else:
        _card_fields(file)
        try:
            serve(
                file,
                tear=arguments.tear,
                real_time=arguments.real_time,
                rng=rng,
                clock=clock,
                pause=pause,
                say=say,
            )
        except KeyboardInterrupt:
            say("the card is out")
    return 0


def _issue(arguments: argparse.Namespace) -> None:
    card, profile = CardId(IssuerId(arguments.issuer), Asn(arguments.asn)), PROFILES[arguments.profile]
    keys, maintenance = _keys(arguments, card, profile)
    issue_card(
        arguments.file,
        keys=keys,
        card=card,
        valid_from_bcd=_VALID_FROM,
        valid_to_bcd=_VALID_TO,
        opening_balance_fen=parse_yuan(arguments.balance),
        profile=profile,
        pin=arguments.pin,
        maintenance=maintenance,
    )
    if arguments.flaw is not None:
        memory = open_memory(arguments.file)
        give_flaw(memory, Flaw(arguments.flaw))
        memory.close()


def _keys(
    arguments: argparse.Namespace, card: CardId, profile: CardProfile
) -> tuple[PurseKeys, MaintenanceKeys | None]:
    """The card's own keys, from an installation (which has none for maintenance) or from a file of masters."""
    if arguments.home is not None:
        server = Home(arguments.home)
        try:
            passphrase = server.passphrase.read_bytes().strip()
        except OSError as error:
            raise MastersUnreadable(f"{server.passphrase}: {error.strerror}") from error
        return FileKeyStore.open(server.sealed_keys, passphrase).card_keys(card), None
    masters = _read_masters(arguments.masters)
    purse = PurseKeys(*(masters[name] for name in _PURSE_KEYS)).of_card(card, two_level=profile.two_level_keys)
    if len(masters) == len(_PURSE_KEYS):
        return purse, None
    maintenance = MaintenanceKeys(*(masters[name] for name in _MAINTENANCE_KEYS))
    return purse, maintenance.of_card(card, two_level=profile.two_level_keys)


def _read_masters(path: Path) -> dict[str, bytes]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        masters = {name: bytes.fromhex(value) for name, value in content.items()}
    except (OSError, ValueError, TypeError) as error:
        raise MastersUnreadable(f"{path} is not a file of keys in hex") from error
    known = (set(_PURSE_KEYS), {*_PURSE_KEYS, *_MAINTENANCE_KEYS})
    if set(masters) not in known or any(len(key) != KEY_BYTES for key in masters.values()):
        raise MastersUnreadable(
            f"{path} must hold {', '.join(_PURSE_KEYS)}, or these and {', '.join(_MAINTENANCE_KEYS)}: 16 bytes each"
        )
    return masters


def _card_fields(file: Path) -> dict[str, bytes]:
    found = read_fields(file)
    if "public" not in found:
        raise MemoryFault(f"{file} is a chip, but not a card")
    return found


def _hex(length: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        try:
            value = bytes.fromhex(text)
        except ValueError:
            value = b""
        if len(value) != length:
            raise argparse.ArgumentTypeError(f"{length} bytes in hex are needed")
        return value

    return read


def _pin(text: str) -> bytes:
    if not text.isdecimal() or not text.isascii() or len(text) % 2 or len(text) // 2 not in PIN_BYTES:
        raise argparse.ArgumentTypeError("an even number of digits, 4 to 12, is needed")
    return bytes.fromhex(text)


def _tear(text: str) -> Tear:
    command, _, moment = text.partition(":")
    if command.upper() not in COMMANDS or moment not in MOMENTS:
        raise argparse.ArgumentTypeError(f"one of {', '.join(COMMANDS)}, then :{' or :'.join(MOMENTS)}")
    return Tear(command.upper(), moment)
