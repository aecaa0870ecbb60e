"""Load: published cards' loads byte for byte, status words, proof, power cuts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, read_fields
from sim.card.profile import CAMPUS, CAMPUS_T0, PROVE_BEFORE, CardProfile
from sim.card.purse import Purse
from wire import pboc
from wire.money import Fen

SELECT = "00A4040009A00000000386980701"
VERIFY = "0020000003123456"
INIT_100_FEN = "805000020B 01 00000064 610000000001 10"
CREDIT_WITH_WRONG_MAC = "805200000B 20260301 120000 00000000 04"
DATE_TIME = bytes.fromhex("20260301120000")
TERMINAL = bytes.fromhex("610000000001")

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pboc_real_cards.json").read_text())
LOADS = [trace for trace in VECTORS["real_card"] if trace["kind"] == "load"]
MakeCardFile = Callable[..., Path]


class PublishedRandom(Random):
    """A card whose random is the one in a published trace."""

    def __init__(self, value: bytes) -> None:
        super().__init__(0)
        self._value = value

    def randbytes(self, n: int) -> bytes:
        assert n == len(self._value)
        return self._value


def card_of(path: Path, **changes: bytes) -> tuple[Purse, RamFile]:
    """The card in RAM, with some fields changed."""
    file = RamFile(encode_slot(0, {**read_fields(path), **changes}).ljust(2 * SLOT_BYTES, b"\0"))
    return Purse(Memory(file), Random(1)), file


def send(card: Purse, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


def ready(card: Purse) -> Purse:
    card.transmit_raw(bytes.fromhex(SELECT))
    assert send(card, VERIFY) == "9000"
    return card


def credit_apdu(path: Path, init: bytes) -> bytes:
    """What the issuer would answer to INITIALIZE, with MAC2 from the card's own key."""
    key = pboc.load_session_key(
        dlk=read_fields(path)["dlk"], random=init[8:12], online_counter=int.from_bytes(init[4:6])
    )
    mac2 = pboc.load_mac2(session_key=key, amount_fen=Fen(100), terminal=TERMINAL, date_time_bcd=DATE_TIME)
    return bytes.fromhex("805200000B") + DATE_TIME + mac2 + b"\x04"


def load(card: Purse, path: Path) -> bytes:
    """Select, give the PIN, initialise and credit 1.00 yuan; CREDIT's answer."""
    init = ready(card).transmit_raw(bytes.fromhex(INIT_100_FEN))
    assert init[-2:] == b"\x90\x00"
    return card.transmit_raw(credit_apdu(path, init))


@pytest.mark.parametrize("trace", LOADS, ids=lambda trace: trace["src"])
def test_published_load_of_a_real_card_is_repeated_byte_for_byte(
    make_card_file: MakeCardFile, trace: dict[str, str]
) -> None:
    fields = {
        **read_fields(make_card_file()),
        "dlk": bytes.fromhex(trace["key"]),
        "dtk": bytes.fromhex(trace["dtk"]),
        "balance": bytes.fromhex(trace["old_balance"]),
        "online_counter": bytes.fromhex(trace["atc"]),
    }
    memory = Memory(RamFile(encode_slot(0, fields).ljust(2 * SLOT_BYTES, b"\0")))
    card = ready(Purse(memory, PublishedRandom(bytes.fromhex(trace["random"]))))

    init = send(card, f"805000020B 01 {trace['amount']} {trace['terminal']} 10")
    assert init == f"{trace['old_balance']}{trace['atc']}0100{trace['random']}{trace['mac1']}9000"
    assert send(card, f"805200000B {trace['datetime']} {trace['mac2']} 04") == f"{trace['tac']}9000"

    balance = int(trace["old_balance"], 16) + int(trace["amount"], 16)
    number = int(trace["atc"], 16) + 1
    assert send(card, "805C000204") == f"{balance:08X}9000"
    assert (card.counter, card.online_counter) == (0, number)
    assert send(card, f"805A000202 {number:04X} 08") == f"{trace['mac2']}{trace['tac']}9000"
    record = f"{number:04X}000000{trace['amount']}02{trace['terminal']}{trace['datetime']}"
    assert send(card, "00B201C417") == f"{record}9000"
    assert trace.get("log_record", record) == record


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        pytest.param("80500002 0B 02 00000064 610000000001 10", "9403", id="unknown key index"),
        pytest.param("80500002 0B 01 00000064 610000000001 0F", "6C10", id="INIT with a wrong Le"),
        pytest.param("80500002 0B 01 00000064 610000000001", "6700", id="INIT without Le"),
        pytest.param("80500002 0A 01 00000064 6100000000 10", "6700", id="INIT too short"),
        pytest.param("80500001 0B 01 00000064 610000000001 10", "6A86", id="load of the passbook"),
        pytest.param("80500002 0B 01 FFFFFFFF 610000000001 10", "6A80", id="more than a balance can hold"),
        pytest.param(CREDIT_WITH_WRONG_MAC, "6985", id="CREDIT without INIT"),
        pytest.param("80520100 0B 20260301 120000 00000000 04", "6A86", id="CREDIT of an unknown kind"),
        pytest.param("80520000 0A 20260301 120000 000000 04", "6700", id="CREDIT too short"),
        pytest.param("805A000202000108", "9406", id="proof before any load"),
    ],
)
def test_status_word_of_a_load(make_card_file: MakeCardFile, apdu: str, answer: str) -> None:
    card, _ = card_of(make_card_file())
    assert send(ready(card), apdu) == answer
    assert (card.balance_fen, card.online_counter) == (5000, 0)


