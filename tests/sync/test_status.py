"""What `status` says: in words where there is nothing yet, in figures where there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.outbox import JournalCoder, next_batch
from sync.policy import Strain
from sync.status import SUSPENDED_SHOWN, Status, read_status, status_lines
from sync.store import Enrolment, UplinkStore, Verdict
from wire.configuration import ClassLimits, Configuration, MealPeriod, Name, Product
from wire.ids import Stream, TerminalId
from wire.money import Fen
from wire.receipt import BatchReceipt, Cursor, Suspense

if TYPE_CHECKING:
    from tests.sync.conftest import Till


def test_terminal_that_was_never_enrolled_is_told_what_to_do(folder: Path) -> None:
    status = read_status(folder, now_utc_s=5)
    assert status == Status()
    assert status_lines(status) == [
        "This terminal is not enrolled yet; run campus-syncd enrol with a ticket from the operator."
    ]
    assert not (folder / "uplink.db").exists()


def test_enrolled_terminal_without_a_journal_is_described_in_words(store: UplinkStore, folder: Path) -> None:
    lines = "\n".join(status_lines(read_status(folder, now_utc_s=5)))
    assert "112233445566, canteen stream, epoch 1" in lines
    assert "none: the till has not run yet" in lines
    assert "acknowledged   nothing yet" in lines
    assert "never" in lines
    assert "hotlist        version 0, 0 cards" in lines


def test_one_of_a_kind_is_told_in_the_singular() -> None:
    enrolment = Enrolment(
        terminal=TerminalId(bytes(6)), epoch=1, stream=Stream.CANTEEN, enrolled_at_utc_s=1, ticket_digest=bytes(32)
    )
    status = Status(
        enrolment=enrolment, has_journal=True, backlog_taps=1, hotlist_version=3, hotlist_cards=1, batches=1
    )
    lines = status_lines(status)
    assert "backlog        1 tap, 0.00 yuan" in lines
    assert "hotlist        version 3, 1 card" in lines
    assert "carried        1 batch, 0 bytes up, 0 bytes down" in lines


def test_configuration_in_force_is_told_in_words_and_whole_to_programs(store: UplinkStore, folder: Path) -> None:
    configuration = Configuration(
        version=4,
        stream=Stream.CANTEEN,
        outlet=12,
        merchant_name=Name("饮食中心"),
        outlet_name=Name("第一食堂"),
        others=ClassLimits(tap_fen_max=Fen(5000)),
        products=(Product(number=1, name=Name("米饭", "rice"), amount_fen=Fen(150)),),
        periods=(
            MealPeriod(number=1, name=Name("早餐"), from_min=390, to_min=540),
            MealPeriod(number=2, name=Name("午餐"), from_min=660, to_min=810),
        ),
        proof=bytes(64),
    )
    assert read_status(folder, now_utc_s=5).configuration is None
    store.save_configuration(configuration)
    status = read_status(folder, now_utc_s=5)
    assert "configuration  version 4 of outlet 12: 第一食堂, 1 product, 2 meal periods" in status_lines(status)
    assert json.loads(json.dumps(status.as_json()))["configuration"] == {
        "outlet": 12,
        "outlet_name": "第一食堂",
        "version": 4,
        "stream": "canteen",
        "tap_fen_max": 5000,
        "products": 1,
        "periods": 2,
    }


def test_backlog_receipt_and_suspended_taps_are_shown(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey, folder: Path
) -> None:
    till.tap(3)
    next_batch(store, till.reader, key, JournalCoder(till.reader), taps_max=1)
    receipt = BatchReceipt(Cursor(1, 2, till.reader.hash_before(2)), ((1, Suspense.TAC_WRONG),))
    store.mark(receipt, heard_at_utc_s=1000)
    store.count(bytes_sent=400, bytes_received=60, batches=1)
    status = read_status(folder, now_utc_s=1030)
    assert (status.backlog_taps, status.backlog_fen, status.receipt_age_s) == (2, 1300, 30)
    lines = status_lines(status)
    assert "backlog        2 taps, 13.00 yuan, the oldest 0 s old" in lines
    assert "last answer    30 s ago" in lines
    assert "suspended      tap 1: TAC_WRONG" in lines
    read = json.loads(json.dumps(status.as_json()))
    assert read["suspended"] == [{"seq": 1, "reason": "TAC_WRONG"}]
    assert read["enrolment"]["terminal"] == "112233445566"
    assert (read["bytes_sent"], read["batches"], read["next_seq"]) == (400, 1, 2)


def test_shift_reports_that_are_not_up_are_counted(store: UplinkStore, till: Till, folder: Path) -> None:
    assert not any(line.startswith("shifts") for line in status_lines(read_status(folder, now_utc_s=5)))
    till.close_shift()
    till.close_shift()
    assert "shifts         2 reports not sent yet" in status_lines(read_status(folder, now_utc_s=5))
    store.mark_shifts(1)
    status = read_status(folder, now_utc_s=5)
    assert (status.backlog_shifts, status.as_json()["backlog_shifts"]) == (1, 1)


def test_verdict_is_shown_with_its_words(store: UplinkStore, folder: Path) -> None:
    store.save_verdict(Verdict("QUARANTINED", "the server has set this terminal aside", 1_767_261_600))
    status = read_status(folder, now_utc_s=1_767_261_700)
    [line] = [line for line in status_lines(status) if line.startswith("VERDICT")]
    assert line.startswith("VERDICT        QUARANTINED since 202")
    assert line.endswith(": the server has set this terminal aside")
    assert json.loads(json.dumps(status.as_json()))["verdict"] == {
        "code": "QUARANTINED",
        "words": "the server has set this terminal aside",
        "since_utc_s": 1_767_261_600,
    }


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [
        (61, "61 s behind the server's when they last met"),
        (-3600, "3600 s ahead of the server's when they last met"),
        (60, None),
        (-60, None),
    ],
)
def test_clock_is_shown_when_it_is_off_by_more_than_a_minute(
    ahead_s: int, words: str | None, store: UplinkStore, folder: Path
) -> None:
    store.save_server_clock(ahead_s=ahead_s, heard_at_utc_s=1)
    status = read_status(folder, now_utc_s=2)
    assert status.server_ahead_s == ahead_s
    lines = [line for line in status_lines(status) if line.startswith("clock")]
    assert lines == ([] if words is None else [f"clock          {words}"])


def test_long_list_of_suspended_taps_is_cut_for_people(store: UplinkStore, till: Till, folder: Path) -> None:
    till.tap(SUSPENDED_SHOWN + 2)
    cursor = Cursor(1, SUSPENDED_SHOWN + 3, till.reader.head().hash)
    taps = tuple((seq, Suspense.TAC_WRONG) for seq in range(1, SUSPENDED_SHOWN + 3))
    store.mark(BatchReceipt(cursor, taps), heard_at_utc_s=1)
    status = read_status(folder, now_utc_s=1)
    assert status_lines(status)[-1] == "suspended      and 2 more; --json shows all"
    assert len(status.suspended) == SUSPENDED_SHOWN + 2


def test_status_is_the_same_with_nothing_waiting(store: UplinkStore, till: Till, folder: Path) -> None:
    assert "backlog        none: the server has every tap" in status_lines(read_status(folder, now_utc_s=1))


def test_links_budget_and_messages_are_shown(store: UplinkStore, till: Till, folder: Path) -> None:
    till.tap()
    seen = {
        "at_utc_s": 5,
        "link": None,
        "failing": {"at-tcp": "no receipt [link-down]"},
        "technician": {"sms": "the SIM wants a PIN [sim-locked]"},
        "modem": {"signal_dbm": -97, "sim": "ready"},
    }
    store.save_links_seen(json.dumps(seen))
    store.save_strain(Strain(2, 1_000))
    store.note_sms_sent(1_100)
    status = read_status(folder, now_utc_s=1_200)
    lines = status_lines(status)
    assert "link           none now" in lines
    assert "failing        at-tcp: no receipt [link-down]" in lines
    assert "TECHNICIAN     sms: the SIM wants a PIN [sim-locked]" in lines
    assert "modem          signal dbm -97, sim ready" in lines
    assert "resets         2 rounds of radio and restart; the next in 1600 s at the earliest" in lines
    assert "messages       1 in the last hour, 1 in the last day" in lines
    read = json.loads(json.dumps(status.as_json()))
    assert (read["strain_wait_s"], read["links"]["modem"]["signal_dbm"]) == (1600, -97)
