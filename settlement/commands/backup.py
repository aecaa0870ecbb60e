"""`campus-settlement backup` and `restore`: copies of all databases in one folder, and back."""

from __future__ import annotations

import argparse
import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from settlement.commands.common import Add, Host, UsageFault, add_json, home_of, progress, registry_writer
from settlement.onecard.restoration import note_restoration
from settlement.secretfile import write_whole
from settlement.settings import Home
from settlement.store.backup import back_up, restore
from settlement.store.database import open_writer
from settlement.store.router import ALIASES, LEDGER, OFFICE, ONECARD, STREAM_ALIASES, TOPUP
from wire.errors import CampusError

MANIFEST: Final = "backup.json"

# The ledger first, the registry last: what is copied later may know more than what was copied before, never less. So a
# ledger has read nothing that its streams lack, and a stream no answer to a request that the registry lacks.
_ORDER: Final = (LEDGER, OFFICE, TOPUP, *sorted(STREAM_ALIASES), ONECARD)


class BackupUnusable(CampusError):
    """The folder holds no backup that is whole, or cannot take one."""

    code = "backup-unusable"


def add_commands(command: Add) -> None:
    """Add them."""
    text = "copy all databases into a new folder, each as of one moment, while everything runs"
    backup = command("backup", _backup, text, "backup /var/backups/campus/2026-09-01", "backup DIR --json")
    backup.add_argument("folder", type=Path, metavar="DIR", help="made by this")
    add_json(backup)

    text = "put databases back as a backup has them; everything must be stopped"
    back = command("restore", _restore, text, "restore /var/backups/campus/2026-09-01", "restore DIR canteen onecard")
    back.add_argument("folder", type=Path, metavar="DIR", help="what `backup` made")
    back.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(sorted(ALIASES))}")


def _backup(args: argparse.Namespace, host: Host) -> int:
    home, folder = home_of(args), args.folder
    try:
        folder.mkdir(mode=0o700)  # card numbers
    except FileExistsError as error:
        raise BackupUnusable(f"{folder} is there already; a backup gets a folder of its own") from error
    # Said to be older than it is: what numbers were given out since is reckoned from here.
    taken_at_utc_s = host.utc_s()
    sums, tell = {}, progress()
    for alias in _ORDER:
        tell(f"copying {alias}")
        target = folder / f"{alias}.db"
        back_up(home.place(alias), alias, target)
        sums[alias] = _sha256(target)
    content = {"taken_at_utc_s": taken_at_utc_s, "sha256": sums}
    write_whole(folder / MANIFEST, json.dumps(content, indent=2).encode() + b"\n")  # last: now it is whole
    print(json.dumps({"folder": str(folder), **content}) if args.json else f"{folder}: {', '.join(_ORDER)}")
    return 0


def _restore(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    taken_at_utc_s, sums = _read_manifest(args.folder)
    names = [alias for alias in _ORDER if alias in (args.names or sums)]
    if unknown := set(args.names) - set(sums):
        raise UsageFault(f"the backup has no {min(unknown)}")
    tell = progress()
    for alias in names:
        tell(f"checking {alias}")
        if _sha256(args.folder / f"{alias}.db") != sums[alias]:
            raise BackupUnusable(f"{alias}.db is not what was backed up")
    _refuse_while_in_use(home)
    for alias in names:
        tell(f"restoring {alias}")
        restore(args.folder / f"{alias}.db", home.place(alias), alias)
        print(f"{alias}: as of the backup", flush=True)
    if ONECARD in names:
        with registry_writer(home, host) as db:
            note_restoration(db, taken_at_utc_s=taken_at_utc_s, now_utc_s=host.utc_s())
    return 0


def _refuse_while_in_use(home: Home) -> None:
    """Whoever writes one database reads others; raises `DatabaseInUse`."""
    with ExitStack() as stack:
        for alias in ALIASES:
            stack.enter_context(open_writer(home.place(alias), alias))


def _read_manifest(folder: Path) -> tuple[int, dict[str, str]]:
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
        return int(content["taken_at_utc_s"]), {alias: str(content["sha256"][alias]) for alias in _ORDER}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupUnusable(f"{folder} holds no whole backup: {MANIFEST} is missing or cannot be read") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}") from error
