"""What the uplink does next: which link to try, what to repair first, when to wait, and when to give up for a while.

Pure: readings of the clock and outcomes in, one command out. A link has worked when an application's answer came over
it, and for no other reason. Left out: doing any of it (`sync.daemon`, `sync.links`), and keeping what has to survive a
restart (`sync.store`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from wire.record import Outcome, Refusal, TapRecord

BATCH_DUE_TAPS: Final = 50  # so many taps do not wait for more

RECONNECTS: Final = 5  # a lost packet, a cell change, a server that restarts
BEARERS: Final = 3  # then the bearer is what is broken, though it looks active
RETRY_S_MAX: Final = 30.0  # a healed network is noticed within this, where asking costs nothing
BEARER_PAUSE_S: Final = 30.0
PATIENT_RETRY_S: Final = 300.0  # networks heal by themselves, and look at who attaches too often
SEARCHING_RETRY_S: Final = 60.0
# After an outage some modems need up to 50 minutes to come back on their own; a reset before that starts it all again.
HEALING_S: Final = 3_600.0
PERSON_S: Final = 3_600.0  # what waits for a technician is looked at again, and no more than looked at
STRAIN_PAUSES_S: Final = (0, 600, 1_800, 3_600)  # between one round of radio and reset and the next
SMS_PATIENCE_S: Final = (
    1_800.0  # taps that are not urgent wait so long for a data link to heal before they cost a message
)
SMS_RETRY_S: Final = 60.0

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
_MINUTE_S: Final = 60


class LinkKind(Enum):
    """The ways to the server; the value is what `terminal.toml` says."""

    IP = "ip"
    AT_TCP = "at-tcp"
    SMS = "sms"


class Repair(Enum):
    """What is done to a modem before the next try; each is rougher than the one before."""

    BEARER = "bearer"
    RADIO = "radio"
    RESET = "reset"


class Trouble(Enum):
    """What kind of failure it was, as far as that changes what helps."""

    BROKEN = "broken"
    SEARCHING = "searching"
    NEEDS_PERSON = "needs-person"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Carry what waits over this link, after this repair if there is one."""

    link: LinkKind
    repair: Repair | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to be tried before `until_s`."""

    until_s: float


@dataclass(frozen=True, slots=True)
class Strain:
    """The durable part of the ladder: how many rounds of radio and reset there were, and when the last began."""

    rounds: int = 0
    last_at_utc_s: int = 0

    def allowed_at_utc_s(self, now_utc_s: int) -> int:
        """When the next round may begin."""
        pause_s = STRAIN_PAUSES_S[min(self.rounds, len(STRAIN_PAUSES_S) - 1)]
        return self.last_at_utc_s + pause_s if self.rounds else now_utc_s

    def seen(self, now_utc_s: int) -> Strain:
        """The same by a clock that may have been set back: that costs one pause, and no more."""
        return replace(self, last_at_utc_s=min(self.last_at_utc_s, now_utc_s))

    def begun(self, now_utc_s: int) -> Strain:
        """The same after one more round; what is a day ago counts no more."""
        rounds = 0 if now_utc_s - self.last_at_utc_s >= DAY_S else self.rounds
        return Strain(rounds + 1, now_utc_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsLimits:
    """How many messages may be sent in any minute, hour and day; networks take a machine for a spammer."""

    per_minute: int = 6
    per_hour: int = 100
    per_day: int = 500

    def allowed_at_utc_s(self, sent_at_utc_s: Iterable[int], now_utc_s: int) -> int:
        """When the next message may go; moments in the future are a clock's mistake and do not count."""
        sent = sorted(at for at in sent_at_utc_s if now_utc_s - DAY_S < at <= now_utc_s)
        allowed = now_utc_s
        for limit, span_s in ((self.per_minute, _MINUTE_S), (self.per_hour, HOUR_S), (self.per_day, DAY_S)):
            if len(sent) >= limit:
                allowed = max(allowed, sent[-limit] + span_s)
        return allowed


def is_urgent(record: TapRecord) -> bool:
    """Whether the server should know of this tap at once: money that is in doubt, or a card that is wanted."""
    return record.outcome is Outcome.UNKNOWN or (
        record.outcome is Outcome.REFUSED and record.reason is Refusal.HOTLISTED
    )


def is_due(*, waiting: int, urgent: bool, waited_s: float, linger_s: float) -> bool:
    """Whether what waits goes now."""
    return waiting > 0 and (urgent or waiting >= BATCH_DUE_TAPS or waited_s >= linger_s)


@dataclass(frozen=True, slots=True)
class _Health:
    """One link since its last answer."""

    failures: int = 0
    not_before_s: float = 0.0
    failing_since_s: float | None = None
    searching_since_s: float | None = None
    words: str = ""
    blocked: bool = False
    radio_was_off: bool = False

    @property
    def is_dead(self) -> bool:
        """Whether a dearer link should be thought of."""
        return self.blocked or self.failures >= RECONNECTS or self.searching_since_s is not None


