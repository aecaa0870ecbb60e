"""Secure messaging: the MAC against a published one, updates, blocking, wrong MACs, the PIN's upkeep, power cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, read_fields
from sim.card.profile import CAMPUS_T0
from sim.card.purse import Purse
from sim.card.secure import command_mac, retail_mac
from wire import pboc

SELECT = "00A4040009A00000000386980701"
VERIFY = "0020000003123456"
INIT = "805001020B 01 00000064 610000000001 0F"
BLOCK, BLOCK_FOR_GOOD, UNBLOCK, CARD_BLOCK = "841E0000", "841E0001", "84180000", "84160000"
WRONG_MAC = "00000000"
FCI = "6F2E8409A00000000386980701A5219F0C1E610000000000000102010000610000000000123420250901202908310000"

MakeCard = Callable[..., Purse]
MakeCardFile = Callable[..., Path]


def send(card: Purse, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


class Issuer:
    """What the issuer does with one card and its keys."""

    def __init__(self, path: Path, *, file: RamFile | None = None) -> None:
        self.fields = read_fields(path)
        self.file = file or RamFile(encode_slot(0, self.fields).ljust(2 * SLOT_BYTES, b"\0"))
        self.card = Purse(Memory(self.file), Random(1))
        self.select()

    def select(self) -> str:
        return send(self.card, SELECT)

    def maintain(self, header: str, data: bytes = b"", *, key: str = "application_key") -> str:
        challenge = bytes.fromhex(send(self.card, "0084000004"))[:4]
        command = bytes.fromhex(header) + bytes((len(data) + 4,)) + data
        return self.card.transmit_raw(command + command_mac(self.fields[key], challenge, command)).hex().upper()

    def fail(self, header: str = BLOCK) -> str:
        send(self.card, "0084000004")
        return send(self.card, f"{header}04{WRONG_MAC}")

    def enciphered(self, block: str) -> bytes:
        key = self.fields["pin_unblock_key"]
        return Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor().update(bytes.fromhex(block))

    def reload(self, pin: str) -> str:
        new = bytes.fromhex(pin)
        mac = pboc.mac(pboc.tac_key(self.fields["pin_reload_key"]), new)
        return self.card.transmit_raw(b"\x80\x5e\x00\x00" + bytes((len(new) + 4,)) + new + mac).hex().upper()


@pytest.fixture
def issuer(make_card_file: MakeCardFile) -> Issuer:
    return Issuer(make_card_file())


def test_retail_mac_of_icao_9303_is_repeated() -> None:
    """The worked example of Doc 9303 part 11, appendix D.3."""
    key = bytes.fromhex("7962D9ECE03D1ACD4C76089DCE131543")
    data = bytes.fromhex("72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2")
    assert retail_mac(key, bytes(8), data).hex() == "5f1448ee"


def test_first_block_is_the_challenge_and_zeros() -> None:
    key = bytes(range(16))
    with_challenge = command_mac(key, bytes.fromhex("01020304"), bytes.fromhex("841E000004"))
    by_hand = retail_mac(key, bytes(8), bytes.fromhex("851C030404"))  # one block: the start is added to the data
    assert with_challenge == by_hand


def test_file_0015_is_updated_and_shown_by_select(issuer: Issuer) -> None:
    assert issuer.maintain("04D69518", bytes.fromhex("20301231")) == "9000"
    assert send(issuer.card, "00B095001E")[48:56] == "20301231"
    assert issuer.select() == FCI.replace("20290831", "20301231") + "9000"


def test_holder_file_is_updated_from_any_offset(issuer: Issuer) -> None:
    assert issuer.maintain("04D69602", b"A STUDENT") == "9000"
    assert send(issuer.card, "00B096000B") == "0000" + b"A STUDENT".hex().upper() + "9000"
    assert issuer.maintain("04D69636", b"\x05") == "9000"
    assert send(issuer.card, "00A40000020016") == "9000"
    assert issuer.maintain("04D60000", b"\x01") == "9000"
    assert send(issuer.card, "00B0960001") == "019000"


@pytest.mark.parametrize(
    ("header", "data", "answer"),
    [
        ("04D69637", b"\x01", "6B00"),
        ("04D69636", b"\x01\x02", "6A84"),
        ("04D69900", b"\x01", "6A82"),
        ("04D69800", b"\x01", "6981"),
        ("04D60000", b"\x01", "6986"),
    ],
)
def test_update_outside_a_file_is_refused(issuer: Issuer, header: str, data: bytes, answer: str) -> None:
    assert issuer.maintain(header, data) == answer


def test_mac_of_another_command_challenge_or_none_is_refused(issuer: Issuer) -> None:
    assert send(issuer.card, "00D6950001FF") == "6982"
    assert send(issuer.card, "04D695000120") == "6984"
    send(issuer.card, "0084000004")
    assert send(issuer.card, "04D6950003010203") == "6987"
    challenge = bytes.fromhex(send(issuer.card, "0084000004"))[:4]
    send(issuer.card, "805C000204")
    mac = command_mac(issuer.fields["application_key"], challenge, bytes.fromhex("841E000004")).hex()
    assert send(issuer.card, f"841E000004{mac}") == "6984"
    assert issuer.fail() == "6988"
    assert send(issuer.card, f"841E000004{mac}") == "6984"
    assert issuer.select().endswith("9000")


def test_card_without_maintenance_keys_cannot_be_maintained(
    make_session_card: Callable[[Path], Path], tmp_path: Path
) -> None:
    issuer = Issuer(make_session_card(tmp_path))
    assert issuer.fail(BLOCK) == issuer.fail("84160000") == "9403"
    assert send(issuer.card, "805E000007 123456 00000000") == "9403"


def test_blocked_application_says_so_and_is_unblocked(issuer: Issuer) -> None:
    assert issuer.maintain(BLOCK) == "9000"
    assert send(issuer.card, INIT) == "6985"
    assert issuer.select() == FCI + "6283"
    refused = [INIT, VERIFY, "805C000204", "00B095001E", "00B201C417", "805A000602000108", "00D6950001FF"]
    assert [send(issuer.card, apdu) for apdu in refused] == ["6985"] * len(refused)
    assert issuer.maintain("04D69618", b"\x01") == "6985"
    issuer.card.reset()
    assert send(issuer.card, "00A40000023F01") == FCI + "6283"
    assert issuer.maintain(UNBLOCK) == "9000"
    assert issuer.select() == FCI + "9000"
    assert send(issuer.card, INIT).endswith("9000")
    assert issuer.maintain(UNBLOCK) == "6985"


def test_blocked_application_of_a_t0_card_says_so_with_the_last_byte(make_card_file: MakeCardFile) -> None:
    issuer = Issuer(make_card_file(profile=CAMPUS_T0))
    assert issuer.maintain(BLOCK) == "9000"
    assert issuer.select() == "6134"
    assert send(issuer.card, "00C0000030")[-4:] == "6104"
    assert send(issuer.card, "00C0000004")[-4:] == "6283"


def test_application_blocked_for_good_stays_so(issuer: Issuer) -> None:
    assert issuer.maintain(BLOCK_FOR_GOOD) == "9000"
    assert issuer.fail(UNBLOCK) == "9303"
    issuer.card.reset()
    assert issuer.select() == "9303"
    assert send(issuer.card, INIT) == "9303"
    assert send(issuer.card, "00A40000023F00").endswith("9000")


def test_blocked_card_answers_nothing_else(issuer: Issuer) -> None:
    assert issuer.maintain(CARD_BLOCK) == "9000"
    issuer.card.reset()
    commands = [SELECT, "00A40000023F00", INIT, VERIFY, "0084000004", "805C000204"]
    assert [send(issuer.card, apdu) for apdu in commands] == ["6A81"] * len(commands)


def test_third_wrong_mac_in_a_row_blocks_for_good(issuer: Issuer) -> None:
    assert [issuer.fail(), issuer.fail(CARD_BLOCK)] == ["6988"] * 2
    assert issuer.maintain("04D69618", b"\x01") == "9000"
    assert [issuer.fail(), issuer.fail(UNBLOCK), issuer.fail(), issuer.fail()] == ["6988", "6985", "6988", "9303"]
    assert issuer.select() == "9303"


def test_third_wrong_mac_of_an_unblocking_blocks_for_good(issuer: Issuer) -> None:
    issuer.maintain(BLOCK)
    assert [issuer.fail(UNBLOCK) for _ in range(4)] == ["6988", "6988", "9303", "9303"]


def test_holder_changes_the_pin_with_the_old_one(issuer: Issuer) -> None:
    assert send(issuer.card, "805E010007 123456 FF 654321") == "9000"
    assert send(issuer.card, VERIFY) == "63C2"
    assert send(issuer.card, "805E010006 9999 FF 123456") == "63C1"
    assert send(issuer.card, "0020000003654321") == "9000"
    assert send(issuer.card, "805E010009 654321 FF 1234567890") == "9000"
    assert send(issuer.card, "0020000005 1234567890") == "9000"


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        ("805E010006 123456 654321", "6A80"),
        ("805E010005 1234567890", "6A80"),
        ("805E010006 123456 FF 6543", "9000"),
        ("805E010005 123456 FF 65", "6A80"),
        ("805E010004 1234 FF 65", "6700"),
        ("805E020007 123456 FF 654321", "6A86"),
    ],
)
def test_change_of_pin_of_another_shape(issuer: Issuer, apdu: str, answer: str) -> None:
    assert send(issuer.card, apdu) == answer


def test_issuer_reloads_a_locked_pin(issuer: Issuer) -> None:
    for _ in range(3):
        send(issuer.card, "00200000021111")
    assert send(issuer.card, "805E010007 123456 FF 654321") == "6983"
    assert issuer.reload("987654") == "9000"
    assert send(issuer.card, "0020000003987654") == "9000"


def test_wrong_mac_of_a_reload_counts(issuer: Issuer) -> None:
    wrong = f"805E000007 987654 {WRONG_MAC}"
    assert [send(issuer.card, wrong) for _ in range(3)] == ["9302", "9302", "9303"]
    assert send(issuer.card, VERIFY) == "9303"


def test_issuer_unblocks_a_locked_pin_with_an_enciphered_one(issuer: Issuer) -> None:
    for _ in range(3):
        send(issuer.card, "00200000021111")
    block = issuer.enciphered("02 4321 80 00000000")
    assert issuer.maintain("84240000", block, key="pin_unblock_key") == "9000"
    assert send(issuer.card, "00200000024321") == "9000"


@pytest.mark.parametrize("block", ["0143800000000000", "0743214321432180", "0243218100000000", "0243210000000000"])
def test_enciphered_pin_of_another_shape_is_refused(issuer: Issuer, block: str) -> None:
    assert issuer.maintain("84240000", issuer.enciphered(block), key="pin_unblock_key") == "6A80"
    assert send(issuer.card, VERIFY) == "9000"


@pytest.mark.parametrize(
    ("header", "data"),
    [(BLOCK, b""), (CARD_BLOCK, b""), ("04D69600", bytes(range(1, 56)))],
    ids=["block", "card", "0016"],
)
def test_power_cut_at_every_step_leaves_it_done_or_not_done(
    make_card_file: MakeCardFile, header: str, data: bytes
) -> None:
    path = make_card_file()
    image = encode_slot(0, read_fields(path)).ljust(2 * SLOT_BYTES, b"\0")
    before = read_fields(path)
    outcomes: list[bool] = []
    answer = ""
    while not answer:
        issuer = Issuer(path, file=RamFile(image, steps_left=len(outcomes)))
        try:
            answer = issuer.maintain(header, data)
        except PowerCut:
            answer = ""
        after = Memory(RamFile(bytes(issuer.file.image)))
        changed = {name for name in (*before, "state") if after[name] != before.get(name, b"")}
        assert changed in (set(), {"holder"} if data else {"state"})
        outcomes.append(bool(changed))
    assert answer == "9000"
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]
