"""smstools' files: what it writes is read, what is none of ours is told, anything else does no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.streams.smsfile import Message, masked, read_message
from wire.sms import SmsInvalid

AS_SMSTOOLS_WRITES = (
    b"From: 8613900000001\nFrom_TOA: 91 international, ISDN/telephone\nFrom_SMSC: 8613800100500\n"
    b"Sent: 26-01-01 08:00:00\nReceived: 26-01-01 08:00:05\nSubject: GSM1\nModem: GSM1\nIMSI: 460001234567890\n"
    b"Report: no\nAlphabet: binary\nUDH: false\nLength: 4\n\n"
)


def test_binary_message_is_read_with_line_ends_in_its_octets() -> None:
    assert read_message(AS_SMSTOOLS_WRITES + b"\n\n\x00\xff") == Message("8613900000001", b"\n\n\x00\xff")


def test_file_for_smstools_is_binary_and_has_no_plus() -> None:
    written = Message("8613900000001", b"\x00\n\n\xff").to_bytes()
    assert written == b"To: 8613900000001\nAlphabet: binary\nUDH: false\n\n\x00\n\n\xff"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Alphabet: binary", b"Alphabet: ISO"),
        (b"UDH: false", b"UDH: true"),
        (b"From: 8613900000001", b"From: Operator"),
        (b"From: ", b"From: ++"),
        (b"From: ", b"Other: "),
        (b"\n\n", b"\n"),
    ],
)
def test_text_or_part_or_message_from_nobody_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(SmsInvalid):
        read_message((AS_SMSTOOLS_WRITES + b"data").replace(old, new, 1))


@given(
    st.binary(max_size=5_000)
    | st.builds(lambda body: b"From: 8613\nAlphabet: bin\n" + body, st.binary(max_size=200))
    | st.builds(lambda at, junk: AS_SMSTOOLS_WRITES[:at] + junk, st.integers(0, 240), st.binary(max_size=20))
)
def test_garbage_in_the_folder_is_a_message_or_refused(content: bytes) -> None:
    try:
        message = read_message(content)
    except SmsInvalid:
        return
    assert message.phone.isascii()
    assert message.phone.isdigit()


def test_number_in_a_log_shows_its_end_alone() -> None:
    assert masked("8613900000001") == "...0001"
