"""The purse card: a published card's purchase byte for byte, status words, power cuts, garbage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sim.card.chip import parse_command
from sim.card.issue import issue_card
from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, open_memory, read_fields
from sim.card.profile import CAMPUS, CAMPUS_T0, PROFILES, PROVE_BEFORE, CardProfile
from sim.card.purse import Purse
from wire import pboc
from wire.ids import Asn, CardId, IssuerId
from wire.money import Fen
from wire.purse_keys import PurseKeys

SELECT = "00A4040009A00000000386980701"
VERIFY = "0020000003123456"
INIT_100_FEN = "805001020B 01 00000064 610000000001 0F"
DEBIT_WITH_WRONG_MAC = "805401000F 00000001 20260301 120000 00000000 08"
INIT_LOAD = "805000020B 01 00000064 610000000001 10"
CREDIT_WITH_WRONG_MAC = "805200000B 20260301 120000 00000000 04"
DATE_TIME = bytes.fromhex("20260301120000")
TERMINAL = bytes.fromhex("610000000001")
MAY_SUCCEED = {(0x00, ins) for ins in (0xA4, 0xB0, 0xB2, 0xC0, 0x84, 0x20)} | {(0x80, 0x5C), (0x80, 0x50)}

VECTORS = Path(__file__).parents[2] / "vectors" / "pboc_real_cards.json"
MakeCard = Callable[..., Purse]


class PublishedRandom(Random):
    """A card whose random is the one in a published trace."""

    def __init__(self, value: bytes) -> None:
        super().__init__(0)
        self._value = value

    def randbytes(self, n: int) -> bytes:
        assert n == len(self._value)
        return self._value


def send(card: Purse, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


def card_image(path: Path) -> bytes:
    return encode_slot(0, read_fields(path)).ljust(2 * SLOT_BYTES, b"\0")


def debit_apdu(path: Path, init_answer: bytes, *, ttsn: int = 1) -> bytes:
    """What the PSAM would send: MAC1 from the card's own key."""
    key = pboc.purchase_session_key(
        dpk=read_fields(path)["dpk"],
        random=init_answer[11:15],
        counter=int.from_bytes(init_answer[4:6]),
        ttsn=ttsn,
    )
    mac1 = pboc.purchase_mac1(session_key=key, amount_fen=Fen(100), terminal=TERMINAL, date_time_bcd=DATE_TIME)
    return bytes.fromhex("805401000F") + ttsn.to_bytes(4) + DATE_TIME + mac1 + b"\x08"


def buy(card: Purse, path: Path, *, ttsn: int = 1) -> bytes:
    """Select, initialise and debit 1.00 yuan; DEBIT's answer."""
    card.transmit_raw(bytes.fromhex(SELECT))
    init = card.transmit_raw(bytes.fromhex(INIT_100_FEN))
    assert init[-2:] == b"\x90\x00"
    return card.transmit_raw(debit_apdu(path, init, ttsn=ttsn))


def test_published_purchase_of_a_real_card_is_repeated_byte_for_byte(make_card_file: Callable[..., Path]) -> None:
    trace = json.loads(VECTORS.read_text())["real_card"][1]
    key = bytes.fromhex(trace["key"])
    fields = {**read_fields(make_card_file()), "dpk": key, "dtk": bytes.fromhex(trace["dtk"])}
    fields["balance"] = bytes.fromhex(trace["old_balance"])
    memory = Memory(RamFile(encode_slot(0, fields).ljust(2 * SLOT_BYTES, b"\0")))
    card = Purse(memory, PublishedRandom(bytes.fromhex(trace["random"])))

    assert send(card, SELECT) == (
        "6F2E8409A00000000386980701A5219F0C1E6100000000000001020100006100000000001234202509012029083100009000"
    )
    init = send(card, f"805001020B 01 {trace['amount']} {trace['terminal']} 0F")
    assert init == f"{trace['old_balance']}{trace['atc']}000000 01 00 {trace['random']} 9000".replace(" ", "")
    debit = send(card, f"805401000F {trace['ttsn']} {trace['datetime']} {trace['mac1']} 08")
    assert debit == f"{trace['tac']}{trace['mac2']}9000"
    assert send(card, "805C000204") == "00001FFF9000"
    assert send(card, "805A00060200 01 08") == f"{trace['mac2']}{trace['tac']}9000"
    assert send(card, VERIFY) == "9000"
    record = f"0001 000000 {trace['amount']} 06 {trace['terminal']} {trace['datetime']} 9000"
    assert send(card, "00B201C417") == record.replace(" ", "")


