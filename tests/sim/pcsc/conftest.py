"""The real, private pcscd, one for each module of tests, and what a till sees through it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.pcsc import PcscReader
from sim.pcsc.private import PrivatePcscd


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePcscd]:
    # The PC/SC library remembers the first PCSCLITE_CSOCK_NAME of a process: all modules' daemons need the same one.
    folder: Path = tmp_path_factory.getbasetemp() / "pcscd"
    with PrivatePcscd(folder) as daemon, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", str(daemon.socket_path))
        yield daemon


@pytest.fixture
def reader(pcscd: PrivatePcscd) -> Iterator[PcscReader]:
    """The till's own reader on the first slot; its events end after 15 s, so that a test fails instead of hanging."""
    reader = PcscReader(pcscd.reader_names[0])
    patience = threading.Timer(15.0, reader.stop)
    patience.start()
    yield reader
    patience.cancel()
    patience.join()
