"""Short messages on the network's side, held against gsmmodem.pdu and smspdudecoder."""

from __future__ import annotations

import datetime as dt

import gsmmodem.pdu
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smspdudecoder.easy import read_incoming_sms  # type: ignore[import-untyped]  # the library has no types

from sim.carrier.tpdu import (
    Alphabet,
    Content,
    Deliver,
    StatusReport,
    Submit,
    TpduFault,
    alphabet_of,
    decode_deliver,
    decode_submit,
    encode_address,
    encode_deliver,
    encode_smsc,
    encode_status_report,
    encode_submit,
    encode_time,
    octets_content,
    text_content,
)

SENDER = "+8613900000001"
AT_UTC_S = dt.datetime(2026, 11, 22, 9, 8, 7, tzinfo=dt.UTC).timestamp()
CONCAT_8 = bytes.fromhex("0500032a0201")
CONCAT_16 = bytes.fromhex("060804123402 01".replace(" ", ""))
PORTS = bytes.fromhex("06050423f00000")


def deliver(content: Content) -> bytes:
    return encode_deliver(Deliver(sender=SENDER, sent_at_utc_s=AT_UTC_S, content=content), zone_quarters=32)


@pytest.mark.parametrize("text", ["hello", "Grüße {x} €", "x" * 160, "中文 und mehr", "", "@home@"])
def test_a_text_reads_alike_in_both_libraries(text: str) -> None:
    pdu = (encode_smsc("+8613800100500") + deliver(text_content(text))).hex().upper()
    theirs = gsmmodem.pdu.decodeSmsPdu(pdu)
    assert (theirs["type"], theirs["number"], theirs["text"], theirs["smsc"]) == (
        "SMS-DELIVER",
        SENDER,
        text,
        "+8613800100500",
    )
    assert theirs["time"].timestamp() == AT_UTC_S
    easy = read_incoming_sms(pdu)
    assert (easy["sender"], easy["content"]) == (SENDER, text)
    assert easy["date"].timestamp() == AT_UTC_S


@pytest.mark.parametrize("header", [b"", CONCAT_8, CONCAT_16, PORTS])
def test_octets_read_alike_in_gsmmodem(header: bytes) -> None:
    data = bytes(range(256))[-140 + len(header) :]
    pdu = (b"\0" + deliver(octets_content(data, header=header))).hex().upper()
    assert gsmmodem.pdu.decodeSmsPdu(pdu)["text"].encode("latin-1") == data


@pytest.mark.parametrize("text", ["hello", "Grüße {x} €", "x" * 160, "x" * 400, "中" * 100])
def test_submits_of_gsmmodem_are_read(text: str) -> None:
    pdus = gsmmodem.pdu.encodeSmsSubmitPdu(SENDER, text, reference=7, requestStatusReport=True)
    parts = []
    for pdu in pdus:
        data = bytes(pdu.data)
        submit = decode_submit(data[1 + data[0] :])
        assert (submit.destination, submit.wants_report) == (SENDER, True)
        assert encode_submit(submit)[2:] == encode_submit(decode_submit(encode_submit(submit)))[2:]
        parts.append(submit.content.text or "")
    assert "".join(parts) == text
    if len(pdus) > 1:
        assert decode_submit(bytes(pdus[1].data)[1:]).content.header[:3] == CONCAT_8[:3]


def test_a_submit_of_gammu_is_read() -> None:
    submit = decode_submit(bytes.fromhex("11000A9172182143650000FF05E8329BFD06"))
    assert (submit.destination, submit.content.text) == ("+2781123456", "hello")
    assert submit.validity_s == 63 * 7 * 86400.0


def test_a_status_report_reads_in_gsmmodem() -> None:
    report = StatusReport(
        reference=9, recipient=SENDER, sent_at_utc_s=AT_UTC_S, done_at_utc_s=AT_UTC_S + 5, status=0x46
    )
    theirs = gsmmodem.pdu.decodeSmsPdu((b"\0" + encode_status_report(report, zone_quarters=-14)).hex())
    assert (theirs["type"], theirs["reference"], theirs["number"], theirs["status"]) == (
        "SMS-STATUS-REPORT",
        9,
        SENDER,
        0x46,
    )
    assert (theirs["time"].timestamp(), theirs["discharge"].timestamp()) == (AT_UTC_S, AT_UTC_S + 5)


