"""The till's results on display, lamps, buzzer, voice and paper, each in a thread of its own.

The till's loop only hands over. What is newer replaces what is older, but for receipts (`terminal.printing`). A device
that is missing or stuck is a notice for the screen and is taken again by itself. Left out: what they tell
(`terminal.telling`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from drivers.devicefaults import DeviceFault
from drivers.display import CustomerDisplay
from drivers.signals import PATTERNS, SignalLines, Step
from drivers.voice import Voice
from terminal.devices import DevicesConfig, display_of, printer_of, signals_of, voice_of
from terminal.printing import Printing
from terminal.program import Screen
from terminal.receipts import Form
from terminal.result import Result
from terminal.standing import DeviceNotice, Standing
from terminal.telling import IDLE, Shown, sentence_of, shown_of, signal_of
from terminal.till import Till
from terminal.words.catalogue import Language

RETRY_S: Final = 2.0  # a device that was put right is taken before the next customer
_END_S: Final = 3.0
_LANGUAGES: Final = {"zh-hans": (Language.ZH_HANS,), "en": (Language.EN,), "both": tuple(Language)}
_VOICES: Final = {Language.ZH_HANS: "zh-hans", Language.EN: "en"}

_Value = TypeVar("_Value")


class Newest(Generic[_Value]):
    """A thread that does what it was given last; what it has not begun when the next comes is dropped.

    `do(value, superseded)` is to end early when `superseded` is set. After a fault the value is tried again every
    `RETRY_S`, or `instead` in place of what nobody wants to hear late.
    """

    def __init__(
        self, code: str, do: Callable[[_Value, threading.Event], None], *, instead: Callable[[_Value], _Value | None]
    ) -> None:
        self._code = code
        self._do = do
        self._instead = instead
        self._changed = threading.Condition()
        self._waiting: _Value | None = None
        self._superseded = threading.Event()
        self._ending = False
        self._notice: DeviceNotice | None = None
        self._thread = threading.Thread(target=self._run, name=code, daemon=True)
        self._thread.start()

    def put(self, value: _Value) -> None:
        """Hand it over; never waits for the device."""
        with self._changed:
            self._waiting = value
            self._superseded.set()
            self._changed.notify()

    def notices(self) -> tuple[DeviceNotice, ...]:
        """What is wrong with the device now, if anything."""
        notice = self._notice
        return () if notice is None else (notice,)

    def close(self) -> None:
        """End the thread; a device that hangs is left behind."""
        with self._changed:
            self._ending = True
            self._superseded.set()
            self._changed.notify()
        self._thread.join(_END_S)

    def _run(self) -> None:
        again: _Value | None = None
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._ending or self._waiting is not None, RETRY_S if again is not None else None
                )
                if self._ending:
                    return
                value, self._waiting = self._waiting if self._waiting is not None else again, None
                self._superseded.clear()
            if value is None:
                continue
            again = None
            try:
                self._do(value, self._superseded)
                self._notice = None
            except DeviceFault as fault:
                self._notice = DeviceNotice(self._code, f"{fault} [{fault.code}]")
                again = self._instead(value)


class Output(Protocol):
    """One device as the till sees it."""

    def notices(self) -> tuple[DeviceNotice, ...]:
        """What is wrong with it."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Outputs:
    """All of them, as a `Screen` of the program: told after every event, and when a command ended."""

    def __init__(
        self,
        *,
        printing: Printing | None = None,
        display: CustomerDisplay | None = None,
        lamps: SignalLines | None = None,
        voice: tuple[Voice, Language] | None = None,
    ) -> None:
        self.printing = printing
        self._display = None if display is None else _on_display(display)
        self._lamps = None if lamps is None else _on_lamps(lamps)
        self._voice = None if voice is None else _on_voice(voice[0], _VOICES[voice[1]])
        self._hush = None if voice is None else voice[0].hush
        self._language = Language.ZH_HANS if voice is None else voice[1]
        self._shown: Shown | None = None
        if self._display is not None:
            self._display.put(IDLE)
        if self._lamps is not None:
            self._lamps.put(())

    def show(self, till: Till, standing: Standing) -> None:
        """The present state."""
        if self.printing is not None:
            self.printing.name_shop(till.configuration)
        if self._display is not None and (shown := shown_of(till)) != self._shown:
            self._shown = shown
            self._display.put(shown)

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """A command came to this result."""
        if self._lamps is not None and (signal := signal_of(result)) is not None:
            self._lamps.put(PATTERNS[signal])
        if self._voice is not None and (sentence := sentence_of(result, self._language)) is not None:
            if self._hush is not None:
                self._hush()
            self._voice.put(sentence)
        if self.printing is not None:
            self.printing.ended(result)

    def print_receipts(self, *seqs: int) -> None:
        """Print the receipts of these taps, from any thread; copies unless they were never printed."""
        if self.printing is not None:
            self.printing.ask(*seqs)

    def unprinted(self) -> tuple[int, ...]:
        """The taps whose receipts were wanted and are not on paper."""
        return () if self.printing is None else self.printing.unprinted()

    def notices(self) -> tuple[DeviceNotice, ...]:
        """What the screen has to tell of them."""
        found = tuple(notice for output in self._all() for notice in output.notices())
        if self.printing is None:
            return found
        return (*found, *(DeviceNotice(code, why) for code, why in self.printing.notices()))

    def close(self) -> None:
        """End all threads; what could not be printed is kept."""
        for output in self._all():
            output.close()
        if self.printing is not None:
            self.printing.close()

    def _all(self) -> list[Output]:
        return [output for output in (self._display, self._lamps, self._voice) if output is not None]


