"""A chip's EEPROM in one file: named fields that change together or not at all, whenever the power goes.

The file has two slots; a commit writes the older one whole, with the next sequence number and a CRC, and syncs it.
Opening takes the valid slot with the higher number. Left out: what the fields mean.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from wire.errors import CampusError

SLOT_BYTES: Final = 4096  # a disk page, so that writing one slot never touches the other
FIELD_BYTES_MAX: Final = 0xFFFF

_MAGIC: Final = b"CCM1"
_HEADER: Final = struct.Struct(">4sQI")  # magic, sequence, length of the fields
_CRC: Final = struct.Struct(">I")


class MemoryFault(CampusError):
    """The chip's file cannot be read, written, or holds no valid slot."""

    code = "card-memory-fault"


class MemoryInUse(CampusError):
    """Another program has this chip powered."""

    code = "card-in-use"
    retryable = True


class ChipExists(CampusError):
    """A chip is already kept in the file; issuing never overwrites one, for it may hold money."""

    code = "card-exists"


class ByteFile(Protocol):
    """The little that a memory needs of a file; tests put a failing one in its place."""

    def read_all(self) -> bytes:
        """The whole file."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data` from `offset` on."""
        ...

    def sync(self) -> None:
        """Return when what was written survives a power cut."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class DiskFile:
    """A `ByteFile` on disk, held by one program at a time."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise MemoryFault(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise MemoryInUse(f"{path} is in another program's reader") from error

    def read_all(self) -> bytes:
        """The whole file."""
        return os.pread(self._fd, 2 * SLOT_BYTES, 0)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data` from `offset` on."""
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written

    def sync(self) -> None:
        """Return when what was written survives a power cut."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


class PowerCut(CampusError):
    """The power went during a write: the chip is off, and its memory holds what was written before."""

    code = "card-power-cut"
    retryable = True


class RamFile:
    """A `ByteFile` in RAM whose power goes after `steps_left` steps; a step is one byte written or one sync."""

    def __init__(self, image: bytes, steps_left: int | None = None) -> None:
        self.image = bytearray(image)
        self.steps_left = steps_left

    def read_all(self) -> bytes:
        """The whole file."""
        return bytes(self.image)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data` from `offset` on, as far as the power lasts."""
        granted = self._take(len(data))
        self.image[offset : offset + granted] = data[:granted]
        if granted < len(data):
            raise PowerCut(f"{granted} of {len(data)} bytes were written")

    def sync(self) -> None:
        """Return, unless the power is gone."""
        if not self._take(1):
            raise PowerCut("nothing was synced")

    def close(self) -> None:
        """Keep the image for the next power on."""

    def _take(self, steps: int) -> int:
        if self.steps_left is None:
            return steps
        granted = min(steps, self.steps_left)
        self.steps_left -= granted
        return granted


class Memory:
    """The fields of one chip. `commit` is the only way to change them, and is durable when it returns.

    After a failed commit the object is finished: on the next opening the fields are all old or all new.
    """

    def __init__(self, file: ByteFile) -> None:
        self._file = file
        self._sequence, self._fields = _newest(file.read_all())
        self._usable = True

    def __getitem__(self, name: str) -> bytes:
        """A field; empty if it was never written."""
        return self._fields.get(name, b"")

    def number(self, name: str) -> int:
        """A field as a big-endian number."""
        return int.from_bytes(self[name])

    def commit(self, changes: Mapping[str, bytes]) -> None:
        """Change these fields together, durably."""
        if not self._usable:
            raise MemoryFault("the memory failed before; power the chip anew")
        fields = {**self._fields, **changes}
        sequence = self._sequence + 1
        self._usable = False
        try:
            self._file.write_at(_offset(sequence), encode_slot(sequence, fields))
            self._file.sync()
        except OSError as error:
            raise MemoryFault(f"commit {sequence} failed: {error.strerror}") from error
        self._sequence, self._fields, self._usable = sequence, fields, True

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def open_memory(path: Path) -> Memory:
    """Power the chip kept in `path`; raises `MemoryFault` or `MemoryInUse`."""
    file = DiskFile(path)
    try:
        return Memory(file)
    except MemoryFault as error:
        file.close()
        raise MemoryFault(f"{path}: {error}") from error


def create_memory(path: Path, fields: Mapping[str, bytes]) -> None:
    """Keep a new chip in `path`, whole or not at all; raises `ChipExists` instead of overwriting one."""
    image = encode_slot(0, fields).ljust(2 * SLOT_BYTES, b"\0")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Nobody else may read it for a moment even: it holds keys.
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise ChipExists(f"{path} already holds a chip") from error
    except OSError as error:
        raise MemoryFault(f"{path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def read_fields(path: Path) -> dict[str, bytes]:
    """The committed fields, read without powering the chip, also while another program has it powered."""
    try:
        image = path.read_bytes()
    except OSError as error:
        raise MemoryFault(f"{path}: {error.strerror}") from error
    return _newest(image)[1]


def encode_slot(sequence: int, fields: Mapping[str, bytes]) -> bytes:
    """One slot's bytes: header, fields by name, CRC."""
    body = bytearray()
    for name, value in sorted(fields.items()):
        assert len(value) <= FIELD_BYTES_MAX, f"{name} is too long for a field"
        body += len(name).to_bytes(1) + name.encode("ascii") + len(value).to_bytes(2) + value
    slot = _HEADER.pack(_MAGIC, sequence, len(body)) + body
    slot += _CRC.pack(zlib.crc32(slot))
    assert len(slot) <= SLOT_BYTES, "the fields outgrew the chip"
    return bytes(slot)


def _offset(sequence: int) -> int:
    return sequence % 2 * SLOT_BYTES


def _newest(image: bytes) -> tuple[int, dict[str, bytes]]:
    slots = [_decode_slot(image[offset : offset + SLOT_BYTES]) for offset in (0, SLOT_BYTES)]
    valid = [slot for slot in slots if slot is not None]
    if not valid:
        raise MemoryFault("no valid slot: this is not a chip's file, or both its slots are damaged")
    return max(valid, key=lambda slot: slot[0])


def _decode_slot(slot: bytes) -> tuple[int, dict[str, bytes]] | None:
    if len(slot) < _HEADER.size:
        return None
    magic, sequence, length = _HEADER.unpack_from(slot)
    end = _HEADER.size + length
    if magic != _MAGIC or end + _CRC.size > len(slot):
        return None
    if zlib.crc32(slot[:end]) != _CRC.unpack_from(slot, end)[0]:
        return None
    fields: dict[str, bytes] = {}
    position = _HEADER.size
    while position < end:
        name_end = position + 1 + slot[position]
        value_end = name_end + 2 + int.from_bytes(slot[name_end : name_end + 2])
        fields[slot[position + 1 : name_end].decode("ascii")] = slot[name_end + 2 : value_end]
        position = value_end
    return sequence, fields


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
