"""After a run: wait until everything is booked, have it audited, and say it in words."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

from settlement.audit.auditor import audit_installation
from settlement.audit.points import Finding
from settlement.commands.common import home_at
from settlement.onecard.keys import FileKeyStore
from sim.audit import audit
from sim.campus import STREAM, Campus
from sim.evidence import gather, open_reader
from sync.status import Status, read_status
from terminal.journal import JournalMissing

BOOKED_S_MAX: Final = 30.0  # a linger, a reconnect with back-off and a round of the ledger; more is worth an objection
_LASTS_S: Final = 1.0  # somebody who waits longer wants to know for what
_LOOK_S: Final = 0.1
_SEED: Final = 1  # of the orders in which the auditor does things over


def wait_until_booked(
    campus: Campus, *, monotonic_s: Callable[[], float], lasting: Callable[[], None] = lambda: None
) -> bool:
    """Whether all sealed taps reached the ledger within `BOOKED_S_MAX`; what did not is for the auditor to name.

    `lasting` is called once if it takes more than a moment.
    """
    began_s = monotonic_s()
    told = False
    pause = threading.Event()
    while (waited_s := monotonic_s() - began_s) < BOOKED_S_MAX:
        campus.check_children()
        if uplink_status(campus).backlog_taps == 0 and _pulled(campus):
            return True
        if not told and waited_s > _LASTS_S:
            told = True
            lasting()
        pause.wait(_LOOK_S)
    return False


def audit_campus(campus: Campus) -> list[Finding]:
    """The auditor's findings on the campus as it stands; its programs are running."""
    if not (campus.terminal_folder / "journal.db").exists():
        raise JournalMissing("the till has never run, so there is nothing to audit")
    return audit_home(campus.home, [student.path for student in campus.students])


def audit_home(home: Path, cards: list[Path]) -> list[Finding]:
    """The server's own audit, with the till's journal as a witness, and what the cards add; the till makes no tap."""
    server = home_at(home)
    keys = FileKeyStore.open(server.sealed_keys, server.passphrase.read_bytes().strip())
    with tempfile.TemporaryDirectory(prefix="campus-audit-") as copies, tempfile.TemporaryDirectory() as scratch:
        evidence = gather(home, stream=STREAM, card_files=cards, scratch=Path(copies))
        return [
            *audit_installation(
                server,
                keys=keys,
                random=Random(_SEED),
                scratch=Path(scratch),
                journals=evidence.journals,
                healed=False,
                progress=lambda _: None,
            ),
            *audit(evidence),
        ]


def uplink_status(campus: Campus) -> Status:
    """How the terminal's uplink stands; time plays no part."""
    return read_status(campus.terminal_folder, now_utc_s=0)


def uplink_line(before: Status, after: Status) -> str:
    """What a run put on the air, as far as sessions count it (without TLS, TCP and IP)."""
    taps, batches = after.next_seq - before.next_seq, after.batches - before.batches
    sent, received = after.bytes_sent - before.bytes_sent, after.bytes_received - before.bytes_received
    each = f" ({sent / taps:.1f} a tap)" if taps else ""
    return f"  uplink       {taps} taps in {batches} batches, {sent} bytes sent{each}, {received} received"


def places_lines(home: Path) -> list[str]:
    """Where everything lies."""
    return [
        f"Everything is in {home}",
        "  terminal/    journal.db (the till's), uplink.db (the daemon's)",
        "  settlement/  canteen.db, ledger.db, onecard.db, keys and certificates",
        "  sim/         cards, PSAM, logs",
    ]


def _pulled(campus: Campus) -> bool:
    folder = campus.home / "settlement"
    with (
        closing(open_reader(folder / f"{STREAM.label}.db")) as stream,
        closing(open_reader(folder / "onecard.db")) as onecard,
        closing(open_reader(folder / "topup.db")) as topup,
        closing(open_reader(folder / "ledger.db")) as ledger,
    ):
        taps: int = stream.execute("SELECT coalesce(max(next_position) - 1, 0) FROM intake").fetchone()[0]
        openings: int = onecard.execute("SELECT coalesce(max(position), 0) FROM purse_opening").fetchone()[0]
        loads: int = topup.execute("SELECT coalesce(max(position), 0) FROM load_event").fetchone()[0]
        read: dict[str, int] = dict(ledger.execute("SELECT source, position FROM source_cursor"))
    return (taps, openings, loads) == tuple(read.get(source, 0) for source in (STREAM.label, "onecard", "topup"))
