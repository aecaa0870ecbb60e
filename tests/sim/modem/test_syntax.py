"""Command lines of V.250."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.modem.syntax import Command, Form, Quoted, SyntaxFault, split_line


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("", []),
        ("E0V1", ["E", "V"]),
        ("E0+CSQ", ["E", "+CSQ"]),
        ("+CSQ;+CREG?;E1", ["+CSQ", "+CREG", "E"]),
        ("+cifsr;e0", ["+CIFSR", "E"]),
        ("&F0\\Q3", ["&F", "\\Q"]),
        ('+CMGS="a;b";+CSQ', ["+CMGS", "+CSQ"]),
        ("D*99#;H", ["D"]),
        ("S3=13S4?", ["S3", "S4"]),
        ("$TSSPCSW=?", ["$TSSPCSW"]),
        ("^SYSINFO", ["^SYSINFO"]),
    ],
)
def test_a_line_is_split_as_v250_says(body: str, names: list[str]) -> None:
    assert [command.name for command in split_line(body)] == names


@pytest.mark.parametrize(
    ("body", "form", "text"),
    [
        ("+CPIN?", Form.READ, ""),
        ("+CPIN=?", Form.TEST, ""),
        ("+CPIN", Form.EXECUTE, ""),
        ('+CPIN="1234"', Form.SET, '"1234"'),
        ("+CPIN=", Form.SET, ""),
        ("E0", Form.EXECUTE, "0"),
        ("S3?", Form.READ, ""),
        ("S3=4", Form.SET, "4"),
        ("D123", Form.EXECUTE, "123"),
    ],
)
def test_a_command_has_its_form_and_text(body: str, form: Form, text: str) -> None:
    (command,) = split_line(body)
    assert (command.form, command.text) == (form, text)


def test_arguments_know_their_quotes() -> None:
    command = Command("+X", Form.SET, '1,"a,b",,"",x')
    assert command.arguments == ("1", "a,b", "", "", "x")
    assert [isinstance(argument, Quoted) for argument in command.arguments] == [False, True, False, True, False]
    assert (command.integer(0), command.string(1), command.integer(2, 7), command.string(3)) == (1, "a,b", 7, "")


@pytest.mark.parametrize("text", ['"1"', "x", "", "9", "-1", "²"])
def test_a_number_outside_its_bounds_is_a_fault(text: str) -> None:
    with pytest.raises(SyntaxFault):
        Command("+X", Form.SET, text).integer(0, high=5)


@pytest.mark.parametrize("body", ["+CPIN!!?x?", "+CSQ?5", "\x07", "=", "1"])
def test_what_is_no_command_is_a_fault(body: str) -> None:
    with pytest.raises(SyntaxFault):
        split_line(body)


@given(st.text(max_size=60))
def test_any_text_is_commands_or_a_fault(body: str) -> None:
    try:
        for command in split_line(body):
            assert command.arguments is not None
            command.string(0, "")
    except SyntaxFault:
        pass
