"""A chip's directories and files, and the commands on them: SELECT, READ BINARY, READ RECORD, UPDATE BINARY (JR/T
0025.2-2010).

Left out: who may read or write what (`sim.card.purse`).
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
_BY_NAME_NEXT: Final = 0x0402
_BY_FID: Final = 0x0000
_RECORD_BY_NUMBER: Final = 0x04
_RECORD_BY_ID: Final = 0x00
_RECORD_HEAD_BYTES: Final = 2  # of a record of its own length: identifier, length of the rest


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory: how it is selected, what SELECT answers (A5's content), and its files by short id with their field
    in the memory.
    """

    fid: int
    name: bytes
    proprietary: bytes
    issuer_data: str = ""  # the field that SELECT shows as 9F0C
    binaries: Mapping[int, str] = field(default_factory=dict)
    records: Mapping[int, tuple[str, int]] = field(default_factory=dict)  # field and record length
    variable_records: Mapping[int, str] = field(default_factory=dict)  # each record: identifier, length, the rest

    def fci(self, memory: Memory) -> bytes:
        """The file control information that SELECT answers."""
        issuer_data = tlv(0x9F0C, memory[self.issuer_data]) if self.issuer_data else b""
        return tlv(0x6F, tlv(0x84, self.name) + tlv(0xA5, self.proprietary + issuer_data))


def tlv(tag: int, value: bytes) -> bytes:
    """A BER-TLV object with a short length; the tag in as many bytes as it needs."""
    assert len(value) < 0x80, "no FCI of a purse is this long"
    return tag.to_bytes(1 if tag < 0x100 else 2) + bytes((len(value),)) + value


def variable_records(content: bytes) -> list[bytes]:
    """The records of a file in which each has its own length."""
    records, position = [], 0
    while position < len(content):
        end = position + _RECORD_HEAD_BYTES + content[position + 1]
        records.append(content[position:end])
        position = end
    return records


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
        if how in (_BY_NAME, _BY_NAME_NEXT):
            return self._select_by_name(command, after_current=how == _BY_NAME_NEXT)
        if how != _BY_FID:
            return Answer(sw=chip.SW_WRONG_P1P2)
        if len(command.data) != 2:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        fid = int.from_bytes(command.data)
        for directory in (self._mf, self._application):
            if directory.fid == fid:
                return self._enter(directory, command)
        if fid in self._current.binaries or self._has_records(fid):
            self._current_sfi = fid
            return Answer()
        return Answer(sw=chip.SW_FILE_NOT_FOUND)

    def read_binary(self, command: Command) -> Answer:
        """READ BINARY by short id, or of the file that SELECT made current."""
        if command.data or command.le is None:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        target = self._binary(command)
        if isinstance(target, Answer):
            return target
        name, offset = target
        rest = self._memory[name][offset:]
        if command.le == chip.LE_ANY and not self._t0:
            return Answer(rest)
        return Answer(rest[: command.le]) if command.le <= len(rest) else Answer(sw=0x6C00 | len(rest))

    def update_binary(self, command: Command, data: bytes) -> Answer:
        """UPDATE BINARY by short id, or of the current file, with `data` freed of its secure messaging."""
        target = self._binary(command)
        if isinstance(target, Answer):
            return target
        name, offset = target
        content = self._memory[name]
        if offset + len(data) > len(content):
            return Answer(sw=chip.SW_NO_SPACE)
        self._memory.commit({name: content[:offset] + data + content[offset + len(data) :]})
        return Answer()

    def read_record(self, command: Command) -> Answer:
        """READ RECORD by number, 1 being the newest; of a file with records of their own length also by identifier."""
        if command.data or command.le is None:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        sfi, how = command.p2 >> 3, command.p2 & 0x07
        by_id = how == _RECORD_BY_ID and sfi in self._current.variable_records
        if how != _RECORD_BY_NUMBER and not by_id:
            return Answer(sw=chip.SW_WRONG_P1P2)
        if sfi in self._current.binaries:
            return Answer(sw=chip.SW_INCOMPATIBLE_FILE)
        records = self._records(sfi)
        if records is None:
            return Answer(sw=chip.SW_FILE_NOT_FOUND)
        found = [record for number, record in enumerate(records, 1) if command.p1 == (record[0] if by_id else number)]
        if not found:
            return Answer(sw=chip.SW_RECORD_NOT_FOUND)
        whole = command.le == len(found[0]) or (command.le == chip.LE_ANY and not self._t0)
        return Answer(found[0]) if whole else Answer(sw=0x6C00 | len(found[0]))

    def _has_records(self, sfi: int) -> bool:
        return sfi in self._current.records or sfi in self._current.variable_records

    def _records(self, sfi: int) -> list[bytes] | None:
        if sfi in self._current.variable_records:
            return variable_records(self._memory[self._current.variable_records[sfi]])
        if sfi not in self._current.records:
            return None
        name, length = self._current.records[sfi]
        content = self._memory[name]
        return [content[start : start + length] for start in range(0, len(content), length)]

    def _binary(self, command: Command) -> tuple[str, int] | Answer:
        """The field and offset that a command on a binary file means, or why there are none."""
        by_short_id = bool(command.p1 & 0x80)
        sfi = command.p1 & 0x1F if by_short_id else self._current_sfi
        offset = command.p2 if by_short_id else command.p1 << 8 | command.p2
        if sfi is None:
            return Answer(sw=chip.SW_NO_CURRENT_FILE)
        if self._has_records(sfi):
            return Answer(sw=chip.SW_INCOMPATIBLE_FILE)
        if sfi not in self._current.binaries:
            return Answer(sw=chip.SW_FILE_NOT_FOUND)
        name = self._current.binaries[sfi]
        return (name, offset) if offset < len(self._memory[name]) else Answer(sw=chip.SW_OFFSET_OUTSIDE)

    def _select_by_name(self, command: Command, *, after_current: bool) -> Answer:
        if len(command.data) < AID_BYTES_MIN:
            return Answer(sw=chip.SW_WRONG_LENGTH)
        matches = [one for one in (self._application, self._mf) if one.name.startswith(command.data)]
        if after_current and self._current in matches:
            matches = matches[matches.index(self._current) + 1 :]
        return self._enter(matches[0], command) if matches else Answer(sw=chip.SW_FILE_NOT_FOUND)

    def _enter(self, directory: Directory, command: Command) -> Answer:
        fci = directory.fci(self._memory)
        if command.le not in (None, chip.LE_ANY, len(fci)):
            return Answer(sw=0x6C00 | len(fci))
        self._current, self._current_sfi = directory, None
        return Answer(fci)
