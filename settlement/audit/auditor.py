"""An installation audited from its evidence: read, done over, judged; for people, scripts and the nightly record.

Left out: when it is done and who is told (`settlement.commands.audit`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

from settlement.audit.evidence import JournalKey, Progress, gather
from settlement.audit.points import Circumstances, Finding, audit
from settlement.audit.rebuild import reorder_sources, replay_uploads
from settlement.onecard.keys import KeyStore
from settlement.settings import Home

OBJECTIONS_SHOWN: Final = 5
_WIDTH: Final = 100
_INDENT: Final = "       "
_NO_KEYS: Final = "not done over: the issuer's keys are not at hand"


def audit_installation(
    home: Home,
    *,
    keys: KeyStore | None,
    random: Random,
    scratch: Path,
    journals: Mapping[JournalKey, Sequence[bytes]],
    healed: bool,
    progress: Progress,
) -> list[Finding]:
    """The thirteen findings on the installation as it stands; its programs may be running.

    `scratch` is an empty folder with room for twice the evidence. Raises `EvidenceMissing` or `StoreFault`.
    """
    evidence = gather(home, scratch, progress)
    with closing(evidence.db):
        replayed = (_NO_KEYS, list[str]())
        if keys is not None:
            replayed = replay_uploads(home, evidence, keys=keys, scratch=scratch, random=random, progress=progress)
        reordered = reorder_sources(home, evidence, scratch=scratch, random=random, progress=progress)
        progress("judgement")
        return audit(evidence, Circumstances(journals=journals, healed=healed, replayed=replayed, reordered=reordered))


def findings_text(findings: Sequence[Finding]) -> str:
    """The verdict as people read it."""
    lines = []
    for finding in findings:
        lines.append(f"{'ok' if finding.holds else 'NO'}  {finding.point:>2}  {finding.says}")
        lines += textwrap.wrap(finding.seen, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
        lines += [f"{_INDENT}OBJECTION: {words}" for words in finding.objections[:OBJECTIONS_SHOWN]]
        if len(finding.objections) > OBJECTIONS_SHOWN:
            lines.append(f"{_INDENT}and {len(finding.objections) - OBJECTIONS_SHOWN} more")
    broken = sum(not finding.holds for finding in findings)
    verdict = "content" if not broken else f"OBJECTS, {broken} of {len(findings)} points do not hold"
    return "\n".join([*lines, f"verdict: {verdict}"]) + "\n"


def findings_json(findings: Sequence[Finding]) -> dict[str, object]:
    """The verdict for scripts."""
    return {
        "content": all(finding.holds for finding in findings),
        "points": [
            {
                "point": finding.point,
                "says": finding.says,
                "holds": finding.holds,
                "seen": finding.seen,
                "objections": list(finding.objections),
            }
            for finding in findings
        ],
    }
