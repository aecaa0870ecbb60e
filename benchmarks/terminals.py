"""Terminals that upload prepared batches over TLS when each is due, whatever became of the one before: open arrivals.

A terminal has one batch under way. What is refused it keeps, hangs up, and comes again later, as `campus-syncd` does.
Left out: resumed TLS sessions; every connection costs the server a whole handshake.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

from benchmarks.canteen import EPOCH, Canteen
from settlement.authority import SERVER_NAME
from sync.policy import RETRY_S_MAX
from wire.batch import SignedBatch
from wire.errors import CampusError
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Stream
from wire.messages import Challenge, Identify, Message, News, Receipt, Upload, Welcome
from wire.session import Role, Session

_ANSWER_S: Final = 20.0  # as campus-syncd waits
_PAUSE_S: Final = 1.0  # before it comes again, doubled each time up to the most
_PAUSE_S_MAX: Final = 8.0
_READ_MAX: Final = 65_536


@dataclass(slots=True)
class Tally:
    """What one stream's terminals met with in one phase: seconds from when a batch was due to its receipt."""

    offered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0


class _RefusedHere(CampusError):
    code = "refused"


class SimulatedTerminal:
    """One terminal with its prepared batches; `run` is its life."""

    def __init__(
        self,
        stream: Stream,
        canteen: Canteen,
        *,
        batch_taps: int,
        port: int,
        tls: ssl.SSLContext,
        as_daemon: bool = False,
    ) -> None:
        """`as_daemon`: pauses grow as `campus-syncd`'s do."""
        self.stream = stream
        self._pause_s_max = RETRY_S_MAX if as_daemon else _PAUSE_S_MAX
        self.canteen = canteen
        self.batches: list[SignedBatch] = []
        self.done = 0  # batches that the server has, as far as it said
        self._offers: list[tuple[float, Tally]] = []
        self._answered = 0
        self._batch_taps = batch_taps
        self._port = port
        self._tls = tls
        self._rng = Random(port + int.from_bytes(canteen.terminal))
        self._more = asyncio.Event()
        self._session: Session | None = None
        self._inbox: list[Message] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def waiting(self) -> int:
        """Batches that are due and not taken in."""
        return len(self._offers) - self.done

    @property
    def offered_taps(self) -> int:
        """All that were due so far."""
        return len(self._offers) * self._batch_taps

    def offer(self, due_s: float, tally: Tally) -> None:
        """The next batch is due, by `time.monotonic`."""
        assert len(self._offers) < len(self.batches), "enough batches were prepared"
        tally.offered += 1
        self._offers.append((due_s, tally))
        self._more.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        pause_s = _PAUSE_S
        try:
            while True:
                while self.waiting <= 0:
                    self._more.clear()
                    await self._more.wait()
                tally = self._offers[self.done][1]
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        await self._carry()
                    pause_s = _PAUSE_S
                    continue
                except _RefusedHere:
                    tally.refused += 1
                except (OSError, EOFError, CampusError):
                    tally.broken += 1
                self.hang_up()
                await asyncio.sleep(pause_s * self._rng.uniform(1.0, 1.5))  # what a refused terminal does, it waits
                pause_s = min(2 * pause_s, self._pause_s_max)
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Drop the connection without a word."""
        if self._writer is not None:
            with suppress(OSError, RuntimeError):
                self._writer.transport.abort()
        self._writer = self._reader = self._session = None
        self._inbox.clear()

    async def _carry(self) -> None:
        if self._writer is None:
            await self._connect()
            if self.waiting <= 0:
                return
        self._send(Upload(self.batches[self.done]))
        answer = await self._answer()
        if not isinstance(answer, Receipt):
            raise _RefusedHere(str(answer))
        self._take(answer.receipt.cursor.next_seq)

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._tls, server_hostname=SERVER_NAME
        )
        self._session = Session(Role.CLIENT)
        challenge = await self._answer()
        if not isinstance(challenge, Challenge):
            raise _RefusedHere(str(challenge))
        identify = Identify(
            terminal=self.canteen.terminal,
            epoch=EPOCH,
            head_seq=len(self._offers) * self._batch_taps,
            total_fen=0,
            hotlist_mark=EMPTY_HOTLIST.mark,
        )
        self._send(identify.signed(self.canteen.signing_key, challenge.nonce))
        welcome = await self._answer()
        if not isinstance(welcome, Welcome):
            raise _RefusedHere(str(welcome))
        self._take(welcome.cursor.next_seq)

    def _take(self, next_seq: int) -> None:
        """The server has everything before `next_seq`; after a restore that may be less than it had."""
        self.done = (next_seq - 1) // self._batch_taps
        now_s = time.monotonic()
        while self._answered < self.done:
            due_s, tally = self._offers[self._answered]
            tally.latencies_s.append(now_s - due_s)
            self._answered += 1

    def _send(self, message: Message) -> None:
        assert self._session is not None, "it is connected"
        assert self._writer is not None, "it is connected"
        self._writer.write(self._session.send(message))

    async def _answer(self) -> Message:
        assert self._session is not None, "it is connected"
        assert self._reader is not None, "it is connected"
        while True:
            while not self._inbox:
                data = await self._reader.read(_READ_MAX)
                if not data:
                    raise EOFError("the server hung up")
                self._inbox += self._session.receive(data)
            message = self._inbox.pop(0)
            if not isinstance(message, News):
                return message


def client_tls(ca: str) -> ssl.SSLContext:
    """A context that trusts the installation's own authority alone."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
