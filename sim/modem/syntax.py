"""The command lines of V.250: split into commands, and a command into its parts. Left out: what any command does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_BASIC: Final = re.compile(r"([&\\%]?[A-Z])(\d*)", re.IGNORECASE)
_S_PARAMETER: Final = re.compile(r"S(\d+)(\?|=\?|=(\d*))", re.IGNORECASE)
_EXTENDED: Final = re.compile(r"([+^$#*!][A-Z0-9!%./:_-]*)", re.IGNORECASE)
_INTEGER: Final = re.compile(r"\d{1,10}", re.ASCII)


class SyntaxFault(ValueError):
    """A line or an argument that is not what V.250 or the command allows; the engine answers ERROR."""


class Form(Enum):
    """The four ways to give an extended command (V.250 5.4)."""

    EXECUTE = "AT+X"
    READ = "AT+X?"
    TEST = "AT+X=?"
    SET = "AT+X=..."


class Quoted(str):
    """An argument that stood in quotation marks."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name in capitals (`+CPIN`, `E`, `&F`, `D`, `S3`), and the text that follows it."""

    name: str
    form: Form
    text: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parts between commas; `Quoted` where they stood in quotes, empty where left out."""
        return _split_arguments(self.text) if self.form is Form.SET else ()

    def integer(self, index: int, default: int | None = None, *, low: int = 0, high: int = 0xFFFFFFFF) -> int:
        """The argument as a number within bounds; `default` where it is left out; `SyntaxFault` else."""
        text = self._given(index)
        if text is None and default is not None:
            return default
        if text is None or isinstance(text, Quoted) or not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise SyntaxFault(f"{self.name}: argument {index + 1} is not a number from {low} to {high}")
        return int(text)

    def string(self, index: int, default: str | None = None) -> str:
        """The argument as text, quoted or not; `default` where it is left out; `SyntaxFault` without one."""
        text = self._given(index)
        if text is None:
            text = default
        if text is None:
            raise SyntaxFault(f"{self.name}: argument {index + 1} is missing")
        return str(text)

    def at_most(self, count: int) -> None:
        """`SyntaxFault` if there are more arguments than that."""
        if len(self.arguments) > count:
            raise SyntaxFault(f"{self.name}: more than {count} arguments")

    def _given(self, index: int) -> str | None:
        arguments = self.arguments
        if index >= len(arguments):
            return None
        found = arguments[index]
        return found if found or isinstance(found, Quoted) else None


def split_line(body: str) -> list[Command]:
    """The commands of one line without its `AT`, in order; `SyntaxFault` if it is not one."""
    commands: list[Command] = []
    position = 0
    while position < len(body):
        if body[position] in " ;":
            position += 1
            continue
        command, position = _one(body, position)
        commands.append(command)
    return commands


def _one(body: str, position: int) -> tuple[Command, int]:
    if body[position] in "Dd":
        # The dialling string is all up to the end: its semicolon means a voice call, and is no separator.
        return Command("D", Form.EXECUTE, body[position + 1 :]), len(body)
    if found := _S_PARAMETER.match(body, position):
        form = {"?": Form.READ, "=?": Form.TEST}.get(found[2], Form.SET)
        return Command(f"S{int(found[1])}", form, found[3] or ""), found.end()
    if found := _BASIC.match(body, position):
        return Command(found[1].upper(), Form.EXECUTE, found[2]), found.end()
    found = _EXTENDED.match(body, position)
    if not found:
        raise SyntaxFault(f"no command starts with {body[position]!r}")
    end = _end_of_extended(body, found.end())
    rest = body[found.end() : end].strip(" ")
    name = found[1].upper()
    if rest == "":
        return Command(name, Form.EXECUTE, ""), end
    if rest == "?":
        return Command(name, Form.READ, ""), end
    if rest == "=?":
        return Command(name, Form.TEST, ""), end
    if rest.startswith("="):
        return Command(name, Form.SET, rest[1:]), end
    raise SyntaxFault(f"{name} is followed by {rest!r}")


def _end_of_extended(body: str, position: int) -> int:
    quoted = False
    for index in range(position, len(body)):
        if body[index] == '"':
            quoted = not quoted
        elif body[index] == ";" and not quoted:
            return index
    return len(body)


def _split_arguments(text: str) -> tuple[str, ...]:
    arguments: list[str] = []
    start, quoted = 0, False
    for index, character in enumerate(text + ","):
        if character == '"' and index < len(text):
            quoted = not quoted
        elif character == "," and (not quoted or index == len(text)):
            arguments.append(_unquote(text[start:index].strip(" ")))
            start = index + 1
    return tuple(arguments)


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return Quoted(text[1:-1])
    if '"' in text:
        raise SyntaxFault(f"quotation marks within {text!r}")
    return text
