"""Enrolment tickets: signed by the operator, carried by people, damaged by neither unnoticed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire import signature
from wire.enrolment import Ticket, TicketUnreadable, parse_ticket_text, ticket_text
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import Stream, TerminalId
from wire.signature import SignatureInvalid, public_bytes, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TICKET = Ticket(terminal=TerminalId(bytes(6)), stream=Stream.CANTEEN, epoch=1, expires_utc_s=1767348000)


@given(st.from_type(Ticket))
def test_ticket_round_trip_by_bytes_and_by_text(ticket: Ticket) -> None:
    raw = ticket.issue(KEY)
    assert Ticket.open(raw, public_bytes(KEY)) == ticket
    assert parse_ticket_text(ticket_text(raw)) == raw


def test_ticket_of_another_operator_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        Ticket.open(TICKET.issue(Ed25519PrivateKey.from_private_bytes(bytes(32))), public_bytes(KEY))


def test_every_flipped_bit_of_a_ticket_is_refused() -> None:
    raw = TICKET.issue(KEY)
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(CampusError):
            Ticket.open(bytes(changed), public_bytes(KEY))


@given(st.binary(max_size=120))
def test_random_bytes_are_no_ticket(data: bytes) -> None:
    with pytest.raises(CampusError):
        Ticket.open(data, public_bytes(KEY))


@pytest.mark.parametrize("body", [bytes((2, 2)), bytes((1, 0)), bytes((1, 6))])
def test_unknown_version_or_stream_is_a_format_error_though_signed(body: bytes) -> None:
    body += bytes(6) + bytes(4) + bytes(8)
    with pytest.raises(FormatError, match="not known here"):
        Ticket.open(body + sign(KEY, signature.TICKET, body), public_bytes(KEY))


def test_text_typed_in_lower_case_with_spaces_and_line_breaks_is_read() -> None:
    raw = TICKET.issue(KEY)
    typed = ticket_text(raw).lower().replace("-", " \n")
    assert parse_ticket_text(typed) == raw


def test_one_wrong_letter_is_found() -> None:
    text = ticket_text(TICKET.issue(KEY))
    wrong = ("B" if text[7] != "B" else "C").join((text[:7], text[8:]))
    with pytest.raises(TicketUnreadable, match="damaged"):
        parse_ticket_text(wrong)


@given(st.text(max_size=60))
def test_any_text_is_a_ticket_or_a_typed_error(text: str) -> None:
    with pytest.raises(TicketUnreadable):
        parse_ticket_text(text)
