"""What can be said of a newcomer without the database, so that strangers never stand in the queue before it."""

from __future__ import annotations

from wire.enrolment import Ticket
from wire.fields import FormatError
from wire.ids import Stream, TerminalId
from wire.messages import Enrol, Identify, Refused
from wire.receipt import Rejection
from wire.signature import SignatureInvalid


class Door:
    """The public keys of one stream's terminals and of its tickets; any thread may ask, the writer alone adds."""

    def __init__(self, *, stream: Stream, ticket_key: bytes) -> None:
        self._stream = stream
        self.ticket_key = ticket_key
        self._keys: dict[tuple[TerminalId, int], bytes] = {}
        self._last_epochs: dict[TerminalId, int] = {}

    def add(self, terminal: TerminalId, epoch: int, public_key: bytes) -> None:
        """Know a terminal from now on."""
        self._last_epochs[terminal] = max(epoch, self._last_epochs.get(terminal, 0))
        self._keys[terminal, epoch] = public_key

    def check_enrolment(self, message: Enrol, nonce: bytes) -> Ticket | Refused:
        """The ticket, if the sender holds its key and the operator issued the ticket for this stream."""
        try:
            message.verify(nonce)
        except SignatureInvalid:
            return Refused(Rejection.SIGNATURE_INVALID, None, "the sender does not hold the key that it sent")
        try:
            ticket = Ticket.open(message.ticket, self.ticket_key)
        except (FormatError, SignatureInvalid):
            return Refused(Rejection.TICKET_INVALID, None, "the ticket was not issued here")
        if ticket.stream is not self._stream:
            return Refused(Rejection.WRONG_STREAM, None, f"the ticket is for {ticket.stream.label}")
        return ticket

    def check_identity(self, message: Identify, nonce: bytes) -> Refused | None:
        """Why the sender is not let in: it never enrolled, or does not hold the key that it enrolled with."""
        public_key = self._keys.get((message.terminal, message.epoch))
        if public_key is None:
            return unknown_journal(self._last_epochs.get(message.terminal, 0), message.epoch)
        try:
            message.verify(public_key, nonce)
        except SignatureInvalid:
            return Refused(Rejection.SIGNATURE_INVALID, None, "the terminal does not hold the key it enrolled with")
        return None


def unknown_journal(last_epoch: int, epoch: int) -> Refused:
    """The answer to a terminal or an epoch that was never enrolled here."""
    if last_epoch == 0:
        return Refused(Rejection.UNKNOWN_TERMINAL, None, "this terminal is not enrolled with this stream")
    return Refused(Rejection.WRONG_EPOCH, None, f"epoch {epoch} is not enrolled, the last one is {last_epoch}")
