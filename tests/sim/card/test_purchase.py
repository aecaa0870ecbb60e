"""Compound purchase: money and records in one step with card and PSAM, status words, power cuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, read_fields
from sim.card.profile import PROFILES, CardProfile
from sim.card.purse import Purse
from sim.psam.psam import Psam
from wire import pboc
from wire.money import Fen

SELECT = "00A4040009A00000000386980701"
VERIFY = "0020000003123456"
INIT = "805003020B 01 00000064 610000000001 0F"
INIT_SIMPLE = "805001020B 01 00000064 610000000001 0F"
DATE_TIME = "20260301120000"
RECORDS = (bytes.fromhex("010600AAAAAAAAAA"), bytes.fromhex("090400BBBBBB"), bytes.fromhex("0A0201CC"))
UPDATE_1 = "80DC01B808 010600 1122334455"
UPDATE_9 = "80DC09B806 090400 667788"

MakeCardFile = Callable[..., Path]


@dataclass
class Sale:
    """A card in RAM and a PSAM."""

    file: RamFile
    card: Purse
    psam: Psam

    def send(self, apdu: str) -> str:
        return self.card.transmit_raw(bytes.fromhex(apdu)).hex().upper()

    def debit_apdu(self, init: str, tti: str = "09") -> str:
        """DEBIT with the PSAM's own MAC1 for that kind of purchase."""
        self.psam.transmit_raw(bytes.fromhex("00A40000023F01"))
        factors = "6100000000001234"
        if self.card.profile.two_level_keys:
            factors += "6100000000000001"
        data = f"{init[22:30]}{init[8:12]}00000064{tti}{DATE_TIME}{init[18:22]}{factors}"
        answer = self.psam.transmit_raw(bytes.fromhex(f"80700000{len(data) // 2:02X}{data}08"))
        assert answer[-2:] == b"\x90\x00"
        return f"805401000F{answer[:4].hex()}{DATE_TIME}{answer[4:8].hex()}08"


@pytest.fixture
def make_sale(make_card_file: MakeCardFile, psam: Psam) -> Callable[..., Sale]:
    def make(*, steps_left: int | None = None, image: bytes | None = None, **options: object) -> Sale:
        if image is None:
            image = encode_slot(0, read_fields(make_card_file(compound=RECORDS, **options))).ljust(
                2 * SLOT_BYTES, b"\0"
            )
        file = RamFile(image, steps_left=steps_left)
        sale = Sale(file, Purse(Memory(file), Random(1)), psam)
        aid = sale.card.profile.aid
        sale.send(f"00A40400{len(aid):02X}{aid.hex()}")
        return sale

    return make


@pytest.mark.parametrize("profile", [profile for profile in PROFILES.values() if not profile.t0], ids=lambda p: p.name)
def test_money_counter_and_records_change_in_one_step(make_sale: Callable[..., Sale], profile: CardProfile) -> None:
    sale = make_sale(profile=profile)
    init = sale.send(INIT)
    assert init[:30] == f"00001388000000000001 00{init[22:30]}".replace(" ", "")
    assert sale.send(UPDATE_1) == "9000"
    assert sale.send(UPDATE_9) == "9000"
    assert sale.send("00B201BC00") == RECORDS[0].hex().upper() + "9000", "nothing is written before DEBIT"

    init = sale.send(INIT)
    assert [sale.send(UPDATE_1), sale.send(UPDATE_9)] == ["9000"] * 2
    debit = sale.debit_apdu(init)
    answer = bytes.fromhex(sale.send(debit))
    assert answer[-2:] == b"\x90\x00"
    assert sale.psam.transmit_raw(b"\x80\x72\x00\x00\x04" + answer[4:8]).hex() == "9000"
    fields = Memory(RamFile(bytes(sale.file.image)))
    assert answer[:4] == pboc.purchase_tac(
        tac_key=pboc.tac_key(fields["dtk"]),
        amount_fen=Fen(100),
        terminal=bytes.fromhex("610000000001"),
        ttsn=int(debit[10:18], 16),
        date_time_bcd=bytes.fromhex(DATE_TIME),
        tti=0x09,
    )

    assert (sale.card.balance_fen, sale.card.counter) == (4900, 1)
    assert sale.send("00B201BC08") == "0106001122334455" + "9000"
    assert sale.send("00B209B806") == "090400667788" + "9000"
    assert sale.send("00B203BC04") == "0A0201CC" + "9000"
    number = profile.prove_numbering.value
    assert sale.send(f"805A00090200{number:02X}08") == (answer[4:8] + answer[:4]).hex().upper() + "9000"
    assert sale.send(f"805A00060200{number:02X}08") == "9406"
    sale.send(VERIFY)
    assert sale.send("00B201C417")[18:20] == "09"


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        pytest.param("80DC02B808 010600 1122334455", "6A83", id="no such record"),
        pytest.param("80DC0AB804 0A020100", "6985", id="a locked record"),
        pytest.param("80DC01B807 010500 11223344", "6A80", id="another length"),
        pytest.param("80DC01B808 090600 1122334455", "6A80", id="another identifier"),
        pytest.param("80DC01BC08 010600 1122334455", "6A86", id="by number"),
        pytest.param("80DC01C008 010600 1122334455", "6A86", id="another file"),
        pytest.param("80DC01B8", "6A80", id="no data"),
        pytest.param("80DC01B808 010600 1122334455 00", "6700", id="an answer is asked for"),
    ],
)
def test_update_of_another_shape_is_refused(make_sale: Callable[..., Sale], apdu: str, answer: str) -> None:
    sale = make_sale()
    sale.send(INIT)
    assert sale.send(apdu) == answer