def test_load_needs_the_pin_and_a_selected_purse(make_card_file: MakeCardFile) -> None:
    card, _ = card_of(make_card_file())
    assert send(card, INIT_100_FEN) == "6985"
    send(card, SELECT)
    assert send(card, INIT_100_FEN) == "6982"
    assert send(card, VERIFY) == "9000"
    assert send(card, INIT_100_FEN).endswith("9000")


def test_exhausted_online_counter_is_refused(make_card_file: MakeCardFile) -> None:
    card, _ = card_of(make_card_file(), online_counter=b"\xff\xff")
    assert send(ready(card), INIT_100_FEN) == "9402"


def test_last_online_counter_is_used_once(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    card, _ = card_of(path, online_counter=b"\xff\xfe")
    assert load(card, path)[-2:] == b"\x90\x00"
    assert card.online_counter == 0xFFFF
    assert send(card, INIT_100_FEN) == "9402"


def test_balance_is_filled_to_the_last_fen(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    card, _ = card_of(path, balance=(0xFFFF_FFFF - 100).to_bytes(4))
    assert load(card, path)[-2:] == b"\x90\x00"
    assert send(card, "805C000204") == "FFFFFFFF9000"


def test_wrong_mac2_ends_the_load_and_changes_nothing(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    card, _ = card_of(path)
    init = ready(card).transmit_raw(bytes.fromhex(INIT_100_FEN))
    assert send(card, CREDIT_WITH_WRONG_MAC) == "9302"
    assert card.transmit_raw(credit_apdu(path, init)).hex() == "6985"
    assert (card.balance_fen, card.online_counter) == (5000, 0)


@pytest.mark.parametrize("between", ["805C000204", VERIFY, SELECT, "reset", "805001020B 01 00000064 610000000001 0F"])
def test_anything_between_init_and_credit_ends_the_load(make_card_file: MakeCardFile, between: str) -> None:
    path = make_card_file()
    card, _ = card_of(path)
    init = ready(card).transmit_raw(bytes.fromhex(INIT_100_FEN))
    if between == "reset":
        card.reset()
        send(card, SELECT)
    else:
        send(card, between)
    assert card.transmit_raw(credit_apdu(path, init)).hex() == "6985"
    assert card.balance_fen == 5000


def test_credit_is_not_carried_out_twice(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    card, _ = card_of(path)
    init = ready(card).transmit_raw(bytes.fromhex(INIT_100_FEN))
    credit = credit_apdu(path, init)
    assert card.transmit_raw(credit)[-2:] == b"\x90\x00"
    assert card.transmit_raw(credit).hex() == "6985"
    assert (card.balance_fen, card.online_counter) == (5100, 1)


@pytest.mark.parametrize(("profile", "number"), [(CAMPUS, 8), (PROVE_BEFORE, 7)])
def test_proof_of_a_load_is_given_for_the_profiles_number_alone(
    make_card_file: MakeCardFile, profile: CardProfile, number: int
) -> None:
    path = make_card_file(profile=profile)
    card, _ = card_of(path, online_counter=b"\x00\x07")
    init = ready(card).transmit_raw(bytes.fromhex(INIT_100_FEN))
    credit = credit_apdu(path, init)
    tac = card.transmit_raw(credit)[:4]
    card.reset()
    send(card, SELECT)
    for asked in (6, 7, 8, 9):
        answer = card.transmit_raw(bytes.fromhex("805A000202") + asked.to_bytes(2) + b"\x08")
        assert answer == (credit[12:16] + tac + b"\x90\x00" if asked == number else b"\x94\x06")


def test_t0_profile_fetches_the_answers_of_a_load(make_card_file: MakeCardFile) -> None:
    path = make_card_file(profile=CAMPUS_T0)
    card, _ = card_of(path)
    send(card, SELECT)
    assert send(card, CREDIT_WITH_WRONG_MAC) == "6901"
    assert send(card, VERIFY) == "9000"
    assert send(card, INIT_100_FEN.removesuffix("10")) == "6110"
    init = bytes.fromhex(send(card, "00C0000010"))
    assert card.transmit_raw(credit_apdu(path, init)[:-1]).hex() == "6104"
    assert send(card, "00C0000004").endswith("9000")
    assert card.balance_fen == 5100


def test_power_cut_at_every_step_of_a_load_leaves_it_done_or_not_done(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    image = encode_slot(0, read_fields(path)).ljust(2 * SLOT_BYTES, b"\0")
    outcomes: list[bool] = []
    answer = None
    while answer is None:
        file = RamFile(image, steps_left=len(outcomes))
        try:
            answer = load(Purse(Memory(file), Random(1)), path)
        except PowerCut:
            answer = None
        again = ready(Purse(Memory(RamFile(bytes(file.image))), Random(2)))
        log, proof = send(again, "00B201C417"), send(again, "805A000202000108")
        done = (again.balance_fen, again.online_counter) == (5100, 1)
        assert done or (again.balance_fen, again.online_counter) == (5000, 0)
        assert done == log.endswith("9000") == proof.endswith("9000")
        outcomes.append(done)
    assert len(outcomes) > 300
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]
