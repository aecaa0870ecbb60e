"""The session: its table is all that may happen, in both roles, however the bytes arrive."""

from __future__ import annotations

import json
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.configuration import Configuration
from wire.downlink import Answer, HotlistDelta, Request
from wire.errors import CampusError
from wire.frame import FrameDecoder, encode_frame
from wire.load import LoadGrant, LoadOutcome, LoadRefused, LoadRequest, LoadResult, RefundQuestion, RefundsOwed
from wire.messages import (
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
from wire.session import UNANSWERED_MAX, ProtocolViolation, Role, Session, State
from wire.shift import ShiftReceipt, ShiftReport

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "wire_v2.json").read_text())
FRAMES: dict[type[Message], bytes] = {}
for vector in VECTORS["frame"]:
    raw = bytes.fromhex(vector["hex"])
    FRAMES.setdefault(type(read_message(*FrameDecoder().feed(raw)[0])), raw)
MESSAGES = {kind: read_message(*FrameDecoder().feed(raw)[0]) for kind, raw in FRAMES.items()}
KINDS = list(FRAMES)

# The table as it stands in wire/FORMAT.md: who may send what when, and what follows.
CLIENT, SERVER = Role.CLIENT, Role.SERVER
TABLE: dict[tuple[State, type[Message], Role], State] = {
    (State.START, Challenge, SERVER): State.CHALLENGED,
    (State.START, Refused, SERVER): State.OVER,
    (State.CHALLENGED, Identify, CLIENT): State.IDENTIFYING,
    (State.CHALLENGED, Enrol, CLIENT): State.ENROLLING,
    (State.CHALLENGED, Refused, SERVER): State.OVER,
    (State.ENROLLING, Enrolled, SERVER): State.OVER,
    (State.ENROLLING, Refused, SERVER): State.OVER,
    (State.IDENTIFYING, Upload, CLIENT): State.IDENTIFYING,
    (State.IDENTIFYING, Welcome, SERVER): State.OPEN,
    (State.IDENTIFYING, Refused, SERVER): State.OVER,
    (State.OPEN, Upload, CLIENT): State.OPEN,
    (State.OPEN, Receipt, SERVER): State.OPEN,
    (State.OPEN, Refused, SERVER): State.OPEN,
    (State.OPEN, HotlistUpdate, SERVER): State.OPEN,
    (State.OPEN, HotlistDelta, SERVER): State.OPEN,
    (State.OPEN, Configuration, SERVER): State.OPEN,
    (State.OPEN, Request, SERVER): State.OPEN,
    (State.OPEN, Answer, CLIENT): State.OPEN,
    (State.OPEN, LoadRequest, CLIENT): State.OPEN,
    (State.OPEN, LoadGrant, SERVER): State.OPEN,
    (State.OPEN, LoadResult, CLIENT): State.OPEN,
    (State.OPEN, LoadOutcome, SERVER): State.OPEN,
    (State.OPEN, LoadRefused, SERVER): State.OPEN,
    (State.OPEN, ShiftReport, CLIENT): State.OPEN,
    (State.OPEN, ShiftReceipt, SERVER): State.OPEN,
    (State.OPEN, RefundQuestion, CLIENT): State.OPEN,
    (State.OPEN, RefundsOwed, SERVER): State.OPEN,
}
WAYS: dict[State, tuple[type[Message], ...]] = {
    State.START: (),
    State.CHALLENGED: (Challenge,),
    State.IDENTIFYING: (Challenge, Identify),
    State.ENROLLING: (Challenge, Enrol),
    State.OPEN: (Challenge, Identify, Upload, Welcome),  # one batch waits for its answer
    State.OVER: (Challenge, Enrol, Enrolled),
}
SENDER = {kind: role for _, kind, role in TABLE}


def other(role: Role) -> Role:
    """The far end."""
    return SERVER if role is CLIENT else CLIENT


