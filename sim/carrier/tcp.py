"""What TCP does over a bad path, as far as it costs time and bytes: segments, acknowledgements, and trying again.

Pure: bytes and the time in, bytes and counts out. The model, for each direction of a connection:

- segments of at most 1,360 bytes, each with its header; the handshake is SYN, SYN and ACK, ACK; each end sends one FIN;
- a receiver acknowledges every second segment at once, a single one after 40 ms unless its own data goes out before
  that, and then with that data or its FIN for nothing;
- a segment that is lost holds up what is behind it for 1 s, then 2, 4 ... 60 s; it is counted every time it was on air;
- at most 16 segments are under way.

Left out: congestion control and selective acknowledgement (a lost segment is a pause and one segment more), the
network's own headers below IP.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

MSS: Final = 1360  # an MTU of 1,400, which carriers' tunnels leave
WINDOW_BYTES: Final = 16 * MSS
DELAYED_ACK_S: Final = 0.040
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
_SEGMENTS_PER_ACK: Final = 2


@dataclass(frozen=True, slots=True)
class TcpProfile:
    """The headers, IP and TCP, of an end that opens connections."""

    header_bytes: int
    syn_bytes: int


HOST_TCP: Final = TcpProfile(header_bytes=52, syn_bytes=60)  # Linux: time stamps in every segment
MODEM_TCP: Final = TcpProfile(header_bytes=40, syn_bytes=44)  # a modem's own stack: no option but the MSS


class Way(Enum):
    """A direction on the air."""

    UP = "up"
    DOWN = "down"


class Air:
    """Bytes and packets on the air, headers included."""

    def __init__(self) -> None:
        self.bytes = dict.fromkeys(Way, 0)
        self.packets = dict.fromkeys(Way, 0)

    def count(self, way: Way, size: int) -> None:
        """One packet of `size` bytes."""
        self.bytes[way] += size
        self.packets[way] += 1

    @property
    def total_bytes(self) -> int:
        """Both directions."""
        return sum(self.bytes.values())


class Path(Protocol):
    """The way between a connection's two ends."""

    def transmit(self, way: Way, size: int, now: float) -> float | None:
        """Put a packet on the way and count it; when it arrives, or None if it does not."""
        ...

    def carries(self, now: float) -> bool:
        """Whether anything gets through now."""
        ...


@dataclass(slots=True)
class _Segment:
    data: bytes
    is_fin: bool
    arrives_s: float


