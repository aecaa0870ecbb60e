"""AT lines: what ends an answer, what the modem says unasked, each answer taken apart, and garbage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import at
from drivers.at import Listed, Registration27007
from drivers.modemfaults import AtError, ModemFault, ModemGarbled


@pytest.mark.parametrize(
    "line",
    [
        "OK",
        "ERROR",
        "+CME ERROR: 10",
        "+CME ERROR: SIM not inserted",
        "+CMS ERROR: 322",
        "SEND OK",
        "0, SEND OK",
        "SEND FAIL",
        "3, SEND FAIL",
        "SHUT OK",
        "CLOSE OK",
        "0, CLOSE OK",
        "DATA ACCEPT:0,300",
        "DATA ACCEPT: 12",
        "CONNECT",
        "CONNECT 115200",
        "NO CARRIER",
        "BUSY",
    ],
)
def test_final_result_ends_an_answer(line: str) -> None:
    assert at.is_final(line)


@pytest.mark.parametrize(
    "line", ["OKAY", "OK then", "ERROR of mine", "NO ERROR", "", "0, CONNECT OK", "+CMTI: OK", "SEND OK?", "BUSY BEE"]
)
def test_text_that_only_begins_like_one_ends_nothing(line: str) -> None:
    assert not at.is_final(line)


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        ("+CME ERROR: 10", 10, "no SIM inserted"),
        ("+CME ERROR: SIM not inserted", 10, "SIM not inserted"),
        ("+CMS ERROR: 322", 322, "the message store is full"),
        ("+CME ERROR: 9999", 9999, "an error of the maker's own"),
        ("+CME ERROR: what now", None, "what now"),
        ("ERROR", None, "the modem answered ERROR"),
        ("NO CARRIER", None, "the modem answered NO CARRIER"),
    ],
)
def test_refusal_says_number_and_words(line: str, number: int | None, words: str) -> None:
    error = at.refusal(line, "AT+X")
    assert isinstance(error, AtError)
    assert (error.number, error.words) == (number, words)
    assert str(error).startswith(f"AT+X: {words}")


@pytest.mark.parametrize("line", ["OK", "SEND OK", "SEND FAIL", "SHUT OK", "CONNECT", "DATA ACCEPT:0,3"])
def test_other_final_result_is_no_refusal(line: str) -> None:
    assert at.refusal(line, "AT") is None


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ('+CMTI: "ME",3', "AT+CSQ"),
        ('+QIURC: "recv",0', "AT+QIRD=0,750"),
        ("+CIPRXGET: 1,0", "AT+CIPRXGET=3,0,750"),
        ("RDY", "AT+CFUN=1,1"),
        ("0, CLOSED", "AT+CIPSEND=0,5"),
        ("+CREG: 1", "AT+CREG?"),
        ('+CREG: 1,"1A2B","01C3",7', "AT+CREG?"),
        ("+CEREG: 5,1A2B,01C3,7", "AT+CEREG?"),
        ("+CREG: 1", "AT+CGREG?"),
        ("+CPIN: READY", "AT+CSQ"),
        ("+NETOPEN: 0", "AT+CIPRXGET=1"),
        ("+QIOPEN: 0,0", "AT+QIRD=0,750"),
        ("+PDP: DEACT", "AT+CIPSTATUS"),
        ('+CUSD: 0,"x",15', "AT+CSQ"),
        ("anything", None),
    ],
)
def test_line_said_unasked_belongs_to_no_command(line: str, command: str | None) -> None:
    assert at.is_unsolicited(line, command)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("+CREG: 2,1", "AT+CREG?"),
        ('+CREG: 2,1,"1A2B","01C3",7', "AT+CREG?"),
        ("+CEREG: 0,4", "at+cereg?"),
        ("+CPIN: READY", "AT+CPIN?"),
        ("+CIPRXGET: 4,0,300", "AT+CIPRXGET=4,0"),
        ("+NETOPEN: 1", "AT+NETOPEN?"),
        ("+CIPOPEN: 0,2", 'AT+CIPOPEN=0,"TCP","1.2.3.4",5'),
        ('+CUSD: 0,"x",15', 'AT+CMEE=1;+CUSD=1,"*100#",15'),
        ("+CSQ: 17,99", "AT+CSQ"),
        ("Quectel", "AT+CGMI"),
        ("OK", "AT"),
    ],
)
def test_answer_belongs_to_its_command(line: str, command: str) -> None:
    assert not at.is_unsolicited(line, command)


def test_text_of_several_lines_is_one_thing() -> None:
    assert at.is_unfinished('+CUSD: 0,"first')
    assert not at.is_unfinished('+CUSD: 0,"first\nsecond",15')
    assert not at.is_unfinished('+CUSD: 0,"' + "\nx" * at.BODY_LINES_MAX)
    assert at.is_unfinished("+CDS: 26")
    assert not at.is_unfinished("+CDS: 26\n0791")
    assert not at.is_unfinished('+CMTI: "ME",1')


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('+CPMS: "ME",0,99', ["ME", "0", "99"]),
        ('+COPS: 0,0,"A, B",7', ["0", "0", "A, B", "7"]),
        ("+CIPACK: 12, 12, 0", ["12", "12", "0"]),
        ("+CMGL: 1,1,,24", ["1", "1", "", "24"]),
        ("+X:", [""]),
        ("89860012345678901234", ["89860012345678901234"]),
    ],
)
def test_fields_of_a_line(line: str, parts: list[str]) -> None:
    assert at.fields(line) == parts


def test_registration_is_read_with_and_without_place_and_technology() -> None:
    assert at.parse_registration(["+CREG: 0,3", "OK"], "+CREG") == (Registration27007.DENIED, "")
    long = ['+CEREG: 2,5,"1A2B","01C3D4E5",7', "OK"]
    assert at.parse_registration(long, "+CEREG") == (Registration27007.ROAMING, "LTE")


@pytest.mark.parametrize("lines", [["OK"], ["+CREG: 2"], ["+CREG: 2,99"], ["+CREG: 2,x"], []])
def test_registration_that_is_none_is_garbled(lines: list[str]) -> None:
    with pytest.raises(ModemGarbled):
        at.parse_registration(lines, "+CREG")


@pytest.mark.parametrize(("rssi", "dbm"), [(0, -113), (17, -79), (31, -51), (99, None), (-1, None), (32, None)])
def test_signal_in_dbm(rssi: int, dbm: int | None) -> None:
    assert at.dbm_of(rssi) == dbm


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ('"26/11/22,18:30:00+32"', datetime(2026, 11, 22, 10, 30, tzinfo=UTC)),
        ('"26/11/22,18:30:00-04"', datetime(2026, 11, 22, 19, 30, tzinfo=UTC)),
        ('"26/11/22,18:30:00"', datetime(2026, 11, 22, 18, 30, tzinfo=UTC)),
        ('"80/01/06,00:00:10+00"', None),
        ('"70/01/01,00:00:10+00"', None),
        ('"04/01/01,00:00:10+00"', None),
    ],
)
def test_clock_is_utc_and_none_before_the_network_has_told_it(text: str, moment: datetime | None) -> None:
    assert at.parse_clock([f"+CCLK: {text}", "OK"]) == moment


@pytest.mark.parametrize("text", ['"26/13/22,18:30:00+32"', '""', '"26/11/22"', '"26/02/30,00:00:00"'])
def test_clock_that_is_none_is_garbled(text: str) -> None:
    with pytest.raises(ModemGarbled):
        at.parse_clock([f"+CCLK: {text}", "OK"])


@pytest.mark.parametrize(
    "text", ["+QCCID: 89860012345678901234", "89860012345678901234F", "+ICCID: 89860012345678901234"]
)
def test_sim_number_is_read_in_every_form(text: str) -> None:
    assert at.parse_iccid(text) == "89860012345678901234"


def test_sim_number_is_read_from_its_file() -> None:
    assert at.parse_crsm_iccid(['+CRSM: 144,0,"98680021436587092143"', "OK"]) == "89860012345678901234"
    with pytest.raises(ModemGarbled):
        at.parse_crsm_iccid(["+CRSM: 106,130", "OK"])


@pytest.mark.parametrize(
    ("line", "tries"),
    [
        ("+CPINR: SIM PIN,3,3", 3),
        ('+QPINC: "SC",2,10', 2),
        ("+SPIC: 1,10,3,10", 1),
        ("+CPINR: SIM PUK,10", None),
        ("OK", None),
    ],
)
def test_tries_of_the_pin_are_read(line: str, tries: int | None) -> None:
    assert at.parse_tries([line, "OK"]) == tries


def test_unreadable_message_does_not_shift_the_listing() -> None:
    lines = ["+CMGL: 1,1,,24", "+CMGL: 2,1,,24", "07AA", "+CMGL: 5,1,,9", "zz", "+CMGL: 7,0,,9", "OK"]
    assert at.parse_cmgl(lines) == [Listed(1, ""), Listed(2, "07AA"), Listed(5, "zz"), Listed(7, "")]


def test_message_stores_are_read() -> None:
    assert at.parse_memories(['+CPMS: ("ME","SM","MT"),("ME","SM"),("SM")', "OK"]) == ["ME", "SM", "MT"]


def test_ussd_text_may_have_lines_and_commas() -> None:
    assert at.parse_cusd('+CUSD: 0,"Balance: 1,50\nValid",15') == (0, "Balance: 1,50\nValid")
    assert at.parse_cusd("+CUSD: 4") == (4, "")


@pytest.mark.parametrize("text", ['a"b', "a\rb", "a\nb", "ä", "a\x1ab"])
def test_text_that_would_end_a_command_early_is_refused(text: str) -> None:
    assert at.quoted("internet") == '"internet"'
    with pytest.raises(ModemGarbled):
        at.quoted(text)


LINES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"\+(CREG|CPIN|COPS|CCLK|CRSM|CMGL|CPMS|CPINR|QPINC|SPIC|CUSD): ?[0-9A-F\",/:+\- ]{0,40}"),
)
PARSERS: list[Callable[[list[str]], object]] = [
    lambda lines: at.parse_registration(lines, "+CREG"),
    at.parse_cpin,
    at.parse_cops,
    at.parse_clock,
    at.parse_crsm_iccid,
    at.parse_cmgl,
    at.parse_memories,
    at.parse_tries,
    lambda lines: at.parse_cusd(lines[0]),
    lambda lines: at.parse_iccid(lines[0]),
    lambda lines: at.number(lines[0]),
]


@given(lines=st.lists(LINES, min_size=1, max_size=5))
@pytest.mark.parametrize("parse", PARSERS)
def test_garbage_is_a_typed_fault_or_a_value(parse: Callable[[list[str]], object], lines: list[str]) -> None:
    with contextlib.suppress(ModemFault):
        parse(lines)


@given(line=LINES, command=st.one_of(st.none(), st.text(max_size=20)))
def test_every_line_belongs_somewhere(line: str, command: str | None) -> None:
    at.is_unsolicited(line, command)
    at.is_unfinished(line)
    at.refusal(line, "AT")
