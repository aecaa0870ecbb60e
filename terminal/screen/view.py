"""What the middle of the screen says at any moment, in one language: colour, headline, big amount, sentences. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from drivers.channel import CardMute
from terminal.basket import Line, Mode, Offer
from terminal.errands import OpeningShift, Refunding, SigningOn, Undoing
from terminal.events import Phase, Trouble
from terminal.result import (
    Approved,
    BalanceRead,
    CashTaken,
    NotPaid,
    ProofRefused,
    Refunded,
    Refused,
    Result,
    Reversed,
    ShiftClosed,
    ShiftOpened,
    ShiftReported,
    SignedOn,
    StillThere,
    Torn,
    Trained,
    Unresolved,
    WrongCard,
    masked,
)
from terminal.screen.entry import Page, Typed
from terminal.screen.report import balance_rows, x_rows, z_rows
from terminal.screen.shown import Shown
from terminal.standing import DeviceNotice
from terminal.words import WORDS
from terminal.words.catalogue import Language, Words
from terminal.words.codes import CODES, Code, code_of, found
from wire.configuration import Name, StaffRole
from wire.money import Fen, format_fen
from wire.record import NO_TAC, Refusal


class Tone(Enum):
    """What a colour means; the word beside it says the same."""

    CALM = auto()
    ASK = auto()
    BUSY = auto()
    GOOD = auto()
    BAD = auto()
    AGAIN = auto()


# Before each headline, for whoever tells no green from red.
MARKS: Final = {Tone.CALM: "", Tone.ASK: "", Tone.BUSY: "", Tone.GOOD: "✔ ", Tone.BAD: "✘ ", Tone.AGAIN: "! "}
_SECRET: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`figure` is drawn in big digits, faint while it is nothing yet; `second` stands beside its label; `rows` is a
    table whose last rows matter most; `small` is for the technician.
    """

    tone: Tone
    headline: str
    label: str = ""
    figure: str = ""
    second_label: str = ""
    second: str = ""
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    small: tuple[str, ...] = ()
    note: str = ""
    faint: bool = False


def view_of(shown: Shown, typed: Typed, page: Page, language: Language) -> View:
    """The one thing to be shown now."""
    speaker = _Speaker(WORDS[language], language)
    if page is not Page.SALE:
        return speaker.page(page, typed)
    view = speaker.state(shown)
    if typed.text and shown.torn is None:
        view = speaker.typing(shown, typed)
    if typed.problem is not None:
        return replace(view, note=getattr(speaker.words, typed.problem.name))
    return view if view.note or shown.standing is None else replace(view, note=speaker.devices(shown.standing.devices))