class Policy:
    """The choice among `links`, cheapest first. `strain` is what was kept durably; whoever owns this keeps it again."""

    def __init__(self, links: Sequence[LinkKind], *, strain: Strain = Strain()) -> None:
        assert links, "there is a way to the server"
        self._health = {link: _Health() for link in links}
        self.strain = strain

    def next(self, *, now_s: float, now_utc_s: int, urgent: bool) -> Attempt | Pause:
        """What to do now. A dearer link is thought of once every cheaper one is dead."""
        self.strain = self.strain.seen(now_utc_s)
        wake_s = now_s + PATIENT_RETRY_S
        cheaper: list[_Health] = []
        for link, health in self._health.items():
            wanted_s = self._sms_wanted_at_s(cheaper, now_s) if link is LinkKind.SMS and not urgent else now_s
            ready_s = max(health.not_before_s, wanted_s)
            if ready_s <= now_s:
                return Attempt(link, self._repair(link, health, now_utc_s))
            wake_s = min(wake_s, ready_s)
            if not health.is_dead:
                break
            cheaper.append(health)
        return Pause(wake_s)

    def begun(self, attempt: Attempt, *, now_utc_s: int) -> bool:
        """Take note that an attempt begins; True when `strain` changed, and has to be kept before anything is done."""
        if attempt.repair in (Repair.RADIO, Repair.RESET):
            radio = attempt.repair is Repair.RADIO
            self._health[attempt.link] = replace(self._health[attempt.link], radio_was_off=radio)
        if attempt.repair is not Repair.RADIO:
            return False
        self.strain = self.strain.begun(now_utc_s)
        return True

    def worked(self, link: LinkKind, *, now_utc_s: int) -> bool:
        """The server answered over this link. True when `strain` changed: an hour after the last round all is well."""
        self._health[link] = _Health()
        if self.strain.rounds and link is LinkKind.AT_TCP and now_utc_s - self.strain.last_at_utc_s >= HEALING_S:
            self.strain = Strain()
            return True
        return False

    def failed(self, link: LinkKind, trouble: Trouble, words: str, *, now_s: float, spread: float = 0.0) -> float:
        """It did not; when it may be tried again. `spread` (0 to 1, by chance) keeps terminals from coming in step."""
        before = self._health[link]
        health = replace(
            before,
            words=words,
            failing_since_s=now_s if before.failing_since_s is None else before.failing_since_s,
            blocked=trouble is Trouble.NEEDS_PERSON,
        )
        if trouble is Trouble.NEEDS_PERSON:
            self._health[link] = replace(health, not_before_s=now_s + PERSON_S)
        elif trouble is Trouble.SEARCHING:
            since_s = now_s if before.searching_since_s is None else before.searching_since_s
            failures = RECONNECTS + BEARERS if now_s - since_s >= HEALING_S else before.failures
            self._health[link] = replace(
                health, failures=failures, searching_since_s=since_s, not_before_s=now_s + SEARCHING_RETRY_S
            )
        else:
            failures = before.failures + 1
            pause_s = _pause_s(link, failures, alone=len(self._health) == 1)
            self._health[link] = replace(
                health, failures=failures, searching_since_s=None, not_before_s=now_s + pause_s * (1 + spread / 2)
            )
        return self._health[link].not_before_s

    def has_dearer(self, link: LinkKind) -> bool:
        """Whether there is another way once this one is dead."""
        return list(self._health)[-1] is not link

    def words(self) -> dict[LinkKind, str]:
        """For each link that is not well: what it last failed with."""
        return {link: health.words for link, health in self._health.items() if health.failures or health.words}

    def needs_person(self) -> dict[LinkKind, str]:
        """The links that wait for a technician, and why."""
        return {link: health.words for link, health in self._health.items() if health.blocked}

    @staticmethod
    def _sms_wanted_at_s(cheaper: Sequence[_Health], now_s: float) -> float:
        """From when on taps that are not urgent are worth a message."""
        if not cheaper:
            return now_s
        return SMS_PATIENCE_S + max(
            now_s if health.failing_since_s is None else health.failing_since_s for health in cheaper
        )

    def _repair(self, link: LinkKind, health: _Health, now_utc_s: int) -> Repair | None:
        if link is not LinkKind.AT_TCP or health.failures < RECONNECTS:
            return None
        rung = health.failures - RECONNECTS
        if rung < BEARERS:
            return Repair.BEARER
        if health.radio_was_off:
            return Repair.RESET  # the second half of the round
        return Repair.RADIO if self.strain.allowed_at_utc_s(now_utc_s) <= now_utc_s else None


def _pause_s(link: LinkKind, failures: int, *, alone: bool) -> float:
    """How long after so many failures in a row the link is left alone."""
    if link is LinkKind.SMS:
        return SMS_RETRY_S
    if failures < RECONNECTS:
        return float(2 ** (failures - 1))
    if link is LinkKind.IP:
        return RETRY_S_MAX if alone else PATIENT_RETRY_S
    return BEARER_PAUSE_S if failures <= RECONNECTS + BEARERS + 1 else PATIENT_RETRY_S
