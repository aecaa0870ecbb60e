"""The thirteen points of the audit: each looks at the evidence with arithmetic of its own and says what differs.

The simulator, the nightly job and `campus-settlement audit` all call `audit`. What is on its way (not pulled,
suspended, pending) is named, not tolerated. Left out: reading the evidence (`evidence`), doing things over (`rebuild`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, groupby
from typing import Final

from settlement.audit.evidence import Evidence, JournalKey
from wire.ids import TERMINAL_ID_BYTES, CardId
from wire.money import format_fen
from wire.receipt import Suspense
from wire.record import Outcome, TapKind
from wire.shift import Sum

OBJECTIONS_MAX: Final = 1_000  # of one point; a thousand say as much as a million

# A tap means something in the books if the card was debited, if only of nothing, or if its stream doubted it.
_MEANS: Final = "(tap.outcome IN (1, 4) OR tap.suspense IS NOT NULL)"
_PULLED: Final = "tap JOIN cursor ON cursor.source = tap.stream AND tap.position <= cursor.position"
_SAME_TAP: Final = "{0}.terminal = tap.terminal AND {0}.epoch = tap.epoch AND {0}.seq = tap.seq"
_BOOKED: Final = f"EXISTS (SELECT 1 FROM entry WHERE {_SAME_TAP.format('entry')})"
# As a tap, not as what people made of it.
_PAID: Final = f"EXISTS (SELECT 1 FROM entry WHERE {_SAME_TAP.format('entry')} AND entry.kind <> 7)"
_PARKED: Final = f"EXISTS (SELECT 1 FROM item WHERE item.source <> 'topup' AND {_SAME_TAP.format('item')})"
_TAP_NAME: Final = "lower(hex(tap.terminal)) || '-' || tap.epoch || '-' || tap.seq"
_MOVED: Final = "CASE WHEN tap.kind IN (2, 3) THEN tap.credit ELSE tap.amount END"
_FLOAT: Final = 2001
_REFUNDS: Final = 2006
_MERCHANTS: Final = 2002
_TWO_PEOPLE: Final = """
    decided AS proposal JOIN decided AS confirmed
    ON confirmed.action = 3 AND json_extract(confirmed.body, '$.proposal') = lower(hex(proposal.key))
"""

# What makes a purse's balance: what it was taken over with, loads, and taps less those that the books do not have as
# they came: in suspense, or resolved otherwise. Of several that claim to be one tap the books have one (point 3).
_OPENED: Final = """
    SELECT card, sum(balance) FROM opening JOIN cursor ON source = 'onecard' AND opening.position <= cursor.position
    GROUP BY card
"""
_LOADED: Final = """
    SELECT card, sum(amount) FROM load JOIN cursor ON source = 'topup' AND load.position <= cursor.position
    WHERE kind = 2 AND NOT EXISTS (SELECT 1 FROM item WHERE item.source = 'topup' AND item.terminal = load.point
    AND item.epoch = load.epoch AND item.seq = load.number) GROUP BY card
"""
_COLLECTED_TOO_MUCH: Final = f"""
    SELECT entry.card, sum(posting.amount) FROM posting JOIN entry ON entry.id = posting.entry
    WHERE account = {_REFUNDS} GROUP BY entry.card HAVING sum(posting.amount) > 0
"""
_PAID_OTHERWISE: Final = """
    SELECT lower(hex(point)) || '-' || load.epoch || '-' || number FROM load
    JOIN entry ON entry.terminal = point AND entry.epoch = load.epoch AND entry.seq = number
    WHERE load.kind = 1 AND entry.kind <> CASE funding WHEN 2 THEN 9 ELSE 3 END
"""
_BOOKED_LATER: Final = f"""
    EXISTS (SELECT 1 FROM item JOIN resolution ON resolution.item = item.id JOIN entry ON entry.id = resolution.entry
    AND entry.kind <> 7 WHERE item.source <> 'topup' AND {_SAME_TAP.format("item")})
