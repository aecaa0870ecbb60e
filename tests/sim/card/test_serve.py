"""A served card seen by another process through its pcscd: torn where it was asked, and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.card.issue import read_card_image

ROOT = Path(__file__).parents[3]
INIT = "805001020B 01 00000064 610000000001 0F"

# Another program: selects, sends what it is told, and selects again when the card was taken from it.
CLIENT = """
import sys
from drivers.channel import CardRemoved, ReaderFault
from drivers.pcsc import PcscReader
from drivers.reader import CardPresented

SELECT = bytes.fromhex("00A4040009A00000000386980701")
reader = PcscReader("Campus Reader 00 00")
apdus = [bytes.fromhex(word) for word in sys.argv[1:]]
for event in reader.events():
    if not isinstance(event, CardPresented):
        continue
    try:
        with reader.connect() as channel:
            for apdu in (SELECT, *apdus):
                data, sw = channel.transmit(apdu)
                print(f"{data.hex()} {sw:04X}", flush=True)
        break
    except (CardRemoved, ReaderFault):
        print("removed", flush=True)
"""


@contextmanager
def served(file: Path, *options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """`campus-sim card serve`, and the environment in which other programs reach it."""
    command = [sys.executable, "-m", "sim", "card", "serve", str(file), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            name, _, value = process.stdout.readline().strip().removeprefix("export ").partition("=")
            assert "is in reader 'Campus Reader 00 00'" in process.stdout.readline()
            yield {**os.environ, name: value}, process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(20)


def client(environment: dict[str, str], *apdus: str) -> list[str]:
    command = [sys.executable, "-c", CLIENT, *(apdu.replace(" ", "") for apdu in apdus)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_card_is_torn_where_asked_once_and_comes_back(make_card_file: Callable[..., Path]) -> None:
    file = make_card_file()
    with served(file, "--tear", "VERIFY:after", "--real-time") as (environment, process):
        answers = client(environment, "0020000003999999", "0020000003999999")
        assert [answer[-4:] for answer in answers] == ["9000", "oved", "9000", "63C1", "63C0"]
        assert answers[1] == "removed"
        assert process.stdout is not None
        assert process.stdout.readline() == "the card was torn out at VERIFY:after and is back\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "the card is out\n"
        assert process.wait(20) == 0
    assert read_card_image(file).balance_fen == 5000
