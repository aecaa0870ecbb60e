"""The time of a tap: the till's own part against two bare commits, and the whole of it with chips that take their time.

A whole `Sale.charge` on a real journal and a real hotlist; card and PSAM are simulated in this process, in RAM, and
for the till's own part their time is taken off. Left out: PC/SC, and the screen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from benchmarks.canteen import ISSUER
from benchmarks.measure import BareTill, middle_and_p95, scratch_folder, table, timed
from drivers.channel import CardChannel
from drivers.purse import CAMPUS_CARD, read_psam
from sim.card.chip import PoweredCard
from sim.card.issue import issue_card
from sim.card.memory import Memory, RamFile
from sim.card.pace import BAUD_AT_RESET, BAUD_BY_PPS, Pace, PacedChip, card_pace, psam_pace
from sim.card.purse import Purse
from sim.pcsc.local import local_channel
from sim.psam.psam import Psam, issue_psam
from sync.store import UplinkStore
from terminal.basket import amount_offer
from terminal.downlink import Downlink
from terminal.journal import Journal
from terminal.result import Approved
from terminal.rules import Limits, Terms
from terminal.sale import Sale
from terminal.standing import StandingSource
from terminal.usage import Usage
from wire.configuration import (
    CardClass,
    Carry,
    ClassLimits,
    Configuration,
    Cycle,
    MealPeriod,
    Name,
    SubsidyRule,
)
from wire.hotlist import Hotlist
from wire.ids import Asn, CardId, Stream, TerminalId
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import ClockQuality, TapTime

TAPS: Final = 500
_WARM_UP: Final = 20
_WHOLE_TAPS_MAX: Final = 40  # they take their real time
_BAUDS: Final = (BAUD_AT_RESET, BAUD_BY_PPS)
_OWN_S_MAX: Final = 0.005  # the goal, beside one commit
_TERMINAL: Final = TerminalId(bytes.fromhex("000000000101"))
_CARDS: Final = 20
_AMOUNT_FEN: Final = Fen(12_50)
_BALANCE_FEN: Final = Fen(10_000_000_00)
_LOST_CARDS: Final = 300  # a campus of 30,000 has some hundreds at a time
_OPENED_UTC_S: Final = 1_772_424_000


# Every rule is asked, and the school pays a part.
_NO_LIMIT: Final = ClassLimits(
    tap_fen_max=Fen(100_00), meal_count_max=60_000, meal_fen_max=_BALANCE_FEN, day_fen_max=_BALANCE_FEN
)
_CONFIGURATION: Final = Configuration(
    version=1,
    stream=Stream.CANTEEN,
    outlet=1,
    merchant_name=Name("canteen"),
    outlet_name=Name("1"),
    others=_NO_LIMIT,
    offline_s_max=7 * 86_400,
    offline_fen_max=_BALANCE_FEN,
    classes=(CardClass(0, Name("all"), _NO_LIMIT),),
    periods=(MealPeriod(number=1, name=Name("all day"), from_min=0, to_min=24 * 60),),
    subsidies=(
        SubsidyRule(
            number=1,
            card_class=0,
            cycle=Cycle.MONTH,
            amount_fen=Fen(100_00),
            carry=Carry.ACCUMULATE,
            periods=(1,),
            first_day=date(2026, 1, 1),
            last_day=date(2026, 12, 31),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class TapTimes:
    """Seconds: a pair for each tap, taken one after the other; and whole taps with paced chips, by the PSAM's baud."""

    own_s: list[float]
    two_commits_s: list[float]
    whole_s: dict[int, list[float]]


class Stopwatch:
    """A chip that adds up how long it takes."""

    def __init__(self, chip: PoweredCard) -> None:
        self._chip = chip
        self.seconds = 0.0

    @property
    def atr(self) -> bytes:
        """The chip's own."""
        return self._chip.atr

    def reset(self) -> None:
        """Power off, power on."""
        self._chip.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU, timed."""
        began_s = time.perf_counter()
        answer = self._chip.transmit_raw(apdu)
        self.seconds += time.perf_counter() - began_s
        return answer


def measure(*, seed: int, folder: Path, taps: int = TAPS) -> TapTimes:
    """One tap, one floor, one tap, ..."""
    rng = Random(seed)
    own_s, two_commits_s = [], []
    with (
        scratch_folder(folder) as scratch,
        _till(Path(scratch), rng) as (sale, psam, cards),
        closing(BareTill(Path(scratch) / "bare.db")) as bare,
    ):
        for number in range(_WARM_UP + taps):
            card = rng.choice(cards)
            own, floor = _charge(sale, card, psam), timed(bare.commit) + timed(bare.commit)
            if number >= _WARM_UP:
                own_s.append(own)
                two_commits_s.append(floor)
    whole_s = {baud: _whole_taps(folder, rng, baud, min(taps, _WHOLE_TAPS_MAX)) for baud in _BAUDS}
    return TapTimes(own_s, two_commits_s, whole_s)


def _whole_taps(folder: Path, rng: Random, baud: int, taps: int) -> list[float]:
    with scratch_folder(folder) as scratch, _till(Path(scratch), rng, baud=baud) as (sale, _, cards):
        channels = [local_channel(rng.choice(cards)) for _ in range(taps)]
        return [timed(partial(_approve, sale, channel)) for channel in channels]


def report(times: TapTimes) -> str:
    """As a table, with the ratios."""
    own, floor = middle_and_p95(times.own_s), middle_and_p95(times.two_commits_s)
    rows = [("milliseconds", "median", "95 %")]
    for name, (middle, p95) in (
        ("the till's own part of a tap", own),
        ("two bare commits", floor),
        ("beyond the commits", (own[0] - floor[0], own[1] - floor[1])),
    ):
        rows.append((name, f"{middle * 1000:.2f}", f"{p95 * 1000:.2f}"))
    allowed = (floor[0] / 2 + _OWN_S_MAX, floor[1] / 2 + _OWN_S_MAX)
    rows.append(("goal: 5 ms and one commit", f"{allowed[0] * 1000:.2f}", f"{allowed[1] * 1000:.2f}"))
    rows.append(("ratio", f"{own[0] / floor[0]:.2f}", f"{own[1] / floor[1]:.2f}"))
    for baud, whole_s in times.whole_s.items():
        middle, p95 = middle_and_p95(whole_s)
        rows.append((f"whole tap, PSAM at {baud:,} baud", f"{middle * 1000:.0f}", f"{p95 * 1000:.0f}"))
    pairs = median(mine / bare for mine, bare in zip(times.own_s, times.two_commits_s, strict=True))
    return (
        f"tap: {len(times.own_s)} taps, each beside its floor\n{table(rows)}\nmedian of the pairs' ratios {pairs:.2f}"
    )


def _charge(sale: Sale, card: Stopwatch, psam: Stopwatch) -> float:
    """The till's own seconds of one approved sale."""
    channel = local_channel(card)
    devices_s = card.seconds + psam.seconds
    whole_s = timed(partial(_approve, sale, channel))
    return whole_s - (card.seconds + psam.seconds - devices_s)


