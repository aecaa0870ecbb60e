"""A chip's memory: whenever the power goes, the fields are all old or all new."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.card.memory import (
    SLOT_BYTES,
    ChipExists,
    Memory,
    MemoryFault,
    MemoryInUse,
    PowerCut,
    RamFile,
    create_memory,
    encode_slot,
    open_memory,
    read_fields,
)

OLD = {"balance": b"\x00\x00\x13\x88", "counter": b"\x00\x07", "log": b"old"}
NEW = {"balance": b"\x00\x00\x10\x00", "counter": b"\x00\x08", "log": b"newer and longer"}


def fresh_image(fields: dict[str, bytes] | None = None) -> bytes:
    return encode_slot(0, fields or OLD).ljust(2 * SLOT_BYTES, b"\0")


class BackwardFile(RamFile):
    """A disk that writes a block's last bytes first."""

    def write_at(self, offset: int, data: bytes) -> None:
        granted = self._take(len(data))
        self.image[offset + len(data) - granted : offset + len(data)] = data[len(data) - granted :]
        if granted < len(data):
            raise PowerCut("cut")


@pytest.mark.parametrize("kind", [RamFile, BackwardFile])
@pytest.mark.parametrize("commits_before", [0, 1, 2])
def test_power_cut_at_every_step_of_a_commit_leaves_old_or_new(kind: type[RamFile], commits_before: int) -> None:
    steps = 0
    seen: set[bool] = set()
    while True:
        file = kind(fresh_image())
        memory = Memory(file)
        for _ in range(commits_before):
            memory.commit(OLD)
        file.steps_left = steps
        try:
            memory.commit(NEW)
        except PowerCut:
            reopened = Memory(RamFile(bytes(file.image)))
            fields = {name: reopened[name] for name in OLD}
            assert fields in (OLD, NEW)
            seen.add(fields == NEW)
            steps += 1
            continue
        reopened = Memory(RamFile(bytes(file.image)))
        assert {name: reopened[name] for name in NEW} == NEW
        break
    assert steps > len(encode_slot(1, NEW))
    assert False in seen


def test_memory_after_a_failed_commit_refuses_to_go_on() -> None:
    memory = Memory(RamFile(fresh_image(), steps_left=5))
    with pytest.raises(PowerCut):
        memory.commit(NEW)
    with pytest.raises(MemoryFault):
        memory.commit(NEW)
    assert memory["balance"] == OLD["balance"]


@given(
    st.dictionaries(st.text("abcdefgh_", min_size=1), st.binary(max_size=100), max_size=8), st.integers(0, 2**64 - 2)
)
def test_encoded_fields_are_read_back(fields: dict[str, bytes], sequence: int) -> None:
    memory = Memory(RamFile(encode_slot(sequence, fields).ljust(2 * SLOT_BYTES, b"\0")))
    assert {name: memory[name] for name in fields} == fields


@given(st.binary(max_size=300))
def test_garbage_is_a_typed_fault(image: bytes) -> None:
    with pytest.raises(MemoryFault):
        Memory(RamFile(image))


@given(st.integers(0, len(encode_slot(0, OLD)) * 8 - 1))
def test_flipped_bit_in_the_only_slot_is_a_typed_fault(bit: int) -> None:
    image = bytearray(fresh_image())
    image[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MemoryFault):
        Memory(RamFile(bytes(image)))


def test_commits_on_disk_survive_reopening_and_are_seen_while_powered(tmp_path: Path) -> None:
    path = tmp_path / "chip"
    create_memory(path, OLD)
    memory = open_memory(path)
    memory.commit(NEW)
    assert read_fields(path) == NEW
    memory.commit({"counter": b"\x00\x09"})
    memory.close()
    assert read_fields(path) == {**NEW, "counter": b"\x00\x09"}
    assert open_memory(path).number("counter") == 9
    assert path.stat().st_size == 2 * SLOT_BYTES


def test_chip_is_powered_by_one_program_at_a_time(tmp_path: Path) -> None:
    create_memory(tmp_path / "chip", OLD)
    first = open_memory(tmp_path / "chip")
    with pytest.raises(MemoryInUse):
        open_memory(tmp_path / "chip")
    first.close()
    open_memory(tmp_path / "chip").close()


def test_creating_over_a_chip_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    create_memory(tmp_path / "chip", OLD)
    with pytest.raises(ChipExists):
        create_memory(tmp_path / "chip", NEW)
    assert read_fields(tmp_path / "chip") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["chip"]


def test_missing_file_is_a_typed_fault(tmp_path: Path) -> None:
    with pytest.raises(MemoryFault):
        open_memory(tmp_path / "none")
    with pytest.raises(MemoryFault):
        read_fields(tmp_path / "none")
    with pytest.raises(MemoryFault):
        create_memory(tmp_path / "no folder" / "chip", OLD)
