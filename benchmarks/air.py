"""Bytes on the air: a day's first tap, a tap on a resumed session, a hundred taps, beside JSON over HTTPS.

Counted from the packets on the loopback interface (AF_PACKET, which needs root): IP and TCP headers, acknowledgements,
opening and closing included. Segments are counted as a mobile network cuts them. Left out: radio layers below IP.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.canteen import ISSUER
from benchmarks.measure import scratch_folder, table
from settlement.authority import SERVER_NAME
from settlement.settings import Home
from sim.process import Child
from sync.clock import Clock
from sync.identity import load_or_make_key, save_sms_key
from sync.link import TcpLink
from sync.store import UplinkStore
from sync.tls import TlsLink, client_context
from sync.uplink import Uplink, enrol
from terminal.journal import Journal, JournalReader, TapIntent
from wire.enrolment import parse_ticket_text
from wire.ids import Asn, CardId, Stream, TerminalId
from wire.money import Fen
from wire.record import TAC_BYTES, ClockQuality, Mac2, TapRecord, TapTime

FIRST_TAP_MAX: Final = 3_200
RESUMED_TAP_MAX: Final = 2_100

MSS: Final = 1360  # what is left of a packet in a mobile network's tunnels
_QUIET_S: Final = 0.3  # after that long without a packet a closed connection is over
_HEADERS: Final = 52  # IPv4 20, TCP 20 with 12 of time stamps
_TERMINAL: Final = TerminalId(bytes.fromhex("000000000101"))
_ETH_IPV4: Final = 0x0800
_ETH_ALL: Final = 3  # outgoing packets are shown to nobody who asks for one protocol
_LATER_TAPS: Final = 100


class Air:
    """Counts what goes to and from one port of this machine."""

    def __init__(self) -> None:
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_ALL))
        self._packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._packets.bind(("lo", _ETH_ALL))

    def count(self, port: int, work: Callable[[], object]) -> int:
        """The bytes on the air while `work` is done, and until the connections it made are closed."""
        self._drain(port)
        work()
        return self._drain(port)

    def _drain(self, port: int) -> int:
        total = 0
        while select.select([self._packets], [], [], _QUIET_S)[0]:
            packet, address = self._packets.recvfrom(1 << 17)
            outgoing = address[1] == _ETH_IPV4 and address[2] == socket.PACKET_OUTGOING
            if outgoing and port in _ports(packet):  # each is seen once more, coming in
                total += _on_air(packet)
        return total

    def close(self) -> None:
        """Stop listening."""
        self._packets.close()


def _ports(packet: bytes) -> tuple[int, ...]:
    head = (packet[0] & 15) * 4
    return struct.unpack_from("!HH", packet, head) if packet[9] == socket.IPPROTO_TCP else ()


def _on_air(packet: bytes) -> int:
    """Its bytes, with the headers of the further packets that a network makes of a long one."""
    head = (packet[0] & 15) * 4
    size = struct.unpack_from("!H", packet, 2)[0] or len(packet)
    payload = size - head - (packet[head + 12] >> 4) * 4
    return int(size + max(0, -(-payload // MSS) - 1) * _HEADERS)


@dataclass(frozen=True, slots=True)
class OnAir:
    """Bytes for each kind of contact."""

    first_tap: int
    resumed_tap: int
    resumed_hundred: int
    https_tap: int
    https_hundred: int


REFUSED: Final = "air: only root may listen to packets; nothing was measured"


def may_listen() -> bool:
    """Whether this process may count packets."""
    try:
        Air().close()
    except PermissionError:
        return False
    return True


def measure(*, seed: int, folder: Path) -> OnAir:
    """Run both servers and every contact once. Raises `PermissionError` where packets may not be listened to."""
    with ExitStack() as stack:
        air = Air()
        stack.callback(air.close)
        home = Path(stack.enter_context(scratch_folder(folder)))
        port = stack.enter_context(_stream(home))
        terminal = _Terminal(home / "terminal", home, port, Random(seed))
        stack.callback(terminal.close)
        https_port = stack.enter_context(_https(Home(home).authority))
        tap = terminal.tap()
        first = air.count(port, terminal.contact)
        terminal.tap()
        resumed = air.count(port, terminal.contact)
        hundred = [terminal.tap() for _ in range(_LATER_TAPS)]
        return OnAir(
            first_tap=first,
            resumed_tap=resumed,
            resumed_hundred=air.count(port, terminal.contact),
            https_tap=air.count(https_port, lambda: _post(home, https_port, [tap])),
            https_hundred=air.count(https_port, lambda: _post(home, https_port, hundred)),
        )


def report(found: OnAir) -> str:
    """As a table, with the goals."""
    rows = [
        ("contact, opening and closing included", "bytes", "goal"),
        ("first tap of the day, whole TLS handshake", str(found.first_tap), str(FIRST_TAP_MAX)),
        ("one tap on a resumed session", str(found.resumed_tap), str(RESUMED_TAP_MAX)),
        (f"{_LATER_TAPS} taps on a resumed session", str(found.resumed_hundred), ""),
        ("one tap as JSON over HTTPS", str(found.https_tap), ""),
        (f"{_LATER_TAPS} taps as JSON over HTTPS", str(found.https_hundred), ""),
    ]
    return f"air: packets on loopback, headers and acknowledgements counted, segments of {MSS} bytes\n{table(rows)}"


class _Terminal:
    """A terminal's journal and uplink database, enrolled, and one contact at a time."""

    def __init__(self, folder: Path, home: Path, port: int, rng: Random) -> None:
        folder.mkdir()
        self._rng = rng
        self._port = port
        self._clock = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)
        self._context = client_context(Home(home).authority / "ca.pem")
        self._key = load_or_make_key(folder / "terminal.key")
        self._store = UplinkStore.open_or_make(folder / "uplink.db")
        ticket = parse_ticket_text(_settlement(home, "ticket", "--terminal", _TERMINAL.hex(), "--stream", "canteen"))
        link = self._connect(resume=False)
        enrolment = enrol(
            link,
            ticket,
            store=self._store,
            key=self._key,
            keep=lambda gifts: save_sms_key(folder / "sms.key", gifts.sms_key),
            clock=self._clock,
        )
        link.close()
        self._journal = Journal.open_for(
            folder / "journal.db", terminal=_TERMINAL, epoch=enrolment.epoch, acknowledged=None
        )
        self._reader = JournalReader.open(folder / "journal.db")

    def tap(self) -> TapRecord:
        """One sale more in the journal."""
        seq = self._journal.head().seq + 1
        opened = self._journal.open_tap(
            TapIntent(
                card=CardId(ISSUER, Asn(bytes.fromhex(f"{self._rng.randrange(5_000):020d}"))),
                amount_fen=Fen(self._rng.randrange(3_00, 33_00, 50)),
                balance_before_fen=Fen(self._rng.randrange(50_00, 250_00, 50)),
                counter=self._rng.randrange(1_000),
                ttsn=seq,
                opened_at=TapTime(
                    utc_s=self._clock.utc_s() + 18 * seq, boot=1, uptime_s=18 * seq, quality=ClockQuality.NETWORK
                ),
            )
        )
        return self._journal.seal_tap(opened, tac=self._rng.randbytes(TAC_BYTES), mac2=Mac2.VERIFIED)

    def contact(self) -> None:
        """Connect, send what waits, close."""
        uplink = Uplink(
            self._connect(resume=True), store=self._store, journal=self._reader, key=self._key, clock=self._clock
        )
        sent = uplink.open()
        uplink.close()
        assert sent is not None, "taps were waiting"

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
        self._journal.close()
        self._store.close()

    def _connect(self, *, resume: bool) -> TlsLink:
        sessions = self._store if resume else None
        tcp = TcpLink("127.0.0.1", self._port)
        return TlsLink(tcp, self._context, SERVER_NAME, clock=self._clock, sessions=sessions)


