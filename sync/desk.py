"""A top-up point's line to the issuer's desk: one identified session, questions about loads and their answers.

A line that breaks is made anew and the same question asked again: the desk answers a repetition as it did the first
time. Left out: cards and what is kept (`sync.topup`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.clock import Clock
from sync.link import Link, LinkDown
from sync.store import Enrolment
from sync.uplink import ANSWER_S, Exchange, rejected
from wire.hotlist import EMPTY_HOTLIST
from wire.load import (
    LoadGrant,
    LoadOutcome,
    LoadRefused,
    LoadRequest,
    LoadResult,
    RefundQuestion,
    RefundsOwed,
)
from wire.messages import Identify, News, Refused, Welcome

LoadQuestion = LoadRequest | LoadResult | RefundQuestion
LoadAnswer = LoadGrant | LoadOutcome | LoadRefused | RefundsOwed

_TRIES: Final = 2  # the first may find a line that died since the last sale


class DeskLine:
    """Questions to the desk over a link that `connect` makes when it is needed."""

    def __init__(
        self,
        connect: Callable[[], Link],
        *,
        enrolment: Enrolment,
        key: Ed25519PrivateKey,
        clock: Clock,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._connect = connect
        self._enrolment = enrolment
        self._key = key
        self._clock = clock
        self._answer_s = answer_s
        self._link: Link | None = None
        self._exchange: Exchange | None = None

    def ask(self, question: LoadQuestion) -> LoadAnswer:
        """The desk's answer; raises `LinkDown`, or what a desk that is none deserves."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._ask(question)
            except LinkDown:
                self.close()
                if not tries_left:
                    raise
            except BaseException:
                self.close()  # whatever came, it may not be the answer to the next question
                raise
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Let the link go; the next question makes another."""
        link, self._link, self._exchange = self._link, None, None
        if link is not None:
            link.close()

    def _ask(self, question: LoadQuestion) -> LoadAnswer:
        exchange = self._exchange or self._open()
        exchange.send(question)
        message = exchange.answer()
        while isinstance(message, News):  # for tills; the desk itself refuses cards that are on it
            message = exchange.answer()
        assert isinstance(message, LoadAnswer), "the session's table allows nothing else"
        return message

    def _open(self) -> Exchange:
        self._link = self._connect()
        exchange = Exchange(self._link, self._clock, answer_s=self._answer_s)
        challenge = exchange.challenge()
        identify = Identify(
            terminal=self._enrolment.terminal,
            epoch=self._enrolment.epoch,
            head_seq=0,
            total_fen=0,
            hotlist_mark=EMPTY_HOTLIST.mark,
        )
        exchange.send(identify.signed(self._key, challenge.nonce))
        message = exchange.answer()
        if isinstance(message, Refused):
            raise rejected(message)
        assert isinstance(message, Welcome), "the session's table allows nothing else"
        self._exchange = exchange
        return exchange
