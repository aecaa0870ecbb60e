"""The PSAM: a purchase between it and a card, a TTSN that never repeats, wrong MAC2, garbage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, open_memory, read_fields
from sim.card.profile import CAMPUS, PROVE_BEFORE, CardProfile
from sim.card.purse import Purse
from sim.psam.psam import TTSN_MAX, WRONG_MAC2_MAX, Psam, issue_psam, read_psam_image
from wire import pboc
from wire.ids import TerminalId
from wire.money import Fen
from wire.purse_keys import KeyHalvesEqual, PurseKeys

SELECT = "00A4040009A00000000386980701"
INIT_FIELDS = "A1B2C3D4 0007 00000064 06 20260301120000 01 00"
ASN8 = "6100000000001234"
ISSUER8 = "6100000000000001"
ONE_LEVEL = f"807000001C {INIT_FIELDS} {ASN8} 08"
TWO_LEVELS = f"8070000024 {INIT_FIELDS} {ASN8} {ISSUER8} 08"
DATE_TIME = bytes.fromhex("20260301120000")
TERMINAL = TerminalId(bytes.fromhex("610000000001"))


def send(chip: Psam | Purse, apdu: str) -> str:
    return chip.transmit_raw(bytes.fromhex(apdu)).hex().upper()


def in_application(psam: Psam) -> Psam:
    assert send(psam, "00A40000023F01").endswith("9000")
    return psam


def image(path: Path, **changes: bytes) -> bytes:
    return encode_slot(0, {**read_fields(path), **changes}).ljust(2 * SLOT_BYTES, b"\0")


def right_mac2(purchase_master: bytes, ttsn: int) -> bytes:
    """MAC2 of the card that ONE_LEVEL speaks of."""
    session = pboc.purchase_session_key(
        dpk=pboc.diversify(purchase_master, bytes.fromhex(ASN8)),
        random=bytes.fromhex("A1B2C3D4"),
        counter=7,
        ttsn=ttsn,
    )
    return pboc.purchase_mac2(session_key=session, amount_fen=Fen(100))


@pytest.mark.parametrize(("profile", "factors"), [(CAMPUS, ASN8), (PROVE_BEFORE, ASN8 + ISSUER8)])
@pytest.mark.parametrize("amount_fen", [Fen(100), Fen(0)], ids=["of money", "of nothing"])
def test_purchase_between_card_and_psam(
    psam: Psam, make_card_file: Callable[..., Path], profile: CardProfile, factors: str, amount_fen: Fen
) -> None:
    amount = amount_fen.to_bytes(4).hex()
    path = make_card_file(profile=profile)
    card = Purse(open_memory(path), Random(5))
    assert send(psam, "00B0960006") == "6100000000019000"
    in_application(psam)
    assert send(psam, "00B0970001") == "019000"
    send(card, SELECT)

    init = send(card, f"805001020B 01 {amount} 610000000001 0F")
    balance, counter, version, algorithm, random = init[:8], init[8:12], init[18:20], init[20:22], init[22:30]
    assert (balance, counter, version, algorithm, init[30:]) == ("00001388", "0000", "01", "00", "9000")
    lc = 20 + len(factors) // 2
    fields = f"{random}{counter} {amount} 06 {DATE_TIME.hex()} {version}{algorithm} {factors}"
    granted = send(psam, f"80700000 {lc:02X} {fields} 08")
    ttsn, mac1 = granted[:8], granted[8:16]
    assert (ttsn, granted[16:]) == ("00000001", "9000")
    debit = send(card, f"805401000F {ttsn} {DATE_TIME.hex()} {mac1} 08")
    tac, mac2 = debit[:8], debit[8:16]
    assert debit[16:] == "9000"
    assert send(psam, f"8072000004 {mac2}") == "9000"

    keys = read_fields(path)
    session = pboc.purchase_session_key(dpk=keys["dpk"], random=bytes.fromhex(random), counter=0, ttsn=1)
    assert mac1 == (
        pboc.purchase_mac1(session_key=session, amount_fen=amount_fen, terminal=TERMINAL, date_time_bcd=DATE_TIME)
        .hex()
        .upper()
    )
    assert mac2 == pboc.purchase_mac2(session_key=session, amount_fen=amount_fen).hex().upper()
    assert tac == (
        pboc.purchase_tac(
            tac_key=pboc.tac_key(keys["dtk"]),
            amount_fen=amount_fen,
            terminal=TERMINAL,
            ttsn=1,
            date_time_bcd=DATE_TIME,
        )
        .hex()
        .upper()
    )
    assert (card.balance_fen, card.counter) == (5000 - amount_fen, 1)


def test_card_with_two_level_keys_refuses_a_psam_with_one(psam: Psam, make_card: Callable[..., Purse]) -> None:
    card = make_card(profile=PROVE_BEFORE)
    in_application(psam)
    send(card, SELECT)
    init = send(card, "805001020B 01 00000064 610000000001 0F")
    granted = send(psam, f"807000001C {init[22:30]} 0000 00000064 06 {DATE_TIME.hex()} 0100 {ASN8} 08")
    assert send(card, f"805401000F {granted[:8]} {DATE_TIME.hex()} {granted[8:16]} 08") == "9302"


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        pytest.param("00B0970001", "019000", id="key index"),
        pytest.param("00B0960006", "6A82", id="terminal number is in the master file"),
        pytest.param(ONE_LEVEL.replace(" 01 00 ", " 02 00 "), "9403", id="unknown key version"),
        pytest.param(ONE_LEVEL.replace(" 01 00 ", " 01 01 "), "6A80", id="unknown algorithm"),
        pytest.param(ONE_LEVEL.replace(" 06 ", " 02 "), "6A80", id="a load is no purchase"),
        pytest.param(f"8070000014 {INIT_FIELDS} 08", "6700", id="no factor"),
        pytest.param(ONE_LEVEL.replace("8070000", "8070010"), "6A86", id="unknown kind"),
        pytest.param(ONE_LEVEL[:-2] + "09", "6C08", id="wrong Le"),
        pytest.param("8072000004 00000000", "6985", id="MAC2 without a purchase"),
        pytest.param("8072000003 000000", "6700", id="MAC2 too short"),
        pytest.param("80500102", "6D00", id="a purse's command"),
        pytest.param("FF000000", "6E00", id="unknown class"),
    ],
)
def test_status_word_in_the_application(psam: Psam, apdu: str, answer: str) -> None:
    assert send(in_application(psam), apdu) == answer


def test_files_of_the_master_file(psam: Psam) -> None:
    assert send(psam, "00B095000E") == "00006100000000000077010000009000"
    assert send(psam, "00B0960006") == "6100000000019000"
    assert send(psam, "00B0970001") == "6A82"
    assert send(psam, ONE_LEVEL) == "6985"


def test_ttsn_never_repeats_over_restarts(psam_file: Path) -> None:
    seen = []
    for _ in range(4):
        psam = in_application(Psam(open_memory(psam_file)))
        seen += [send(psam, ONE_LEVEL)[:8], send(psam, TWO_LEVELS)[:8]]
        psam.close()
    assert [int(ttsn, 16) for ttsn in seen] == list(range(1, 9))
    assert read_psam_image(psam_file).ttsn == 8
    assert read_psam_image(psam_file).terminal == TERMINAL


def test_power_cut_at_every_step_never_gives_a_ttsn_again(psam_file: Path) -> None:
    original = image(psam_file)
    steps = 0
    while True:
        file = RamFile(original)
        psam = in_application(Psam(Memory(file)))
        file.steps_left = steps
        steps += 1
        try:
            first: str | None = send(psam, ONE_LEVEL)
        except PowerCut:
            first = None
        after = send(in_application(Psam(Memory(RamFile(bytes(file.image))))), ONE_LEVEL)
        assert after.endswith("9000")
        if first is not None:
            assert (first[:8], after[:8]) == ("00000001", "00000002")
            break
    assert steps > 100


def test_used_up_ttsn_is_refused(psam_file: Path) -> None:
    psam = in_application(Psam(Memory(RamFile(image(psam_file, ttsn=(TTSN_MAX - 1).to_bytes(4))))))
    assert send(psam, ONE_LEVEL)[:8] == "FFFFFFFF"
    assert send(psam, ONE_LEVEL) == "9402"


def test_mac2_is_checked_once_for_each_purchase(psam: Psam, masters: PurseKeys) -> None:
    in_application(psam)
    send(psam, ONE_LEVEL)
    mac2 = right_mac2(masters.purchase, 1).hex()
    assert send(psam, f"8072000004 {mac2}") == "9000"
    assert send(psam, f"8072000004 {mac2}") == "6985"


@pytest.mark.parametrize("ending", [ONE_LEVEL, "reset"])
def test_mac2_check_dies_with_the_next_purchase_or_a_reset(psam: Psam, masters: PurseKeys, ending: str) -> None:
    in_application(psam)
    send(psam, ONE_LEVEL)
    if ending == "reset":
        psam.reset()
        assert send(psam, f"8072000004 {right_mac2(masters.purchase, 1).hex()}") == "6985"
    else:
        send(psam, ending)
        assert send(psam, f"8072000004 {right_mac2(masters.purchase, 1).hex()}") == "9302"


def test_wrong_mac2_in_a_row_lock_the_psam_for_good(psam_file: Path) -> None:
    memory = open_memory(psam_file)
    psam = in_application(Psam(memory))
    for left in reversed(range(WRONG_MAC2_MAX)):
        send(psam, ONE_LEVEL)
        assert send(psam, "8072000004 00000000") == "9302"
        assert memory.number("tries_left") == left
    assert send(psam, ONE_LEVEL) == "9303"
    psam.close()
    assert send(in_application(Psam(open_memory(psam_file))), ONE_LEVEL) == "9303"


def test_right_mac2_gives_all_tries_back(psam_file: Path, masters: PurseKeys) -> None:
    memory = open_memory(psam_file)
    psam = in_application(Psam(memory))
    send(psam, ONE_LEVEL)
    send(psam, "8072000004 00000000")
    assert memory.number("tries_left") == WRONG_MAC2_MAX - 1
    send(psam, ONE_LEVEL)
    assert send(psam, f"8072000004 {right_mac2(masters.purchase, 2).hex()}") == "9000"
    assert memory.number("tries_left") == WRONG_MAC2_MAX


def test_t0_psam_makes_the_reader_fetch_answers(psam_file: Path) -> None:
    psam = Psam(Memory(RamFile(image(psam_file, t0=b"\x01"))))
    assert send(psam, "00A40000023F01").startswith("61")
    assert send(psam, ONE_LEVEL[:-3]) == "6108"
    assert send(psam, "00C0000008").startswith("00000001")


def test_master_with_equal_halves_makes_no_psam(tmp_path: Path) -> None:
    with pytest.raises(KeyHalvesEqual):
        issue_psam(tmp_path / "psam", terminal=TERMINAL, purchase_master=b"\x34" * 16, serial=bytes(10))


PSAM_FIELDS = {
    "terminal": TERMINAL,
    "serial": bytes(14),
    "key_index": b"\x01",
    "key_version": b"\x01",
    "purchase_master": bytes(range(16)),
    "ttsn": bytes(4),
    "tries_left": bytes((WRONG_MAC2_MAX,)),
    "t0": b"\x00",
}
HEADS = st.sampled_from(["8070", "8072", "00A4", "00B0", "00C0"]).map(bytes.fromhex)
VALID = st.sampled_from([ONE_LEVEL, TWO_LEVELS, "00A40000023F01", "80720000040102030408"]).map(bytes.fromhex)


@given(st.lists(st.one_of(st.binary(max_size=300), st.builds(bytes.__add__, HEADS, st.binary(max_size=40)), VALID)))
def test_garbage_never_raises_and_never_passes_for_a_right_mac2(apdus: list[bytes]) -> None:
    psam = Psam(Memory(RamFile(encode_slot(0, PSAM_FIELDS).ljust(2 * SLOT_BYTES, b"\0"))))
    ttsn = 0
    for apdu in apdus:
        answer = psam.transmit_raw(apdu)
        if apdu[:2] == b"\x80\x72":
            assert answer[-2:] != b"\x90\x00"
        if apdu[:2] == b"\x80\x70" and answer[-2:] == b"\x90\x00":
            assert int.from_bytes(answer[:4]) == ttsn + 1
            ttsn += 1
        if answer[-2:] != b"\x90\x00" and answer[-2:-1] != b"\x61":
            assert len(answer) == 2
