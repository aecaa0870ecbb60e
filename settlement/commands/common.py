"""What the commands share: the machine they run on, their help, and the installation's files that most of them need.

Clocks and environment come from `settlement.__main__` as a `Host`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from settlement.onecard.keys import PassphraseUnreadable
from settlement.settings import Home, Settings, SettingsInvalid, parse_settings
from settlement.store.database import Database, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.store.router import ONECARD
from wire.ids import TERMINAL_ID_BYTES, Stream, TerminalId

PASSPHRASE_ENV: Final = "CAMPUS_PASSPHRASE_FILE"
_LOCK_WAIT_S: Final = 10.0  # two commands on the card registry at once wait for each other


class UsageFault(Exception):
    """An argument that argparse cannot judge; the text says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine's clocks and environment, which only `__main__` reads."""

    utc_s: Callable[[], int]
    monotonic_s: Callable[[], float]
    environ: Mapping[str, str]


Run = Callable[[argparse.Namespace, Host], int]  # the exit status: 0 it did what was asked, 1 a fault that it named


class Add(Protocol):
    """Adds one command with its help; the parser is for its arguments."""

    def __call__(self, name: str, run: Run, text: str, *examples: str) -> argparse.ArgumentParser: ...


def adder(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> Add:
    """What adds one command with its help."""

    def command(name: str, run: Run, text: str, *examples: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog="\n  ".join(("examples:", *(f"campus-settlement {example}" for example in examples))),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--home", type=Path, default=Path("home"), help="the installation's folder (default: ./home)")
        sub.set_defaults(run=run)
        return sub

    return command


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """The option that names the passphrase's file."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        help=f"what opens the issuer keys (default: ${PASSPHRASE_ENV}, else settlement/passphrase in the home folder)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of every command that a script reads."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def progress() -> Callable[[str], None]:
    """Tells whoever waits at a screen what is being done; a script, or a file, is told nothing."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda words: print(f"... {words}", file=sys.stderr, flush=True)


def registry_writer(home: Home, host: Host) -> Database:
    """The card registry, for one command; waits for another command to finish with it."""
    return command_writer(home, ONECARD, host)


def command_writer(home: Home, alias: str, host: Host) -> Database:
    """A database that only commands write, for one of them; waits for another to finish with it."""
    deadline_s = host.monotonic_s() + _LOCK_WAIT_S
    while True:
        try:
            return open_writer(home.place(alias), alias)
        except DatabaseInUse:
            if host.monotonic_s() > deadline_s:
                raise
            time.sleep(0.05)  # a file lock tells nobody when it is free


def home_of(args: argparse.Namespace) -> Home:
    """The installation that a command is about."""
    return home_at(args.home)


def home_at(root: Path) -> Home:
    """The installation in a folder, with the database server that its settings name; raises `SettingsInvalid`."""
    home = Home(root)
    database = read_settings(home).database if home.settings.exists() else None
    return home if database is None else Home(home.root, database.url)


def read_settings(home: Home) -> Settings:
    """`settlement.toml`; raises `SettingsInvalid`."""
    try:
        return parse_settings(home.settings.read_text())
    except OSError as error:
        raise SettingsInvalid(f"{home.settings} cannot be read; `campus-settlement init` makes it") from error


def passphrase_path(home: Home, args: argparse.Namespace, host: Host) -> Path:
    """Where the passphrase is: as named, else by the environment, else in the home folder."""
    named: Path | None = args.passphrase_file
    if named is not None:
        return named
    from_environment = host.environ.get(PASSPHRASE_ENV)
    return Path(from_environment) if from_environment else home.passphrase


def read_passphrase(path: Path) -> bytes:
    """What opens the issuer keys; raises `PassphraseUnreadable`."""
    try:
        passphrase = path.read_bytes().strip()
    except OSError as error:
        raise PassphraseUnreadable(f"the passphrase file {path} cannot be read: {error.strerror}") from error
    if not passphrase:
        raise PassphraseUnreadable(f"the passphrase file {path} is empty")
    return passphrase


def terminal_of(text: str) -> TerminalId:
    """A terminal's number as typed; raises `UsageFault`."""
    try:
        terminal = bytes.fromhex(text)
    except ValueError:
        terminal = b""
    if len(terminal) != TERMINAL_ID_BYTES:
        raise UsageFault(f"a terminal's number has {2 * TERMINAL_ID_BYTES} hexadecimal digits")
    return TerminalId(terminal)


def stream_of(label: str) -> Stream:
    """The stream that the parser let through."""
    return next(stream for stream in Stream if stream.label == label)


def counted_cards(count: int) -> str:
    """`1 card`, `2 cards`."""
    return f"{count} {'card' if count == 1 else 'cards'}"
