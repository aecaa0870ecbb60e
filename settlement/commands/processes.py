"""Commands that run: `serve` and what it supervises, `stream`, `top-up`, `ledger`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from settlement import authority
from settlement.commands.common import (
    Add,
    Host,
    add_passphrase,
    home_of,
    passphrase_path,
    read_passphrase,
    read_settings,
    stream_of,
)
from settlement.ledger.days import Close, first_day_of
from settlement.ledger.keeper import Keeper
from settlement.ledger.owed import LedgerBooks
from settlement.ledger.owners import RegistryOwners
from settlement.ledger.pull import JournalSource, LoadSource, OfficeSource, OpeningSource, StreamSource
from settlement.ledger.shifts import shift_alarms
from settlement.ledger.store import Posted
from settlement.onecard.desk import LoadLimits, TopupDesk
from settlement.onecard.keys import FileKeyStore
from settlement.serve import Logbook, Notice, programs_of, supervise
from settlement.settings import Home, Settings, SettingsInvalid, StreamSettings
from settlement.store.database import Database, StoreFault, open_reader, open_writer
from settlement.store.router import LEDGER, OFFICE, ONECARD, TOPUP
from settlement.streams.desk import Desk, WriterThread
from settlement.streams.door import Door
from settlement.streams.gateway import Gateway
from settlement.streams.journaldoor import JournalDoor, journal_folder
from settlement.streams.sms import SmsDoor
from settlement.web.reading import read_standing
from settlement.web.server import serve_pages
from settlement.web.site import Site, read_token
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream

_POLL_S: Final = 0.2  # how long a tap waits for the ledger at most, when nothing else waits
_REST_S: Final = 0.05  # after all that was there was booked: what comes meanwhile is booked at one go, with one sync
_LEDGER_NICE: Final = 10  # a tenth of a stream's share of a busy processor
_FAULT_POLL_S: Final = 2.0  # a source that cannot be read is tried less often

_log: Final = logging.getLogger("settlement")


def add_commands(command: Add) -> None:
    """Add them."""
    text = "run all that the settings name: streams, top-up desk and ledger, each a process that is started again"
    serve = command("serve", _serve_all, text, "serve", "serve --home /srv/campus --json")
    add_passphrase(serve)
    serve.add_argument("--json", action="store_true", help="a line of JSON for whatever happens, for scripts")

    text = "run one stream: its port and its database"
    stream = command("stream", _stream, text, "stream canteen", "stream tuition --home /srv/campus")
    stream.add_argument("stream", choices=[stream.label for stream in CONSUMPTION_STREAMS])
    add_passphrase(stream)

    text = "run the top-up desk: grant loads to cards, and learn what became of them"
    add_passphrase(command("top-up", _top_up, text, "top-up"))

    text = "serve the operator's pages: how processes, streams, terminals and books stand"
    command("web", _web, text, "web", "web --home /srv/campus")

    command("ledger", _ledger, "run the ledger: pull what streams and card registry recorded, and post it", "ledger")


def _serve_all(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    programs = programs_of(read_settings(home), home.root, args.passphrase_file)

    logbook = Logbook(home.supervised)

    def tell(notice: Notice) -> None:
        with suppress(OSError):  # the pages then show an older one
            logbook.note(notice, host.utc_s())
        with suppress(OSError):  # nobody reads any more; what is told of goes on
            print(notice.as_json() if args.json else notice, flush=True)

    async def run() -> bool:
        return await supervise(programs, _stop_asked(), tell=tell, monotonic_s=host.monotonic_s)

    return 0 if asyncio.run(run()) else 1


def _stream(args: argparse.Namespace, host: Host) -> int:
    home, stream = home_of(args), stream_of(args.stream)
    settings = read_settings(home).checked(f"streams.{stream.label}")
    if stream not in settings.streams:
        raise SettingsInvalid(f"settlement.toml has no [streams.{stream.label}]")
    keys, door = _keys(home, args, host), _door(home, stream)

    def open_desk() -> Desk:
        db, onecard = _open_pair(home, stream.label)
        return Desk(stream=stream, db=db, onecard=onecard, keys=keys, door=door, clock=host.utc_s)

    def open_sms(writer: WriterThread) -> SmsDoor | None:
        if settings.sms is None:
            return None
        return SmsDoor(
            stream=stream,
            served=settings.served,
            settings=settings.sms,
            aside=home.sms_aside,
            writer=writer,
            monotonic=host.monotonic_s,
        )

    def open_journals(writer: WriterThread) -> JournalDoor:
        return JournalDoor(stream=stream, folder=journal_folder(home, stream), writer=writer, now_utc_s=host.utc_s)

    _run_gateway(home, host, stream, settings.streams[stream], door, open_desk, open_sms, open_journals)
    return 0


def _top_up(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    settings = read_settings(home).checked("top-up").top_up
    if settings is None:
        raise SettingsInvalid("settlement.toml has no [top-up]")
    keys, door = _keys(home, args, host), _door(home, Stream.TOP_UP)
    limits = LoadLimits(load_fen_max=settings.load_fen_max, purse_fen_max=settings.purse_fen_max)

    def open_desk() -> Desk:
        db, onecard = _open_pair(home, TOPUP)
        return TopupDesk(
            db=db,
            onecard=onecard,
            keys=keys,
            door=door,
            clock=host.utc_s,
            limits=limits,
            books=LedgerBooks(home.place(LEDGER, role=TOPUP)),
            random=secrets.token_bytes,
        )

    _run_gateway(home, host, Stream.TOP_UP, settings, door, open_desk)
    return 0


def _keys(home: Home, args: argparse.Namespace, host: Host) -> FileKeyStore:
    return FileKeyStore.open(home.sealed_keys, read_passphrase(passphrase_path(home, args, host)))


def _door(home: Home, stream: Stream) -> Door:
    return Door(stream=stream, ticket_key=authority.load_ticket_public_key(home.ticket_public_key))


def _open_pair(home: Home, alias: str) -> tuple[Database, Database]:
    """A gateway's own database to write, and the card registry to read."""
    db = open_writer(home.place(alias), alias)
    try:
        return db, open_reader(home.place(ONECARD, role=alias), ONECARD)
    except CampusError:
        db.close()
        raise