"""
_SPENT: Final = f"""
    SELECT tap.card, -sum(tap.amount) FROM {_PULLED}
    WHERE {_MEANS} AND (NOT {_PARKED} OR {_BOOKED_LATER}) GROUP BY tap.card
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One point's result: what it says, what was looked at, and what is wrong (nothing, if all is well)."""

    point: int
    says: str
    seen: str
    objections: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there is nothing to object to."""
        return not self.objections


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the audit is told: other journals' records as their terminals have them, and how quiet it should be.

    `journals` are canonical records from tap 1 on, seen by whoever holds the terminals. With `healed` nothing may be on
    its way any more: all faults are over and everybody had time. `rebuilt` are the objections of points 7 and 8, and
    what was done over, from `rebuild`.
    """

    journals: Mapping[JournalKey, Sequence[bytes]]
    healed: bool
    replayed: tuple[str, Sequence[str]]
    reordered: tuple[str, Sequence[str]]


def audit(evidence: Evidence, told: Circumstances) -> list[Finding]:
    """All thirteen findings, in their order."""
    return [
        _finding(1, "money is conserved", *_conservation(evidence)),
        _finding(2, "the journals' taps are the server's, by hash", *_same_sets(evidence, told)),
        _finding(3, "nothing is there twice", *_duplicates(evidence)),
        _finding(4, "no chain has a gap", *_chains(evidence)),
        _finding(5, "each card's counts and balances follow from each other", *_cards(evidence)),
        _finding(6, "a cursor moves with what it stands for", *_cursors(evidence)),
        _finding(7, "a replayed or reordered upload changes nothing", *told.replayed),
        _finding(8, "the order of sources changes nothing", *told.reordered),
        _finding(9, "no stream has another's", *_isolation(evidence)),
        _finding(10, "a forked journal is quarantined", *_forks(evidence)),
        _finding(11, "suspense is complete", *_suspense(evidence)),
        _finding(12, "nothing is stuck", *_liveness(evidence, told)),
        _finding(13, "shift reports, taps and closed days agree", *_closes(evidence)),
    ]


def _finding(point: int, says: str, seen: str, objections: Iterable[str]) -> Finding:
    return Finding(point, says, seen, tuple(objections)[:OBJECTIONS_MAX])


def _conservation(evidence: Evidence) -> tuple[str, list[str]]:
    """Every entry balances, each purse holds in the books what openings, loads and taps make of it; each load is paid
    as it was granted, and nobody collected more than was owed.
    """
    objections = list(evidence.objections["sales"])
    objections += [
        f"the postings of entry {entry} sum to {signed(total)}"
        for entry, total in evidence.rows(
            "SELECT entry, sum(amount) FROM posting GROUP BY entry HAVING sum(amount) <> 0", into=lambda *row: row
        )
    ]
    orphans = "SELECT DISTINCT entry FROM posting WHERE entry NOT IN (SELECT id FROM entry)"
    objections += [
        f"there are postings of entry {entry}, which does not exist" for entry in evidence.rows(orphans, into=int)
    ]
    held = _sums(
        evidence,
        "SELECT purse, -sum(posting.amount) FROM posting JOIN entry ON entry.id = posting.entry "
        f"WHERE account = {_FLOAT} AND entry.kind <> 7 GROUP BY purse",
    )
    owed: dict[bytes, int] = defaultdict(int)
    for sql in (_OPENED, _LOADED, _SPENT):
        for card, amount in _sums(evidence, sql).items():
            owed[card] += amount
    for card in sorted(held.keys() | owed.keys()):
        if held.get(card, 0) != owed.get(card, 0):
            objections.append(
                f"purse {_masked(card)}: the books hold {signed(held.get(card, 0))}, openings, loads and taps make "
                f"{signed(owed.get(card, 0))}"
            )
    objections += [
        f"load {name} is booked as paid otherwise than it was granted"
        for name in evidence.rows(_PAID_OTHERWISE, into=str)
    ]
    # While taps that take sales back have not been read, a load may have collected of them already.
    if evidence.number("SELECT count(*) FROM tap") == evidence.number(f"SELECT count(*) FROM {_PULLED}"):
        objections += [
            f"purse {_masked(card)}: {format_fen(more)} more were collected than refunds were owed"
            for card, more in _sums(evidence, _COLLECTED_TOO_MUCH).items()
        ]
    total = evidence.number("SELECT coalesce(sum(amount), 0) FROM posting")
    if total:
        objections.append(f"all postings together sum to {signed(total)}")
    entries = evidence.number("SELECT count(*) FROM entry")
    return f"{entries} entries; {len(held)} purses hold {signed(sum(held.values()))}", objections