def _on_display(display: CustomerDisplay) -> Newest[Shown]:
    return Newest("display-offline", lambda shown, _: display.show(*shown), instead=lambda shown: shown)


def _on_voice(voice: Voice, language: str) -> Newest[str]:
    return Newest("voice-silent", lambda sentence, _: voice.say(sentence, language), instead=lambda _: None)


def _on_lamps(lines: SignalLines) -> Newest[Sequence[Step]]:
    def play(steps: Sequence[Step], superseded: threading.Event) -> None:
        for step in steps:
            lines.set(step.on)
            if superseded.wait(step.ms / 1000):
                break
        lines.set(frozenset())

    return Newest("signals-offline", play, instead=lambda _: ())


class WithDevices:
    """A screen that tells the outputs too, and shows what is wrong with the devices."""

    def __init__(self, screen: Screen, outputs: Outputs, notices: Callable[[], Iterable[DeviceNotice]]) -> None:
        self._screen = screen
        self._outputs = outputs
        self._notices = notices

    def show(self, till: Till, standing: Standing) -> None:
        """The present state, to all."""
        self._outputs.show(till, standing)
        self._screen.show(till, replace(standing, devices=(*self._outputs.notices(), *self._notices())))

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """A command's result, to all."""
        self._outputs.ended(result, elapsed_ms)
        self._screen.ended(result, elapsed_ms)


def outputs_of(config: DevicesConfig, *, folder: Path, terminal: str, monotonic_s: Callable[[], float]) -> Outputs:
    """What `[devices]` names; `folder` has the journal, and what the voice made is kept in it."""
    printer, voice = printer_of(config), voice_of(config, folder / "voice")
    printing = None
    if printer is not None:
        form = Form(columns=printer.columns, languages=_LANGUAGES[config.receipt_language], terminal=terminal)
        printing = Printing(
            printer,
            form=form,
            journal=folder / "journal.db",
            every=config.receipts == "every",
            monotonic_s=monotonic_s,
        )
    return Outputs(
        printing=printing,
        display=display_of(config),
        lamps=signals_of(config),
        voice=None if voice is None or config.voice is None else (voice, _LANGUAGES[config.voice][0]),
    )