def _run_gateway(
    home: Home,
    host: Host,
    stream: Stream,
    settings: StreamSettings,
    door: Door,
    open_desk: Callable[[], Desk],
    open_sms: Callable[[WriterThread], SmsDoor | None] = lambda _: None,
    open_journals: Callable[[WriterThread], JournalDoor | None] = lambda _: None,
) -> None:
    writer = WriterThread(
        open_desk, queue_max=settings.queue_max, deadline_s=settings.deadline_s, monotonic=host.monotonic_s
    )
    gateway = Gateway(
        stream=stream,
        settings=settings,
        tls=authority.server_context(home.authority),
        door=door,
        writer=writer,
        clock=host.utc_s,
        random=secrets.token_bytes,
        sms=open_sms(writer),
    )
    asyncio.run(_serve(gateway, open_journals(writer)))


async def _serve(gateway: Gateway, journals: JournalDoor | None) -> None:
    """Serve until SIGTERM or SIGINT. The printed line tells whoever started this that it is ready."""
    stop = _stop_asked()
    port = await gateway.start()
    beside = [] if journals is None else [asyncio.create_task(journals.run())]
    print(f"listening on {gateway.settings.host}:{port}", flush=True)
    await stop.wait()
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await gateway.stop()


def _stop_asked() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _web(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    settings = read_settings(home).checked("web").checked("ledger")
    if settings.web is None:
        raise SettingsInvalid("settlement.toml has no [web]")
    web, outage_s = settings.web, settings.ledger.outage_s
    site = Site(
        token=read_token(home.web_token),
        read=lambda: read_standing(home, now_utc_s=host.utc_s(), outage_s=outage_s),
        monotonic_s=host.monotonic_s,
    )

    def ready(address: str, port: int) -> None:
        print(f"listening on {address}:{port}", flush=True)

    async def run() -> None:
        await serve_pages(site, host=web.host, port=web.port, stop=_stop_asked(), ready=ready)

    asyncio.run(run())
    return 0


def _ledger(args: argparse.Namespace, host: Host) -> int:
    """Keep the books until SIGTERM or SIGINT. The printed line tells whoever started this that it is ready."""
    home = home_of(args)
    settings = read_settings(home).checked("ledger")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _stand_back()
    with open_writer(home.place(LEDGER), LEDGER) as db:
        print("ledger ready", flush=True)
        while not stop.is_set():
            with closing(ledger_keeper(home, settings)) as keeper:
                try:
                    _keep_until(stop, host, home, db, keeper)
                except StoreFault as error:
                    # Nothing of the turn was kept; a new keeper remembers nothing of it either.
                    _log.error("ledger: its own database: %s: %s", error.code, error)
                    stop.wait(_FAULT_POLL_S)
    return 0


def _stand_back() -> None:
    """Let whatever serves terminals go first: a storm's taps are taken in now, and booked when there is time."""
    os.nice(_LEDGER_NICE)
    with suppress(OSError):  # a kernel that shares its time among sessions, not processes, asks for this instead
        Path("/proc/self/autogroup").write_text(str(_LEDGER_NICE), encoding="ascii")


def ledger_keeper(home: Home, settings: Settings) -> Keeper:
    """What keeps this installation's books."""
    sources: list[JournalSource] = [
        StreamSource(home.place(stream.label, role=LEDGER), stream) for stream in sorted(settings.served)
    ]
    sources.append(LoadSource(home.place(TOPUP, role=LEDGER)))
    sources.append(OfficeSource(home.place(OFFICE, role=LEDGER)))

    def owners() -> RegistryOwners:
        with open_reader(home.place(ONECARD, role=LEDGER), ONECARD) as db:
            return RegistryOwners.read(db)

    return Keeper(
        OpeningSource(home.place(ONECARD, role=LEDGER)),
        sources,
        outage_s=settings.ledger.outage_s,
        close_at_s=settings.ledger.close_at_s,
        fee_per_10000=settings.ledger.merchant_fee_per_10000,
        owners=owners,
    )


def _tell_of_shifts(home: Home, db: Database, close: Close) -> None:
    try:
        for words in shift_alarms(home, db, first_day_of(db, close), close.day):
            _log.error("ledger: ALARM: day %d: %s", close.day, words)
    except CampusError as error:
        _log.warning("ledger: shift reports of day %d were not compared: %s: %s", close.day, error.code, error)


def _keep_until(stop: threading.Event, host: Host, home: Home, db: Database, keeper: Keeper) -> None:
    told: dict[str, str] = {}
    while not stop.is_set():
        turn = keeper.turn(db, now_utc_s=host.utc_s())
        outcome = turn.round
        if turn.settled:
            _log.info("ledger: %d unknown taps settled from their cards' counters", turn.settled)
        if turn.booked_later:
            _log.info("ledger: %d suspended taps booked: what they lacked has come", turn.booked_later)
        for close in turn.closed:
            _log.info("ledger: day %d closed with %d entries", close.day, close.entries)
            _tell_of_shifts(home, db, close)
        for name, (was, now) in outcome.replaced.items():
            _log.error(
                "ledger: ALARM: %s is not what was read up to %d; it is read again from %d: known taps change nothing",
                name,
                was,
                now,
            )
        faults = {name: f"{error.code}: {error}" for name, error in outcome.faults.items()}
        for name in faults.keys() | told.keys():
            if faults.get(name) != told.get(name):  # once when it begins or changes, once when it ends
                _log.warning("ledger: %s: %s", name, faults.get(name, "is well again"))
        told = faults
        if differ := outcome.posted[Posted.EXISTS_WITH_DIFFERENT_AMOUNT]:
            _log.error("ledger: ALARM: %d taps or loads came again with other content; they are in suspense", differ)
        if outcome.rows == 0:
            stop.wait(_FAULT_POLL_S if len(faults) >= keeper.sources else _POLL_S)
        elif not outcome.more:
            stop.wait(_REST_S)
