"""What the sync daemon has brought down, read from its database; the till only ever reads it.

Left out: writing it, and talking to the server (`sync`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import apsw

from wire.configuration import Configuration
from wire.errors import CampusError
from wire.fields import FormatError
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import CONSUMPTION_STREAMS, TERMINAL_ID_BYTES, Stream, TerminalId
from wire.receipt import Cursor, Suspense

_BUSY_MS: Final = 200  # a tap must not wait for the daemon; what was read before serves


class NotEnrolled(CampusError):
    """No server knows this terminal yet: a technician has to enrol it with a ticket."""

    code = "not-enrolled"


class DownlinkUnreadable(CampusError):
    """The sync daemon's database is there but cannot be read."""

    code = "downlink-unreadable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who this terminal is: its number, its journal's epoch, its stream."""

    terminal: TerminalId
    epoch: int
    stream: Stream


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How far the server has this journal: what is before `cursor` is safe there; None before the first enrolment."""

    cursor: Cursor | None
    heard_at_utc_s: int | None

    @property
    def next_seq(self) -> int:
        """The first number that the server lacks."""
        return 1 if self.cursor is None else self.cursor.next_seq


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """How the daemon found the links when it last looked: the one in use, if any, and what is wrong with others."""

    link: str | None = None
    faults: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the server takes nothing more of this journal until a person has helped; `code` is for the technician."""

    code: str
    words: str


class Downlink:
    """A read-only view of the uplink database beside the daemon that writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection | None = None
        self._hotlist = EMPTY_HOTLIST
        self._hotlist_body: bytes | None = None
        self._configuration: Configuration | None = None
        self._configuration_body: bytes | None = None

    def enrolment(self) -> Enrolment:
        """Who this terminal is; `NotEnrolled` before its first enrolment."""
        row = self._row("SELECT terminal, epoch, stream FROM enrolment")
        if row is None:
            raise NotEnrolled("this terminal is not enrolled; run campus-syncd enrol with a ticket first")
        terminal, epoch, stream = cast(tuple[bytes, int, int], row)
        if len(terminal) != TERMINAL_ID_BYTES or stream not in CONSUMPTION_STREAMS:
            raise DownlinkUnreadable(f"the enrolment in {self._path.name} is damaged")
        return Enrolment(TerminalId(terminal), epoch, Stream(stream))

    def acknowledged(self) -> Acknowledged:
        """How far the server has this epoch's journal; nothing at all before the first receipt."""
        row = self._row("SELECT epoch, next_seq, head_hash, heard_at_utc_s FROM cursor JOIN enrolment USING (epoch)")
        if row is None:
            return Acknowledged(None, None)
        epoch, next_seq, head_hash, heard_at_utc_s = cast(tuple[int, int, bytes, int | None], row)
        return Acknowledged(Cursor(epoch, next_seq, head_hash), heard_at_utc_s)

    def suspense_of(self, seq: int) -> Suspense | None:
        """Why the server parked the money of a tap that it has; None: it did not."""
        row = self._row(f"SELECT reason FROM suspended WHERE seq = {seq:d}")
        return None if row is None else Suspense(cast(int, row[0]))

    def hotlist(self) -> Hotlist:
        """The newest hotlist that came down whole; parsed again only when it has changed."""
        row = self._row("SELECT body FROM hotlist")
        body = None if row is None else cast(bytes, row[0])
        if body is not None and body != self._hotlist_body:
            try:
                self._hotlist = Hotlist.from_bytes(body)
            except FormatError as error:
                raise DownlinkUnreadable(f"the hotlist in {self._path.name} is damaged: {error}") from error
            self._hotlist_body = body
        return self._hotlist

    def configuration(self) -> Configuration | None:
        """What the operator set for this stream's tills; None: nothing came down, `terminal.toml` stands."""
        if not self._has("configuration"):
            return None
        row = self._row("SELECT body FROM configuration")
        body = None if row is None else cast(bytes, row[0])
        if body is not None and body != self._configuration_body:
            try:
                self._configuration = Configuration.from_bytes(body)
            except FormatError as error:
                raise DownlinkUnreadable(f"the configuration in {self._path.name} is damaged: {error}") from error
            self._configuration_body = body
        return self._configuration

    def hotlist_received_at_utc_s(self) -> int | None:
        """When the newest hotlist came; None: none has."""
        row = self._row("SELECT received_at_utc_s FROM hotlist")
        return None if row is None else cast(int, row[0])

    def enrolled_at_utc_s(self) -> int | None:
        """When the server first knew this terminal; None: it does not yet."""
        row = self._row("SELECT enrolled_at_utc_s FROM enrolment")
        return None if row is None else cast(int, row[0])

    def links(self) -> LinkState:
        """How the links stand, as far as the daemon has told."""
        row = self._row("SELECT body FROM links_seen") if self._has("links_seen") else None
        if row is None:
            return LinkState()
        try:
            seen = json.loads(cast(str, row[0]))
            faults = {**seen.get("failing", {}), **seen.get("technician", {})}
            return LinkState(link=seen.get("link"), faults=tuple(sorted(faults.items())))
        except (ValueError, AttributeError, TypeError) as error:
            raise DownlinkUnreadable(f"the links in {self._path.name} are damaged: {error}") from error

    def verdict(self) -> Verdict | None:
        """What stands against this terminal; None: nothing, or a daemon that keeps no such table yet."""
        if not self._has("verdict"):
            return None
        row = self._row("SELECT code, words FROM verdict")
        return None if row is None else Verdict(*cast(tuple[str, str], row))

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()

    def _has(self, table: str) -> bool:
        return self._row(f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}'") is not None

    def _row(self, sql: str) -> tuple[object, ...] | None:
        try:
            if self._db is None:
                if not self._path.exists():
                    return None
                self._db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
                self._db.set_busy_timeout(_BUSY_MS)
            return next(iter(self._db.execute(sql)), None)
        except apsw.Error as error:
            raise DownlinkUnreadable(f"{self._path.name} cannot be read: {error}") from error