def test_tac_of_a_debit_verifies_with_the_issuers_master(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    tac = buy(card, path, ttsn=0x01020304)[:4]
    master = bytes.fromhex("303132333435363738393A3B3C3D3E3F")
    dtk = pboc.diversify(master, bytes.fromhex("6100000000001234"))
    assert tac == pboc.purchase_tac(
        tac_key=pboc.tac_key(dtk),
        amount_fen=Fen(100),
        terminal=TERMINAL,
        ttsn=0x01020304,
        date_time_bcd=DATE_TIME,
    )


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        pytest.param("00A404000AA0000000038698070102", "6A82", id="unknown AID"),
        pytest.param("00A4040004A0000000", "6700", id="AID too short"),
        pytest.param("00A40000021234", "6A82", id="unknown FID"),
        pytest.param("00A400000112", "6700", id="FID of one byte"),
        pytest.param("00A4010002 3F00", "6A86", id="select in an unknown way"),
        pytest.param("00A4040009A0000000038698070110", "6C30", id="select with a wrong Le"),
        pytest.param("805C000204", "000013889000", id="balance"),
        pytest.param("805C000203", "6C04", id="balance with a wrong Le"),
        pytest.param("805C0002", "6700", id="balance without Le"),
        pytest.param("805C000104", "6A86", id="balance of another purse"),
        pytest.param("80500102 0B 02 00000064 610000000001 0F", "9403", id="unknown key index"),
        pytest.param("80500102 0B 01 00001389 610000000001 0F", "9401", id="one fen over the balance"),
        pytest.param("80500102 0B 01 FFFFFFFF 610000000001 0F", "9401", id="largest amount"),
        pytest.param("80500102 0B 01 00000064 610000000001 10", "6C0F", id="INIT with a wrong Le"),
        pytest.param("80500102 0B 01 00000064 610000000001", "6700", id="INIT without Le"),
        pytest.param("80500102 0A 01 00000064 6100000000 0F", "6700", id="INIT too short"),
        pytest.param("80500202 0B 01 00000064 610000000001 0F", "6A86", id="INIT of an unknown kind"),
        pytest.param(DEBIT_WITH_WRONG_MAC, "6985", id="DEBIT without INIT"),
        pytest.param("805A0006020001 08", "9406", id="proof before any purchase"),
        pytest.param("805A0106020001 08", "6A86", id="proof of an unknown kind"),
        pytest.param("00B095001E", "610000000000000102010000610000000000123420250901202908310000" + "9000", id="0015"),
        pytest.param("00B0950020", "6C1E", id="0015 too long"),
        pytest.param("00B0951E01", "6B00", id="0015 past the end"),
        pytest.param("00B0991E01", "6A82", id="unknown file"),
        pytest.param("00B0980017", "6981", id="log read as binary"),
        pytest.param("00B0000001", "6986", id="no current file"),
        pytest.param("00B201C417", "6A83", id="empty log"),
        pytest.param("00B201AC17", "6981", id="0015 read as records"),
        pytest.param("00B201C517", "6A86", id="records in an unknown way"),
        pytest.param("00C0000010", "6985", id="nothing to fetch"),
        pytest.param("00210000", "6D00", id="unknown instruction"),
        pytest.param("80FF0000", "6D00", id="unknown instruction of the purse"),
        pytest.param("90500102", "6E00", id="unknown class"),
        pytest.param("00A404", "6700", id="half a header"),
        pytest.param("00A4040009A000", "6700", id="less data than announced"),
        pytest.param("", "6700", id="nothing"),
    ],
)
def test_status_word_after_select(make_card: MakeCard, apdu: str, answer: str) -> None:
    card = make_card()
    assert send(card, SELECT).endswith("9000")
    assert send(card, VERIFY) == "9000"
    assert send(card, apdu) == answer
    assert (card.balance_fen, card.counter) == (5000, 0)


@pytest.mark.parametrize("apdu", ["805C000204", INIT_100_FEN, "805A000602000108"])
def test_purse_command_before_select_is_refused(make_card: MakeCard, apdu: str) -> None:
    assert send(make_card(), apdu) == "6985"


