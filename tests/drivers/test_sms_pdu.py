"""Binary messages as PDUs: our own both ways, two other libraries beside it, and garbage."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
import smspdudecoder.easy  # type: ignore[import-untyped]  # it has no types
from hypothesis import given
from hypothesis import strategies as st

import drivers.line  # noqa: F401  the library under it warns of its own source when first imported, which it silences
from drivers.sms_pdu import (
    DATA_BYTES_MAX,
    Coding,
    Deliver,
    Delivery,
    Part,
    PduError,
    StatusReport,
    concat_header,
    decode,
    encode_submit,
    unpack_septets,
)

NUMBERS = st.from_regex(r"\+?[0-9]{3,15}", fullmatch=True)
SCTS = "62112281031223"  # 2026-11-22 18:30:21, 32 quarters east


def deliver(tpdu_tail: str, first: str = "04") -> str:
    """A DELIVER from +8613900000001 with PID, DCS, time and data as given."""
    return f"00{first}0D91683109000000F1{tpdu_tail}"


@given(number=NUMBERS, data=st.binary(max_size=DATA_BYTES_MAX))
def test_submit_is_what_the_modem_library_reads_back(number: str, data: bytes) -> None:
    from gsmmodem.pdu import decodeSmsPdu

    submit = encode_submit(number, data)
    read: dict[str, Any] = decodeSmsPdu(submit.pdu)
    assert (read["type"], read["number"], read["text"].encode("latin-1")) == ("SMS-SUBMIT", number, data)
    assert submit.length == len(submit.pdu) // 2 - 1


def test_submit_has_the_octets_that_the_specification_gives() -> None:
    submit = encode_submit("+8613900000001", b"\x01\xff", validity_hours=24)
    assert submit.pdu == "00" + "11" + "00" + "0D91683109000000F1" + "00" + "04" + "A7" + "02" + "01FF"
    assert submit.length == 17


@pytest.mark.parametrize(
    ("hours", "octet"), [(1, 11), (12, 143), (13, 145), (24, 167), (48, 168), (49, 169), (720, 196)]
)
def test_validity_is_coded_as_the_specification_has_it(hours: int, octet: int) -> None:
    assert bytes.fromhex(encode_submit("123", b"", validity_hours=hours).pdu)[-2] == octet


def test_message_that_is_too_long_is_refused() -> None:
    encode_submit("+86139", bytes(134), header=concat_header(Part(1, 2, 1)))
    with pytest.raises(PduError):
        encode_submit("+86139", bytes(135), header=concat_header(Part(1, 2, 1)))
    with pytest.raises(PduError):
        encode_submit("+86139", bytes(141))


@pytest.mark.parametrize("number", ["", "+", "12 34", "abc", "+" + "1" * 21, "１２３", '123";+CFUN=0'])
def test_recipient_that_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(PduError):
        encode_submit(number, b"x")


@given(data=st.binary(max_size=133), part=st.builds(Part, st.integers(0, 0xFFFF), st.just(9), st.integers(1, 9)))
def test_part_of_a_longer_message_is_read_back(data: bytes, part: Part) -> None:
    header = concat_header(part)
    user_data = bytes((len(header),)) + header + data
    read = decode(deliver(f"0004{SCTS}{len(user_data):02X}{user_data.hex()}", first="44"))
    assert isinstance(read, Deliver)
    assert (read.data, read.part, read.coding) == (data, part, Coding.OCTETS)


@pytest.mark.parametrize("dcs", ["04", "F5", "15"])
@given(data=st.binary(min_size=1, max_size=DATA_BYTES_MAX))
def test_binary_delivery_is_read_as_another_library_reads_it(dcs: str, data: bytes) -> None:
    pdu = deliver(f"00{dcs}{SCTS}{len(data):02X}{data.hex().upper()}")
    read = decode(pdu)
    assert isinstance(read, Deliver)
    assert (read.sender, read.data, read.coding) == ("+8613900000001", data, Coding.OCTETS)
    assert read.at == datetime(2026, 11, 22, 10, 30, 21, tzinfo=UTC)
    if dcs == "04":
        other = smspdudecoder.easy.read_incoming_sms(pdu)
        assert read.at == other["date"].astimezone(UTC)
        assert f"+{other['sender']}".replace("++", "+") == read.sender
        assert other["content"] in (data.hex(), data.hex().upper(), data)


def test_element_of_another_kind_is_stepped_over() -> None:
    header = bytes.fromhex("700101" + "0504" + "1388" + "1389" + "0003" + "AB0201")
    user_data = bytes((len(header),)) + header + b"x"
    read = decode(deliver(f"0004{SCTS}{len(user_data):02X}{user_data.hex()}", first="44"))
    assert isinstance(read, Deliver)
    assert (read.data, read.part, read.ports) == (b"x", Part(0xAB, 2, 1), (5000, 5001))


@pytest.mark.parametrize("element", ["0003AB0200", "0003AB0203", "0003AB0000"])
def test_part_number_that_cannot_be_is_ignored(element: str) -> None:
    read = decode(deliver(f"0004{SCTS}0605{element}", first="44"))
    assert isinstance(read, Deliver)
    assert read.part is None


def test_sender_in_letters_is_read() -> None:
    read = decode(f"000409D0E8329BFD060004{SCTS}0141")
    assert isinstance(read, Deliver)
    assert (read.sender, read.data) == ("hello", b"A")
    assert unpack_septets(bytes.fromhex("E8329BFD06"), 5) == "hello"


@pytest.mark.parametrize(
    ("status", "delivery"), [(0, Delivery.DONE), (2, Delivery.DONE), (0x20, Delivery.STILL_TRYING)]
)
def test_report_that_is_no_failure_is_not_taken_for_one(status: int, delivery: Delivery) -> None:
    read = decode(f"00062A0D91683109000000F1{SCTS}{SCTS}{status:02X}")
    assert read == StatusReport(0x2A, "+8613900000001", delivery, status)


@pytest.mark.parametrize("status", [0x40, 0x46, 0x60, 0x6F, 0xFF])
def test_report_of_failure_is_one(status: int) -> None:
    read = decode(f"00062A0D91683109000000F1{SCTS}{SCTS}{status:02X}")
    assert isinstance(read, StatusReport)
    assert read.delivery is Delivery.FAILED


def test_time_that_is_none_leaves_the_message() -> None:
    read = decode(deliver("0004" + "FF" * 7 + "0141"))
    assert isinstance(read, Deliver)
    assert (read.at, read.data) == (None, b"A")


@given(st.one_of(st.binary(max_size=200).map(bytes.hex), st.text(max_size=60)))
def test_garbage_is_a_pdu_error_or_a_value(garbage: str) -> None:
    with contextlib.suppress(PduError):
        assert isinstance(decode(garbage), Deliver | StatusReport)


@given(data=st.binary(max_size=20), cut=st.integers(0, 200))
def test_pdu_cut_anywhere_is_a_pdu_error(data: bytes, cut: int) -> None:
    pdu = deliver(f"0004{SCTS}{len(data):02X}{data.hex()}")
    if cut < len(pdu):
        with pytest.raises(PduError):
            decode(pdu[:cut])
