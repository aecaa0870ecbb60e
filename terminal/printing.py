"""Receipts and reports on their way to paper: none is lost without a word, and none delays the till.

A receipt whose customer has gone is not printed when the printer comes back, but kept in a list by its tap's number,
over restarts too; on demand it is printed from the journal and marked as a copy. Left out: what stands on it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from drivers.devicefaults import DeviceFault, PaperOut
from drivers.printer import Line, ReceiptPrinter
from terminal.journal import JournalReader
from terminal.receipts import Form, cash_receipt, has_receipt, receipt, report
from terminal.result import Approved, CashTaken, Refunded, Result, Reversed, ShiftClosed, ShiftReported
from wire.configuration import Configuration
from wire.errors import CampusError
from wire.record import TapRecord

WAITING_MAX: Final = 64  # receipts before the printer: more than a minute's customers
UNPRINTED_MAX: Final = 5_000  # numbers kept; above that the oldest is to be found in the journal alone
STALE_S: Final = 60.0  # by then the customer has gone
RETRY_S: Final = 2.0
PROBE_S: Final = 10.0  # how often an idle printer is asked for its paper
_END_S: Final = 3.0
_PAGE_TAPS: Final = 500
_LAST_TAPS: Final = 50  # nobody means an older one by "the last"


@dataclass(slots=True)
class _Job:
    """What is to be printed; `copy`: it may have been printed before. `seq` None: no tap's."""

    lines: Callable[[Form, bool], list[Line]]
    seq: int | None
    since_s: float
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Unprinted:
    """What is kept over restarts: every tap before `next_seq` was printed, needs no paper, or is in `seqs`."""

    epoch: int
    next_seq: int
    seqs: tuple[int, ...] = field(default=())

    def to_json(self) -> str:
        """As the file has it."""
        return json.dumps({"epoch": self.epoch, "next_seq": self.next_seq, "unprinted": list(self.seqs)}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Unprinted | None:
        """The inverse; None for anything else."""
        try:
            match json.loads(text):
                case {"epoch": int(epoch), "next_seq": int(next_seq), "unprinted": list(seqs)} if next_seq > 0 and all(
                    isinstance(seq, int) and 0 < seq < next_seq for seq in seqs
                ):
                    return cls(epoch, next_seq, tuple(seqs))
        except ValueError:
            pass
        return None

    def done(self, seq: int) -> Unprinted:
        """The same, once this tap is on paper."""
        return replace(
            self, next_seq=max(self.next_seq, seq + 1), seqs=tuple(kept for kept in self.seqs if kept != seq)
        )

    def kept(self, seq: int) -> Unprinted:
        """The same, once this tap's receipt has to wait for somebody to ask for it."""
        seqs = tuple(sorted({*self.seqs, seq}))[-UNPRINTED_MAX:]
        return replace(self, next_seq=max(self.next_seq, seq + 1), seqs=seqs)


class Printing:
    """The printer's thread. `every`: a receipt after each sale; otherwise when it is asked for."""

    def __init__(
        self,
        printer: ReceiptPrinter,
        *,
        form: Form,
        journal: Path,
        every: bool,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._printer = printer
        self._form = form
        self._journal = journal
        self._file = journal.with_name("receipts.json")
        self._every = every
        self._monotonic_s = monotonic_s
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._fresh: dict[int, Approved | Reversed | Refunded] = {}  # never printed, in this run
        self._asked: deque[int] = deque()
        self._state: Unprinted | None = None
        self._fault: DeviceFault | None = None
        self._paper_low = False
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def name_shop(self, configuration: Configuration | None) -> None:
        """Whose receipts these are, from now on."""
        if configuration is None:
            return
        merchant, outlet = configuration.merchant_name, configuration.outlet_name
        if (merchant, outlet) != (self._form.merchant, self._form.outlet):
            self._form = replace(self._form, merchant=merchant, outlet=outlet)

    def ended(self, result: Result) -> None:
        """What a command came to; printed if that is wanted."""
        match result:
            case Approved(record) | Reversed(record) | Refunded(record) if has_receipt(record):
                with self._changed:
                    self._fresh[record.tap_id.seq] = result
                    while len(self._fresh) > WAITING_MAX:
                        del self._fresh[next(iter(self._fresh))]
                if self._every:
                    self._put(self._job_of(record, result, copy=False))
            case CashTaken(number, amount_fen, at) if self._every:
                self._put(self._report_job(lambda form, _: cash_receipt(number, amount_fen, form, at)))
            case ShiftReported(totals):
                self._put(self._report_job(lambda form, _: report(totals, form)))
            case ShiftClosed(totals, counted_cash_fen, closed_at):
                self._put(
                    self._report_job(
                        lambda form, _: report(totals, form, counted_cash_fen=counted_cash_fen, closed_at=closed_at)
                    )
                )

    def ask(self, *seqs: int) -> None:
        """Print the receipts of these taps, as copies unless they were never printed.

        One that has none is left out, but for the last tap of all: then it is the last that has one.
        """
        with self._changed:
            self._asked.extend(seqs[:UNPRINTED_MAX])
            self._changed.notify()

    def unprinted(self) -> tuple[int, ...]:
        """The taps whose receipts were wanted and are not on paper."""
        state = self._state
        return () if state is None else state.seqs

    def notices(self) -> tuple[tuple[str, str], ...]:
        """Names of codes, and why: what is wrong with the printer, and how many receipts are kept."""
        found = []
        fault = self._fault
        if fault is not None:
            name = "printer-no-paper" if isinstance(fault, PaperOut) else "printer-offline"
            found.append((name, f"{fault} [{fault.code}]"))
        elif self._paper_low:
            found.append(("printer-paper-low", "the printer's paper nears its end"))
        if kept := self.unprinted():
            found.append(("receipts-unprinted", f"{len(kept)}, the last of tap {kept[-1]}"))
        return tuple(found)

    def close(self) -> None:
        """End the thread; what waits is in the kept list at the next start."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(_END_S)

    def _job_of(self, record: TapRecord, result: Result | None, *, copy: bool) -> _Job:
        sold = result.sold if isinstance(result, Approved) else None
        return _Job(
            lambda form, copy: receipt(record, form, sold=sold, copy=copy),
            record.tap_id.seq,
            self._monotonic_s(),
            copy,
        )

    def _report_job(self, lines: Callable[[Form, bool], list[Line]]) -> _Job:
        return _Job(lines, None, self._monotonic_s())

    def _put(self, job: _Job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def _run(self) -> None:
        self._begin()
        next_look_s = self._monotonic_s()
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ending or self._asked or (self._jobs and self._fault is None),
                    timeout=max(next_look_s - self._monotonic_s(), 0),
                )
                if self._ending:
                    return
                asked = list(self._asked)
                self._asked.clear()
            self._look_up(asked)
            self._shelve()
            is_time = self._monotonic_s() >= next_look_s
            job = next(iter(self._jobs), None)
            if job is not None and (is_time or self._fault is None):
                self._print(job)
            elif is_time:
                self._probe()
            else:
                continue
            next_look_s = self._monotonic_s() + (PROBE_S if self._fault is None else RETRY_S)

    def _begin(self) -> None:
        """What an earlier run could not print, by its file; and what it sealed and had no time for."""
        with contextlib.suppress(CampusError):  # the journal's own trouble is told by those who sell
            journal = JournalReader.open(self._journal)
            try:
                head = journal.head().seq
                state = self._read(journal.epoch)
                if state is None or state.next_seq > head + 1 or not self._every:
                    self._save(Unprinted(journal.epoch, head + 1, () if state is None else state.seqs))
                    return
                for first_seq in range(state.next_seq, head + 1, _PAGE_TAPS):
                    for record in journal.records(first_seq, min(_PAGE_TAPS, head + 1 - first_seq)):
                        if record.tap_id.seq not in self._fresh and has_receipt(record):
                            state = state.kept(record.tap_id.seq)
                with self._changed:  # what this run has sealed already is not dealt with yet
                    next_seq = min([head + 1, *self._fresh])
                self._save(replace(state, next_seq=next_seq))
            finally:
                journal.close()

    def _read(self, epoch: int) -> Unprinted | None:
        try:
            state = Unprinted.from_json(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if state is not None and state.epoch == epoch else None

    def _save(self, state: Unprinted) -> None:
        """Keep it; on a full disk for this run alone. After a power cut a receipt may be offered again, as a copy."""
        if state == self._state:
            return
        self._state = state
        draft = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            draft.write_text(state.to_json(), encoding="utf-8")
            draft.replace(self._file)

    def _look_up(self, seqs: list[int]) -> None:
        """Make jobs of what was asked for: from this run if it was never printed, else from the journal."""
        for asked in seqs:
            seq = self._with_receipt(asked)
            with self._changed:
                fresh, waits = self._fresh.get(seq), any(job.seq == seq for job in self._jobs)
            if fresh is not None and not waits:
                self._put(self._job_of(fresh.record, fresh, copy=False))
            elif not waits and (record := self._recorded(seq)) is not None:
                self._put(self._job_of(record, None, copy=True))

    def _with_receipt(self, seq: int) -> int:
        """This tap; or the last one that has a receipt, if this is the last of all and has none."""
        with contextlib.suppress(CampusError):
            journal = JournalReader.open(self._journal)
            try:
                if seq == journal.head().seq > 0:
                    first_seq = max(seq - _LAST_TAPS, 1)
                    found = [one for one in journal.records(first_seq, seq + 1 - first_seq) if has_receipt(one)]
                    return found[-1].tap_id.seq if found else seq
            finally:
                journal.close()
        return seq

    def _recorded(self, seq: int) -> TapRecord | None:
        with contextlib.suppress(CampusError):
            journal = JournalReader.open(self._journal)
            try:
                found = journal.records(seq, 1) if seq > 0 else []
            finally:
                journal.close()
            if found and found[0].tap_id.seq == seq and has_receipt(found[0]):
                return found[0]
        return None

    def _shelve(self) -> None:
        """Put what nobody waits for any more into the kept list: receipts that are late, or too many."""
        now_s = self._monotonic_s()
        with self._changed:
            receipts = [job for job in self._jobs if job.seq is not None]
            late = [job for job in receipts if self._fault is not None and now_s - job.since_s > STALE_S]
            shelved = late or receipts[: max(len(receipts) - WAITING_MAX, 0)]
            for job in shelved:
                self._jobs.remove(job)
        for job in shelved:
            self._settle(job.seq, printed=False)

    def _print(self, job: _Job) -> None:
        try:
            if (fault := self._printer.status().fault) is not None:
                raise fault
            copy, job.copy = job.copy, True  # from here on some of it may be on paper
            self._note(self._printer.print(job.lines(self._form, copy)).paper_near_end)
        except DeviceFault as fault:
            self._fault = fault
            return
        with self._changed:
            self._jobs.remove(job)
        self._settle(job.seq, printed=True)

    def _settle(self, seq: int | None, *, printed: bool) -> None:
        if seq is None or self._state is None:
            return
        with self._changed:
            self._fresh.pop(seq, None)
        self._save(self._state.done(seq) if printed else self._state.kept(seq))

    def _probe(self) -> None:
        try:
            status = self._printer.status()
        except DeviceFault as fault:
            self._fault = fault
            return
        self._note(status.paper_near_end)
        self._fault = status.fault

    def _note(self, paper_low: bool) -> None:
        self._fault, self._paper_low = None, paper_low