def _same_sets(evidence: Evidence, told: Circumstances) -> tuple[str, list[str]]:
    """What each terminal signed leads to what is here, and a journal at hand has the same records."""
    objections = list(evidence.objections["signatures"])
    unsigned = 0
    sql = """
        SELECT journal.terminal, journal.epoch, journal.next_seq, signed.first_seq, signed.next_seq
        FROM journal LEFT JOIN signed USING (stream, terminal, epoch) ORDER BY 1, 2, 4, 5
    """
    for _, signatures in groupby(evidence.rows(sql, into=lambda *row: row), key=lambda row: row[:2]):
        covered = next_seq = 1
        for _, _, wanted, first, after in signatures:
            next_seq = wanted
            if first is not None and first <= covered:  # what is missing in between is unsigned
                covered = max(covered, after)
        unsigned += max(next_seq - covered, 0)
    compared = 0
    for (terminal, epoch), records in told.journals.items():
        name = f"{terminal.hex()}-{epoch}"
        sql = "SELECT seq, hash FROM tap WHERE terminal = ? AND epoch = ?"
        here = dict(evidence.rows(sql, (terminal, epoch), into=lambda seq, digest: (seq, digest)))
        there = {number: sha256(record).digest() for number, record in enumerate(records, start=1)}
        compared += len(here)
        objections += [f"tap {name}-{seq} is here but not in its journal" for seq in here.keys() - there.keys()]
        objections += [
            f"tap {name}-{seq} differs between journal and server"
            for seq in here.keys() & there.keys()
            if here[seq] != there[seq]
        ]
    taps = evidence.number("SELECT count(*) FROM tap")
    seen = f"{taps} taps here; {unsigned} of them signed for by no batch yet"
    return seen + (f"; {compared} compared with their journals" if told.journals else ""), objections


def _duplicates(evidence: Evidence) -> tuple[str, list[str]]:
    """One tap, one count of a card, one serial of a PSAM: each once in the books, each tap once at the server."""
    checks = (
        ("tap {} is at the server {} times", "terminal, epoch, seq", "tap", "1"),
        ("{1} entries have the number {0}", "id", "entry", "1"),
        ("tap or load {} is in the books {} times", "terminal, epoch, seq", "entry", "seq IS NOT NULL"),
        ("a card's count is booked {1} times: {0}", "card, counter", "entry", "ttsn IS NOT NULL"),
        ("a PSAM's serial is booked {1} times: {0}", "terminal, ttsn", "entry", "ttsn IS NOT NULL"),
        ("a purse is opened {1} times: {0}", "card", "entry", "kind = 1"),
        ("a sale is reversed {1} times: {0}", "terminal, epoch, refers", "entry", "kind = 4"),
    )
    objections = []
    for words, key, table, where in checks:
        sql = f"SELECT {key}, count(*) FROM {table} WHERE {where} GROUP BY {key} HAVING count(*) > 1"
        for *parts, times in evidence.rows(sql, into=lambda *row: row):
            objections.append(words.format("-".join(map(_shown, parts)), times))
    return f"{len(checks)} keys over taps and entries", objections


