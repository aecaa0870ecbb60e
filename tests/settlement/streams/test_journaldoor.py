"""A journal from a USB stick while its stream runs: taken in behind whoever is connected, and answered."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import main
from settlement.streams.journaldoor import ImportFailed, JournalDoor, journal_folder, put_journal, take_answer
from settlement.streams.journalimport import Imported
from tests.settlement.conftest import NOW
from wire.ids import Stream
from wire.journalfile import journal_file
from wire.messages import Receipt, Upload, Welcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.settlement.conftest import FakeTill
    from tests.settlement.streams.conftest import Port, Serve

DEADLINE_S = 10
PAUSE = threading.Event()


def written(till: FakeTill) -> bytes:
    uploads = [Upload(till.batch(seq, seq + 1)) for seq in range(1, len(till.records) + 1)]
    return b"".join(journal_file(till.terminal, till.epoch, uploads))


def open_door(port: Port, folder: Path) -> asyncio.Task[None]:
    door = JournalDoor(stream=Stream.CANTEEN, folder=folder, writer=port.gateway.writer, now_utc_s=lambda: NOW)
    return asyncio.create_task(door.run())


async def answer(path: Path) -> Imported:
    async with asyncio.timeout(DEADLINE_S):
        while (found := take_answer(path)) is None:
            await asyncio.to_thread(PAUSE.wait, 0.05)
    return found


def test_running_stream_takes_a_journal_in_and_answers(serve: Serve, enrolled: FakeTill) -> None:
    for _ in range(5):
        enrolled.tap()

    async def scenario(port: Port) -> None:
        folder = journal_folder(port.home, Stream.CANTEEN)
        door = open_door(port, folder)
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, Upload(enrolled.batch(1, 3))), Welcome)
            assert isinstance(await client.hear(), Receipt)
            found = await answer(put_journal(folder, written(enrolled)))
            assert (found.taps, found.reports, found.last_seq) == (3, 0, 5)
            assert (await answer(put_journal(folder, written(enrolled)))).taps == 0
            assert await port.taps() == 5
            enrolled.tap()
            client.say(Upload(enrolled.batch(6)))
            assert isinstance(await client.hear(), Receipt), "the network goes on behind the stick"
        with pytest.raises(ImportFailed, match="journal-file-damaged"):
            await answer(put_journal(folder, written(enrolled)[:-1]))
        assert list(folder.iterdir()) == []
        door.cancel()

    serve(scenario)


def test_what_cannot_be_taken_in_is_answered_and_holds_nobody_up(
    serve: Serve, enrolled: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    stranger = make_till(9)
    for till in (enrolled, stranger):
        till.tap()

    async def scenario(port: Port) -> None:
        folder = journal_folder(port.home, Stream.CANTEEN)
        (folder / "0.journal").mkdir()  # nothing that a command puts there
        door = open_door(port, folder)
        with pytest.raises(ImportFailed, match="UNKNOWN_TERMINAL"):
            await answer(put_journal(folder, written(stranger)))
        forged = replace(enrolled, key=stranger.key)
        with pytest.raises(ImportFailed, match="SIGNATURE_INVALID"):
            await answer(put_journal(folder, written(forged)))
        assert (await answer(put_journal(folder, written(enrolled)))).taps == 1
        assert not door.done()
        door.cancel()

    serve(scenario)


def test_same_journal_from_two_commands_is_answered_to_both(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        folder = journal_folder(port.home, Stream.CANTEEN)
        both = [put_journal(folder, written(enrolled)) for _ in range(2)]
        door = open_door(port, folder)
        assert sorted([(await answer(path)).taps for path in both]) == [0, 1]
        door.cancel()

    serve(scenario)


def test_answer_that_nobody_came_for_is_cleared_away_and_a_journal_is_not(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        folder = journal_folder(port.home, Stream.CANTEEN)
        waits = put_journal(folder, written(enrolled))
        for name, age_s in (("old.answer", 7200), ("cut.part", 7200), ("new.answer", 60)):
            (folder / name).write_text("{}")
            os.utime(folder / name, (NOW - age_s, NOW - age_s))
        os.utime(waits.with_suffix(".journal"), (NOW - 7200, NOW - 7200))
        door = open_door(port, folder)
        assert (await answer(waits)).taps == 1
        assert [path.name for path in folder.iterdir()] == ["new.answer"]
        door.cancel()

    serve(scenario)


def test_command_hands_the_journal_to_the_stream_that_runs(
    serve: Serve, enrolled: FakeTill, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled.tap()
    stick = tmp_path / "till.journal"
    stick.write_bytes(written(enrolled))

    async def scenario(port: Port) -> None:
        folder = journal_folder(port.home, Stream.CANTEEN)
        door = open_door(port, folder)
        command = ["import-journal", str(stick), "--home", str(port.home.root)]
        status: list[int] = []
        imported = threading.Thread(target=lambda: status.append(main(command)))
        imported.start()
        await asyncio.to_thread(imported.join, DEADLINE_S)
        assert status == [0]
        assert await port.taps() == 1
        door.cancel()

    serve(scenario)
    assert "1 new taps, 12.50 yuan" in capsys.readouterr().out
