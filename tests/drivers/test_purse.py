"""What cards and PSAMs say of themselves, read from good answers and from garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.apdu import Sw
from drivers.purse import (
    CAMPUS_CARD,
    CardProfile,
    CardUnreadable,
    PsamUnusable,
    PurseInfo,
    parse_balance,
    parse_initialize,
    parse_select,
    read_psam,
)
from tests.drivers.conftest import AID, FCI, FILE_0015, INIT_ANSWER, PSAM
from wire.ids import Asn, CardId, IssuerId

CARD = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(bytes.fromhex("00006100000000001234")))
INFO = PurseInfo(
    card=CARD,
    application_type=2,
    valid_from=bytes.fromhex("20250901"),
    valid_to=bytes.fromhex("20290831"),
    blocked=False,
)


def fci(proprietary: bytes, name: bytes = AID) -> bytes:
    """An FCI with this content of A5."""
    body = bytes((0x84, len(name))) + name + bytes((0xA5, len(proprietary))) + proprietary
    return bytes((0x6F, len(body))) + body


PUBLIC = bytes.fromhex("9F0C1E") + FILE_0015


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(FCI, id="as printed"),
        pytest.param(fci(bytes.fromhex("9F080102") + PUBLIC), id="version first"),
        pytest.param(fci(PUBLIC + bytes.fromhex("9F080102")), id="version last"),
        pytest.param(fci(bytes.fromhex("500450555253") + PUBLIC), id="label first"),
        pytest.param(fci(PUBLIC, name=b""), id="empty name"),
        pytest.param(bytes.fromhex("6F23 A521 9F0C1E") + FILE_0015, id="no name"),
    ],
)
def test_fci_of_every_kind_of_card_gives_the_same_purse(answer: bytes) -> None:
    assert parse_select(answer, Sw.OK) == INFO


def test_blocked_application_is_read_and_said_to_be_blocked() -> None:
    assert parse_select(FCI, Sw.APPLICATION_BLOCKED).blocked


@pytest.mark.parametrize(("kind", "has_purse"), [(1, False), (2, True), (3, True), (0, False), (255, False)])
def test_purse_is_there_by_application_type(kind: int, has_purse: bool) -> None:
    public = FILE_0015[:8] + bytes((kind,)) + FILE_0015[9:]
    assert parse_select(fci(bytes.fromhex("9F0C1E") + public), Sw.OK).has_purse is has_purse


@pytest.mark.parametrize("sw", [0x6A82, 0x6A81, 0x9303, 0x6999, 0x6D00])
def test_select_that_failed_is_unreadable_and_says_why(sw: int) -> None:
    with pytest.raises(CardUnreadable, match=f"{sw:04X}"):
        parse_select(b"", sw)


@pytest.mark.parametrize("size", [0, 1, 29, 31])
def test_file_0015_of_another_size_is_unreadable(size: int) -> None:
    public = (FILE_0015 + b"\0\0")[:size]
    with pytest.raises(CardUnreadable):
        parse_select(fci(bytes((0x9F, 0x0C, size)) + public), Sw.OK)


@pytest.mark.parametrize("size", range(len(FCI)))
def test_fci_cut_at_any_byte_is_unreadable(size: int) -> None:
    with pytest.raises(CardUnreadable):
        parse_select(FCI[:size], Sw.OK)


@given(st.one_of(st.binary(max_size=80), st.tuples(st.integers(0, len(FCI) - 1), st.integers(1, 255))))
def test_garbage_is_unreadable_or_a_purse(garbage: bytes | tuple[int, int]) -> None:
    if isinstance(garbage, tuple):
        damaged = bytearray(FCI)
        damaged[garbage[0]] ^= garbage[1]
        garbage = bytes(damaged)
    try:
        info = parse_select(garbage, Sw.OK)
    except CardUnreadable:
        return
    assert (len(info.valid_from), len(info.valid_to)) == (4, 4)


@given(st.binary(max_size=40))
def test_initialize_has_fifteen_bytes_or_is_unreadable(data: bytes) -> None:
    if len(data) == 15:
        assert parse_initialize(data).random == data[11:]
    else:
        with pytest.raises(CardUnreadable):
            parse_initialize(data)


def test_initialize_gives_what_the_card_stakes() -> None:
    session = parse_initialize(INIT_ANSWER)
    assert (session.balance_fen, session.counter, session.key_version, session.algorithm, session.random.hex()) == (
        5000,
        7,
        1,
        0,
        "c903814d",
    )


def test_balance_is_four_bytes_or_unreadable() -> None:
    assert parse_balance(bytes.fromhex("00001388"), Sw.OK) == 5000
    for data, sw in ((b"\0\0\0", 0x9000), (b"", 0x6985), (bytes(5), 0x9000), (bytes(4), 0x6581)):
        with pytest.raises(CardUnreadable):
            parse_balance(data, sw)


def test_factors_name_the_asn_first() -> None:
    two_levels = CardProfile(aid=AID, prove_offset=0, key_levels=2)
    assert CAMPUS_CARD.factors(CARD).hex() == "6100000000001234"
    assert two_levels.factors(CARD).hex() == "6100000000001234" + "6100000000000001"


class ScriptedPsam:
    """A channel that answers in order."""

    def __init__(self, *answers: tuple[str, int]) -> None:
        self._answers = list(answers)
        self.sent: list[str] = []

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        self.sent.append(apdu.hex().upper())
        data, sw = self._answers.pop(0)
        return bytes.fromhex(data), sw


def test_psam_is_read_and_its_application_stays_selected() -> None:
    psam = ScriptedPsam(("610000000001", 0x9000), ("6F00", 0x9000), ("01", 0x9000))
    assert read_psam(psam) == PSAM
    assert psam.sent == ["00B0960006", "00A40000023F01", "00B0970001"]


@pytest.mark.parametrize(
    "answers",
    [
        [("", 0x6A82)],
        [("61000000", 0x9000)],
        [("610000000001", 0x9000), ("", 0x6A82)],
        [("610000000001", 0x9000), ("", 0x9000), ("", 0x6A82)],
        [("610000000001", 0x9000), ("", 0x9000), ("0102", 0x9000)],
    ],
)
def test_psam_that_answers_otherwise_is_unusable(answers: list[tuple[str, int]]) -> None:
    with pytest.raises(PsamUnusable):
        read_psam(ScriptedPsam(*answers))
