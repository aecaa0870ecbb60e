"""What every simulated chip does with an APDU before its application sees it: framing, shape checks, `61xx`, `6Cxx`,
GET RESPONSE.

Left out: any command of a purse or PSAM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

SW_OK: Final = 0x9000
SW_WRONG_LENGTH: Final = 0x6700
SW_INCOMPATIBLE_FILE: Final = 0x6981
SW_SECURITY_STATUS: Final = 0x6982
SW_CONDITIONS: Final = 0x6985
SW_NO_CURRENT_FILE: Final = 0x6986
SW_WRONG_DATA: Final = 0x6A80
SW_FILE_NOT_FOUND: Final = 0x6A82
SW_RECORD_NOT_FOUND: Final = 0x6A83
SW_NO_SPACE: Final = 0x6A84
SW_WRONG_P1P2: Final = 0x6A86
SW_OFFSET_OUTSIDE: Final = 0x6B00
SW_UNKNOWN_INS: Final = 0x6D00
SW_UNKNOWN_CLA: Final = 0x6E00

LE_ANY: Final = 256  # Le 00: as much as there is
_GET_RESPONSE: Final = (0x00, 0xC0)


@dataclass(frozen=True, slots=True)
class Command:
    """One short APDU; `le` is None when it has none, `LE_ANY` for 00."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes
    le: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application answers: data and status word."""

    data: bytes = b""
    sw: int = SW_OK


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape in which an instruction is taken, checked before anything changes. A shape of None is left to `run`."""

    cla: int
    ins: int
    run: Callable[[Command], Answer]
    p1p2: int | None = None
    lc: Container[int] | None = None
    answer_bytes: int | None = None


class PoweredCard(Protocol):
    """A chip as a reader has it: its answer to reset, a reset, and APDUs."""

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        ...

    def reset(self) -> None:
        """Power off, power on: forget everything that is not in the memory."""
        ...

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU in, data and status word out."""
        ...


def parse_command(apdu: bytes) -> Command | None:
    """Read a short APDU of any of the four cases; None if its lengths contradict each other."""
    if len(apdu) < 4:
        return None
    cla, ins, p1, p2 = apdu[:4]
    body = apdu[4:]
    if not body:
        return Command(cla, ins, p1, p2, b"", None)
    if len(body) == 1:
        return Command(cla, ins, p1, p2, b"", body[0] or LE_ANY)
    lc, rest = body[0], body[1:]
    if lc == 0 or len(rest) not in (lc, lc + 1):
        return None
    le = None if len(rest) == lc else rest[lc] or LE_ANY
    return Command(cla, ins, p1, p2, rest[:lc], le)


class Chip(ABC):
    """A chip that takes APDUs by its `rules`. An APDU of the wrong shape is refused and changes nothing."""

    def __init__(self, *, atr: bytes, t0: bool, rules: Sequence[Rule]) -> None:
        self._atr = atr
        self._t0 = t0
        self._rules: dict[tuple[int, int], list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault((rule.cla, rule.ins), []).append(rule)
        self._classes = {rule.cla for rule in rules}
        self._pending = Answer()

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._atr

    @abstractmethod
    def forget(self) -> None:
        """Drop the application's volatile state."""

    def carry_out(self, rule: Rule, command: Command) -> Answer:
        """Run a command of the right shape; an application may refuse it, or drop what an earlier one left."""
        return rule.run(command)

    def reset(self) -> None:
        """Power off, power on: forget everything that is not in the memory."""
        self._pending = Answer()
        self.forget()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU in, data and status word out; raises only when the memory fails."""
        answer = self._answer(apdu)
        return answer.data + answer.sw.to_bytes(2)

    def _answer(self, apdu: bytes) -> Answer:
        command = parse_command(apdu)
        if command is None:
            return Answer(sw=SW_WRONG_LENGTH)
        if (command.cla, command.ins) == _GET_RESPONSE:
            return self._get_response(command)
        self._pending = Answer()
        rules = self._rules.get((command.cla, command.ins))
        if rules is None:
            return Answer(sw=SW_UNKNOWN_INS if command.cla in self._classes else SW_UNKNOWN_CLA)
        rule = next((rule for rule in rules if rule.p1p2 in (None, command.p1 << 8 | command.p2)), None)
        if rule is None:
            return Answer(sw=SW_WRONG_P1P2)
        answer = self._refusal(command, rule) or self.carry_out(rule, command)
        if self._t0 and command.data and answer.data:
            self._pending = answer
            return Answer(sw=0x6100 | len(answer.data) & 0xFF)
        return answer

    def _refusal(self, command: Command, rule: Rule) -> Answer | None:
        if rule.lc is not None and len(command.data) not in rule.lc:
            return Answer(sw=SW_WRONG_LENGTH)
        if rule.answer_bytes is None:
            return None
        return self._wrong_le(command, rule.answer_bytes)

    def _wrong_le(self, command: Command, answer_bytes: int) -> Answer | None:
        """The refusal if Le does not ask for `answer_bytes` (0: no Le at all), before the command has any effect."""
        if answer_bytes == 0:
            return None if command.le is None else Answer(sw=SW_WRONG_LENGTH)
        if command.le == answer_bytes:
            return None
        if command.le is None:
            # Under T=0 a command with data carries no Le: the answer is fetched.
            return None if self._t0 and command.data else Answer(sw=SW_WRONG_LENGTH)
        if command.le == LE_ANY and not (self._t0 and not command.data):
            return None
        return Answer(sw=0x6C00 | answer_bytes & 0xFF)

    def _get_response(self, command: Command) -> Answer:
        if command.p1 or command.p2:
            return Answer(sw=SW_WRONG_P1P2)
        if command.data or command.le is None:
            return Answer(sw=SW_WRONG_LENGTH)
        data = self._pending.data
        if not data:
            return Answer(sw=SW_CONDITIONS)
        if command.le > len(data):
            return Answer(sw=0x6C00 | len(data))
        rest, sw = data[command.le :], self._pending.sw
        self._pending = Answer(rest, sw)
        return Answer(data[: command.le], 0x6100 | len(rest) if rest else sw)
