"""`campus-sim modem`, with everything but its parser's own process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from sim.__main__ import build_parser
from sim.modem import command
from sync.clock import Clock


def run(arguments: list[str], pause: object) -> tuple[int, list[str]]:
    said: list[str] = []
    assert callable(pause)
    status = command.run(
        build_parser().parse_args(["modem", *arguments]),
        rng=Random(1),
        clock=Clock(utc_s=lambda: 1_800_000_000, monotonic_s=time.monotonic),
        pause=lambda seconds: pause(said),
        say=said.append,
    )
    return status, said


def test_two_modems_have_stable_names_and_are_gone_in_the_end(tmp_path: Path) -> None:
    link = tmp_path / "modem"
    links = (link, tmp_path / "modem-2")

    def interrupt(_: list[str]) -> None:
        assert all(name.is_char_device() for name in links)
        raise KeyboardInterrupt

    status, said = run(["--two", "--link", str(link)], interrupt)
    assert status == 0
    assert said[:2] == [
        f"{link}: quectel-ec25, number +8613900000001",
        f"{link}-2: quectel-ec25, number +8613900000002",
    ]
    assert not any(name.is_symlink() for name in links)


def test_a_message_to_the_echo_number_is_shown_and_comes_back(tmp_path: Path) -> None:
    link = tmp_path / "modem"

    def write_message(said: list[str]) -> None:
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            heard = b""
            deadline = time.monotonic() + 20
            for sent, awaited in (
                (b'ATE0;+CMGF=1;+CSCS="GSM"\r', b"OK"),
                (b"", b"PB DONE"),
                (f'AT+CMGS="{command.ECHO_NUMBER}"\r'.encode(), b"> "),
                (b"hello\x1a", b"+CMTI"),
            ):
                os.write(port, sent)
                while awaited not in heard:
                    assert time.monotonic() < deadline, heard
                    heard += os.read(port, 4096)
        finally:
            os.close(port)
        raise KeyboardInterrupt

    _, said = run(["--link", str(link), "--dialogue"], write_message)
    assert "SMS from +8613900000001: hello" in said
    assert f'+8613900000001 > AT+CMGS="{command.ECHO_NUMBER}"' in said
    assert "+8613900000001 < +CMGS: 0" in said


def test_a_name_that_is_taken_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("precious")
    with pytest.raises(command.LinkUnusable, match="file"):
        run(["--link", str(taken)], lambda _: None)
    assert taken.read_text() == "precious"


@pytest.mark.parametrize("pin", ["123", "123456789", "12a4", ""])
def test_a_pin_that_is_none_is_wrong_usage(pin: str) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["modem", "--pin", pin])
