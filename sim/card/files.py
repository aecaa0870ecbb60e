"""A chip's directories and files, and the commands that select and read them: SELECT, READ BINARY, READ RECORD (JR/T
0025.2-2010).

Left out: writing, and the access rule that a PIN opens the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sim.card import chip
from sim.card.chip import Answer, Command
from sim.card.memory import Memory

MF_FID: Final = 0x3F00
MF_NAME: Final = b"1PAY.SYS.DDF01"
AID_BYTES_MIN: Final = 5  # ISO 7816-5: a registered provider id, the shortest name that selects

_BY_NAME: Final = 0x0400
_BY_FID: Final = 0x0000


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory: how it is selected, what SELECT answers (A5's content), and its files by short id with their field
    in the memory.
    """

    fid: int
    name: bytes
    proprietary: bytes
    binaries: Mapping[int, str] = field(default_factory=dict)
    records: Mapping[int, tuple[str, int]] = field(default_factory=dict)  # field and record length

    def fci(self) -> bytes:
        """The file control information that SELECT answers."""
        return tlv(0x6F, tlv(0x84, self.name) + tlv(0xA5, self.proprietary))


def tlv(tag: int, value: bytes) -> bytes:
    """A BER-TLV object with a short length; the tag in as many bytes as it needs."""
    assert len(value) < 0x80, "no FCI of a purse is this long"
    return tag.to_bytes(1 if tag < 0x100 else 2) + bytes((len(value),)) + value


class FileSystem:
    """The master file, one application, and what is selected of them."""

    def __init__(self, memory: Memory, *, mf: Directory, application: Directory, t0: bool) -> None:
        self._memory = memory
        self._t0 = t0
        self._mf = mf
        self._application = application
        self.reset()

    def reset(self) -> None:
        """Select the master file, as after power on."""
        self._current = self._mf
        self._current_sfi: int | None = None

    @property
    def in_application(self) -> bool:
        """Whether the application is selected."""
        return self._current is self._application

    def select(self, command: Command) -> Answer:
        """SELECT by name or by file id; the answer comes with or without Le, as contactless cards do it."""
        how = command.p1 << 8 | command.p2
        if how == _BY_NAME:
            return self._select_by_name(command)
        if how != _BY_FID:
            return Answer(sw=chip.SW_WRONG_P1P2)
        if len(command.data) != 2:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        fid = int.from_bytes(command.data)
        for directory in (self._mf, self._application):
            if directory.fid == fid:
                return self._enter(directory, command)
        if fid in self._current.binaries or fid in self._current.records:
            self._current_sfi = fid
            return Answer()
        return Answer(sw=chip.SW_FILE_NOT_FOUND)

    def read_binary(self, command: Command) -> Answer:
        """READ BINARY by short id, or of the file that SELECT made current."""
        if command.data or command.le is None:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        by_short_id = bool(command.p1 & 0x80)
        sfi = command.p1 & 0x1F if by_short_id else self._current_sfi
        offset = command.p2 if by_short_id else command.p1 << 8 | command.p2
        if sfi is None:
            return Answer(sw=chip.SW_NO_CURRENT_FILE)
        if sfi in self._current.records:
            return Answer(sw=chip.SW_INCOMPATIBLE_FILE)
        if sfi not in self._current.binaries:
            return Answer(sw=chip.SW_FILE_NOT_FOUND)
        content = self._memory[self._current.binaries[sfi]]
        if offset >= len(content):
            return Answer(sw=chip.SW_OFFSET_OUTSIDE)
        rest = content[offset:]
        if command.le == chip.LE_ANY and not self._t0:
            return Answer(rest)
        return Answer(rest[: command.le]) if command.le <= len(rest) else Answer(sw=0x6C00 | len(rest))

    def read_record(self, command: Command) -> Answer:
        """READ RECORD by number, 1 being the newest."""
        if command.data or command.le is None:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        if command.p2 & 0x07 != 0x04:
            return Answer(sw=chip.SW_WRONG_P1P2)
        sfi = command.p2 >> 3
        if sfi in self._current.binaries:
            return Answer(sw=chip.SW_INCOMPATIBLE_FILE)
        if sfi not in self._current.records:
            return Answer(sw=chip.SW_FILE_NOT_FOUND)
        name, length = self._current.records[sfi]
        start = (command.p1 - 1) * length
        record = self._memory[name][start : start + length] if command.p1 else b""
        if not record:
            return Answer(sw=chip.SW_RECORD_NOT_FOUND)
        whole = command.le == length or (command.le == chip.LE_ANY and not self._t0)
        return Answer(record) if whole else Answer(sw=0x6C00 | length)

    def _select_by_name(self, command: Command) -> Answer:
        if len(command.data) < AID_BYTES_MIN:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        for directory in (self._application, self._mf):
            if directory.name.startswith(command.data):
                return self._enter(directory, command)
        return Answer(sw=chip.SW_FILE_NOT_FOUND)

    def _enter(self, directory: Directory, command: Command) -> Answer:
        fci = directory.fci()
        if command.le not in (None, chip.LE_ANY, len(fci)):
            return Answer(sw=0x6C00 | len(fci))
        self._current, self._current_sfi = directory, None
        return Answer(fci)
