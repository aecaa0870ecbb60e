"""`wire/FORMAT.md` and the code say the same: sizes, numbers, the record's layout, messages and the session's table."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from pathlib import Path

import pytest

from wire import (
    batch,
    configuration,
    directory,
    downlink,
    enrolment,
    fields,
    frame,
    hotlist,
    ids,
    journalfile,
    load,
    messages,
    money,
    receipt,
    record,
    session,
    shift,
    signature,
    sms,
)
from wire import (
    rows as row_coding,
)

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "wire" / "FORMAT.md").read_text()
VECTORS = json.loads((ROOT / "tests" / "vectors" / "wire_v2.json").read_text())
CODING = (record, directory, row_coding, batch, sms)
MODULES = (
    *CODING,
    ids,
    money,
    fields,
    signature,
    receipt,
    hotlist,
    downlink,
    configuration,
    enrolment,
    frame,
    load,
    shift,
    messages,
    session,
    journalfile,
)
ENUMERATIONS: tuple[type[IntEnum], ...] = (
    record.TapKind,
    record.Outcome,
    record.Mac2,
    record.Refusal,
    record.VoidReason,
    record.ClockQuality,
    ids.Stream,
    sms.DatagramKind,
    receipt.Suspense,
    receipt.Rejection,
    configuration.StaffRole,
    configuration.Cycle,
    configuration.Carry,
    downlink.Question,
    load.Funding,
    load.LoadState,
    load.LoadRefusal,
)


def rows(heading: str) -> list[list[str]]:
    """The cells of every table row under a heading, the tables' own headings left out."""
    section = re.split(rf"^## {re.escape(heading)}.*$", TEXT, flags=re.MULTILINE)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    rules = [number for number, row in enumerate(cells) if set(row[0]) <= set("-:")]
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


def constant(name: str) -> int:
    """The one value that the code has for a constant."""
    values = {vars(module)[name] for module in MODULES if name in vars(module)}
    assert len(values) == 1, f"{name} has the values {values} in wire"
    value = values.pop()
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize("row", rows("Sizes and limits"), ids=lambda row: row[0])
def test_documented_constant_has_the_value_in_the_code(row: list[str]) -> None:
    assert int(row[1]) == constant(row[0])


def test_every_size_and_limit_in_the_code_is_documented() -> None:
    documented = {row[0] for row in rows("Sizes and limits")}
    named = {
        name
        for module in MODULES
        for name in vars(module)
        if re.fullmatch(r"[A-Z][A-Z0-9_]*_(BYTES|MAX|VERSION)", name)
    }
    assert named - documented == set()


@pytest.mark.parametrize("enumeration", ENUMERATIONS, ids=lambda enumeration: enumeration.__name__)
def test_documented_numbers_are_those_of_the_code(enumeration: type[IntEnum]) -> None:
    [numbers] = [row[1] for row in rows("Numbers") if row[0] == enumeration.__name__]
    assert numbers == ", ".join(f"{member.value} {member.name}" for member in enumeration)


def test_every_documented_enumeration_exists() -> None:
    assert {row[0] for row in rows("Numbers")} == {enumeration.__name__ for enumeration in ENUMERATIONS}


@pytest.mark.parametrize("vector", VECTORS["record"], ids=lambda vector: vector["name"])
def test_record_vector_has_its_fields_where_the_document_says(vector: dict[str, str]) -> None:
    raw = bytes.fromhex(vector["hex"])
    table = rows("Record")
    sizes = [(int(row[0]), int(row[1])) for row in table]
    assert [offset for offset, _ in sizes] == [sum(size for _, size in sizes[:at]) for at in range(len(sizes))]
    assert sum(sizes[-1]) == len(raw) == record.RECORD_BYTES
    at = {row[2]: raw[int(row[0]) : int(row[0]) + int(row[1])] for row in table}
    tap = record.TapRecord.from_bytes(raw)
    assert at["terminal"] == tap.tap_id.terminal
    assert at["issuer"] + at["asn"] == tap.card.to_bytes()
    assert at["tac"] == tap.tac
    expected = {
        "version": record.RECORD_VERSION,
        "epoch": tap.tap_id.epoch,
        "seq": tap.tap_id.seq,
        "kind": tap.kind,
        "outcome": tap.outcome,
        "reason": tap.reason or 0,
        "mac2": tap.mac2,
        "amount_fen": tap.amount_fen,
        "subsidy_fen": tap.subsidy_fen,
        "credit_fen": tap.credit_fen,
        "balance_before_fen": tap.balance_before_fen,
        "counter": tap.counter,
        "ttsn": tap.ttsn,
        "refers_to": tap.refers_to,
        "utc_s": tap.opened_at.utc_s,
        "boot": tap.opened_at.boot,
        "uptime_s": tap.opened_at.uptime_s,
        "quality": tap.opened_at.quality,
    }
    assert {name: int.from_bytes(at[name], "big") for name in expected} == expected


def test_documented_messages_are_those_of_the_code() -> None:
    documented = [(int(row[0]), row[1], row[2]) for row in rows("Messages")]
    senders = {kind.__name__: role.name.lower() for kind, role in session._SENDER.items()}
    assert documented == [(kind, cls.__name__, senders[cls.__name__]) for kind, cls in messages.MESSAGE_TYPES.items()]


def test_documented_session_table_is_that_of_the_code() -> None:
    documented = [(row[0], row[1], row[2]) for row in rows("What may follow what")]
    assert documented == [(state.name, kind.__name__, after.name) for (state, kind), after in session._NEXT.items()]


def test_signature_labels_are_documented() -> None:
    labels = (
        signature.IDENTITY,
        signature.ENROLMENT,
        signature.TICKET,
        signature.BATCH,
        signature.SHIFT,
        signature.CONFIGURATION,
    )
    assert all(f'"{label.decode()}"' in TEXT for label in labels)


def test_every_section_of_the_vectors_is_named() -> None:
    sections = {name for name, value in VECTORS.items() if isinstance(value, list)}
    assert sections == set(re.findall(r"\(vectors: `(\w+)`\)", TEXT))
