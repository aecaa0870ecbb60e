"""The Textual app: draws what `view`, `bars` and `panel` decide, and passes on what is pressed.

Everything here runs on the main thread, but what the till's loop calls (`take`, `finish`, `leave`, `hear`): that leaves
a value and rings, and never waits. A slow terminal makes a late picture, never a late tap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Grid, Horizontal, Vertical
from textual.css.query import NoMatches
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from terminal.events import CashierEvent, Phase
from terminal.result import BalanceRead, ShiftClosed, ShiftReported
from terminal.screen import bars
from terminal.screen.entry import BACKSPACE, BURST_GAP_S, ENTER, ESCAPE, Act, Entry, Page, ReceiptWanted, Wish
from terminal.screen.panel import Ink, Sheet, sheet
from terminal.screen.shown import Shown
from terminal.screen.style import APP_CSS, INKS, PANEL
from terminal.screen.view import Tone, View, view_of
from terminal.words import WORDS
from terminal.words.catalogue import Language

KEYPAD_ROWS_MIN: Final = 15  # of the middle, for five rows of keys with room to hit them
PRODUCT_ROWS_MIN: Final = 24  # of the middle, for product keys below the panel
WIDE, MIDDLE, NARROW = 44, 40, 28  # columns of the keypad
PRODUCT_COLUMNS: Final = 4
PRODUCT_KEY_ROWS: Final = 4
SHOWN_LATE_S: Final = 0.1  # a tap that is done sooner is not worth a picture of its own
_NAMED_KEYS: Final = {"enter": ENTER, "backspace": BACKSPACE, "delete": BACKSPACE, "escape": ESCAPE}
# What stands on each key of the keypad: the key, and the catalogue's word for it.
_KEYPAD: Final = (
    ("7", ""),
    ("8", ""),
    ("9", ""),
    (BACKSPACE, "key_backspace"),
    ("4", ""),
    ("5", ""),
    ("6", ""),
    ("-", "key_cancel"),
    ("1", ""),
    ("2", ""),
    ("3", ""),
    ("+", "key_plus"),
    ("0", ""),
    (".", ""),
    ("*", "key_times"),
    ("/", "key_menu"),
)
# Menu lines that have a key of their own: the digit in the menu, and the catalogue's word.
_ACTS: Final = (("1", "act_balance"), ("2", "act_undo"), ("4", "act_cash"), ("8", "act_language"))


class StdoutDriver(LinuxDriver):
    """Textual draws on standard error; here that is for what goes wrong, and may be a log."""

    def __init__(
        self, app: App[None], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert sys.__stdout__ is not None, "the screen is begun on a terminal alone"
        self._file = sys.__stdout__


class Touched(Message):
    """Somebody touched a key on the screen."""

    def __init__(self, meaning: str) -> None:
        super().__init__()
        self.meaning = meaning


class News(Message):
    """The till's loop has left something to be shown."""


class Over(Message):
    """The till's loop has ended."""


class Key(Static):
    """One key on the screen; `meaning` says what it stands for."""

    can_focus = False

    def __init__(self, meaning: str, classes: str = "") -> None:
        super().__init__("", classes=classes, markup=False)
        self.meaning = meaning

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """At once, not when the finger leaves: greasy fingers slide."""
        event.stop()
        self.add_class("-down")
        self.post_message(Touched(self.meaning))

    def on_mouse_up(self) -> None:
        """The key comes up again."""
        self.remove_class("-down")

    def on_leave(self) -> None:
        """So does it when the finger has slid away."""
        self.remove_class("-down")


class Panel(Widget):
    """The middle of the screen, cell by cell."""

    def __init__(self) -> None:
        super().__init__(id="panel")
        self._view = View(tone=Tone.CALM, headline="")
        self._sheet: Sheet | None = None

    def draw(self, view: View) -> None:
        """Show this from the next picture on."""
        if view != self._view:
            self._view, self._sheet = view, None
            self.refresh()

    def on_resize(self) -> None:
        """Other cells, another sheet."""
        self._sheet = None

    def render_line(self, y: int) -> Strip:
        """One line of the sheet."""
        width, height = self.size
        if self._sheet is None:
            self._sheet = sheet(self._view, width, height)
        ink, text = self._sheet.lines[y] if y < len(self._sheet.lines) else (Ink.PLAIN, "")
        base = PANEL[self._view.tone]
        style = Style.parse(base.band if ink is Ink.BAND else f"{INKS[ink]} on {base.ground}")
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)


