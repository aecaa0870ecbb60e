"""Files that are whole or absent after a power cut: secrets, for the owner's eyes and never replaced, and others."""

from __future__ import annotations

import os
from pathlib import Path

from wire.errors import CampusError


class SecretExists(CampusError):
    """There is such a file already; other things were made from it, so it is never replaced."""

    code = "secret-exists"


def write_secret(path: Path, content: bytes) -> None:
    """A new file of mode 0600, durable before this returns; raises `SecretExists`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and then linked: a crash leaves the whole file or none, and linking never replaces.
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError as error:
        raise SecretExists(f"{path} exists already and is not replaced") from error
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """A file that others may read, in place of an older one or none; durable before this returns."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        # Before the rename: a name that outlives a power cut must not lead to an empty file.
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
