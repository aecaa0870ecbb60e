"""One stream's port: TLS 1.3 connections, each a `wire.session` in the server's role, before one writer thread.

Whatever comes in, the gateway goes on serving: every wait has an end, every buffer a limit, and a fault is one
connection's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import sslproto
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from settlement.settings import StreamSettings
from settlement.store.database import RuleBroken, StoreFault
from settlement.streams.desk import Clock, Desk, Held, Tidings, TooBusy, WriterThread
from settlement.streams.door import Door
from settlement.streams.sms import SmsDoor
from wire.downlink import NO_MARK, Answer, Request
from wire.errors import CampusError
from wire.fields import FormatError
from wire.frame import encode_frame
from wire.ids import Stream, TerminalId
from wire.load import (
    LoadGrant,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    RefundQuestion,
    RefundsOwed,
)
from wire.messages import (
    NONCE_BYTES,
    Challenge,
    Enrol,
    Enrolled,
    Identify,
    Message,
    Receipt,
    Refused,
    Upload,
    Welcome,
)
from wire.receipt import Cursor, Rejection
from wire.session import ProtocolViolation, Role, Session, State
from wire.shift import ShiftReceipt, ShiftReport

_READ_MAX: Final = 65_536
_HANDSHAKE_TIMEOUT_S: Final = 10.0
_SEND_TIMEOUT_S: Final = 20.0  # a receipt has few bytes; a link that does not take them is dead
_TLS_CLOSE_TIMEOUT_S: Final = 1.0
_NEWS_POLL_S: Final = 1.0
_STOP_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 4096  # a whole campus; the system may allow less
_HANDSHAKES_MAX: Final = 16  # under way at one time: few enough that each is done long before its terminal gives up
_ACCEPT_PAUSE_S: Final = 0.2
_TLS_BUFFER_BYTES: Final = 32_768  # two TLS records

_Reply = TypeVar("_Reply", bound=Message)

_log: Final = logging.getLogger(__name__)

# asyncio keeps so much for each TLS connection as long as it lasts; its own 256 KiB are most of what a terminal weighs.
sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES


class Gateway:
    """Accepts connections between `start` and `stop`."""

    def __init__(
        self,
        *,
        stream: Stream,
        settings: StreamSettings,
        tls: ssl.SSLContext,
        door: Door,
        writer: WriterThread,
        clock: Clock,
        random: Callable[[int], bytes],
        sms: SmsDoor | None = None,
    ) -> None:
        self.stream = stream
        self.settings = settings
        self.door = door
        self.writer = writer
        self.clock = clock
        self.random = random
        self.stopping = False
        self.reaches_by_sms = sms is not None
        self._sms = sms
        self._tls = tls
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Listen; the port, which the system chose if the settings say 0. Raises `OSError` if it is taken."""
        self.writer.start()
        try:
            address = (self.settings.host, self.settings.port)
            family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
            self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError:
            self.writer.finish()
            raise
        self._listener.setblocking(False)
        self._watches.append(asyncio.create_task(self._let_in()))
        self._watches.append(asyncio.create_task(self._watch_news()))
        if self._sms is not None:
            self._watches.append(asyncio.create_task(self._sms.run()))
        port: int = self._listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept nothing more, answer what is under way, write what is queued."""
        assert self._listener is not None, "it was started"
        self.stopping = True
        ending = [*self._watches, *self._handshakes]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._listener.close()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in self._connections:
            connection.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
        await asyncio.to_thread(self.writer.finish)

    async def _let_in(self) -> None:
        """Take connections out of the system's line, so many handshakes at a time.

        After a power cut all terminals come at once. Those that wait in line cost nothing, and have their turn before
        they give up; those that were let in and refused would have cost a whole handshake, and come again.
        """
        assert self._listener is not None, "it was started"
        loop, room = asyncio.get_running_loop(), asyncio.Semaphore(_HANDSHAKES_MAX)
        while True:
            await room.acquire()
            try:
                caller, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # out of file descriptors, or the caller is gone already
                _log.warning("%s: cannot take a connection: %s", self.stream.label, error)
                room.release()
                await asyncio.sleep(_ACCEPT_PAUSE_S)  # it would say the same at once
                continue
            task = asyncio.create_task(self._shake_hands(caller))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)
            task.add_done_callback(lambda _: room.release())

    async def _shake_hands(self, caller: socket.socket) -> None:
        reader = asyncio.StreamReader(_READ_MAX)
        with suppress(OSError):  # whoever cannot speak TLS, or does not go on, is nobody that we know
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader, self._accept),
                caller,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=_TLS_CLOSE_TIMEOUT_S,
            )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[None, None, None]:
        """Greet at once, before the loop runs on: so the challenge travels with the end of the server's handshake."""
        connection = _Connection(self, reader, writer)
        identified = sum(other.is_identified for other in self._connections)
        strangers = len(self._connections) - identified
        # Two limits: whoever connects and says nothing takes no terminal's place.
        full = identified >= self.settings.connections_max or strangers >= self.settings.unidentified_max
        if self.stopping or full:
            _log.warning(
                "%s: %s: refused, %d terminals and %d strangers are connected",
                self.stream.label,
                connection.peer,
                identified,
                strangers,
            )
            return connection.close()
        self._connections.add(connection)
        connection.greet()
        return self._serve(connection)

    async def _serve(self, connection: _Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _watch_news(self) -> None:
        """Tell everybody who is connected what is new, within a second or so."""
        while True:
            with suppress(TooBusy):  # sales first; the next second will do
                here = [(other, other.terminal) for other in self._connections if other.terminal is not None]
                newest = await self.writer.ask(partial(Desk.newest, terminals=[terminal for _, terminal in here]))
                for held, wanted in {(connection.held, newest[terminal]) for connection, terminal in here}:
                    if held != wanted:
                        tidings = await self.writer.ask(partial(Desk.tidings, held=held, newest=wanted))
                        for connection, terminal in here:
                            if newest[terminal] == wanted:
                                connection.tell(tidings)
                asked = await self.writer.ask(Desk.open_requests)
                for connection in self._connections:
                    if connection.terminal is not None:
                        connection.put(asked.get(connection.terminal, ()))
            await asyncio.sleep(_NEWS_POLL_S)


class _Connection:
    """One terminal's conversation."""

    def __init__(self, gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.task: asyncio.Task[None] | None = None
        self._gateway = gateway
        self._reader = reader
        self._writer = writer
        self._session = Session(Role.SERVER)
        self._nonce = gateway.random(NONCE_BYTES)
        self._identity: Identify | None = None
        self._cursor: Cursor | None = None
        self._shifts = 0
        self.held = Held(NO_MARK, NO_MARK)
        self._put: set[int] = set()
        self._reading = False
        self._out = bytearray()
        self._identify_timeout = asyncio.Timeout(None)
        self._ssl: ssl.SSLObject = writer.get_extra_info("ssl_object")  # now: a lost connection has it no more
        name = writer.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else "gone"

    @property
    def is_identified(self) -> bool:
        """Whether the terminal was welcomed."""
        return self._identity is not None

    @property
    def terminal(self) -> TerminalId | None:
        """Who was welcomed."""
        return None if self._identity is None else self._identity.terminal

    def greet(self) -> None:
        """Send the challenge."""
        self._say(Challenge(self._nonce, self._gateway.clock()))
        self._write()

    async def run(self) -> None:
        """Serve until either side is done; a fault ends this connection with one line in the log."""
        self.task = asyncio.current_task()
        try:
            # One deadline for all that comes before the welcome: a byte now and then does not put it off.
            async with asyncio.timeout(self._gateway.settings.identify_timeout_s) as self._identify_timeout:
                await self._converse()
        except (CampusError, OSError, EOFError) as error:
            code = error.code if isinstance(error, CampusError) else type(error).__name__
            _log.warning("%s: %s: %s: %s", self._gateway.stream.label, self.peer, code, error)
        except asyncio.CancelledError:
            if not self._gateway.stopping:
                raise
        finally:
            await self.close()

    def stop(self) -> None:
        """End once nothing is under way."""
        if self._reading and self.task is not None:
            self.task.cancel()

    def tell(self, tidings: Tidings) -> None:
        """Send what the terminal does not have yet, if this is made for one that has what it has."""
        if self._session.state is State.OPEN and tidings.before == self.held:
            self.held = tidings.after
            self._out += b"".join(self._session.send(message) for message in tidings.messages)
            if self._reading:  # else it goes with the answer that is being made
                self._write()

    def put(self, requests: Sequence[Request]) -> None:
        """Send what the operator asks, each once in a session."""
        if self._session.state is State.OPEN:
            new = [request for request in requests if request.number not in self._put]
            self._put.update(request.number for request in new)
            self._out += b"".join(self._session.send(request) for request in new)
            if self._reading:  # else it goes with the answer that is being made
                self._write()

    async def close(self) -> None:
        """Close in order if the other side takes part, at once if not.

        OpenSSL forgets a session whose end was not announced. A terminal saves that announcement, and a broken link has
        none: so it is made here, into a buffer that nobody sends.
        """
        self._writer.close()
        with suppress(ssl.SSLError, ValueError):
            self._ssl.unwrap()
        try:
            async with asyncio.timeout(_TLS_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError, asyncio.CancelledError):
            self._writer.transport.abort()

    async def _converse(self) -> None:
        while self._session.state is not State.OVER and not self._gateway.stopping:
            data = await self._read()
            if not data:
                return
            try:
                messages = self._session.receive(data)
            except (FormatError, ProtocolViolation) as error:
                # Sent past the session, which is over: a terminal that sends this again would get no further.
                refused = Refused(Rejection.MALFORMED, self._cursor, str(error))
                self._writer.write(encode_frame(Refused.kind, refused.to_bytes()))
                raise
            for message in messages:
                await self._answer(message)
            await self._flush()  # one record for all answers to what came together

    async def _read(self) -> bytes:
        self._write()  # what was told while the last answers were on their way
        self._reading = True
        try:
            async with asyncio.timeout(self._gateway.settings.idle_timeout_s if self.is_identified else None):
                return await self._reader.read(_READ_MAX)
        except TimeoutError:
            return b""  # silent for too long: the terminal comes again when it has something
        finally:
            self._reading = False

    async def _answer(self, message: Message) -> None:
        if isinstance(message, Enrol):
            self._say(await self._enrol(message))
        elif isinstance(message, Identify):
            await self._identify(message)
        elif isinstance(message, Upload) and self._session.state is State.OPEN:
            self._say(await self._accept(message))
        elif isinstance(message, LoadRequest | LoadResult | RefundQuestion):
            self._say(await self._load(message))
        elif isinstance(message, ShiftReport):
            self._say(await self._take_shift(message))
        elif isinstance(message, Answer):
            await self._keep(message)

    async def _enrol(self, message: Enrol) -> Enrolled | Refused:
        ticket = self._gateway.door.check_enrolment(message, self._nonce)
        if isinstance(ticket, Refused):
            return ticket
        return await self._ask(lambda desk: desk.enrol(ticket, message.public_key))

    async def _identify(self, message: Identify) -> None:
        self.held = Held(message.hotlist_mark, message.configuration_mark)
        refused = self._gateway.door.check_identity(message, self._nonce)
        answer = refused or await self._ask(lambda desk: desk.identify(message))
        if isinstance(answer, Welcome):
            self._identity, self._cursor, self._shifts = message, answer.cursor, answer.shifts
            self._identify_timeout.reschedule(None)
        self._say(answer)
        if isinstance(answer, Welcome):
            await self._tell_newest()

    async def _accept(self, message: Upload) -> Receipt | Refused:
        signed, identity = message.signed_batch, self._identity
        assert identity is not None, "the session lets nobody upload who was not welcomed"
        if (signed.terminal, signed.epoch) != (identity.terminal, identity.epoch):
            return Refused(Rejection.MALFORMED, self._cursor, "the batch is of another journal than was identified")
        answer = await self._ask(lambda desk: desk.accept(signed))
        if isinstance(answer, Receipt):
            self._cursor = answer.receipt.cursor
        elif answer.cursor is not None:
            self._cursor = answer.cursor
        return answer

    async def _load(
        self, message: LoadRequest | LoadResult | RefundQuestion
    ) -> LoadGrant | LoadOutcome | LoadRefused | RefundsOwed:
        identity = self._identity
        assert identity is not None, "the session lets nobody ask who was not welcomed"
        answer = await self._ask(lambda desk: desk.load(message, identity))
        if isinstance(answer, Refused):  # in the words that a top-up point understands
            why = LoadRefusal.BUSY if answer.rejection is Rejection.BUSY else LoadRefusal.RULE_BROKEN
            return LoadRefused(why, answer.detail)
        if isinstance(answer, LoadRefused):
            _log.info("%s: %s: %s %s", self._gateway.stream.label, self.peer, answer.refusal.name, answer.detail)
        return answer

    async def _take_shift(self, report: ShiftReport) -> ShiftReceipt:
        """Where the server stands in this journal's reports: where it stood, if it could not take this one now."""
        identity = self._identity
        assert identity is not None, "the session lets nobody report who was not welcomed"
        if (report.terminal, report.epoch) != (identity.terminal, identity.epoch):
            raise ProtocolViolation("the report is of another journal than was identified")
        try:
            self._shifts = (await self._gateway.writer.ask(lambda desk: desk.take_shift(report))).number
        except (RuleBroken, TooBusy, StoreFault) as error:
            words = (self._gateway.stream.label, self.peer, report.number, error.code, error)
            _log.warning("%s: %s: shift %d not taken: %s: %s", *words)
        return ShiftReceipt(self._shifts)

    async def _keep(self, answer: Answer) -> None:
        """Keep an answer; one that could not be kept is asked for again in the next session."""
        identity = self._identity
        assert identity is not None, "the session lets nobody answer who was not welcomed"
        try:
            kept = await self._gateway.writer.ask(lambda desk: desk.keep_answer(answer, identity.terminal))
            words = "kept" if kept else "not kept, nobody waits for it"
        except (RuleBroken, TooBusy, StoreFault) as error:
            words = f"not kept: {error.code}: {error}"
        _log.info("%s: %s: answer %d: %s", self._gateway.stream.label, self.peer, answer.number, words)

    async def _ask(self, work: Callable[[Desk], _Reply]) -> _Reply | Refused:
        """The desk's answer, or BUSY: whatever keeps the server from writing, the terminal keeps its records.

        A broken rule would be broken by the same bytes for ever: that is said once, so that somebody looks for it.
        """
        try:
            return await self._gateway.writer.ask(work)
        except RuleBroken as error:
            _log.error("%s: %s: ALARM: %s: %s", self._gateway.stream.label, self.peer, error.code, error)
            return Refused(Rejection.MALFORMED, self._cursor, f"{error.code}: {error}")
        except (TooBusy, StoreFault) as error:
            _log.warning("%s: %s: %s: %s", self._gateway.stream.label, self.peer, error.code, error)
            return Refused(Rejection.BUSY, self._cursor, error.code)

    async def _tell_newest(self) -> None:
        with suppress(TooBusy, StoreFault):  # the watch tells it a little later
            assert self._identity is not None, "it was welcomed"
            ask = partial(Desk.tidings_for, terminal=self._identity.terminal, held=self.held)
            self.tell(await self._gateway.writer.ask(ask))
            if self._gateway.reaches_by_sms and (identity := self._identity) is not None:
                await self._gateway.writer.ask(lambda desk: desk.note_session(identity))

    def _say(self, message: Message) -> None:
        """Put a message behind what is to be sent."""
        self._out += self._session.send(message)
        if isinstance(message, Refused):
            _log.info("%s: %s: %s %s", self._gateway.stream.label, self.peer, message.rejection.name, message.detail)

    def _write(self) -> None:
        if self._out:
            self._writer.write(bytes(self._out))
            self._out.clear()

    async def _flush(self) -> None:
        self._write()
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await self._writer.drain()