class _Speaker:
    """One language."""

    def __init__(self, words: Words, language: Language) -> None:
        self.words = words
        self._language = language

    def state(self, shown: Shown) -> View:
        """What the till says by itself, the gravest first."""
        if shown.failure is not None:
            return self._advice(Tone.BAD, code_of(_fault_code(shown.failure), "journal-unwritable"), shown.failure)
        if shown.working:
            return self._amounts(shown, Tone.BUSY, self.words.working, self.words.working_hint)
        if shown.reader_fault is not None:
            return self._trouble(shown.reader_fault, "reader-fault")
        if shown.card_silent:
            return self._advice(Tone.AGAIN, code_of(CardMute.code, "not-paid"))
        if shown.torn is not None and (shown.giving_up or not isinstance(shown.result, Torn | WrongCard)):
            return self._torn(shown)
        if shown.notice is not None:
            return self._noticed(shown)
        if shown.result is not None:
            return self._result(shown.result, shown)
        if shown.verdict is not None and shown.phase is Phase.NOTHING:
            view = self._advice(Tone.BAD, code_of(shown.verdict.code, "verdict"))
            return replace(view, lines=(*view.lines, self.words.server_code.format(code=shown.verdict.code)))
        if shown.psam_fault is not None:
            return self._trouble(shown.psam_fault, "psam-lost")
        return self._waiting(shown)

    def typing(self, shown: Shown, typed: Typed) -> View:
        """Something is half typed: it stands in the big digits."""
        calm = replace(shown, result=None, notice=None, doubted=False)
        base = self._waiting(calm)
        text = _SECRET * len(typed.text) if shown.phase is Phase.PIN else typed.text
        if shown.phase in (Phase.AMOUNT, Phase.CARD):
            prompt = _PROMPTS[shown.mode]
            headline = getattr(self.words, prompt) if shown.mode is not Mode.MEALS else self._meal(shown)
            return replace(base, tone=Tone.CALM, headline=headline, figure=text, label="", lines=(), faint=False)
        return replace(base, figure=text, label="", faint=False)

    def page(self, page: Page, typed: Typed) -> View:
        """The screen's own pages."""
        words = self.words
        if page is Page.HELP:
            return self._help(typed.text)
        if page is Page.REFUND_SEQ:
            return View(tone=Tone.ASK, headline=words.refund_seq, figure=typed.text, lines=(words.refund_seq_hint,))
        if page is Page.RECEIPT_SEQ:
            return View(tone=Tone.CALM, headline=words.receipt_seq, figure=typed.text, lines=(words.receipt_seq_hint,))
        if page is Page.MODES:
            names = (words.mode_free, words.mode_fixed, words.mode_products, words.mode_meals)
            rows = tuple((f" {number}   {name}",) for number, name in enumerate(names, start=1))
            return View(tone=Tone.CALM, headline=words.modes, rows=rows, lines=(words.menu_hint,))
        lines = (
            words.menu_balance,
            words.menu_undo,
            words.menu_refund,
            words.menu_cash,
            words.menu_x_report,
            words.menu_close_shift,
            words.menu_mode,
            words.menu_language,
            words.menu_training,
            words.menu_help,
        )
        rows = tuple((f" {number % 10}   {line}",) for number, line in enumerate(lines, start=1))
        rows = (*rows, (f" .   {words.menu_receipt}",))
        return View(tone=Tone.CALM, headline=words.menu, rows=rows, lines=(words.menu_hint,))

    def devices(self, notices: tuple[DeviceNotice, ...]) -> str:
        """What does not work around the till, each with its number."""
        codes = [code_of(notice.code, "printer-offline") for notice in notices]
        told = [
            f"{code.advice(self._language).headline} {self.words.code.format(number=code.number)}" for code in codes
        ]
        return "; ".join(told)

    def _help(self, digits: str) -> View:
        words, matches = self.words, found(digits)
        headline = f"{words.help} {digits}"
        if len(matches) == 1:
            advice = matches[0].advice(self._language)
            lines = (
                f"{matches[0].number}  {advice.headline}",
                f"{words.help_cashier}: {advice.cashier}",
                f"{words.help_technician}: {advice.technician}",
            )
            return View(tone=Tone.CALM, headline=headline, lines=lines, small=(matches[0].name,))
        if not matches:
            return View(tone=Tone.CALM, headline=headline, lines=(words.help_none, words.help_hint))
        if not digits:
            rows = tuple((f" {first}xx  {getattr(words, f'help_{first}')}",) for first in _hundreds())
            return View(tone=Tone.CALM, headline=words.help, rows=rows, lines=(words.help_hint,))
        rows = tuple((f" {code.number}  {code.advice(self._language).headline}",) for code in matches)
        return View(tone=Tone.CALM, headline=headline, rows=rows, lines=(words.help_hint,))

    def _waiting(self, shown: Shown) -> View:
        words = self.words
        match shown.phase:
            case Phase.AMOUNT:
                return self._asking(shown)
            case Phase.CARD:
                return self._asking_card(shown)
            case Phase.PIN | Phase.STAFF_CARD:
                return self._signing(shown)
            case Phase.OPENING_CASH:
                named = shown.errand.name if isinstance(shown.errand, OpeningShift) else ""
                lines = (*((words.signed_on.format(name=named),) if named else ()), words.opening_cash_hint)
                return View(tone=Tone.ASK, headline=words.opening_cash, figure="0", faint=True, lines=lines)
            case Phase.COUNTED_CASH:
                return View(
                    tone=Tone.ASK, headline=words.counted_cash, figure="0", faint=True, lines=(words.counted_cash_hint,)
                )
            case Phase.UNDO_CARD if isinstance(shown.errand, Undoing):
                sale = shown.errand.sale
                amount = format_fen(sale.amount_fen)
                hint = words.undo_card_hint.format(amount=amount, seq=sale.tap_id.seq)
                lines = (hint, words.wanted_card.format(card=masked(sale.card)))
                return View(tone=Tone.ASK, headline=words.undo_card, figure=amount, lines=lines)
            case Phase.REFUND_AMOUNT:
                return View(
                    tone=Tone.ASK,
                    headline=words.refund_amount,
                    figure="0.00",
                    faint=True,
                    lines=(words.refund_amount_hint,),
                )
            case Phase.REFUND_CARD if isinstance(shown.errand, Refunding):
                figure = format_fen(shown.errand.credit_fen or 0)
                return View(tone=Tone.ASK, headline=words.refund_card, figure=figure, lines=(words.refund_card_hint,))
            case Phase.BALANCE_CARD:
                return View(tone=Tone.ASK, headline=words.balance_card, lines=(words.balance_card_hint,))
        return View(tone=Tone.BAD, headline=words.stopped)

    def _asking(self, shown: Shown) -> View:
        words = self.words
        if shown.offer is not None:  # a basket that waits for the cashier's word
            return replace(self._asking_card(shown), tone=Tone.AGAIN, lines=(words.confirm_hint,))
        if shown.mode is Mode.MEALS:
            return View(tone=Tone.CALM, headline=words.type_meals_none)
        if shown.mode is Mode.PRODUCTS:
            rows = tuple(
                (f"{product.number:>3}  {self._named(product.name)}", format_fen(product.amount_fen))
                for product in shown.products
            )
            return View(tone=Tone.CALM, headline=words.pick_product, rows=rows)
        return View(tone=Tone.CALM, headline=getattr(words, _PROMPTS[shown.mode]), figure="0.00", faint=True)

    def _asking_card(self, shown: Shown) -> View:
        if shown.card_lies:
            return replace(self._amounts(shown, Tone.AGAIN, "", ""), headline=self._headline("still-there"))
        meals = shown.mode is Mode.MEALS
        return self._amounts(shown, Tone.ASK, self._meal(shown) if meals else self.words.present_card, "")

    def _meal(self, shown: Shown) -> str:
        if shown.period is None:
            return self.words.type_meals_none
        return self.words.type_meals.format(meal=self._named(shown.period.name))

    def _amounts(self, shown: Shown, tone: Tone, headline: str, hint: str) -> View:
        """An offer with its lines, and all prices it may come to."""
        hints = (hint,) if hint else ()
        offer = shown.offer
        if offer is None or shown.errand is not None or shown.torn is not None:
            return View(tone=tone, headline=headline, lines=hints)
        prices = [format_fen(price) for price in offer.prices_fen]
        if len(prices) > 1:
            hints = (self.words.several_prices.format(prices=" / ".join(prices)), *hints)
        label = self.words.total if offer.mode is Mode.PRODUCTS else ""
        if offer.mode is Mode.MEALS:
            label = self.words.meals.format(count=offer.meals)
        return View(
            tone=tone,
            headline=headline,
            label=label,
            figure=format_fen(offer.fen(None)),
            lines=hints,
            rows=tuple(self._basket_row(line) for line in offer.lines) if offer.mode is Mode.PRODUCTS else (),
        )

    def _basket_row(self, line: Line) -> tuple[str, ...]:
        if line.name is None:
            return (self.words.typed_amount, format_fen(line.fen(None)))
        return (f"{line.count} x {self._named(line.name)}", format_fen(line.fen(None)))

    def _named(self, name: Name) -> str:
        return name.zh if self._language is Language.ZH_HANS else name.english

    def _signing(self, shown: Shown) -> View:
        words = self.words
        cashier = isinstance(shown.errand, SigningOn) and shown.errand.role is StaffRole.CASHIER
        if shown.phase is Phase.PIN:
            headline = words.pin_cashier if cashier else words.pin_supervisor
            return View(tone=Tone.CALM, headline=headline, lines=(words.pin_hint,))
        headline = words.staff_card_cashier if cashier else words.staff_card_supervisor
        return View(tone=Tone.ASK, headline=headline, lines=(words.staff_card_hint,))

    def _torn(self, shown: Shown) -> View:
        words, tap = self.words, shown.torn
        assert tap is not None, "asked only while a torn tap is open"
        amount = format_fen(tap.amount_fen)
        if shown.giving_up:
            return View(tone=Tone.AGAIN, headline=words.give_up, figure=amount, lines=(words.give_up_hint,))
        hint = words.same_card_hint.format(amount=amount, card=masked(tap.card), seq=tap.tap_id.seq)
        view = self._advice(Tone.AGAIN, code_of("torn", "torn"))
        return replace(view, figure=amount, lines=(hint, *view.lines))

    def _noticed(self, shown: Shown) -> View:
        assert shown.notice is not None, "asked only with a notice"
        base = self._waiting(replace(shown, notice=None))
        code = code_of(shown.notice.value, "nothing-to-confirm")
        return replace(base, note=f"{self._headline(code.name)}  {self.words.code.format(number=code.number)}")

    def _headline(self, name: str) -> str:
        return code_of(name, name).advice(self._language).headline

    def _result(self, result: Result, shown: Shown) -> View:
        match result:
            case SignedOn():
                return self._signed_on(shown)
            case Approved() | Reversed() | Refunded() | CashTaken() | ShiftOpened() | Trained():
                return self._good(result)
            case BalanceRead():
                lines = () if result.taps else (self.words.no_taps,)
                if result.subsidy_left_fen:
                    lines = (self.words.subsidy_left.format(amount=format_fen(result.subsidy_left_fen)), *lines)
                return View(
                    tone=Tone.GOOD,
                    headline=self.words.balance,
                    figure=format_fen(result.balance_fen),
                    lines=lines,
                    rows=balance_rows(result, self.words),
                )
            case ShiftReported(totals):
                return View(tone=Tone.CALM, headline=self.words.x_report, rows=x_rows(totals, self.words))
            case ShiftClosed():
                return View(tone=Tone.CALM, headline=self.words.z_report, rows=z_rows(result, self.words))
        return self._not_good(result, shown)

    def _signed_on(self, shown: Shown) -> View:
        """What comes next matters more than the sign-on itself."""
        base = self._waiting(shown)
        opening = isinstance(shown.errand, OpeningShift)
        return base if opening else replace(base, note=self.words.supervisor_ok)

    def _good(self, result: Result) -> View:
        words = self.words
        match result:
            case Approved(record, balance_fen):
                lines = [words.tap_and_card.format(seq=record.tap_id.seq, card=masked(record.card))]
                if record.subsidy_fen:
                    lines = [words.subsidy_paid.format(amount=format_fen(record.subsidy_fen)), *lines]
                return self._paid(words.approved, record.amount_fen, balance_fen, lines)
            case Reversed(record, balance_fen) | Refunded(record, balance_fen):
                headline = words.reversed if isinstance(result, Reversed) else words.refunded
                note = words.credit_note.format(amount=format_fen(record.credit_fen))
                about = words.tap_and_card.format(seq=record.tap_id.seq, card=masked(record.card))
                return self._paid(headline, record.credit_fen, balance_fen, [note, about], label="")
            case CashTaken(number, amount_fen, _):
                about = words.cash_number.format(number=number)
                return View(tone=Tone.GOOD, headline=words.cash_taken, figure=format_fen(amount_fen), lines=(about,))
            case ShiftOpened(number):
                return View(tone=Tone.GOOD, headline=words.shift_opened.format(number=number))
            case Trained(refusal, _, amount_fen, subsidy_fen, balance_fen):
                if refusal is not None:
                    reason = self._headline(refusal.name)
                    return View(tone=Tone.BAD, headline=words.trained_refused, lines=(reason, words.trained_hint))
                hints = [words.trained_hint]
                if subsidy_fen:
                    hints = [words.subsidy_paid.format(amount=format_fen(subsidy_fen)), *hints]
                return self._paid(words.trained, amount_fen, balance_fen, hints)
        raise AssertionError(f"{type(result).__name__} is nothing good")

    def _paid(
        self, headline: str, amount_fen: Fen, balance_fen: Fen, lines: list[str], *, label: str | None = None
    ) -> View:
        return View(
            tone=Tone.GOOD,
            headline=headline,
            label=self.words.paid if label is None else label,
            figure=format_fen(amount_fen),
            second_label=self.words.left,
            second=format_fen(balance_fen),
            lines=tuple(lines),
        )

    def _not_good(self, result: Result, shown: Shown) -> View:
        words = self.words
        match result:
            case Refused(refusal, card, balance_fen, tries_left):
                view = self._advice(Tone.BAD, code_of(refusal.name, "not-paid"))
                if refusal is Refusal.INSUFFICIENT_BALANCE:
                    view = replace(view, label=words.balance, figure=format_fen(balance_fen))
                extra = [words.card_shown.format(card=masked(card))]
                extra += [] if tries_left is None else [words.tries_left.format(count=tries_left)]
                if shown.asks_to_confirm and refusal is not Refusal.DOUBLE_TAP:  # whose advice says so itself
                    extra.append(words.confirm_hint)
                return replace(view, lines=(view.lines[0], *extra, *view.lines[1:]))
            case ProofRefused(record):
                view = self._advice(Tone.BAD, code_of("proof-refused", "not-paid"))
                about = words.tap_and_card.format(seq=record.tap_id.seq, card=masked(record.card))
                return replace(view, lines=(view.lines[0], about, *view.lines[1:]))
            case NotPaid(why, code):
                view = self._advice(Tone.AGAIN, code_of(code, "not-paid"), why if code else "")
                return replace(view, figure="") if shown.offer is None else self._with_offer(view, shown.offer)
            case Torn(record, _, code):
                name = code if code in _READER_FIRST else "torn"
                view = self._advice(Tone.AGAIN, code_of(name, "torn"))
                about = words.tap_and_card.format(seq=record.tap_id.seq, card=masked(record.card))
                return replace(
                    view, figure=format_fen(record.amount_fen), lines=(view.lines[0], about, *view.lines[1:])
                )
            case WrongCard(wanted):
                view = self._advice(Tone.AGAIN, code_of("wrong-card", "torn"))
                return replace(
                    view, lines=(view.lines[0], words.wanted_card.format(card=masked(wanted)), *view.lines[1:])
                )
            case StillThere():
                return self._advice(Tone.AGAIN, code_of("still-there", "not-paid"))
            case Unresolved(record):
                name = "unresolved" if record.tac == NO_TAC else "unresolved-with-proof"
                view = self._advice(Tone.AGAIN, code_of(name, "unresolved"))
                about = words.tap_and_card.format(seq=record.tap_id.seq, card=masked(record.card))
                return replace(
                    view, figure=format_fen(record.amount_fen), lines=(view.lines[0], about, *view.lines[1:])
                )
        raise AssertionError(f"{type(result).__name__} is shown elsewhere")

    def _with_offer(self, view: View, offer: Offer) -> View:
        return replace(view, figure=format_fen(offer.fen(None)))

    def _trouble(self, trouble: Trouble, otherwise: str) -> View:
        return self._advice(Tone.BAD, code_of(trouble.code, otherwise), trouble.why)

    def _advice(self, tone: Tone, code: Code, why: str = "") -> View:
        """A code's headline and what to do; `why` is the device's own word, for the technician."""
        advice = code.advice(self._language)
        lines = (advice.cashier, self.words.say_code.format(number=code.number))
        small = (f"{self.words.help_technician}: {code.name}{f', {why}' if why else ''}",)
        return View(tone=tone, headline=advice.headline, lines=lines, small=small)


_PROMPTS: Final = {
    Mode.FREE: "type_amount",
    Mode.FIXED: "type_fixed",
    Mode.PRODUCTS: "pick_product",
    Mode.MEALS: "type_meals",
}
# Torn, and the reader itself has to be seen to before any card can help.
_READER_FIRST: Final = frozenset({"reader-stuck"})


def _hundreds() -> list[int]:
    return sorted({code.number // 100 for code in CODES})


def _fault_code(text: str) -> str:
    """The code at the end of a fault's text, `[like-this]`."""
    return text.rpartition("[")[2].rstrip("]")
