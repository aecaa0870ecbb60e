"""A till's journal, an uplink database, certificates, and a server of a few lines on real sockets with TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from sync.clock import Clock
from sync.link import Link, TcpLink
from sync.outbox import JournalCoder
from sync.store import Enrolment, UplinkStore
from sync.tls import TlsLink, client_context
from sync.uplink import Uplink
from terminal.journal import Journal, JournalReader, TapIntent
from wire.directory import CodingState, window_start
from wire.downlink import Answer
from wire.enrolment import Ticket
from wire.errors import CampusError
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId, Stream, TerminalId
from wire.messages import (
    Challenge,
    Enrol,
    Enrolled,
    HotlistUpdate,
    Identify,
    Message,
    News,
    Receipt,
    Refused,
    Upload,
    Welcome,
)
from wire.money import Fen
from wire.receipt import BatchReceipt, Cursor, Rejection, Suspense
from wire.record import ClockQuality, Mac2, TapTime, genesis_hash
from wire.session import Role, Session
from wire.shift import ShiftReceipt, ShiftReport, add_up, shift_genesis
from wire.signature import public_bytes

TERMINAL = TerminalId(bytes.fromhex("112233445566"))
EPOCH = 1
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SMS_KEY = bytes(range(16))
OPERATOR = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
NOW_UTC_S = 1767261600
SERVER_NAME = "settlement.campus"

Connect = Callable[[], Link]
Start = Callable[[], Uplink]


class Quirk(Enum):
    """What the server does wrong with one upload."""

    LOSE_ANSWER = auto()
    LOSE_UPLOAD = auto()
    SILENCE = auto()
    GARBAGE = auto()
    SHORT_RECEIPT = auto()


@dataclass
class Authority:
    """A certificate authority and a server certificate from it, as files."""

    ca: Path
    chain: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.options |= ssl.OP_NO_TICKET  # one stateful ticket, as the real server gives
        context.num_tickets = 1
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # a terminal closes without a goodbye
        context.load_cert_chain(self.chain)
        return context


@dataclass
class Server:
    """The settlement side as a terminal meets it: a cursor, a hotlist, receipts, and mishaps on demand."""

    context: ssl.SSLContext
    public_key: bytes = public_bytes(KEY)
    hashes: list[bytes] = field(default_factory=lambda: [genesis_hash(TERMINAL, EPOCH)])
    taps: dict[int, bytes] = field(default_factory=dict)
    hotlist: Hotlist = EMPTY_HOTLIST
    news: deque[News] = field(default_factory=deque)
    suspend: dict[int, Suspense] = field(default_factory=dict)
    shifts: list[ShiftReport] = field(default_factory=list)
    takes_shifts: bool = True
    quirks: deque[Quirk] = field(default_factory=deque)
    refusals: deque[Rejection] = field(default_factory=deque)
    greeting: Rejection | None = None
    unwelcome: Rejection | None = None
    hangs_up: bool = False
    utc_s: int = NOW_UTC_S
    uploads: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    identified: list[Identify] = field(default_factory=list)
    tickets: dict[bytes, bytes] = field(default_factory=dict)
    epoch_given: int | None = None
    port: int = 0
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def spoil(self, quirk: str) -> None:
        """Do one upload wrong, in the way that `Quirk` names."""
        self.quirks.append(Quirk[quirk])

    @property
    def cursor(self) -> Cursor:
        return Cursor(EPOCH, len(self.hashes), self.hashes[-1])

    def start(self) -> None:
        """Listen; on the same port as before after a `stop`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Be gone, with all connections."""
        assert self._listener is not None
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, CampusError), self.context.wrap_socket(connection, server_side=True) as tls:
            self._open.append(tls)
            session = Session(Role.SERVER)
            challenge = Challenge(bytes(range(16)), self.utc_s)
            tls.sendall(session.send(self._refused(self.greeting) if self.greeting else challenge))
            while data := tls.recv(65536):
                for message in session.receive(data):
                    if not self._handle(tls, session, message, challenge.nonce):
                        return
            with suppress(ValueError):  # `stop` has shut it down
                tls.unwrap()  # a session that ends without a goodbye is not resumed

    def _handle(self, tls: ssl.SSLSocket, session: Session, message: Message, nonce: bytes) -> bool:
        if isinstance(message, Enrol):
            message.verify(nonce)
            owner = self.tickets.setdefault(message.ticket, message.public_key)
            taken = owner == message.public_key
            says = Ticket.read(message.ticket)
            enrolled = Enrolled(says.terminal, self.epoch_given or says.epoch, SMS_KEY, public_bytes(OPERATOR))
            tls.sendall(session.send(enrolled if taken else self._refused(Rejection.TICKET_SPENT)))
        elif isinstance(message, Identify):
            message.verify(self.public_key, nonce)
            self.identified.append(message)
            if self.hangs_up:
                return False
            if self.unwelcome is not None:
                tls.sendall(session.send(self._refused(self.unwelcome)))
                return False
            tls.sendall(session.send(Welcome(self.cursor, len(self.shifts))))
            if self.news:
                tls.sendall(session.send(self.news.popleft()))
            elif message.hotlist_mark != self.hotlist.mark:
                tls.sendall(session.send(HotlistUpdate(self.hotlist)))
        elif isinstance(message, Answer):
            self.answers.append(message)
        elif isinstance(message, ShiftReport):
            return self._take_shift(tls, session, message)
        else:
            assert isinstance(message, Upload)
            return self._take(tls, session, message)
        return True

    def _take_shift(self, tls: ssl.SSLSocket, session: Session, message: ShiftReport) -> bool:
        message.verify(self.public_key)
        quirk = self.quirks.popleft() if self.quirks else None
        if quirk is Quirk.LOSE_UPLOAD:
            return False
        complete = message.next_seq <= len(self.hashes)
        if self.takes_shifts and complete and message.number == len(self.shifts) + 1:
            self.shifts.append(message)
        if quirk is Quirk.LOSE_ANSWER:
            return False
        tls.sendall(session.send(ShiftReceipt(len(self.shifts))))
        return True

    def _take(self, tls: ssl.SSLSocket, session: Session, message: Upload) -> bool:
        batch = message.signed_batch
        self.uploads.append(message.signed_batch.raw)
        quirk = self.quirks.popleft() if self.quirks else None
        if quirk is Quirk.LOSE_UPLOAD:
            return False
        if quirk is Quirk.SILENCE:
            return True
        if quirk is Quirk.GARBAGE:
            tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return True
        message.signed_batch.verify(self.public_key)
        if self.refusals:
            tls.sendall(session.send(self._refused(self.refusals.popleft())))
            return True
        if batch.first_seq > len(self.hashes):
            tls.sendall(session.send(self._refused(Rejection.GAP)))
            return True
        before = self.cursor
        past = [self.taps[seq] for seq in range(window_start(batch.first_seq), batch.first_seq)]
        links = batch.open(CodingState.before(batch.first_seq, past))
        self.taps |= dict(enumerate(links.canonicals, batch.first_seq))
        self.hashes += links.chain_hashes[len(self.hashes) - batch.first_seq :]
        if quirk is Quirk.LOSE_ANSWER:
            return False
        suspended = sorted((seq, why) for seq, why in self.suspend.items() if batch.first_seq <= seq < batch.next_seq)
        cursor = before if quirk is Quirk.SHORT_RECEIPT else self.cursor
        tls.sendall(session.send(Receipt(BatchReceipt(cursor, tuple(suspended)))))
        return True

    def _refused(self, rejection: Rejection) -> Refused:
        return Refused(rejection, self.cursor, "as the test wants it")


class Till:
    """A journal that taps are written to."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal.open_for(path, terminal=TERMINAL, epoch=EPOCH, acknowledged=None)
        self.reader = JournalReader.open(path)
        self.coder = JournalCoder(self.reader)

    def tap(self, count: int = 1, amount_fen: int = 650) -> None:
        for _ in range(count):
            seq = self._journal.head().seq + 1
            opened = self._journal.open_tap(
                TapIntent(
                    card=CardId(IssuerId(bytes(8)), Asn((seq % 7).to_bytes(10, "big"))),
                    amount_fen=Fen(amount_fen),
                    balance_before_fen=Fen(10_000),
                    counter=seq,
                    ttsn=seq,
                    opened_at=TapTime(utc_s=NOW_UTC_S + seq, boot=1, uptime_s=seq, quality=ClockQuality.BATTERY),
                )
            )
            self._journal.seal_tap(opened, tac=b"\1\2\3\4", mac2=Mac2.VERIFIED)

    def close_shift(self) -> ShiftReport:
        """A shift over every tap that is in none yet."""
        number, head = self.reader.last_shift() + 1, self._journal.head()
        before = self.reader.reports(number - 1, 1)[0] if number > 1 else None
        first_seq = before.next_seq if before else 1
        report = ShiftReport(
            terminal=TERMINAL,
            epoch=EPOCH,
            number=number,
            hash_before=before.hash if before else shift_genesis(TERMINAL, EPOCH),
            first_seq=first_seq,
            next_seq=head.seq + 1,
            journal_hash=head.hash,
            opened_at_utc_s=NOW_UTC_S,
            closed_at_utc_s=NOW_UTC_S,
            cashier=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
            opening_cash_fen=Fen(0),
            counted_cash_fen=Fen(0),
            cash_count=0,
            cash_fen=0,
            taps=add_up(self._journal.records(first_seq, head.seq + 1 - first_seq) if head.seq >= first_seq else []),
        )
        opened = (number, report.cashier.to_bytes(), first_seq, 0, NOW_UTC_S, 1, 0, 0)
        self._journal.keep("INSERT INTO shift_opened VALUES (?, ?, ?, ?, ?, ?, ?, ?)", opened)
        closed = (number, report.next_seq, report.canonical, report.hash)
        self._journal.keep("INSERT INTO shift_closed (number, next_seq, report, hash) VALUES (?, ?, ?, ?)", closed)
        return report

    def close(self) -> None:
        self.reader.close()
        self._journal.close()


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    is_ca = name == issuer
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))  # the fixed clock's date is in it, and today's
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if is_ca:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _make_authority(folder: Path) -> Authority:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    ca = _certificate("campus test authority", ca_key, "campus test authority", ca_key)
    leaf = _certificate(SERVER_NAME, key, "campus test authority", ca_key)
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "chain.pem").write_bytes(private + leaf.public_bytes(pem))
    return Authority(folder / "ca.pem", folder / "chain.pem")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The campus's own authority."""
    return _make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody else's, for the same server name."""
    return _make_authority(tmp_path_factory.mktemp("other"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    """A server that listens on a port of its own."""
    server = Server(authority.server_context())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Clock:
    """A fixed date, and a real monotonic clock: deadlines are on real sockets."""
    return Clock(utc_s=lambda: NOW_UTC_S, monotonic_s=time.monotonic)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    """The terminal's key."""
    return KEY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The terminal's folder in a home."""
    folder = tmp_path / "home" / "terminal"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def till(folder: Path) -> Iterator[Till]:
    """A till with an empty journal."""
    till = Till(folder / "journal.db")
    yield till
    till.close()


@pytest.fixture
def enrolment() -> Enrolment:
    """What a terminal is after its enrolment."""
    return Enrolment(
        terminal=TERMINAL,
        epoch=EPOCH,
        stream=Stream.CANTEEN,
        enrolled_at_utc_s=NOW_UTC_S,
        ticket_digest=bytes(32),
    )


@pytest.fixture
def store(folder: Path, enrolment: Enrolment) -> Iterator[UplinkStore]:
    """An enrolled terminal's uplink database."""
    store = UplinkStore.open_or_make(folder / "uplink.db")
    store.enrol(enrolment)
    yield store
    store.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, for ten seconds at most."""

    def wait(condition: Callable[[], bool]) -> None:
        tick = threading.Event()
        deadline_s = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline_s, "it did not happen within 10 s"
            tick.wait(0.01)

    return wait


@pytest.fixture
def connect(server: Server, authority: Authority, clock: Clock) -> Iterator[Connect]:
    links: list[Link] = []

    def connect() -> Link:
        context = client_context(authority.ca)
        links.append(TlsLink(TcpLink("127.0.0.1", server.port), context, "settlement.campus", clock=clock))
        return links[-1]

    yield connect
    for link in links:
        link.close()


@pytest.fixture
def start(connect: Connect, store: UplinkStore, till: Till, key: Ed25519PrivateKey, clock: Clock) -> Start:
    """A session not opened yet, with a deadline short enough to wait for."""
    return lambda: Uplink(
        connect(),
        store=store,
        journal=till.reader,
        key=key,
        operator_key=public_bytes(OPERATOR),
        answer=lambda what: f"my {what.name}",
        clock=clock,
        answer_s=0.4,
    )
