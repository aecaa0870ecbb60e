"""The command `audit`: now, every night, or what the last one found."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settlement.audit.auditor import audit_installation, findings_json, findings_text
from settlement.audit.evidence import EvidenceMissing, Progress
from settlement.audit.points import Finding
from settlement.commands.common import (
    Add,
    Host,
    add_json,
    add_passphrase,
    home_of,
    passphrase_path,
    progress,
    read_passphrase,
    read_settings,
)
from settlement.onecard.keys import FileKeyStore, PassphraseUnreadable
from settlement.settings import AuditSettings, Home, SettingsInvalid
from wire.errors import CampusError

_DAY_S: Final = 86_400
_ZONE_S: Final = 8 * 3600  # the campus's clock, as in `wire.record`

_log: Final = logging.getLogger("settlement")


@dataclass(frozen=True, slots=True)
class Last:
    """The newest audit on record: when it ended, and what `findings_json` made of it."""

    at_utc_s: int
    found: dict[str, object]


def add_commands(command: Add) -> None:
    """Add it."""
    text = "recompute everything from the evidence, in thirteen points, and say what differs"
    audit = command("audit", _audit, text, "audit", "audit --healed --json", "audit --last", "audit --nightly")
    add_passphrase(audit)
    audit.add_argument("--healed", action="store_true", help="object also to what is still on its way")
    audit.add_argument("--seed", type=int, default=1, help="of the orders that things are done over in (default: 1)")
    when = audit.add_mutually_exclusive_group()
    when.add_argument("--last", action="store_true", help="show what the newest audit on record found")
    when.add_argument("--nightly", action="store_true", help="keep running, and audit at the time of [audit] at")
    add_json(audit)


def _audit(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    if args.nightly:
        return _every_night(home, args, host)
    if args.last:
        last = read_last(home)
        if last is None:
            raise EvidenceMissing("there is no audit on record yet; `campus-settlement audit` makes one")
        print(json.dumps({"at_utc_s": last.at_utc_s, **last.found}, indent=None if args.json else 2))
        return 0 if last.found.get("content") is True else 1
    findings = _run(home, args, host, progress())
    print(json.dumps(findings_json(findings)) if args.json else findings_text(findings), end="\n" if args.json else "")
    return 0 if all(finding.holds for finding in findings) else 1


def _run(home: Home, args: argparse.Namespace, host: Host, tell: Progress) -> list[Finding]:
    try:
        keys = FileKeyStore.open(home.sealed_keys, read_passphrase(passphrase_path(home, args, host)))
    except PassphraseUnreadable:
        keys = None  # an auditor need not be trusted with the keys; point 7 says that it went without
    with tempfile.TemporaryDirectory(prefix="campus-audit-") as scratch:
        findings = audit_installation(
            home,
            keys=keys,
            random=random.Random(args.seed),
            scratch=Path(scratch),
            journals={},
            healed=args.healed,
            progress=tell,
        )
    _record(home, host, findings)
    return findings


def _every_night(home: Home, args: argparse.Namespace, host: Host) -> int:
    settings = read_settings(home).checked("audit").audit
    if settings is None:
        raise SettingsInvalid("settlement.toml has no [audit]")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(f"audits every night at {settings.at}", flush=True)
    while not stop.wait(seconds_until(settings, host.utc_s())):
        try:
            findings = _run(home, args, host, lambda _: None)
        except CampusError as error:
            _log.error("audit: ALARM: it could not be done: %s: %s", error.code, error)
            continue
        for finding in findings:
            for words in finding.objections:
                _log.error("audit: ALARM: point %d, %s: %s", finding.point, finding.says, words)
        _log.info("audit: %d of %d points hold", sum(finding.holds for finding in findings), len(findings))
    return 0


def seconds_until(settings: AuditSettings, now_utc_s: int) -> int:
    """From now to the next time of day at which to audit; never nothing, so that one night has one audit."""
    wait_s = (settings.minute * 60 - now_utc_s - _ZONE_S) % _DAY_S
    return wait_s or _DAY_S


def _record(home: Home, host: Host, findings: list[Finding]) -> None:
    """Keep what was found where `--last` and the operator's pages look; the next audit takes its place."""
    draft = home.last_audit.with_suffix(".new")
    draft.write_text(json.dumps({"at_utc_s": host.utc_s(), **findings_json(findings)}))
    os.replace(draft, home.last_audit)


def read_last(home: Home) -> Last | None:
    """The newest audit on record; None if there is none that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads(home.last_audit.read_text())
        if isinstance(found, dict) and isinstance(at_utc_s := found.pop("at_utc_s", None), int):
            return Last(at_utc_s, found)
    return None