def _chains(evidence: Evidence) -> tuple[str, list[str]]:
    """The hash chains that were recomputed while reading, and numbers without gaps."""
    objections = list(evidence.objections["chains"])
    journals = 0
    sql = """
        SELECT journal.terminal, journal.epoch, next_seq,
               (SELECT count(*) FROM tap WHERE tap.terminal = journal.terminal AND tap.epoch = journal.epoch
                AND tap.stream = journal.stream AND tap.seq BETWEEN 1 AND next_seq - 1)
        FROM journal
    """
    for terminal, epoch, next_seq, count in evidence.rows(sql, into=lambda *row: row):
        journals += 1
        if count != next_seq - 1:
            name = f"{_shown(terminal)}-{epoch}"
            objections.append(f"the server counts {name} up to {next_seq} but has {count} of its taps")
    for table, key, name in (("entry", "id", "entries"), ("day_close", "number", "closed days")):
        sql = f"SELECT count(*), min({key}), max({key}) FROM {table}"
        [(count, first, last)] = evidence.rows(sql, into=lambda *row: row)
        if count and (first, last) != (1, count):
            objections.append(f"{count} {name} are numbered from {first} to {last}")
    taps = evidence.number("SELECT count(*) FROM tap")
    return f"{journals} journals with {taps} taps, {len(evidence.reports)} shift reports", objections


def _cards(evidence: Evidence) -> tuple[str, list[str]]:
    """From each booked tap of a card to its next count, the balance moves by what was taken and by whole loads."""
    loads: dict[bytes, list[int]] = defaultdict(list)
    sql = """
        SELECT card, amount FROM load AS granted WHERE kind = 1 AND NOT EXISTS (SELECT 1 FROM load AS voided
        WHERE voided.kind = 3 AND voided.point = granted.point AND voided.epoch = granted.epoch
        AND voided.number = granted.number) ORDER BY card, counter
    """
    for card, amount in evidence.rows(sql, into=lambda *row: row):
        loads[card].append(amount)
    objections: list[str] = []
    cards = gaps = 0
    previous: tuple[bytes, int, int] | None = None
    sql = f"SELECT card, counter, balance, amount FROM tap WHERE {_PAID} ORDER BY card, counter"
    for card, counter, balance, amount in evidence.rows(sql, into=lambda *row: row):
        if previous is None or previous[0] != card:
            cards += 1
        elif counter > previous[1] + 1:
            gaps += counter - previous[1] - 1
        elif counter == previous[1] + 1 and not _explained(balance - previous[2], loads.get(card, [])):
            objections.append(
                f"card {_masked(card)}: between counts {previous[1]} and {counter} its balance moved by "
                f"{signed(balance - previous[2])}, which no loads explain"
            )
        previous = (card, counter, balance - amount)
    return f"{cards} cards, {gaps} counts that nobody has brought (yet)", objections


def _explained(moved: int, loads: Sequence[int]) -> bool:
    """Whether loads that follow each other come to this."""
    if moved == 0:
        return True
    return any(moved in accumulate(loads[start:]) for start in range(len(loads)))


def _cursors(evidence: Evidence) -> tuple[str, list[str]]:
    """What a cursor has passed is booked or parked, with the amounts it came with; nothing beyond it is."""
    pulled = evidence.number(f"SELECT count(*) FROM {_PULLED}")
    objections = [
        f"tap {name} was read and is neither booked nor in suspense"
        for name in evidence.rows(
            f"SELECT {_TAP_NAME} FROM {_PULLED} WHERE {_MEANS} AND NOT {_BOOKED} AND NOT {_PARKED}", into=str
        )
    ]
    objections += [
        f"tap {name} took nothing and is in the books"
        for name in evidence.rows(f"SELECT {_TAP_NAME} FROM {_PULLED} WHERE NOT {_MEANS} AND {_BOOKED}", into=str)
    ]
    sql = f"""
        SELECT {_TAP_NAME} FROM tap JOIN entry ON {_SAME_TAP.format("entry")} AND entry.ttsn IS NOT NULL
        WHERE (entry.card, entry.counter, entry.ttsn, entry.amount, entry.subsidy, coalesce(entry.refers, 0))
           IS NOT (tap.card, tap.counter, tap.ttsn, {_MOVED}, tap.subsidy, tap.refers)
    """
    objections += [f"tap {name} is booked otherwise than it came" for name in evidence.rows(sql, into=str)]
    sql = f"""
        SELECT {_TAP_NAME} FROM tap JOIN cursor ON cursor.source = tap.stream AND lineage = 1
        AND tap.position > cursor.position WHERE {_BOOKED} OR {_PARKED}
    """
    objections += [
        f"tap {name} is in the books, and the cursor has not reached it" for name in evidence.rows(sql, into=str)
    ]
    sql = """
        SELECT lower(hex(entry.terminal)) || '-' || entry.epoch || '-' || entry.seq FROM entry
        JOIN cursor ON cursor.source = entry.source AND lineage = 1
        WHERE entry.ttsn IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tap WHERE tap.terminal = entry.terminal
        AND tap.epoch = entry.epoch AND tap.seq = entry.seq)
    """
    objections += [f"entry of tap {name}: no stream has such a tap" for name in evidence.rows(sql, into=str)]
    sql = """
        SELECT journal.terminal, journal.epoch, total,
               (SELECT coalesce(sum(amount), 0) FROM tap WHERE outcome = 1 AND tap.terminal = journal.terminal
                AND tap.epoch = journal.epoch AND tap.stream = journal.stream)
        FROM journal
    """
    for terminal, epoch, total, found in evidence.rows(sql, into=lambda *row: row):
        if total != found:
            objections.append(f"{_shown(terminal)}-{epoch}: the server adds up {total} fen, its taps {found}")
    return f"{pulled} taps read by the ledger", objections


