"""The SMS centre on a virtual clock."""

from __future__ import annotations

from random import Random

import pytest

from sim.carrier.cell import VirtualClock
from sim.carrier.smsc import (
    STATUS_DELIVERED,
    STATUS_EXPIRED,
    STATUS_NOT_OBTAINABLE,
    Delivery,
    Phone,
    Refusal,
    SmsCentre,
)
from sim.carrier.tpdu import Submit, text_content
from sim.timers import Timers

HERE, THERE = "+8613900000001", "+8613900000002"


class Town:
    """A centre with two numbers: one that sends, one that can be away or full."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.timers = Timers(self.clock)
        self.centre = SmsCentre(self.timers, Random(seed), utc_s=lambda: 1_767_225_600.0 + self.clock())
        self.sender = Phone(self.centre, HERE)
        self.answer = Delivery.TAKEN
        self.taken: list[bytes] = []
        self.reports: list[bytes] = []
        self.centre.join(THERE, self)
        self.centre.join(HERE, _Reports(self.reports))

    def deliver(self, tpdu: bytes) -> Delivery:
        if self.answer is Delivery.TAKEN:
            self.taken.append(tpdu)
        return self.answer

    def send(self, text: str, **options: object) -> Refusal | None:
        submit = Submit(reference=7, destination=THERE, content=text_content(text), **options)  # type: ignore[arg-type]  # each test knows what it gives
        return self.centre.submit(HERE, submit)

    def pass_time(self, seconds: float) -> None:
        until_s = self.clock() + seconds
        while (due_s := self.timers.due_s()) is not None and due_s <= until_s:
            self.clock.advance(max(0.0, due_s - self.clock()))
            self.timers.run_due()
        self.clock.advance(max(0.0, until_s - self.clock()))

    @property
    def texts(self) -> list[str]:
        phone = Phone(SmsCentre(self.timers, Random(0), utc_s=lambda: 0.0), "x")
        for tpdu in self.taken:
            phone.deliver(tpdu)
        return [message.content.text or "" for message in phone.inbox]


class _Reports:
    def __init__(self, reports: list[bytes]) -> None:
        self._reports = reports

    def deliver(self, tpdu: bytes) -> Delivery:
        self._reports.append(tpdu)
        return Delivery.TAKEN


@pytest.fixture
def town() -> Town:
    return Town()


def test_messages_arrive_in_order(town: Town) -> None:
    for number in range(20):
        assert town.send(str(number)) is None
    town.pass_time(5)
    assert town.texts == [str(number) for number in range(20)]
    counts = town.centre.counts
    assert (counts.submitted, counts.delivered, counts.lost) == (20, 20, 0)
    assert counts.octets_down == sum(map(len, town.taken))
    assert counts.octets_up > 0


def test_lost_and_doubled_messages_are_counted(town: Town) -> None:
    town.centre.conditions.loss = 0.3
    town.centre.conditions.duplication = 0.3
    for number in range(200):
        town.send(str(number))
    town.pass_time(60)
    counts = town.centre.counts
    assert counts.lost > 20
    assert counts.duplicated > 20
    assert counts.delivered == len(town.taken) == 200 - counts.lost + counts.duplicated


def test_reordered_messages_all_arrive(town: Town) -> None:
    town.centre.conditions.reordering = 0.5
    for number in range(50):
        town.send(str(number))
    town.pass_time(60)
    assert town.texts != [str(number) for number in range(50)]
    assert sorted(town.texts, key=int) == [str(number) for number in range(50)]


def test_a_full_phone_gets_its_messages_once_it_has_room(town: Town) -> None:
    town.answer = Delivery.FULL
    town.send("one")
    town.send("two")
    town.pass_time(30)
    assert (town.taken, town.centre.waiting(THERE)) == ([], 2)
    town.answer = Delivery.TAKEN
    town.centre.back(THERE)
    town.pass_time(0.1)
    assert town.texts == ["one", "two"]


def test_a_phone_that_is_away_is_tried_again_by_itself(town: Town) -> None:
    town.answer = Delivery.AWAY
    town.send("one")
    town.pass_time(90)
    town.answer = Delivery.TAKEN
    town.pass_time(60)
    assert town.texts == ["one"]
    assert town.centre.waiting(THERE) == 0


def test_a_message_dies_at_the_end_of_its_validity(town: Town) -> None:
    town.answer = Delivery.AWAY
    town.send("one", validity_s=300.0, wants_report=True)
    town.pass_time(299)
    assert town.centre.waiting(THERE) == 1
    town.pass_time(5)
    town.answer = Delivery.TAKEN
    town.centre.back(THERE)
    town.pass_time(600)
    assert (town.taken, town.centre.counts.expired) == ([], 1)
    assert [report[-1] for report in town.reports] == [STATUS_EXPIRED]


def test_a_report_comes_back_if_it_was_asked_for(town: Town) -> None:
    town.send("without")
    town.send("with", wants_report=True)
    town.pass_time(5)
    assert [(report[1], report[-1]) for report in town.reports] == [(7, STATUS_DELIVERED)]
    assert town.centre.counts.reports == 1


def test_a_doubled_message_is_reported_once(town: Town) -> None:
    town.centre.conditions.duplication = 1.0
    town.send("one", wants_report=True)
    town.pass_time(5)
    assert (len(town.taken), len(town.reports)) == (2, 1)


def test_a_number_that_nobody_has_is_reported(town: Town) -> None:
    town.centre.submit(HERE, Submit(reference=3, destination="+999", content=text_content("x"), wants_report=True))
    town.pass_time(5)
    assert [report[-1] for report in town.reports] == [STATUS_NOT_OBTAINABLE]


def test_the_network_refuses_what_comes_too_fast(town: Town) -> None:
    town.centre.conditions.rate_per_minute = 3
    assert [town.send("x") for _ in range(4)] == [None, None, None, Refusal.TOO_FAST]
    town.pass_time(61)
    assert town.send("x") is None
    assert town.centre.counts.refused == 1


def test_the_network_refuses_a_sim_without_credit(town: Town) -> None:
    town.centre.set_credit(HERE, 1)
    assert [town.send("x"), town.send("x")] == [None, Refusal.NO_CREDIT]
    town.centre.set_credit(HERE, None)
    assert town.send("x") is None


def test_the_network_can_be_out_of_order(town: Town) -> None:
    town.centre.conditions.out_of_order = True
    assert town.send("x") is Refusal.OUT_OF_ORDER


def test_phones_write_to_each_other(town: Town) -> None:
    one, other = Phone(town.centre, "+861"), Phone(town.centre, "+862")
    one.send("+862", "hello")
    one.send("0086" + "2", b"\x00\xff")
    town.pass_time(5)
    assert [(m.sender, m.content.text, m.content.body) for m in other.inbox] == [
        ("+861", "hello", b"hello"),
        ("+861", None, b"\x00\xff"),
    ]


def test_the_same_seed_is_the_same_day() -> None:
    days = []
    for _ in range(2):
        town = Town(seed=5)
        town.centre.conditions.loss = town.centre.conditions.reordering = 0.4
        for number in range(30):
            town.send(str(number))
        town.pass_time(100)
        days.append(town.taken)
    assert days[0] == days[1]
