"""One session between terminal and server, for both roles, without input or output of its own.

Bytes in give messages out, messages in give bytes out, and each side holds itself and the other to the same table of
what may follow what. Keys, journals and time belong to the callers; so does closing the link after an error.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from wire.configuration import Configuration
from wire.downlink import Answer, HotlistDelta, Request
from wire.errors import CampusError
from wire.frame import FrameDecoder, encode_frame
from wire.load import LoadGrant, LoadOutcome, LoadRefused, LoadRequest, LoadResult, RefundQuestion, RefundsOwed
from wire.messages import (
    MESSAGE_TYPES,
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
from wire.shift import ShiftReceipt, ShiftReport

UNANSWERED_MAX: Final = 4  # batches under way at once; more only delays the moment that a rejection is heard


class Role(Enum):
    """Which end of the session this is."""

    CLIENT = auto()
    SERVER = auto()


class State(Enum):
    """How far the two have come."""

    START = auto()
    CHALLENGED = auto()
    IDENTIFYING = auto()
    ENROLLING = auto()
    OPEN = auto()
    OVER = auto()


class ProtocolViolation(CampusError):
    """A message came that may not come now."""

    code = "protocol-violation"


_SENDER: Final[dict[type[Message], Role]] = {
    Challenge: Role.SERVER,
    Identify: Role.CLIENT,
    Enrol: Role.CLIENT,
    Enrolled: Role.SERVER,
    Welcome: Role.SERVER,
    Upload: Role.CLIENT,
    Receipt: Role.SERVER,
    Refused: Role.SERVER,
    HotlistUpdate: Role.SERVER,
    HotlistDelta: Role.SERVER,
    Configuration: Role.SERVER,
    Request: Role.SERVER,
    Answer: Role.CLIENT,
    LoadRequest: Role.CLIENT,
    LoadGrant: Role.SERVER,
    LoadResult: Role.CLIENT,
    LoadOutcome: Role.SERVER,
    LoadRefused: Role.SERVER,
    ShiftReport: Role.CLIENT,
    ShiftReceipt: Role.SERVER,
    RefundQuestion: Role.CLIENT,
    RefundsOwed: Role.SERVER,
}

# A batch may follow Identify at once: the first contact needs no probe. A rejection ends the session unless it answers
# a batch of a terminal that was let in.
_NEXT: Final[dict[tuple[State, type[Message]], State]] = {
    (State.START, Challenge): State.CHALLENGED,
    (State.START, Refused): State.OVER,
    (State.CHALLENGED, Identify): State.IDENTIFYING,
    (State.CHALLENGED, Enrol): State.ENROLLING,
    (State.CHALLENGED, Refused): State.OVER,
    (State.ENROLLING, Enrolled): State.OVER,
    (State.ENROLLING, Refused): State.OVER,
    (State.IDENTIFYING, Upload): State.IDENTIFYING,
    (State.IDENTIFYING, Welcome): State.OPEN,
    (State.IDENTIFYING, Refused): State.OVER,
    (State.OPEN, Upload): State.OPEN,
    (State.OPEN, Receipt): State.OPEN,
    (State.OPEN, Refused): State.OPEN,
    (State.OPEN, HotlistUpdate): State.OPEN,
    (State.OPEN, HotlistDelta): State.OPEN,
    (State.OPEN, Configuration): State.OPEN,
    (State.OPEN, Request): State.OPEN,
    (State.OPEN, Answer): State.OPEN,
    (State.OPEN, LoadRequest): State.OPEN,
    (State.OPEN, LoadGrant): State.OPEN,
    (State.OPEN, LoadResult): State.OPEN,
    (State.OPEN, LoadOutcome): State.OPEN,
    (State.OPEN, LoadRefused): State.OPEN,
    (State.OPEN, ShiftReport): State.OPEN,
    (State.OPEN, ShiftReceipt): State.OPEN,
    (State.OPEN, RefundQuestion): State.OPEN,
    (State.OPEN, RefundsOwed): State.OPEN,
}

# One question about a load at a time: a card is in one hand.
_LOAD_QUESTIONS: Final = (LoadRequest, LoadResult, RefundQuestion)
_LOAD_ANSWERS: Final = (LoadGrant, LoadOutcome, LoadRefused, RefundsOwed)


class Session:
    """The state of one conversation; `bytes_sent` and `bytes_received` count what the frames weigh."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._decoder = FrameDecoder()
        self._unanswered = 0
        self._load_unanswered = False
        self._shift_unanswered = False
        self.state = State.START
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def unanswered(self) -> int:
        """Batches without an answer so far."""
        return self._unanswered

    def receive(self, data: bytes) -> list[Message]:
        """Messages that `data` completes.

        Raises `FrameCorrupt`, `FormatError` or `ProtocolViolation`; the session is over then, and what came before the
        fault in the same portion is lost with it, as if the link had failed a moment earlier.
        """
        self.bytes_received += len(data)
        other = Role.SERVER if self._role is Role.CLIENT else Role.CLIENT
        try:
            messages = []
            for kind, body in self._decoder.feed(data):
                # Before the body is read: whoever is not let in yet must not make this side decode batches.
                self._check(MESSAGE_TYPES.get(kind), other)
                message = read_message(kind, body)
                self._advance(message, other)
                messages.append(message)
        except CampusError:
            self.state = State.OVER
            raise
        return messages

    def send(self, message: Message) -> bytes:
        """The bytes of `message`; `ProtocolViolation` if it may not be sent now."""
        self._advance(message, self._role)
        data = encode_frame(message.kind, message.to_bytes())
        self.bytes_sent += len(data)
        return data

    def _advance(self, message: Message, sender: Role) -> None:
        kind = type(message)
        self._check(kind, sender)
        if kind is Upload:
            self._unanswered += 1
        elif self.state is State.OPEN and kind in (Receipt, Refused):
            self._unanswered -= 1
        elif kind in _LOAD_QUESTIONS or kind in _LOAD_ANSWERS:
            self._load_unanswered = kind in _LOAD_QUESTIONS
        elif kind in (ShiftReport, ShiftReceipt):
            self._shift_unanswered = kind is ShiftReport
        self.state = _NEXT[self.state, kind]

    def _check(self, kind: type[Message] | None, sender: Role) -> None:
        """`ProtocolViolation` unless this kind may come from `sender` now; one that is not known is not judged here."""
        if kind is None:
            return
        if (self.state, kind) not in _NEXT or _SENDER[kind] is not sender:
            raise ProtocolViolation(f"{kind.__name__} from the {sender.name.lower()} in state {self.state.name}")
        if kind is Upload and self._unanswered == UNANSWERED_MAX:
            raise ProtocolViolation(f"more than {UNANSWERED_MAX} batches without an answer")
        if self.state is State.OPEN and kind in (Receipt, Refused) and self._unanswered == 0:
            raise ProtocolViolation(f"{kind.__name__} without a batch to answer")
        if kind in _LOAD_QUESTIONS and self._load_unanswered:
            raise ProtocolViolation(f"{kind.__name__} while another question about a load has no answer")
        if kind in _LOAD_ANSWERS and not self._load_unanswered:
            raise ProtocolViolation(f"{kind.__name__} without a question about a load")
        if kind in (ShiftReport, ShiftReceipt) and self._shift_unanswered is (kind is ShiftReport):
            raise ProtocolViolation(f"{kind.__name__} out of turn: one report, then its receipt")