def _isolation(evidence: Evidence) -> tuple[str, list[str]]:
    """A terminal's journal is one stream's alone."""
    sql = "SELECT terminal, epoch, group_concat(stream) FROM journal GROUP BY terminal, epoch HAVING count(*) > 1"
    objections = [
        f"{_shown(terminal)}-{epoch} is a journal of {names}"
        for terminal, epoch, names in evidence.rows(sql, into=lambda *row: row)
    ]
    sql = """
        SELECT DISTINCT tap.stream, tap.terminal, tap.epoch FROM tap WHERE NOT EXISTS (SELECT 1 FROM journal
        WHERE journal.stream = tap.stream AND journal.terminal = tap.terminal AND journal.epoch = tap.epoch)
    """
    objections += [
        f"{stream} has taps of {_shown(terminal)}-{epoch}, which never enrolled there"
        for stream, terminal, epoch in evidence.rows(sql, into=lambda *row: row)
    ]
    return f"{len(evidence.streams)} streams", objections


def _forks(evidence: Evidence) -> tuple[str, list[str]]:
    """Of a journal that contradicted itself nothing was taken after that was known."""
    sql = """
        SELECT fork.stream, fork.terminal, fork.epoch, fork.received, journal.quarantined,
               (SELECT max(received) FROM tap WHERE tap.stream = fork.stream AND tap.terminal = fork.terminal
                AND tap.epoch = fork.epoch)
        FROM fork LEFT JOIN journal ON journal.stream = fork.stream AND journal.terminal = fork.terminal
        AND journal.epoch = fork.epoch
    """
    objections = []
    forks = 0
    for stream, terminal, epoch, at_utc_s, quarantined, last in evidence.rows(sql, into=lambda *row: row):
        forks += 1
        name = f"{_shown(terminal)}-{epoch} at {stream}"
        if quarantined is None:
            objections.append(f"{name} forked and is not quarantined")
        if last is not None and last > at_utc_s:
            objections.append(f"{name}: taps were taken after it had forked")
    return f"{forks} forks", objections


