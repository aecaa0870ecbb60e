"""What stands on paper: receipts of taps, and the shift's reports, as lines for a printer. Pure. Left out: printing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.printer import Line, fold, spread
from terminal.basket import Offer
from terminal.result import masked
from terminal.totals import ShiftTotals
from terminal.words import WORDS
from terminal.words.catalogue import Language
from wire.configuration import Name
from wire.money import Fen, format_fen
from wire.record import NO_TAC, Outcome, TapKind, TapRecord, TapTime

_TIME: Final = "%Y-%m-%d %H:%M:%S"
_TITLES: Final = {
    TapKind.SALE: "receipt_title",
    TapKind.REVERSAL: "receipt_reversal_title",
    TapKind.REFUND: "receipt_refund_title",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How it is printed, and at which till; no names: none came down yet."""

    columns: int
    languages: tuple[Language, ...]
    terminal: str
    merchant: Name | None = None
    outlet: Name | None = None

    def words(self, key: str) -> str:
        """One text of the catalogue, in each language."""
        return " ".join(str(getattr(WORDS[language], key)) for language in self.languages)

    def name(self, name: Name) -> str:
        """What somebody or something is called."""
        both = [name.zh if language is Language.ZH_HANS else name.english for language in self.languages]
        return " ".join(dict.fromkeys(both))

    def row(self, key: str, value: str) -> list[Line]:
        """A text of the catalogue on the left, a value on the right."""
        return [Line(text) for text in spread(self.words(key), value, self.columns)]


def has_receipt(record: TapRecord) -> bool:
    """Whether money moved or is owed by this tap, so that somebody may want it on paper."""
    return record.kind in _TITLES and record.outcome is Outcome.DEBITED


def receipt(record: TapRecord, form: Form, *, sold: Offer | None = None, copy: bool = False) -> list[Line]:
    """A tap's receipt; `copy`: it may have been printed before."""
    price_fen = Fen(record.amount_fen + record.subsidy_fen)
    lines = _head(form)
    lines.append(Line(form.words(_TITLES[record.kind]), bold=True, centred=True))
    if copy:
        lines.append(Line(f"*** {form.words('receipt_copy')} ***", bold=True, centred=True))
    lines += form.row("receipt_terminal", form.terminal)
    lines += form.row("receipt_time", record.opened_at.local().strftime(_TIME))
    lines += form.row("receipt_card", masked(record.card))
    lines += [Line(text) for text in spread("No.", str(record.tap_id.seq), form.columns)]
    lines.append(_rule(form))
    if record.kind is TapKind.SALE:
        lines += _sale(record, form, sold, price_fen)
    else:
        lines += form.row("receipt_credit", format_fen(record.credit_fen))
        lines.append(Line(form.words("receipt_credit_note")))
    lines += form.row("receipt_left", format_fen(Fen(max(record.balance_before_fen - record.amount_fen, 0))))
    if record.tac != NO_TAC:
        lines += [Line(text) for text in spread("TAC", record.tac.hex().upper(), form.columns)]
    return [*lines, Line(form.words("receipt_thanks"), centred=True)]


def cash_receipt(number: int, amount_fen: Fen, form: Form, at: TapTime) -> list[Line]:
    """A cash sale's receipt."""
    lines = [*_head(form), Line(form.words("receipt_title"), bold=True, centred=True)]
    lines += form.row("receipt_terminal", form.terminal)
    lines += form.row("receipt_time", at.local().strftime(_TIME))
    lines += [Line(text) for text in spread("No.", f"C{number}", form.columns)]
    lines += form.row("report_cash", format_fen(amount_fen))
    return [*lines, Line(form.words("receipt_thanks"), centred=True)]


