"""Who is let in is decided without the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from settlement.streams.door import Door
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Stream
from wire.messages import Identify
from wire.receipt import Rejection

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

NONCE = bytes(16)


@pytest.fixture
def door(till: FakeTill) -> Door:
    door = Door(stream=Stream.CANTEEN, ticket_key=bytes(32))
    door.add(till.terminal, 2, till.public_key)
    door.add(till.terminal, 1, till.public_key)
    return door


def said(till: FakeTill, epoch: int = 1) -> Identify:
    identify = Identify(terminal=till.terminal, epoch=epoch, head_seq=0, total_fen=0, hotlist_mark=EMPTY_HOTLIST.mark)
    return identify.signed(till.key, NONCE)


def test_terminal_that_holds_its_key_is_let_in_with_any_epoch_it_enrolled(door: Door, till: FakeTill) -> None:
    assert [door.check_identity(said(till, epoch), NONCE) for epoch in (1, 2)] == [None, None]


def test_identity_for_another_nonce_is_refused(door: Door, till: FakeTill) -> None:
    answer = door.check_identity(said(till), b"another nonce 16")
    assert answer is not None
    assert answer.rejection is Rejection.SIGNATURE_INVALID


def test_epoch_and_terminal_that_never_enrolled_are_told_apart(
    door: Door, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    wrong, unknown = door.check_identity(said(till, 3), NONCE), door.check_identity(said(make_till(9)), NONCE)
    assert wrong is not None
    assert (wrong.rejection, wrong.detail) == (Rejection.WRONG_EPOCH, "epoch 3 is not enrolled, the last one is 2")
    assert unknown is not None
    assert unknown.rejection is Rejection.UNKNOWN_TERMINAL