def _suspense(evidence: Evidence) -> tuple[str, list[str]]:
    """Every tap that its stream doubted is listed with its amount and a reason; ways out name their proof or people."""
    sql = f"""
        SELECT {_TAP_NAME} FROM {_PULLED} WHERE tap.suspense IS NOT NULL AND NOT EXISTS (SELECT 1 FROM item
        WHERE {_SAME_TAP.format("item")} AND item.reason = tap.suspense AND item.amount = {_MOVED})
    """
    objections = [
        f"tap {name} was suspended, and is not listed with its amount" for name in evidence.rows(sql, into=str)
    ]
    known = ", ".join(str(int(reason)) for reason in Suspense)
    objections += [
        f"suspense item {item} has no known reason"
        for item in evidence.rows(f"SELECT id FROM item WHERE reason NOT IN ({known})", into=int)
    ]
    sql = """
        SELECT item FROM resolution LEFT JOIN entry ON entry.id = resolution.entry
        WHERE item NOT IN (SELECT id FROM item)
        OR (outcome IN (1, 2) AND evidence IS NULL) OR (outcome <> 2 AND entry.id IS NULL)
        OR (outcome = 4 AND (proposed_by IS NULL OR confirmed_by IS NULL OR proposed_by = confirmed_by))
        OR (outcome IN (3, 4) AND entry.amount IS NOT (SELECT amount FROM item WHERE item.id = resolution.item))
    """
    objections += [
        f"item {item} left suspense without proof, entry or two people" for item in evidence.rows(sql, into=int)
    ]
    sql = f"""
        SELECT item FROM resolution WHERE outcome = 4 AND NOT EXISTS (SELECT 1 FROM {_TWO_PEOPLE}
        WHERE proposal.action = 1 AND json_extract(proposal.body, '$.item') = resolution.item
        AND proposal.by = proposed_by AND confirmed.by = confirmed_by)
    """
    objections += [
        f"item {item}: the office has no such decision of two people" for item in evidence.rows(sql, into=int)
    ]
    sql = f"""
        SELECT lower(hex(terminal)) || '-' || epoch FROM finished WHERE NOT EXISTS (SELECT 1 FROM {_TWO_PEOPLE}
        WHERE proposal.action = 2 AND json_extract(proposal.body, '$.terminal') = lower(hex(finished.terminal))
        AND json_extract(proposal.body, '$.epoch') = finished.epoch
        AND proposal.by = proposed_by AND confirmed.by = confirmed_by)
    """
    objections += [f"{name} is finished, and no two people said so" for name in evidence.rows(sql, into=str)]
    sql = "SELECT count(*), coalesce(sum(amount), 0) FROM item WHERE id NOT IN (SELECT item FROM resolution)"
    [(count, total)] = evidence.rows(sql, into=lambda *row: row)
    resolved = evidence.number("SELECT count(*) FROM resolution")
    return f"{count} items of {format_fen(total)} wait, {resolved} were resolved", objections


def _liveness(evidence: Evidence, told: Circumstances) -> tuple[str, list[str]]:
    """What has not arrived yet; once all faults are over and everybody had time, nothing may be left."""
    waiting = [
        (evidence.number("SELECT count(*) FROM tap") - evidence.number(f"SELECT count(*) FROM {_PULLED}"),
         "taps not read by the ledger"),
        (evidence.number("SELECT coalesce(sum(max(heard_seq - next_seq + 1, 0)), 0) FROM journal WHERE quarantined "
                         "IS NULL AND NOT EXISTS (SELECT 1 FROM finished WHERE finished.terminal = journal.terminal "
                         "AND finished.epoch = journal.epoch)"), "taps that terminals have told of"),
        (evidence.number("SELECT count(*) FROM load JOIN cursor ON source = 'topup' WHERE load.position > "
                         "cursor.position"), "load events not read by the ledger"),
        (evidence.number("SELECT count(*) FROM opening WHERE position > coalesce((SELECT position FROM cursor WHERE "
                         "source = 'onecard'), 0)"), "openings not read by the ledger"),
    ]  # fmt: skip
    sql = "SELECT terminal, epoch, next_seq - 1 FROM journal"
    here = {(terminal, epoch): count for terminal, epoch, count in evidence.rows(sql, into=lambda *row: row)}
    unsent = sum(max(len(records) - here.get(key, 0), 0) for key, records in told.journals.items())
    waiting.append((unsent, "taps that journals have and the server lacks"))
    words = [f"{count} {what}" for count, what in waiting if count]
    return "; ".join(words) or "everything has arrived", words if told.healed else []