def test_update_without_a_compound_purchase_is_refused(make_sale: Callable[..., Sale]) -> None:
    sale = make_sale()
    assert sale.send(UPDATE_1) == "6985"
    sale.send(INIT_SIMPLE)
    assert sale.send(UPDATE_1) == "6985"


def test_debit_of_a_compound_purchase_needs_a_record_and_its_own_mac(make_sale: Callable[..., Sale]) -> None:
    sale = make_sale()
    assert sale.send(sale.debit_apdu(sale.send(INIT))) == "6985"
    init = sale.send(INIT)
    sale.send(UPDATE_1)
    assert sale.send(sale.debit_apdu(init, tti="06")) == "9302"
    assert (sale.card.balance_fen, sale.card.counter) == (5000, 0)
    assert sale.send("00B201BC08") == RECORDS[0].hex().upper() + "9000"


def test_records_do_not_outlive_their_purchase(make_sale: Callable[..., Sale]) -> None:
    sale = make_sale()
    sale.send(INIT)
    sale.send(UPDATE_1)
    init = sale.send(INIT_SIMPLE)
    assert sale.send(sale.debit_apdu(init, tti="06"))[-4:] == "9000"
    assert sale.send("00B201BC08") == RECORDS[0].hex().upper() + "9000"


def test_card_without_the_file_takes_no_record(make_card_file: MakeCardFile) -> None:
    card = Purse(Memory(RamFile(encode_slot(0, read_fields(make_card_file())).ljust(2 * SLOT_BYTES, b"\0"))), Random(1))
    answers = [card.transmit_raw(bytes.fromhex(apdu)) for apdu in (SELECT, "00B201BC00", INIT, UPDATE_1)]
    assert [answer[-2:].hex() for answer in answers] == ["9000", "6a82", "9000", "6a83"]


def test_power_cut_at_every_step_changes_all_or_nothing(make_sale: Callable[..., Sale]) -> None:
    image = bytes(make_sale().file.image)
    outcomes: list[bool] = []
    answered = False
    while not answered:
        sale = make_sale(image=image, steps_left=len(outcomes))
        init = sale.send(INIT)
        sale.send(UPDATE_1)
        try:
            answered = sale.send(sale.debit_apdu(init)).endswith("9000")
        except PowerCut:
            answered = False
        again = make_sale(image=bytes(sale.file.image))
        state = (again.card.balance_fen, again.card.counter, again.send("00B201BC08")[:16])
        assert state in ((5000, 0, "010600AAAAAAAAAA"), (4900, 1, "0106001122334455"))
        outcomes.append(state[1] == 1)
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]
    assert len(outcomes) > 300