class Flow:
    """One direction of a connection. `sent`, `delivered` and `acked` count the stream's bytes."""

    def __init__(self, way: Way, path: Path, profile: TcpProfile) -> None:
        self._way = way
        self._path = path
        self._header_bytes = profile.header_bytes
        self._queue = bytearray()
        self._flight: deque[_Segment] = deque()
        self._fin_wanted = False
        self._fin_sent = False
        self._retry_s = RETRY_FIRST_S
        self._retry_at_s = 0.0
        self._newest_arrival_s = 0.0
        self._unanswered = 0  # segments delivered and not acknowledged
        self._ack_due_s: float | None = None
        self._ack_retry_at_s = 0.0
        self._acks: deque[tuple[float, int]] = deque()  # when each arrives, and up to where it acknowledges
        self.stalled_since_s: float | None = None
        self.finished = False  # the FIN has arrived
        self.reverse: Flow | None = None
        self.sent = self.delivered = self.acked = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes written and not yet delivered."""
        return self.sent - self.delivered

    @property
    def room_bytes(self) -> int:
        """How much may be written now."""
        return 0 if self._fin_wanted else max(0, WINDOW_BYTES - (self.sent - self.acked))

    @property
    def next_due_s(self) -> float | None:
        """When something happens next, as far as it is known."""
        due = [self._flight[0].arrives_s] if self._flight else []
        if self._has_more and self._flight_bytes < WINDOW_BYTES:
            due.append(self._retry_at_s)
        if self._ack_due_s is not None:
            due.append(max(self._ack_due_s, self._ack_retry_at_s))
        if self._acks:
            due.append(self._acks[0][0])
        return min(due, default=None)

    def write(self, data: bytes) -> None:
        """More of the stream; the caller heeds `room_bytes`."""
        self._queue += data
        self.sent += len(data)

    def finish(self) -> None:
        """No more will be written: a FIN after what is there."""
        self._fin_wanted = True

    def poll(self, now: float) -> bytes:
        """Let happen what is due; what arrived at the other end."""
        arrived = self._arrivals(now)
        self._departures(now)
        self._acknowledge(now)
        while self._acks and self._acks[0][0] <= now:
            self.acked = max(self.acked, self._acks.popleft()[1])
        return arrived

    def acknowledged_by_data(self, arrives_s: float) -> None:
        """The other end sends something anyway, which arrives then: that acknowledges for nothing."""
        if self._unanswered:
            self._acks.append((arrives_s, self.delivered))
        self._unanswered, self._ack_due_s = 0, None

    @property
    def _has_more(self) -> bool:
        return bool(self._queue) or (self._fin_wanted and not self._fin_sent)

    @property
    def _flight_bytes(self) -> int:
        return sum(len(segment.data) for segment in self._flight)

    def _arrivals(self, now: float) -> bytes:
        arrived = bytearray()
        while self._flight and self._flight[0].arrives_s <= now:
            if not self._path.carries(now):
                self._take_back(now)
                break
            segment = self._flight.popleft()
            arrived += segment.data
            self.delivered += len(segment.data)
            self.finished = self.finished or segment.is_fin
            self.stalled_since_s, self._retry_s = None, RETRY_FIRST_S
            self._unanswered += 1
            if self._ack_due_s is None:
                self._ack_due_s = now + DELAYED_ACK_S
        return bytes(arrived)

    def _take_back(self, now: float) -> None:
        """What is under way got lost on the way: it is to be sent again."""
        self._queue[:0] = b"".join(segment.data for segment in self._flight)
        self._fin_sent = False
        self._flight.clear()
        self._stall(now)

    def _departures(self, now: float) -> None:
        while self._has_more and now >= self._retry_at_s and self._flight_bytes < WINDOW_BYTES:
            is_fin = not self._queue
            data = bytes(self._queue[:MSS])
            arrives_s = self._path.transmit(self._way, len(data) + self._header_bytes, now)
            if arrives_s is None:
                self._stall(now)
                return
            self._newest_arrival_s = max(arrives_s, self._newest_arrival_s)
            del self._queue[: len(data)]
            self._fin_sent = self._fin_sent or is_fin
            self._flight.append(_Segment(data, is_fin, self._newest_arrival_s))
            if self.reverse is not None:
                self.reverse.acknowledged_by_data(self._newest_arrival_s)

    def _stall(self, now: float) -> None:
        self._retry_at_s = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        if self.stalled_since_s is None:
            self.stalled_since_s = now

    def _acknowledge(self, now: float) -> None:
        """Acknowledgements of their own: for every second segment, and for one that waited long enough."""
        if now < self._ack_retry_at_s:
            return
        while self._unanswered >= _SEGMENTS_PER_ACK or (self._ack_due_s is not None and now >= self._ack_due_s):
            back = Way.DOWN if self._way is Way.UP else Way.UP
            arrives_s = self._path.transmit(back, self._header_bytes, now)
            if arrives_s is None:
                # The data comes again in reality, and is acknowledged then; here the acknowledgement alone does.
                self._ack_retry_at_s = now + RETRY_FIRST_S
                return
            self._acks.append((arrives_s, self.delivered))
            self._unanswered = max(0, self._unanswered - _SEGMENTS_PER_ACK)
            self._ack_due_s = now + DELAYED_ACK_S if self._unanswered else None