def _closes(evidence: Evidence) -> tuple[str, list[str]]:
    """Shift reports against the taps in their range, closed days against their entries, balances against all days."""
    objections: list[str] = []
    for stream, report in evidence.reports:
        name = f"shift {report.number} of {report.terminal.hex()}-{report.epoch}"
        sql = """
            SELECT kind, outcome, count(*), sum(amount), sum(subsidy), sum(credit) FROM tap
            WHERE stream = ? AND terminal = ? AND epoch = ? AND seq >= ? AND seq < ? GROUP BY kind, outcome
        """
        span = (report.first_seq, report.next_seq)
        found: dict[tuple[TapKind, Outcome], Sum] = {}
        whose = (stream.label, report.terminal, report.epoch)
        for kind, outcome, *found_sums in evidence.rows(sql, (*whose, *span), into=lambda *row: row):
            found[TapKind(kind), Outcome(outcome)] = Sum(*found_sums)
        here = sum(of.count for of in found.values())
        if here == span[1] - span[0] and dict(report.taps) != found:
            objections.append(f"{name} reports other sums than its taps come to")
        elif here > span[1] - span[0]:
            objections.append(f"{name}: there are {here} taps in its range")
    last = evidence.number("SELECT coalesce(max(day), 0) FROM day_close")
    totals = """
        SELECT posting.day, account, entry.kind, sum(max(posting.amount, 0)), sum(max(-posting.amount, 0))
        FROM posting JOIN entry ON entry.id = posting.entry WHERE posting.day <= ? GROUP BY 1, 2, 3
    """
    kept = set(evidence.rows("SELECT day, account, kind, debit, credit FROM day_total", into=lambda *row: row))
    for day, account, kind, *_ in set(evidence.rows(totals, (last,), into=lambda *row: row)) ^ kept:
        objections.append(f"day {day}, account {account}, kind {kind}: its entries do not come to its total")
    sums = "SELECT account, coalesce(sum(amount), 0) FROM posting WHERE day <= ? GROUP BY account"
    kept_balances = "SELECT account, balance FROM day_balance WHERE day = ?"
    balances = dict(evidence.rows(kept_balances, (last,), into=lambda *row: row))
    for account, balance in evidence.rows(sums, (last,), into=lambda *row: row):
        if balances.get(account, 0) != balance:
            objections.append(f"account {account} closed day {last} with another balance than its postings make")
    objections += _kept_sums(evidence, last)
    days = evidence.number("SELECT count(*) FROM day_close")
    return f"{len(evidence.reports)} shift reports, {days} closed days", objections


def _kept_sums(evidence: Evidence, last: int) -> Iterable[str]:
    """What was rolled up when days were closed: purses as of the last one, each day's takings and statements."""
    sql = """
        SELECT card FROM (
            SELECT purse AS card, -sum(amount) AS balance FROM posting
            WHERE purse IS NOT NULL AND day <= ? GROUP BY purse
            UNION ALL SELECT card, -balance FROM purse
        ) GROUP BY card HAVING sum(balance) <> 0
    """
    for card in evidence.rows(sql, (last,), into=bytes):
        yield f"purse {_masked(card)} is kept with another balance than its postings make"
    sql = f"""
        SELECT day FROM (
            SELECT day, -sum(net) AS owed, -sum(net + fee) AS earned FROM statement GROUP BY day
            UNION ALL SELECT day, 0, sum(gross - back + corrected) FROM taken GROUP BY day
            UNION ALL SELECT day, sum(credit - debit), 0 FROM day_total WHERE account = {_MERCHANTS} GROUP BY day
        ) GROUP BY day HAVING sum(owed) <> 0 OR sum(earned) <> 0
    """
    for day in evidence.rows(sql, into=int):
        yield f"day {day}: merchants' statements, terminals' takings and the merchants' account do not agree"


def _sums(evidence: Evidence, sql: str) -> dict[bytes, int]:
    return dict(evidence.rows(sql, into=lambda card, total: (card, total)))


def _shown(part: object) -> str:
    """A key's part as an objection may show it: a card's number masked."""
    if isinstance(part, bytes):
        return _masked(part) if len(part) > TERMINAL_ID_BYTES else part.hex()
    return str(part)


def _masked(card: bytes) -> str:
    return str(CardId.from_bytes(card))


def signed(amount_fen: int) -> str:
    """An amount that ought not to be below zero, but may be."""
    return f"{'-' if amount_fen < 0 else ''}{format_fen(abs(amount_fen))}"