def report(
    totals: ShiftTotals, form: Form, *, counted_cash_fen: Fen | None = None, closed_at: TapTime | None = None
) -> list[Line]:
    """The X-report, or with what was counted the Z-report."""
    closed = counted_cash_fen is not None
    title = "z_report" if closed else "x_report"
    lines = _head(form) + [Line(str(getattr(WORDS[language], title)), bold=True) for language in form.languages]
    lines += form.row("receipt_terminal", form.terminal)
    lines += [Line(text) for text in spread("No.", str(totals.number), form.columns)]
    lines += form.row("receipt_card", masked(totals.cashier))
    lines += form.row("receipt_time", totals.opened_at.local().strftime(_TIME))
    if closed_at is not None:
        lines += form.row("receipt_time", closed_at.local().strftime(_TIME))
    lines.append(_rule(form))
    sales = totals.of(TapKind.SALE, Outcome.DEBITED)
    lines += _sum(form, "report_sales", sales.count, sales.amount_fen + sales.subsidy_fen)
    lines += form.row("report_subsidy", format_fen(Fen(sales.subsidy_fen)))
    unknown = [part for (_, outcome), part in totals.taps.items() if outcome is Outcome.UNKNOWN]
    lines += _sum(
        form,
        "report_unknown",
        sum(part.count for part in unknown),
        sum(part.amount_fen + part.subsidy_fen for part in unknown),
    )
    for kind, key in ((TapKind.REVERSAL, "report_reversals"), (TapKind.REFUND, "report_refunds")):
        part = totals.of(kind, Outcome.DEBITED)
        lines += _sum(form, key, part.count, part.credit_fen + part.subsidy_fen)
    for outcome, key in ((Outcome.REFUSED, "report_refused"), (Outcome.VOIDED, "report_voided")):
        count = sum(part.count for (_, ended), part in totals.taps.items() if ended is outcome)
        lines += form.row(key, str(count))
    lines += form.row("report_sign_ons", str(totals.of(TapKind.SIGN_ON, Outcome.DEBITED).count))
    lines.append(_rule(form))
    lines += form.row("report_opening", format_fen(totals.opening_cash_fen))
    lines += _sum(form, "report_cash", totals.cash_count, totals.cash_fen)
    lines += form.row("report_expected", format_fen(Fen(totals.expected_cash_fen)))
    if counted_cash_fen is not None:
        lines += form.row("report_counted", format_fen(counted_cash_fen))
        lines += form.row("report_difference", signed(counted_cash_fen - totals.expected_cash_fen))
    return lines


def signed(fen: int) -> str:
    """A difference as text, with its sign."""
    return ("-" if fen < 0 else "+" if fen else "") + format_fen(Fen(abs(fen)))


def _head(form: Form) -> list[Line]:
    lines = []
    if form.merchant is not None:
        lines += [Line(text, double=True, centred=True) for text in fold(form.merchant.zh, form.columns // 2)]
    if form.outlet is not None:
        lines += [Line(text, centred=True) for text in fold(form.name(form.outlet), form.columns)]
    return lines


def _sale(record: TapRecord, form: Form, sold: Offer | None, price_fen: Fen) -> list[Line]:
    lines = []
    if sold is not None:
        card_class = _class_that_pays(sold, price_fen)
        for line in sold.lines:
            if line.name is None:
                continue
            value = format_fen(Fen(line.fen(card_class)))
            count = f" x{line.count}" if line.count > 1 else ""
            lines += [Line(text) for text in spread(form.name(line.name) + count, value, form.columns)]
        lines += [_rule(form)] if lines else []
    lines += form.row("receipt_total", format_fen(price_fen))
    if record.subsidy_fen:
        lines += form.row("receipt_subsidy", f"-{format_fen(record.subsidy_fen)}")
    value = format_fen(record.amount_fen)
    return lines + [Line(text, bold=True) for text in spread(form.words("receipt_paid"), value, form.columns)]


def _class_that_pays(sold: Offer, price_fen: Fen) -> int | None:
    """A card class that pays this for what was sold; the record does not tell which one it was."""
    classes = {price.card_class for line in sold.lines for price in line.class_prices}
    return next((one for one in (None, *sorted(classes)) if sold.fen(one) == price_fen), None)


def _sum(form: Form, key: str, count: int, fen: int) -> list[Line]:
    return form.row(key, f"{count} / {format_fen(Fen(fen))}")


def _rule(form: Form) -> Line:
    return Line("-" * form.columns)