def play(session: Session, role: Role, kinds: tuple[type[Message], ...]) -> None:
    """Walk one end through a conversation."""
    for kind in kinds:
        if SENDER[kind] is role:
            session.send(MESSAGES[kind])
        else:
            assert session.receive(FRAMES[kind]) == [MESSAGES[kind]]


def session_in(state: State, role: Role, before: type[Message] | None = None) -> Session:
    """A session that came to `state` on its legal way, and a question or a report sent if `before` answers it."""
    session = Session(role)
    play(session, role, WAYS[state])
    if state is State.OPEN and before in (LoadGrant, LoadOutcome, LoadRefused, RefundsOwed):
        play(session, role, (LoadRequest,))
    if state is State.OPEN and before is ShiftReceipt:
        play(session, role, (ShiftReport,))
    assert session.state is state
    return session


@pytest.mark.parametrize(("state", "kind"), list(product(State, KINDS)), ids=str)
@pytest.mark.parametrize("role", list(Role))
def test_only_what_the_table_names_may_be_sent_or_received(state: State, kind: type[Message], role: Role) -> None:
    sending, receiving = session_in(state, role, kind), session_in(state, role, kind)
    if (following := TABLE.get((state, kind, role))) is not None:
        assert sending.send(MESSAGES[kind]) == FRAMES[kind]
        assert sending.state is following
    else:
        with pytest.raises(ProtocolViolation, match=kind.__name__):
            sending.send(MESSAGES[kind])
        assert sending.state is state
    if (following := TABLE.get((state, kind, other(role)))) is not None:
        assert receiving.receive(FRAMES[kind]) == [MESSAGES[kind]]
        assert receiving.state is following
    else:
        with pytest.raises(ProtocolViolation, match=kind.__name__):
            receiving.receive(FRAMES[kind])
        assert receiving.state is State.OVER


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_flipped_bit_of_a_frame_is_a_typed_error_at_once(kind: type[Message]) -> None:
    role = other(SENDER[kind])
    state = next(state for state, known, _ in reversed(TABLE) if known is kind)
    for bit in range(len(FRAMES[kind]) * 8):
        changed = bytearray(FRAMES[kind])
        changed[bit // 8] ^= 1 << (bit % 8)
        session = session_in(state, role, kind)
        with pytest.raises(CampusError):
            session.receive(bytes(changed))
        assert session.state is State.OVER


CONVERSATION = (Challenge, Identify, Upload, Welcome, HotlistUpdate, Receipt, Upload, Upload, Refused, Receipt)


@pytest.mark.parametrize("role", list(Role))
def test_stream_cut_at_every_byte_gives_the_same_messages(role: Role) -> None:
    for index, kind in enumerate(CONVERSATION):
        if SENDER[kind] is role:
            continue
        frame = FRAMES[kind]
        for cut in range(1, len(frame)):
            session = Session(role)
            play(session, role, CONVERSATION[:index])
            assert session.receive(frame[:cut]) == []
            assert session.receive(frame[cut:]) == [MESSAGES[kind]]


def test_frames_back_to_back_cut_at_every_byte_give_the_same_messages() -> None:
    expected = [MESSAGES[Identify], MESSAGES[Upload], MESSAGES[Upload]]
    stream = FRAMES[Identify] + FRAMES[Upload] * 2
    for cut in range(len(stream) + 1):
        server = session_in(State.CHALLENGED, SERVER)
        assert server.receive(stream[:cut]) + server.receive(stream[cut:]) == expected
    server = session_in(State.CHALLENGED, SERVER)
    assert [message for byte in stream for message in server.receive(bytes((byte,)))] == expected


def test_both_ends_count_the_same_bytes() -> None:
    client, server = Session(CLIENT), Session(SERVER)
    for kind in CONVERSATION:
        sender, receiver = (client, server) if SENDER[kind] is CLIENT else (server, client)
        receiver.receive(sender.send(MESSAGES[kind]))
    assert (client.bytes_sent, client.bytes_received) == (server.bytes_received, server.bytes_sent)
    assert client.bytes_sent + client.bytes_received == sum(len(FRAMES[kind]) for kind in CONVERSATION)
    assert client.unanswered == server.unanswered == 0


@pytest.mark.parametrize("kind", [Receipt, Refused])
def test_answer_without_a_batch_is_a_violation(kind: type[Message]) -> None:
    client = Session(CLIENT)
    play(client, CLIENT, (Challenge, Identify, Welcome))
    with pytest.raises(ProtocolViolation, match="without a batch"):
        client.receive(FRAMES[kind])


@pytest.mark.parametrize("kind", [LoadGrant, LoadOutcome, LoadRefused])
def test_answer_without_a_question_about_a_load_is_a_violation(kind: type[Message]) -> None:
    client = session_in(State.OPEN, CLIENT)
    with pytest.raises(ProtocolViolation, match="without a question"):
        client.receive(FRAMES[kind])


@pytest.mark.parametrize("kind", [LoadRequest, LoadResult, RefundQuestion])
def test_second_question_about_a_load_waits_for_the_answer_to_the_first(kind: type[Message]) -> None:
    for role in Role:
        session = session_in(State.OPEN, role)
        play(session, role, (LoadRequest,))
        with pytest.raises(ProtocolViolation, match="no answer"):
            play(session, role, (kind,))


def test_reports_go_one_at_a_time_and_a_receipt_answers_one() -> None:
    for role in Role:
        session = session_in(State.OPEN, role)
        with pytest.raises(ProtocolViolation, match="out of turn"):
            play(session, role, (ShiftReceipt,))
        session = session_in(State.OPEN, role)
        play(session, role, (ShiftReport, ShiftReceipt, ShiftReport))
        with pytest.raises(ProtocolViolation, match="out of turn"):
            play(session, role, (ShiftReport,))


def test_batches_beyond_the_limit_are_a_violation_at_both_ends() -> None:
    for role in Role:
        session = session_in(State.IDENTIFYING, role)
        play(session, role, (Upload,) * UNANSWERED_MAX)
        assert session.unanswered == UNANSWERED_MAX
        with pytest.raises(ProtocolViolation, match="without an answer"):
            play(session, role, (Upload,))


@pytest.mark.parametrize("state", [State.CHALLENGED, State.ENROLLING, State.OVER])
def test_batch_that_may_not_come_now_is_refused_before_it_is_decoded(state: State) -> None:
    with pytest.raises(ProtocolViolation, match="Upload from the client"):
        session_in(state, SERVER).receive(encode_frame(Upload.kind, b"no batch at all"))


def test_batch_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    session = session_in(State.IDENTIFYING, SERVER)
    with pytest.raises(ProtocolViolation, match="without an answer"):
        session.receive(FRAMES[Upload] * UNANSWERED_MAX + encode_frame(Upload.kind, b"no batch at all"))


@given(st.sampled_from(list(State)), st.sampled_from(list(Role)), st.lists(st.binary(max_size=80), max_size=4))
def test_garbage_is_a_typed_error_or_nothing(state: State, role: Role, portions: list[bytes]) -> None:
    session = session_in(state, role)
    try:
        for portion in portions:
            assert session.receive(portion) == []
    except CampusError:
        assert session.state is State.OVER


@given(st.data())
def test_mutated_conversation_is_typed_errors_or_true_messages(data: st.DataObject) -> None:
    stream = bytearray(FRAMES[Identify] + FRAMES[Upload])
    for at in data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=3)):
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    session = session_in(State.CHALLENGED, SERVER)
    try:
        for start, end in pairwise(range(0, len(stream) + 200, 200)):
            for message in session.receive(bytes(stream[start:end])):
                assert message == MESSAGES[type(message)]
    except CampusError:
        assert session.state is State.OVER