def _approve(sale: Sale, card: CardChannel) -> None:
    result = sale.charge(card, amount_offer(_AMOUNT_FEN))
    assert isinstance(result, Approved), f"the sale ended in {result}"


@contextmanager
def _till(folder: Path, rng: Random, *, baud: int | None = None) -> Iterator[tuple[Sale, Stopwatch, list[Stopwatch]]]:
    """A till with its PSAM, and cards to hold to it; with `baud`, chips that take a real chip's time."""
    masters = PurseKeys(*(rng.randbytes(16) for _ in range(3)))
    issue_psam(folder / "psam", terminal=_TERMINAL, purchase_master=masters.purchase, serial=bytes(10))
    psam = Stopwatch(_paced(Psam(_in_ram(folder / "psam")), None if baud is None else psam_pace(baud)))
    psam_channel = local_channel(psam)
    with closing(UplinkStore.open_or_make(folder / "uplink.db")) as uplink:
        lost = frozenset(_card_id(1_000_000 + number) for number in range(_LOST_CARDS))
        uplink.save_hotlist(Hotlist(1, lost), received_at_utc_s=_OPENED_UTC_S)
        usage = Usage()
        with (
            closing(Downlink(folder / "uplink.db")) as downlink,
            closing(
                Journal.open_for(
                    folder / "journal.db", terminal=_TERMINAL, epoch=1, acknowledged=None, witness=usage.add
                )
            ) as journal,
        ):
            now = _Clock().now
            standing = StandingSource(journal, downlink, now)
            standing.look()

            def terms() -> Terms:
                """As the running till makes them."""
                return Terms(
                    hotlist=downlink.hotlist(),
                    limits=Limits(tap_fen_max=Fen(100_00)),
                    configuration=_CONFIGURATION,
                    offline=standing.offline(),
                )

            sale = Sale(
                journal=journal,
                psam_channel=psam_channel,
                psam=read_psam(psam_channel),
                profile=CAMPUS_CARD,
                terms=terms,
                usage=usage,
                now=now,
            )
            yield (
                sale,
                psam,
                [
                    _card(folder, number, masters, rng, pace=None if baud is None else card_pace)
                    for number in range(1, _CARDS + 1)
                ],
            )


def _paced(chip: PoweredCard, pace: Pace | None) -> PoweredCard:
    if pace is None:
        return chip
    return PacedChip(chip, pace, time.sleep)  # a real chip takes real time, and that is what is measured


def _card(folder: Path, number: int, masters: PurseKeys, rng: Random, *, pace: Pace | None) -> Stopwatch:
    card, path = _card_id(number), folder / f"{number}.card"
    issue_card(
        path,
        keys=masters.of_card(card, two_level=False),
        card=card,
        valid_from_bcd=bytes.fromhex("20240901"),
        valid_to_bcd=bytes.fromhex("20990831"),
        opening_balance_fen=_BALANCE_FEN,
    )
    return Stopwatch(_paced(Purse(_in_ram(path), rng), pace))


def _card_id(number: int) -> CardId:
    return CardId(ISSUER, Asn(bytes.fromhex(f"{number:020d}")))


def _in_ram(path: Path) -> Memory:
    """A chip whose own syncs cost nothing."""
    return Memory(RamFile(path.read_bytes()))


class _Clock:
    """A tap every fifteen seconds, so that none is a double one."""

    def __init__(self) -> None:
        self._uptime_s = 0

    def now(self) -> TapTime:
        """Later than before."""
        self._uptime_s += 15
        utc_s = _OPENED_UTC_S + self._uptime_s
        return TapTime(utc_s=utc_s, boot=1, uptime_s=self._uptime_s, quality=ClockQuality.NETWORK)