def test_files_are_selected_by_id_and_read(make_card: MakeCard) -> None:
    card = make_card()
    assert send(card, "00A40000023F00") == "6F15840E" + b"1PAY.SYS.DDF01".hex().upper() + "A5038801019000"
    assert send(card, "00A40000023F01").startswith("6F2E8409A00000000386980701")
    assert send(card, "00A40000020015") == "9000"
    assert send(card, "00B000000A") == "61000000000000010201" + "9000"
    assert send(card, "00B0000A00").endswith("00009000")


def test_balance_that_is_just_enough_is_debited_to_zero(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file(opening_balance_fen=Fen(100))
    card = Purse(open_memory(path), Random(1))
    assert buy(card, path)[-2:] == b"\x90\x00"
    assert (card.balance_fen, card.counter) == (0, 1)
    assert send(card, INIT_100_FEN) == "9401"


def test_exhausted_counter_is_refused(make_card: MakeCard) -> None:
    card = make_card(opening_counter=0xFFFF)
    send(card, SELECT)
    assert send(card, INIT_100_FEN) == "9402"


def test_wrong_mac1_ends_the_session_and_changes_nothing(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    send(card, SELECT)
    init = bytes.fromhex(send(card, INIT_100_FEN))
    assert send(card, DEBIT_WITH_WRONG_MAC) == "9302"
    assert card.transmit_raw(debit_apdu(path, init)).hex() == "6985"
    assert (card.balance_fen, card.counter) == (5000, 0)


@pytest.mark.parametrize(
    "between", ["805C000204", SELECT, "805A000602000108", "00B095001E", "00B2019C17", "0084000004", VERIFY, "reset"]
)
def test_anything_between_init_and_debit_ends_the_session(make_card_file: Callable[..., Path], between: str) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    send(card, SELECT)
    init = bytes.fromhex(send(card, INIT_100_FEN))
    if between == "reset":
        card.reset()
    else:
        send(card, between)
    assert card.transmit_raw(debit_apdu(path, init)).hex() == "6985"
    assert card.balance_fen == 5000


def test_debit_is_not_carried_out_twice(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    send(card, SELECT)
    debit = debit_apdu(path, bytes.fromhex(send(card, INIT_100_FEN)))
    assert card.transmit_raw(debit)[-2:] == b"\x90\x00"
    assert card.transmit_raw(debit).hex() == "6985"
    assert (card.balance_fen, card.counter) == (4900, 1)


def test_debit_with_a_wrong_le_is_not_carried_out_and_may_be_repeated(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    send(card, SELECT)
    debit = debit_apdu(path, bytes.fromhex(send(card, INIT_100_FEN)))
    assert card.transmit_raw(debit[:-1] + b"\x04").hex() == "6c08"
    assert card.balance_fen == 5000
    assert card.transmit_raw(debit)[-2:] == b"\x90\x00"


@pytest.mark.parametrize(("profile", "number"), [(CAMPUS, 8), (PROVE_BEFORE, 7)])
def test_proof_is_given_for_the_profiles_number_alone(
    make_card_file: Callable[..., Path], profile: CardProfile, number: int
) -> None:
    path = make_card_file(profile=profile, opening_counter=7)
    card = Purse(open_memory(path), Random(1))
    debit = buy(card, path)
    card.reset()
    send(card, SELECT)
    for asked in (6, 7, 8, 9):
        answer = card.transmit_raw(bytes.fromhex("805A000602") + asked.to_bytes(2) + b"\x08")
        assert answer == (debit[4:8] + debit[:4] + b"\x90\x00" if asked == number else b"\x94\x06")
    assert send(card, f"805A000502 {number:04X} 08") == "9406"
    send(card, VERIFY)
    assert send(card, "00B201C417").startswith(f"{number:04X}")


def test_log_keeps_the_ten_newest_records(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    card = Purse(open_memory(path), Random(1))
    for ttsn in range(1, 13):
        buy(card, path, ttsn=ttsn)
    send(card, VERIFY)
    numbers = [int(send(card, f"00B2{n:02X}C417")[:4], 16) for n in range(1, 11)]
    assert numbers == list(range(12, 2, -1))
    assert send(card, "00B20BC417") == "6A83"
    assert send(card, "00B200C417") == "6A83"
    assert send(card, "00B201C410") == "6C17"


def test_t0_profile_makes_the_reader_fetch_answers(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file(profile=CAMPUS_T0)
    card = Purse(open_memory(path), Random(1))
    assert send(card, SELECT) == "6134"
    assert send(card, "00C0000040") == "6C34"
    assert send(card, "00C0000004") == "6F328409" + "6130"
    assert send(card, "00C0000030").endswith("9000")
    assert send(card, "805C000200") == "6C04"
    assert send(card, INIT_100_FEN[:-3]) == "610F"
    init = bytes.fromhex(send(card, "00C000000F"))
    assert card.transmit_raw(debit_apdu(path, init)[:-1]).hex() == "6108"
    assert (card.balance_fen, card.counter) == (4900, 1)
    assert len(bytes.fromhex(send(card, "00C0000008"))) == 10
    assert send(card, DEBIT_WITH_WRONG_MAC) == "6901"


def test_power_cut_at_every_step_of_a_debit_leaves_it_done_or_not_done(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file()
    image = card_image(path)
    outcomes = []
    steps = 0
    while True:
        file = RamFile(image, steps_left=steps)
        card = Purse(Memory(file), Random(1))
        try:
            answer = buy(card, path)
        except PowerCut:
            answer = None
        again = Purse(Memory(RamFile(bytes(file.image))), Random(2))
        send(again, SELECT)
        send(again, VERIFY)
        log, proof = send(again, "00B201C417"), send(again, "805A000602000108")
        done = (again.balance_fen, again.counter) == (4900, 1)
        assert done or (again.balance_fen, again.counter) == (5000, 0)
        assert done == log.endswith("9000") == proof.endswith("9000")
        outcomes.append(done)
        steps += 1
        if answer is not None:
            assert done
            assert bytes.fromhex(proof)[:8] == answer[4:8] + answer[:4]
            break
    assert len(outcomes) > 300
    assert outcomes == sorted(outcomes)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A card of each profile, as bytes for cards in RAM."""
    folder = tmp_path_factory.mktemp("cards")
    for name, profile in PROFILES.items():
        issue_card(
            folder / name,
            keys=PurseKeys(bytes(range(16)), bytes(range(16)), bytes(range(16))),
            card=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
            valid_from_bcd=bytes(4),
            valid_to_bcd=bytes(4),
            opening_balance_fen=Fen(5000),
            profile=profile,
        )
    return {name: card_image(folder / name) for name in PROFILES}


HEADERS = st.tuples(
    st.sampled_from([0x00, 0x80, 0x04, 0x84]),
    st.sampled_from([0xA4, 0xB0, 0xB2, 0xC0, 0x5C, 0x50, 0x54, 0x5A, 0x52, 0x20, 0x84, 0xD6, 0x1E, 0x18, 0x24]),
    st.sampled_from([0, 1, 3, 4]),
    st.sampled_from([0, 2, 4]),
).map(bytes)
ALMOST = st.builds(lambda head, rest: head + rest, HEADERS, st.binary(max_size=24))
VALID = st.sampled_from(
    [SELECT, VERIFY, INIT_100_FEN, "805C000204", DEBIT_WITH_WRONG_MAC, INIT_LOAD, CREDIT_WITH_WRONG_MAC]
).map(bytes.fromhex)


@given(profile=st.sampled_from(sorted(PROFILES)), apdus=st.lists(st.one_of(st.binary(max_size=300), ALMOST, VALID)))
def test_garbage_never_raises_never_passes_and_never_moves_money(
    images: dict[str, bytes], profile: str, apdus: list[bytes]
) -> None:
    card = Purse(Memory(RamFile(images[profile])), Random(1))
    for apdu in apdus:
        answer = card.transmit_raw(apdu)
        command = parse_command(apdu)
        if answer[-2:] == b"\x90\x00" or answer[-2:-1] == b"\x61":
            assert command is not None
            assert (command.cla, command.ins) in MAY_SUCCEED
        else:
            assert len(answer) == 2
    assert (card.balance_fen, card.counter) == (5000, 0)


AMOUNTS = st.integers(0, 3000)
STEPS = st.one_of(st.none(), st.integers(0, 1500))  # bytes and syncs until the power goes; one commit is about 600


class CardAgainstModel(RuleBasedStateMachine):
    """Any order of commands and power cuts, against a dict of numbers: no cut makes or loses money."""

    image: bytes

    def __init__(self) -> None:
        super().__init__()
        self.file = RamFile(self.image)
        self.fields = dict(Memory(self.file)._fields)
        self.model = {"balance": 5000, "counter": 0, "online_counter": 0, "pin_tries_left": 3}
        self.verified = False
        self.power_on()

    def power_on(self) -> None:
        self.file = RamFile(bytes(self.file.image))
        self.card = Purse(Memory(self.file), Random(1))
        self.verified = False
        send(self.card, SELECT)

    def in_memory(self) -> dict[str, int]:
        memory = Memory(RamFile(bytes(self.file.image)))
        return {name: memory.number(name) for name in self.model}

    def run(self, apdu: bytes, steps: int | None, **changes: int) -> str | None:
        """The status word; None if the power went, after which the card is in one of its two states."""
        self.file.steps_left = steps
        try:
            status = self.card.transmit_raw(apdu)[-2:].hex()
        except PowerCut:
            assert self.in_memory() in (self.model, {**self.model, **changes})
            self.model = self.in_memory()
            self.power_on()
            return None
        self.file.steps_left = None
        self.model |= changes
        return status

    @rule()
    def reset(self) -> None:
        self.power_on()

    @rule(right=st.booleans(), steps=STEPS)
    def verify(self, right: bool, steps: int | None) -> None:
        tries = self.model["pin_tries_left"]
        left = 0 if tries == 0 else 3 if right else tries - 1
        status = self.run(bytes.fromhex(VERIFY if right else "0020000003999999"), steps, pin_tries_left=left)
        if status is not None:
            self.verified = right and tries > 0
            assert status == ("6983" if tries == 0 else "9000" if right else f"63c{left}")

    @rule(amount=AMOUNTS, genuine=st.booleans(), steps=STEPS)
    def purchase(self, amount: int, genuine: bool, steps: int | None) -> None:
        init = self.card.transmit_raw(bytes.fromhex(f"805001020B01{amount:08X}6100000000010F"))
        if amount > self.model["balance"]:
            assert init.hex() == "9401"
            return
        assert init[:6] == self.model["balance"].to_bytes(4) + self.model["counter"].to_bytes(2)
        key = pboc.purchase_session_key(
            dpk=self.fields["dpk"], random=init[11:15], counter=self.model["counter"], ttsn=1
        )
        mac1 = pboc.purchase_mac1(session_key=key, amount_fen=Fen(amount), terminal=TERMINAL, date_time_bcd=DATE_TIME)
        debit = bytes.fromhex("805401000F00000001") + DATE_TIME + (mac1 if genuine else bytes(4)) + b"\x08"
        if not genuine:
            assert self.run(debit, steps) == "9302"
            return
        changes = {"balance": self.model["balance"] - amount, "counter": self.model["counter"] + 1}
        assert self.run(debit, steps, **changes) in ("9000", None)

    @rule(amount=AMOUNTS, steps=STEPS)
    def load(self, amount: int, steps: int | None) -> None:
        init = self.card.transmit_raw(bytes.fromhex(f"805000020B01{amount:08X}61000000000110"))
        if not self.verified:
            assert init.hex() == "6982"
            return
        online = self.model["online_counter"]
        assert init[:6] == self.model["balance"].to_bytes(4) + online.to_bytes(2)
        key = pboc.load_session_key(dlk=self.fields["dlk"], random=init[8:12], online_counter=online)
        mac2 = pboc.load_mac2(session_key=key, amount_fen=Fen(amount), terminal=TERMINAL, date_time_bcd=DATE_TIME)
        changes = {"balance": self.model["balance"] + amount, "online_counter": online + 1}
        credit = bytes.fromhex("805200000B") + DATE_TIME + mac2 + b"\x04"
        assert self.run(credit, steps, **changes) in ("9000", None)

    @rule(apdu=st.one_of(st.binary(max_size=20), ALMOST))
    def garbage(self, apdu: bytes) -> None:
        if apdu[:2] != b"\x00\x20":  # a wrong PIN counts, and has its own rule
            self.card.transmit_raw(apdu)
            send(self.card, SELECT)
            self.verified = False

    @invariant()
    def memory_is_the_model(self) -> None:
        assert self.in_memory() == self.model


def test_any_story_of_a_card_follows_a_plain_model(make_session_card: Callable[[Path], Path], tmp_path: Path) -> None:
    machine = type("Machine", (CardAgainstModel,), {"image": card_image(make_session_card(tmp_path))})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
