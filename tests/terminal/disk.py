"""A disk whose power can go at any I/O operation, under SQLite: an apsw VFS that keeps unsynced writes apart.

The files are real and always current; beside them the disk remembers what each sync made sure of. From that it makes
the folders that a power cut could have left: any subset of the unsynced sectors, unsynced files that never appeared,
unsynced deletions that come back. Left out: a disk that lies about its syncs; no setting survives that one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self, cast

import apsw

SECTOR_BYTES: Final = 512
_VFS: Final = "campus-cut"
_REAL_VFS: Final = "unix"

Image = dict[str, bytes]  # a folder: names and contents


@dataclass(slots=True)
class _File:
    """One file: what is sure of it (None: not even its name), and the unsynced changes in order."""

    durable: bytes | None
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and sector; None cuts the file there

    def settle(self, current: bytes) -> None:
        self.durable, self.pending = current, []


@dataclass(frozen=True, slots=True)
class Cut:
    """The moment before one I/O operation: what is sure, what hangs in the air, and the owner's mark of it."""

    operation: str
    mark: int
    files: dict[str, tuple[bytes | None, tuple[tuple[int, bytes | None], ...]]]
    ghosts: Image

    def survive(self, rng: Random) -> Image:
        """One folder that this cut could leave."""
        chance = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))  # all and nothing are cases of their own
        image: Image = {name: body for name, body in self.ghosts.items() if rng.random() < chance}
        for name, (durable, pending) in self.files.items():
            if durable is None and rng.random() >= chance:
                continue
            body = bytearray(durable or b"")
            for offset, data in pending:
                if rng.random() < chance:
                    _apply(body, offset, data)
            image[name] = bytes(body)
        return image


class CuttableDisk:
    """A context manager: inside it SQLite's default VFS is this disk. `mark` says how far its owner has come."""

    def __init__(self, mark: Callable[[], int]) -> None:
        self._mark = mark
        self._files: dict[str, _File] = {}
        self._ghosts: Image = {}
        self._vfs: _CuttableVfs | None = None
        self.cuts: list[Cut] = []

    def __enter__(self) -> Self:
        self._vfs = _CuttableVfs(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._vfs is not None:
            self._vfs.unregister()

    def opened(self, path: Path) -> None:
        """A file is about to be opened, or made."""
        if path.name not in self._files:
            self._files[path.name] = _File(path.read_bytes() if path.exists() else None)

    def written(self, path: Path, offset: int, data: bytes) -> None:
        """A write is about to be done, sector by sector."""
        self._cut(f"write {path.name}")
        end = offset + len(data)
        while offset < end:
            size = min(SECTOR_BYTES - offset % SECTOR_BYTES, end - offset)
            self._files[path.name].pending.append((offset, data[:size]))
            offset, data = offset + size, data[size:]

    def truncated(self, path: Path, size: int) -> None:
        """A file is about to be cut short."""
        self._cut(f"truncate {path.name}")
        self._files[path.name].pending.append((size, None))

    def synced(self, path: Path) -> None:
        """A sync is about to be done. It covers the file's name too, as SQLite syncs the folder with a new file."""
        self._cut(f"sync {path.name}")
        self._files[path.name].settle(path.read_bytes())
        self._ghosts.pop(path.name, None)

    def deleted(self, path: Path, *, folder_synced: bool) -> None:
        """A file is about to be deleted."""
        self._cut(f"delete {path.name}")
        file = self._files.pop(path.name, None)
        if file is not None and file.durable is not None and not folder_synced:
            self._ghosts[path.name] = file.durable

    def _cut(self, operation: str) -> None:
        files = {name: (file.durable, tuple(file.pending)) for name, file in self._files.items()}
        self.cuts.append(Cut(operation, self._mark(), files, dict(self._ghosts)))


class _CuttableVfs(apsw.VFS):
    """Tells the disk of everything that SQLite does to its files."""

    def __init__(self, disk: CuttableDisk) -> None:
        self._disk = disk
        super().__init__(_VFS, _REAL_VFS, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _CuttableFile:  # noqa: N802  SQLite's name
        assert name is not None, "a journal has no nameless files"
        path = Path(name if isinstance(name, str) else name.filename())
        self._disk.opened(path)
        return _CuttableFile(self._disk, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  SQLite's name
        self._disk.deleted(Path(filename), folder_synced=syncdir)
        super().xDelete(filename, syncdir)


class _CuttableFile(apsw.VFSFile):
    def __init__(self, disk: CuttableDisk, path: Path, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        super().__init__(_REAL_VFS, name, flags)

    def xWrite(self, data: object, offset: int) -> None:  # noqa: N802  SQLite's name
        written = bytes(cast(bytes, data))  # apsw calls it Buffer where Python has that name, which is from 3.12 on
        self._disk.written(self._path, offset, written)
        super().xWrite(written, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  SQLite's name
        self._disk.truncated(self._path, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
        super().xSync(flags)
        self._disk.synced(self._path)


def _apply(body: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del body[offset:]
        return
    body.extend(bytes(max(offset - len(body), 0)))
    body[offset : offset + len(data)] = data
