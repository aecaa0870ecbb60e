"""Messages: each body gives its message back, anything else is a typed error, and proofs cover every field."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.configurations import configurations
from wire.batch import TOTAL_BITS, SettlementBatch, sign_batch
from wire.directory import CodingState
from wire.downlink import Answer, HotlistDelta, Question, Request
from wire.errors import CampusError
from wire.fields import FormatError
from wire.frame import BODY_BYTES_MAX, FrameDecoder
from wire.hotlist import Hotlist
from wire.ids import TERMINAL_ID_BYTES, CardId, LoadId, TerminalId
from wire.load import (
    Funding,
    LoadGrant,
    LoadInit,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    RefundQuestion,
    RefundsOwed,
)
from wire.messages import (
    MESSAGE_TYPES,
    NONCE_BYTES,
    Challenge,
    Enrol,
    Enrolled,
    HotlistUpdate,
    Identify,
    Message,
    Receipt,
    Refused,
    Upload,
    Welcome,
    read_message,
)
from wire.money import Fen
from wire.receipt import BatchReceipt, Cursor, Rejection
from wire.record import TAC_BYTES
from wire.shift import ShiftReceipt, ShiftReport
from wire.signature import SignatureInvalid, public_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NONCE = bytes(range(NONCE_BYTES))
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "wire_v2.json").read_text())
BODIES = [FrameDecoder().feed(bytes.fromhex(vector["hex"]))[0] for vector in VECTORS["frame"]]

U32 = st.integers(0, 0xFFFF_FFFF)
TACS = st.binary(min_size=TAC_BYTES, max_size=TAC_BYTES)
TERMINALS = st.binary(min_size=TERMINAL_ID_BYTES, max_size=TERMINAL_ID_BYTES).map(TerminalId)
IDENTIFIES = st.builds(
    Identify,
    terminal=TERMINALS,
    epoch=st.integers(0, 0xFFFF),
    head_seq=U32,
    total_fen=st.integers(0, (1 << TOTAL_BITS) - 1),
    hotlist_mark=st.binary(min_size=4, max_size=4),
    configuration_mark=st.binary(min_size=4, max_size=4),
    proof=st.binary(min_size=64, max_size=64),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Challenge, st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES), U32),
    IDENTIFIES,
    st.builds(
        Enrol,
        public_key=st.binary(min_size=32, max_size=32),
        ticket=st.binary(max_size=100),
        proof=st.binary(min_size=64, max_size=64),
    ),
    st.builds(
        Enrolled,
        TERMINALS,
        st.integers(1, 0xFFFF),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(Welcome, st.from_type(Cursor), U32),
    st.from_type(SettlementBatch).map(lambda batch: Upload(sign_batch(batch, KEY, CodingState(batch.first_seq)))),
    st.builds(Receipt, st.from_type(BatchReceipt)),
    st.builds(
        Refused,
        st.sampled_from(Rejection),
        st.none() | st.from_type(Cursor),
        st.text(max_size=50, alphabet=st.characters(codec="utf-8")),
    ),
    st.builds(HotlistUpdate, st.from_type(Hotlist)),
    st.builds(HotlistDelta.between, st.from_type(Hotlist), st.from_type(Hotlist)),
    configurations(),
    st.builds(Request, st.integers(1, 0xFFFF_FFFF), st.sampled_from(Question)),
    st.builds(Answer, st.integers(1, 0xFFFF_FFFF), st.text(max_size=50, alphabet=st.characters(codec="utf-8"))),
    st.builds(
        LoadRequest,
        number=st.integers(1, 0xFFFF_FFFF),
        card=st.from_type(CardId),
        init=st.from_type(LoadInit),
        funding=st.sampled_from(Funding),
    ),
    st.from_type(LoadGrant),
    st.builds(LoadResult, load_id=st.from_type(LoadId), tac=TACS, init=st.none() | st.from_type(LoadInit)),
    st.from_type(LoadOutcome),
    st.builds(LoadRefused, st.sampled_from(LoadRefusal), st.text(max_size=50, alphabet=st.characters(codec="utf-8"))),
    st.from_type(ShiftReport),
    st.builds(ShiftReceipt, U32),
    st.from_type(RefundQuestion),
    st.builds(RefundsOwed, st.integers(0, 0xFFFF_FFFF).map(Fen)),
)


@given(MESSAGES)
def test_message_round_trip(message: Message) -> None:
    assert read_message(message.kind, message.to_bytes()) == message


@given(st.integers(0, 255), st.binary(max_size=150))
def test_garbage_is_a_typed_error_or_a_message_of_these_bytes(kind: int, body: bytes) -> None:
    with suppress(CampusError):
        message = read_message(kind, body)
        assert message.kind == kind
        assert read_message(kind, message.to_bytes()) == message


@given(MESSAGES, st.data())
def test_mutated_message_is_a_typed_error_or_a_message(message: Message, data: st.DataObject) -> None:
    raw = bytearray(message.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    with suppress(CampusError):
        read_message(message.kind, bytes(raw))


@pytest.mark.parametrize(("kind", "body"), BODIES, ids=[vector["name"] for vector in VECTORS["frame"]])
def test_body_cut_short_is_a_typed_error_or_says_less(kind: int, body: bytes) -> None:
    whole = read_message(kind, body)
    for size in range(len(body)):
        with suppress(FormatError):
            assert read_message(kind, body[:size]) != whole
            # Only the bodies that end in free text, in the ticket, in what may be absent, or in rows that are not read
            # before the signature over them was verified.
            assert isinstance(whole, Upload | Enrol | Refused | Answer | LoadRefused | LoadResult)


@pytest.mark.parametrize("kind", [0, 15, 255])
def test_unknown_kind_is_a_format_error(kind: int) -> None:
    with pytest.raises(FormatError, match="not known here"):
        read_message(kind, b"")


def test_challenge_of_another_protocol_version_is_refused() -> None:
    with pytest.raises(FormatError, match="version 3"):
        Challenge.from_bytes(b"\3" + bytes(20))


@given(IDENTIFIES, st.data())
def test_identity_proof_covers_nonce_and_every_field(identify: Identify, data: st.DataObject) -> None:
    signed = identify.signed(KEY, NONCE)
    signed.verify(public_bytes(KEY), NONCE)
    with pytest.raises(SignatureInvalid):
        signed.verify(public_bytes(KEY), NONCE[::-1])
    raw = bytearray(signed.to_bytes())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises((SignatureInvalid, FormatError)):  # a total beyond 63 bits is no total
        Identify.from_bytes(bytes(raw)).verify(public_bytes(KEY), NONCE)


def test_total_beyond_63_bits_is_refused() -> None:
    fields = {"terminal": TerminalId(bytes(6)), "epoch": 1, "head_seq": 1, "hotlist_mark": bytes(4)}
    raw = bytearray(Identify(**fields, total_fen=0, proof=bytes(64)).to_bytes())  # type: ignore[arg-type] # by name
    raw[12] = 0x80
    with pytest.raises(FormatError, match="63 bits"):
        Identify.from_bytes(bytes(raw))


def test_enrolment_proof_covers_nonce_key_and_ticket() -> None:
    enrol = Enrol(public_key=public_bytes(KEY), ticket=b"ticket").signed(KEY, NONCE)
    enrol.verify(NONCE)
    other = public_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    for changed in (replace(enrol, ticket=b"other"), replace(enrol, public_key=other)):
        with pytest.raises(SignatureInvalid):
            changed.verify(NONCE)
    with pytest.raises(SignatureInvalid):
        enrol.verify(NONCE[::-1])


def test_long_detail_is_cut_between_characters() -> None:
    read = Refused.from_bytes(Refused(Rejection.BUSY, None, "满" * 100).to_bytes())
    assert read.detail == "满" * 66


@pytest.mark.parametrize("body", ["0102", "0000", "0d00", "0100ff", "0101"])
def test_rejection_that_cannot_be_read_is_a_format_error(body: str) -> None:
    with pytest.raises(FormatError):
        Refused.from_bytes(bytes.fromhex(body))


def test_every_kind_has_its_own_number_and_its_vector() -> None:
    assert [kind.kind for kind in MESSAGE_TYPES.values()] == list(MESSAGE_TYPES)
    assert {kind for kind, _ in BODIES} == set(MESSAGE_TYPES)
    assert all(len(body) <= BODY_BYTES_MAX for _, body in BODIES)