@contextmanager
def _stream(home: Path) -> Iterator[int]:
    """A real stream with its databases in `home`; its port."""
    _settlement(home, "init")
    Home(home).settings.write_text(f'[streams.{Stream.CANTEEN.label}]\nhost = "127.0.0.1"\nport = 0\n')
    arguments = ["settlement", "stream", Stream.CANTEEN.label, "--home", str(home)]
    child = Child.start("stream", arguments, log=home / "stream.log", environment={"PYTHONUNBUFFERED": "1"})
    try:
        yield int(child.wait_for("listening on 127.0.0.1:"))
    finally:
        child.end()


def _settlement(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "settlement", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def _https(authority: Path) -> Iterator[int]:
    """A web service that says OK to whatever is posted; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    server = http.server.HTTPServer(("127.0.0.1", 0), _Service)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        taps = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["taps"]
        body = json.dumps({"accepted": len(taps)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _post(home: Path, port: int, taps: list[TapRecord]) -> None:
    """One request on a connection of its own, as a client of the standard library makes it."""
    context = ssl.create_default_context(cafile=str(Home(home).authority / "ca.pem"))
    client = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    rows = [
        {
            "seq": tap.tap_id.seq,
            "card": tap.card.asn.hex(),
            "amount_fen": tap.amount_fen,
            "balance_fen": tap.balance_before_fen,
            "counter": tap.counter,
            "tac": tap.tac.hex(),
            "utc_s": tap.opened_at.utc_s,
        }
        for tap in taps
    ]
    body = json.dumps({"terminal": _TERMINAL.hex(), "taps": rows}, separators=(",", ":"))
    with contextlib.closing(client):
        client.request("POST", "/taps", body, {"Content-Type": "application/json"})
        client.getresponse().read()
