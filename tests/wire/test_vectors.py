"""The golden vectors of wire format 2: what stands in the file decodes to its fields, and its fields encode to it."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import date
from enum import IntEnum
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire.batch import SettlementBatch, decode_batch, sign_batch
from wire.directory import CodingState
from wire.enrolment import Ticket, parse_ticket_text, ticket_text
from wire.frame import FrameDecoder, encode_frame
from wire.hotlist import Hotlist
from wire.messages import Enrol, Identify, Upload, read_message
from wire.receipt import BatchReceipt
from wire.record import Outcome, TapKind, TapRecord, genesis_hash, next_hash
from wire.shift import ShiftReport, add_up, shift_genesis
from wire.sms import DatagramKind, Envelope, HotlistDatagram, ReceiptDatagram, UpDatagram, derive_sms_key

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "wire_v2.json").read_text())
TERMINAL_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["keys"]["terminal_private"]))
TERMINAL_PUBLIC = bytes.fromhex(VECTORS["keys"]["terminal_public"])
OPERATOR_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["keys"]["operator_private"]))
OPERATOR_PUBLIC = bytes.fromhex(VECTORS["keys"]["operator_public"])
Vector = dict[str, object]


def plain(value: object) -> object:
    """A decoded value as JSON has it: bytes in hex, enumerations by name."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, frozenset):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, dict):
        return {" ".join(part.name for part in key): plain(found) for key, found in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value


def vectors(section: str) -> pytest.MarkDecorator:
    """Run a test for every vector of a section, under the vector's name."""
    entries = VECTORS[section]
    return pytest.mark.parametrize("vector", entries, ids=[entry["name"] for entry in entries])


def raw(vector: Vector) -> bytes:
    """The vector's bytes."""
    return bytes.fromhex(str(vector["hex"]))


def as_dict(value: object) -> dict[str, object]:
    """What is known to be an object."""
    assert isinstance(value, dict)
    return value


def listed(vector: Vector, name: str) -> list[str]:
    """A list of texts in a vector."""
    value = vector[name]
    assert isinstance(value, list)
    return value


@vectors("record")
def test_record_vector_is_read_and_written(vector: Vector) -> None:
    record = TapRecord.from_bytes(raw(vector))
    assert plain(record) == vector["fields"]
    assert record.to_bytes() == raw(vector)


@vectors("batch")
def test_batch_vector_is_read_signed_again_and_verified(vector: Vector) -> None:
    signed = decode_batch(raw(vector))
    past, canonical = ([bytes.fromhex(record) for record in listed(vector, name)] for name in ("before", "records"))
    assert {name: value for name, value in as_dict(plain(signed)).items() if name != "raw"} == vector["fields"]
    signed.verify(TERMINAL_PUBLIC)
    links = signed.open(CodingState.before(signed.first_seq, past))
    assert links.canonicals == canonical
    batch = SettlementBatch(
        terminal=signed.terminal,
        epoch=signed.epoch,
        hash_before=signed.hash_before,
        total_before_fen=signed.total_before_fen,
        records=tuple(links.records),
    )
    assert sign_batch(batch, TERMINAL_KEY, CodingState.before(signed.first_seq, past)).raw == raw(vector)


DATAGRAMS: dict[DatagramKind, type[UpDatagram | ReceiptDatagram | HotlistDatagram]] = {
    DatagramKind.UP: UpDatagram,
    DatagramKind.RECEIPT: ReceiptDatagram,
    DatagramKind.HOTLIST: HotlistDatagram,
}


@vectors("sms")
def test_sms_vector_is_opened_read_and_sealed_again(vector: Vector) -> None:
    envelope = Envelope.of(raw(vector))
    epoch = vector["epoch"]
    assert isinstance(epoch, int)
    key = derive_sms_key(bytes.fromhex(VECTORS["keys"]["sms_master"]), envelope.terminal, epoch)
    assert key.hex() == VECTORS["keys"]["sms"]
    assert plain(envelope) == vector["envelope"]
    carried = envelope.unseal(raw(vector), key, epoch)
    assert carried.hex() == vector["plain"]
    datagram = DATAGRAMS[envelope.kind].from_bytes(carried)
    assert plain(datagram) == vector["fields"]
    assert envelope.seal(datagram.to_bytes(), key, epoch) == raw(vector)


@vectors("shift")
def test_shift_vector_is_read_verified_and_signed_again(vector: Vector) -> None:
    report = ShiftReport.from_bytes(raw(vector))
    assert plain(report) == vector["fields"]
    report.verify(TERMINAL_PUBLIC)
    assert report.signed(TERMINAL_KEY).to_bytes() == raw(vector)
    assert report.hash.hex() == vector["hash"]


def test_shift_vectors_follow_each_other_and_come_to_what_their_taps_do() -> None:
    journal = [bytes.fromhex(record) for name in ("before", "records") for record in VECTORS["batch"][1][name]]
    reports = [ShiftReport.from_bytes(raw(vector)) for vector in VECTORS["shift"]]
    hash_before, next_seq = shift_genesis(reports[0].terminal, reports[0].epoch), 1
    for report in reports:
        assert (report.hash_before, report.first_seq) == (hash_before, next_seq)
        taps = journal[report.first_seq - 1 : report.next_seq - 1]
        assert report.taps == add_up(map(TapRecord.from_bytes, taps))
        head = genesis_hash(report.terminal, report.epoch)
        for canonical in journal[: report.next_seq - 1]:
            head = next_hash(head, canonical)
        assert report.journal_hash == head
        hash_before, next_seq = report.hash, report.next_seq


@vectors("receipt")
def test_receipt_vector_is_read_and_written(vector: Vector) -> None:
    receipt = BatchReceipt.from_bytes(raw(vector))
    assert plain(receipt) == vector["fields"]
    assert receipt.to_bytes() == raw(vector)


@vectors("hotlist")
def test_hotlist_vector_is_read_and_written(vector: Vector) -> None:
    hotlist = Hotlist.from_bytes(raw(vector))
    assert plain(hotlist) == vector["fields"]
    assert hotlist.to_bytes() == raw(vector)


@vectors("ticket")
def test_ticket_vector_is_read_and_issued_again(vector: Vector) -> None:
    ticket = Ticket.open(raw(vector), OPERATOR_PUBLIC)
    assert plain(ticket) == vector["fields"]
    assert ticket.issue(OPERATOR_KEY) == raw(vector)
    assert ticket_text(raw(vector)) == vector["text"]
    assert parse_ticket_text(str(vector["text"])) == raw(vector)


@vectors("frame")
def test_frame_vector_is_read_and_written(vector: Vector) -> None:
    [(kind, body)] = FrameDecoder().feed(raw(vector))
    message = read_message(kind, body)
    if isinstance(message, Upload):
        assert vector["fields"] == f"batch: {VECTORS['batch'][0]['name']}"
        assert message.to_bytes().hex() == VECTORS["batch"][0]["hex"]
    else:
        assert plain(message) == vector["fields"]
    assert encode_frame(message.kind, message.to_bytes()) == raw(vector)


def test_proofs_in_the_frame_vectors_hold_for_the_given_nonce() -> None:
    nonce = bytes.fromhex(VECTORS["challenge_nonce"])
    read = [read_message(*FrameDecoder().feed(raw(vector))[0]) for vector in VECTORS["frame"]]
    [identify] = [message for message in read if isinstance(message, Identify)]
    [enrol] = [message for message in read if isinstance(message, Enrol)]
    identify.verify(TERMINAL_PUBLIC, nonce)
    enrol.verify(nonce)


def test_vectors_name_every_outcome_and_kind() -> None:
    assert {vector["fields"]["outcome"] for vector in VECTORS["record"]} == {outcome.name for outcome in Outcome}
    assert {vector["fields"]["kind"] for vector in VECTORS["record"]} == {kind.name for kind in TapKind}
    coded = {TapRecord.from_bytes(bytes.fromhex(record)).kind for record in VECTORS["batch"][1]["records"]}
    assert coded == set(TapKind)
    opened = {TapRecord.from_bytes(bytes.fromhex(record)).outcome for record in VECTORS["batch"][0]["records"]}
    assert opened == set(Outcome)
