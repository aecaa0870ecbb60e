"""Loads as a Hypothesis machine: cards, two points, desk and ledger together against a plain model of who has what."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drivers.purse import CAMPUS_CARD, CardProfile
from settlement.ledger.pull import LoadSource, OpeningSource, pull_round
from settlement.store.database import open_writer
from settlement.store.router import LEDGER
from sim.card.memory import Memory
from sim.card.profile import CAMPUS, PROVE_BEFORE
from sync.topup import Loaded, LoadFailed, LoadOpen
from tests.system.loads import LIMITS, NO_FAULT, OPENING, PIN, Fault, World, make_template

_TEMPLATE: Final = make_template(Path(tempfile.mkdtemp(prefix="campus-loads-")))
_PROFILES: Final = [
    (CAMPUS, CAMPUS_CARD),
    (PROVE_BEFORE, CardProfile(aid=CAMPUS_CARD.aid, prove_offset=0, key_levels=2)),
    (PROVE_BEFORE, CAMPUS_CARD),  # the point's profile is wrong about how the card counts
]
_FAULTS: Final = st.one_of(
    st.just(NO_FAULT),
    st.builds(Fault, apdu=st.integers(0, 9), carried_out=st.booleans()),
    st.builds(Fault, apdu=st.integers(3, 6), flipped_bit=st.integers(0, 200)),
    st.builds(Fault, write_steps=st.integers(0, 500)),
)
_CARDS: Final = st.integers(0, 1)
_POINTS: Final = st.integers(0, 1)


class Loads(RuleBasedStateMachine):
    """What a card was told to be holding is kept in plain numbers; the invariant compares them with the chips."""

    @initialize(profiles=st.sampled_from(_PROFILES))
    def open(self, profiles: tuple[object, object]) -> None:
        sim_profile, profile = profiles
        self.folder = Path(tempfile.mkdtemp(prefix="campus-loads-"))
        self.world = World(self.folder, _TEMPLATE, sim_profile=sim_profile, profile=profile)  # type: ignore[arg-type] # pairs
        self.promised_fen = [int(OPENING), int(OPENING)]  # what each holder was told is on the card, at least

    @rule(
        point=_POINTS,
        amount_fen=st.integers(1, LIMITS.load_fen_max // 20),
        coming=st.lists(st.tuples(_CARDS, _FAULTS), min_size=1, max_size=4),
        pins=st.lists(st.sampled_from(["000000", PIN, PIN, PIN]), max_size=2),
        losses=st.lists(st.sampled_from(["", "", "question", "answer"]), max_size=6),
    )
    def sell(
        self, point: int, amount_fen: int, coming: list[tuple[int, Fault]], pins: list[str], losses: list[str]
    ) -> None:
        at = self.world.points[point]
        at.clerk.pins, at.wire.losses = list(pins), list(losses)
        cards = self.world.cards
        before = [card.purse().balance_fen for card in cards]
        try:
            loaded = at.sell(amount_fen, *((cards[index], fault) for index, fault in coming))
        except (LoadFailed, LoadOpen):
            return
        finally:
            at.wire.losses = []
        assert isinstance(loaded, Loaded)
        index = next(index for index, card in enumerate(cards) if card.card == loaded.card)
        assert loaded.amount_fen == amount_fen
        assert cards[index].purse().balance_fen == before[index] + amount_fen == loaded.new_balance_fen
        self.promised_fen[index] += amount_fen

    @rule(card=_CARDS, amount_fen=st.integers(1, 500))
    def spend(self, card: int, amount_fen: int) -> None:
        if self.world.cards[card].purse().balance_fen >= amount_fen:
            self.world.cards[card].spend(amount_fen)
            self.promised_fen[card] -= amount_fen

    @rule(point=_POINTS)
    def restart_point(self, point: int) -> None:
        self.world.points[point].restart()
        self.world.points[point].program().settle_kept()

    @rule()
    def restart_desk(self) -> None:
        self.world.restart_desk()

    @precondition(lambda self: any(point.wire.asked for point in self.world.points))
    @rule(point=_POINTS, which=st.integers(0, 1000))
    def repeat_an_old_message(self, point: int, which: int) -> None:
        """Held up on its way, or sent again by somebody who kept it: the desk's journal does not change by a load."""
        asked = self.world.points[point].wire.asked
        if asked:
            wire = self.world.points[point].wire
            self.world.desk.load(asked[which % len(asked)], wire.identity)

    @invariant()
    def no_money_is_lost_or_made(self) -> None:
        self.world.assert_no_money_lost_or_made()
        for card, promised_fen in zip(self.world.cards, self.promised_fen, strict=True):
            assert card.purse().balance_fen >= promised_fen

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            for card in self.world.cards:
                for point in self.world.points:  # calm: each card comes once more, and everything is heard
                    point.clerk.pins = []
                    with suppress(LoadFailed, LoadOpen):
                        point.sell(1, (card, NO_FAULT), (card, NO_FAULT))
            for point in self.world.points:
                point.program().settle_kept()
            self._every_load_has_its_end()
        finally:
            self.world.close()
            shutil.rmtree(self.folder)

    def _every_load_has_its_end(self) -> None:
        self.world.assert_no_money_lost_or_made()
        locked = [card for card in self.world.cards if Memory(card.file).number("pin_tries_left") == 0]
        for card in self.world.cards:
            assert self.world.open_load(card) is None or card in locked
        for point in self.world.points:
            assert point.store.open_loads() == [] or locked
        self._ledger_holds_what_the_cards_hold()

    def _ledger_holds_what_the_cards_hold(self) -> None:
        openings = OpeningSource(self.folder / "onecard.db")
        loads = LoadSource(self.folder / "topup.db")
        with open_writer(self.folder / "ledger.db", LEDGER) as ledger:
            while pull_round(ledger, openings, [loads]).rows:
                pass
            for card in self.world.cards:
                float_fen = -ledger.number(
                    "SELECT coalesce(sum(amount_fen), 0) FROM posting WHERE account_id = 2001 AND purse = %s",
                    (card.card.to_bytes(),),
                )
                assert float_fen == OPENING + self.world.confirmed_fen(card)
        openings.close()
        loads.close()


TestLoads = Loads.TestCase
TestLoads.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