@pytest.mark.parametrize(
    ("octet", "seconds"),
    [(0, 300), (143, 12 * 3600), (144, 12.5 * 3600), (167, 86400), (168, 2 * 86400), (255, 63 * 604800)],
)
def test_a_relative_validity_is_seconds(octet: int, seconds: float) -> None:
    tpdu = bytes.fromhex("1100") + encode_address("+123") + bytes((0, 4, octet, 1, 0x41))
    submit = decode_submit(tpdu)
    assert submit.validity_s == seconds
    assert encode_submit(submit) == tpdu


def test_an_absolute_validity_is_passed_over() -> None:
    tpdu = bytes.fromhex("1900") + encode_address("123") + bytes((0, 4)) + encode_time(AT_UTC_S) + b"\1A"
    assert decode_submit(tpdu).content.body == b"A"


@pytest.mark.parametrize(
    ("dcs", "alphabet"),
    [
        (0x00, Alphabet.GSM7),
        (0x04, Alphabet.OCTETS),
        (0x08, Alphabet.UCS2),
        (0x18, Alphabet.UCS2),
        (0xF5, Alphabet.OCTETS),
        (0xF1, Alphabet.GSM7),
        (0xE0, Alphabet.UCS2),
        (0xC8, Alphabet.GSM7),
    ],
)
def test_the_data_coding_scheme_names_the_alphabet(dcs: int, alphabet: Alphabet) -> None:
    assert alphabet_of(dcs) is alphabet


def test_a_name_instead_of_a_number_reads_back() -> None:
    message = Deliver(sender="CAMPUS", sent_at_utc_s=AT_UTC_S, content=text_content("x"))
    tpdu = encode_deliver(message)
    assert decode_deliver(tpdu).sender == "CAMPUS"
    assert gsmmodem.pdu.decodeSmsPdu((b"\0" + tpdu).hex())["number"] == "CAMPUS"


@pytest.mark.parametrize("text", ["x" * 161, "中" * 71])
def test_a_text_that_is_too_long_is_a_fault(text: str) -> None:
    with pytest.raises(TpduFault):
        text_content(text)


NUMBERS = st.from_regex(r"\A\+?[0-9*#]{1,20}\Z")
CONTENTS = st.binary(max_size=140).map(octets_content) | st.text(
    alphabet=st.characters(codec="utf-16-be", max_codepoint=0xFFFF), max_size=70
).map(text_content)


@given(NUMBERS, CONTENTS, st.booleans(), st.integers(0, 255))
def test_a_submit_reads_back(number: str, content: Content, wants_report: bool, reference: int) -> None:
    submit = Submit(reference=reference, destination=number, content=content, wants_report=wants_report)
    assert decode_submit(encode_submit(submit)) == submit


@given(NUMBERS, CONTENTS, st.integers(946771200, 4102358400), st.integers(-48, 56))
def test_a_deliver_reads_back(number: str, content: Content, at_utc_s: int, zone_quarters: int) -> None:
    message = Deliver(sender=number, sent_at_utc_s=at_utc_s, content=content)
    assert decode_deliver(encode_deliver(message, zone_quarters=zone_quarters)) == message


@given(st.binary(max_size=200))
def test_garbage_is_a_message_or_a_fault(data: bytes) -> None:
    for decode in (decode_submit, decode_deliver):
        try:
            message = decode(data)
        except TpduFault:
            continue
        assert message.content.text is None or isinstance(message.content.text, str)
        assert len(message.content.header) <= len(message.content.user_data)


@given(st.data())
def test_a_submit_cut_or_changed_anywhere_is_a_message_or_a_fault(data: st.DataObject) -> None:
    whole = encode_submit(Submit(reference=1, destination=SENDER, content=octets_content(b"x" * 20, header=CONCAT_8)))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(TpduFault):
        decode_submit(whole[:cut])
    changed = bytearray(whole)
    changed[cut] ^= data.draw(st.integers(1, 255))
    try:
        message = decode_submit(bytes(changed))
    except TpduFault:
        return
    assert len(message.content.body) <= 160
