"""A journal from a USB stick while its stream runs: taken in behind whoever is connected, and answered."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import main
from settlement.streams.journaldoor import ImportFailed, JournalDoor, journal_folder, put_journal, take_answer
from settlement.streams.journalimport import Imported
from wire.ids import Stream
from wire.journalfile import journal_file
from wire.messages import Receipt, Upload, Welcome

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill
    from tests.settlement.streams.conftest import Port, Serve

DEADLINE_S = 10
PAUSE = threading.Event()


def written(till: FakeTill) -> bytes:
    uploads = [Upload(till.batch(seq, seq + 1)) for seq in range(1, len(till.records) + 1)]
    return b"".join(journal_file(till.terminal, till.epoch, uploads))


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
        door = asyncio.create_task(JournalDoor(stream=Stream.CANTEEN, folder=folder, writer=port.gateway.writer).run())
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, Upload(enrolled.batch(1, 3))), Welcome)
            assert isinstance(await client.hear(), Receipt)
            found = await answer(put_journal(folder, "one", written(enrolled)))
            assert (found.taps, found.reports, found.last_seq) == (3, 0, 5)
            assert (await answer(put_journal(folder, "two", written(enrolled)))).taps == 0
            assert await port.taps() == 5
            enrolled.tap()
            client.say(Upload(enrolled.batch(6)))
            assert isinstance(await client.hear(), Receipt), "the network goes on behind the stick"
        with pytest.raises(ImportFailed, match="journal-file-damaged"):
            await answer(put_journal(folder, "three", written(enrolled)[:-1]))
        assert list(folder.iterdir()) == []
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
        door = asyncio.create_task(JournalDoor(stream=Stream.CANTEEN, folder=folder, writer=port.gateway.writer).run())
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