class TillApp(App[None]):
    """The whole screen. `put` hands an event to the till; `work` is the till's loop, begun once the screen is up."""

    CSS = APP_CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "stop", priority=True),
        Binding("ctrl+q", "stop", priority=True),
        Binding("f2", "language", priority=True),
    ]

    def __init__(
        self,
        put: Callable[[CashierEvent], None],
        *,
        begin: Callable[[], None],
        stop: Callable[[], None],
        language: Language,
        rings: bool,
        print_receipt: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(driver_class=StdoutDriver)
        self.language = language
        self.entry = Entry()
        self._put = put
        self._begin = begin
        self._stop = stop
        self._rings = rings
        self._print_receipt = print_receipt
        self._shown: Shown | None = None
        self._latest: Shown | None = None
        self._rung = False
        self._ended = False  # a result that nobody can have seen yet
        self._product_page = 0
        self._late: Timer | None = None

    def take(self, shown: Shown) -> None:
        """From the till's loop: show this soon."""
        self._latest = shown
        self._ring()

    def finish(self) -> None:
        """From the till's loop: something came to its end, and is in what was taken before."""
        self._ended = True
        self._ring()

    def hear(self, key: str) -> None:
        """From any thread: a key of a device of its own, which no scanner types on."""
        self.post_message(Touched(key))

    def leave(self) -> None:
        """From the till's loop: it has ended."""
        self.post_message(Over())

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self.post_message(News())

    def compose(self) -> ComposeResult:
        """Bars above, panel and products at the left, keys at the right, the legend below."""
        yield Static(id="head", markup=False)
        yield Static(id="training", markup=False)
        yield Static(id="upper", markup=False)
        yield Static(id="lower", markup=False)
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield Panel()
                yield Grid(id="products")
            with Container(id="right"):
                with Grid(id="keypad"):
                    for key, word in _KEYPAD:
                        yield Key(key, classes="word" if word else "digit")
                    yield Key(ENTER, classes="enter")
                with Grid(id="acts"):
                    for digit, _ in _ACTS:
                        yield Key(f"menu {digit}", classes="act")
        yield Static(id="legend", markup=False)

    def on_ready(self) -> None:
        """The screen is up: the till may begin."""
        self._lay_out()
        self._begin()

    def on_resize(self) -> None:
        """Another size, another share of the room."""
        if self.is_running and self.query("#right"):
            self._lay_out()

    def _lay_out(self) -> None:
        width, height = self.size
        rows = height - 5
        right = self.query_one("#right")
        right.display = rows >= KEYPAD_ROWS_MIN and width >= 2 * NARROW
        right.styles.width = NARROW if width < 96 else MIDDLE if width < 116 else WIDE
        acts = self.query_one("#acts")
        acts.styles.height = 3 if rows < PRODUCT_ROWS_MIN else 4
        self.draw()

    def draw(self) -> None:
        """Everything that has changed; nothing any more once the screen is being taken down."""
        try:
            self.query_one("#legend")
        except NoMatches:
            return
        if self._shown is None:
            self._say("head", bars.head(None, None, self.language, self.size.width))
            return
        shown, entry = self._shown, self.entry
        self._say("head", bars.head(shown.standing, shown.outlet, self.language, self.size.width))
        training = self.query_one("#training")
        training.display = shown.training
        self._say("training", WORDS[self.language].training)
        upper, lower = bars.status(shown.standing, self.language)
        self._say("upper", upper)
        self._say("lower", lower)
        self._say("legend", bars.legend(shown, entry.page, self.language))
        told = replace(shown, products=()) if self._has_product_keys(shown) else shown
        self.query_one(Panel).draw(view_of(told, entry.typed, entry.page, self.language))
        self._label_keys(shown)
        self._lay_products(shown)

    def _say(self, name: str, text: str) -> None:
        line = self.query_one(f"#{name}", Static)
        if line.content != text:
            line.update(text)

    def _label_keys(self, shown: Shown) -> None:
        words = WORDS[self.language]
        labels = {key: getattr(words, word) if word else key for key, word in _KEYPAD}
        labels = {key: f"{key}\n{label}" if key in "+-*/" else label for key, label in labels.items()}
        labels[ENTER] = f"{bars.ENTER_NAME} {bars.enter_word(shown, self.entry.page, words)}"
        labels |= {f"menu {digit}": getattr(words, word) for digit, word in _ACTS}
        for key in self.query_one("#right").query(Key).results(Key):
            if key.content != labels[key.meaning]:
                key.update(labels[key.meaning])

    def _lay_products(self, shown: Shown) -> None:
        grid = self.query_one("#products", Grid)
        names = self._product_labels(shown)
        rows = -(-len(names) // PRODUCT_COLUMNS)
        grid.styles.height = rows * PRODUCT_KEY_ROWS
        wanted = bool(names) and self._has_product_keys(shown)
        if grid.display != wanted:
            grid.display = wanted
        there = list(grid.query(Key).results(Key))
        if [key.meaning for key in there] != [meaning for meaning, _ in names]:
            grid.remove_children()
            there = [Key(meaning, classes="product") for meaning, _ in names]
            grid.mount_all(there)
        for key, (_, label) in zip(there, names, strict=True):
            if key.content != label:
                key.update(label)

    def _has_product_keys(self, shown: Shown) -> bool:
        """While something is sold, if there is room; reports and pages take it for themselves."""
        selling = self.entry.page is Page.SALE and shown.phase in (Phase.AMOUNT, Phase.CARD)
        report = isinstance(shown.result, ShiftReported | ShiftClosed | BalanceRead)
        return self.size.height - 5 >= PRODUCT_ROWS_MIN and selling and not report

    def _product_labels(self, shown: Shown) -> list[tuple[str, str]]:
        """One page of product keys: what each means, and what stands on it."""
        room = PRODUCT_COLUMNS * (2 if self.size.height < 36 else 3)
        products = shown.products
        if len(products) <= room:
            page = products
        else:
            pages = -(-len(products) // (room - 1))
            first = self._product_page % pages * (room - 1)
            page = products[first : first + room - 1]
        chinese = self.language is Language.ZH_HANS
        labels = [
            (f"product {one.number}", f"{one.name.zh if chinese else one.name.english}\n{bars.price(one)}")
            for one in page
        ]
        return labels if len(products) <= room else [*labels, ("more", f"{WORDS[self.language].more} >")]

    @on(News)
    def _take_news(self) -> None:
        self._rung = False
        ended, self._ended = self._ended, False
        self._shown = self._latest
        if ended:
            if self._rings:
                self.bell()
            self.entry.forget()
        if self._shown is not None and self._shown.working and not ended:
            if self._late is None:
                self._late = self.set_timer(SHOWN_LATE_S, self._draw_late)
            return
        self._draw_late()

    def _draw_late(self) -> None:
        if self._late is not None:
            self._late.stop()
            self._late = None
        self.draw()

    @on(Over)
    def _leave(self) -> None:
        self.exit()

    def on_key(self, event: events.Key) -> None:
        """A keyboard's key, or a scanner's."""
        event.stop()
        key = _NAMED_KEYS.get(event.key) or event.character
        if key is None or self._shown is None:
            return
        if self._ended:
            self.entry.miss(event.time)
            return
        self._do(self.entry.key(key, event.time, self._shown))
        if self.entry.waits:
            self.set_timer(BURST_GAP_S * 1.5, self._end_burst)

    def _end_burst(self) -> None:
        if self.entry.waits and self._shown is not None:
            self._do(self.entry.flush(self._shown))

    @on(Touched)
    def _touch(self, event: Touched) -> None:
        if self._shown is None or self._ended:
            return
        self._end_burst()
        kind, _, number = event.meaning.partition(" ")
        if kind == "product":
            self._do(self.entry.product(int(number)))
        elif kind == "menu":
            self._do(self.entry.shortcut(number))
        elif kind == "more":
            self._product_page += 1
            self.draw()
        else:
            self._do(self.entry.press(event.meaning, self._shown))

    def _do(self, acts: list[Act]) -> None:
        for act in acts:
            if isinstance(act, Wish):
                self.action_language()
            elif isinstance(act, ReceiptWanted):
                self._print_again(act.seq)
            else:
                self._put(act)
        self.draw()

    def _print_again(self, seq: int) -> None:
        standing = None if self._shown is None else self._shown.standing
        last = 0 if standing is None else standing.sealed
        if self._print_receipt is not None and 0 < (seq or last) <= last:
            self._print_receipt(seq or last)

    def action_language(self) -> None:
        """The other language, at once."""
        self.language = self.language.other
        self.draw()

    def action_stop(self) -> None:
        """Ask the till to end; the screen goes when it has."""
        self._stop()
