"""Where an installation keeps its things, and what `settlement.toml` may say. Left out: reading the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Final, Self, TypeVar

from settlement.store.place import Place, ServerPlace, prefix_of
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream
from wire.money import FEN_MAX

_PORTS: Final = {Stream.TUITION: 7401, Stream.CANTEEN: 7402, Stream.SUPERMARKET: 7403, Stream.SHOPS: 7404}
_TOP_UP_PORT: Final = 7405

# A canteen's queue moves on, and whoever stands in it is served from the till anyway; a fee is paid once, and waiting
# costs nothing. All below the 20 s after which a terminal gives a connection up.
_DEADLINES_S: Final = {Stream.TUITION: 10.0, Stream.CANTEEN: 2.0, Stream.SUPERMARKET: 5.0, Stream.SHOPS: 5.0}

_FEE_MAX: Final = 1_000  # a tenth


class SettingsInvalid(CampusError):
    """`settlement.toml` cannot be read, or says something that is not known here."""

    code = "settings-invalid"


@dataclass(frozen=True, slots=True)
class Home:
    """One installation's server: its files, all below `root`, and the url of its PostgreSQL server if it has one."""

    root: Path
    database_url: str | None = field(default=None, repr=False)  # it may hold a password

    @property
    def folder(self) -> Path:
        """The server's own folder."""
        return self.root / "settlement"

    @property
    def authority(self) -> Path:
        """CA and server certificate; `ca.pem` in it is what terminals get."""
        return self.folder / "ca"

    @property
    def settings(self) -> Path:
        """Settings."""
        return self.folder / "settlement.toml"

    @property
    def sealed_keys(self) -> Path:
        """The issuer's masters."""
        return self.folder / "keys.sealed"

    @property
    def passphrase(self) -> Path:
        """What opens them, unless another file is named."""
        return self.folder / "passphrase"

    @property
    def ticket_key(self) -> Path:
        """What the operator signs tickets with."""
        return self.folder / "ticket.key"

    @property
    def ticket_public_key(self) -> Path:
        """What gateways check tickets with."""
        return self.folder / "ticket.pub"

    @property
    def last_audit(self) -> Path:
        """What the newest audit found."""
        return self.folder / "audit.json"

    @property
    def web_token(self) -> Path:
        """What the operator's pages ask for."""
        return self.folder / "web.token"

    @property
    def supervised(self) -> Path:
        """What `serve` last heard of each process."""
        return self.folder / "serve.json"

    @property
    def sms_aside(self) -> Path:
        """Short messages that are no terminal's, with the reason."""
        return self.folder / "sms-aside"

    def database(self, alias: str) -> Path:
        """The SQLite file of one stream, of the ledger, or of the card registry."""
        return self.folder / f"{alias}.db"

    def place(self, alias: str, *, role: str | None = None) -> Place:
        """Where that database is: the file, or on the server, as its own role sees it or another that may read it."""
        if self.database_url is None:
            return self.database(alias)
        return ServerPlace(self.database_url, alias, role or alias, self.folder / "database")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """One stream's gateway. A batch not begun within `deadline_s` is refused as BUSY: its terminal keeps it."""

    host: str = "127.0.0.1"
    port: int
    queue_max: int = 64
    deadline_s: float = 5.0
    connections_max: int = 1000
    unidentified_max: int = 100
    identify_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpSettings(StreamSettings):
    """The top-up desk: a gateway as a stream has one, the most that one load brings and that a purse may hold.

    1,000.00 is what China's rules for stored-value cards allow on one that bears no name.
    """

    load_fen_max: int = 1000_00
    purse_fen_max: int = 1000_00


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """The ledger. No terminal is cut off for longer than `terminal_outage_days_max`: what it has is here by then.

    The day before is closed at `close_day_at` by campus time; merchants pay `merchant_fee_per_10000` of what they earn.
    """

    terminal_outage_days_max: int = 7
    close_day_at: str = "03:00"
    merchant_fee_per_10000: int = 0

    @property
    def outage_s(self) -> int:
        """The same in seconds."""
        return self.terminal_outage_days_max * 86_400

    @property
    def close_at_s(self) -> int:
        """Seconds after midnight; raises `SettingsInvalid`."""
        found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", self.close_day_at)
        if found is None:
            raise SettingsInvalid(f"settlement.toml: [ledger] close_day_at = {self.close_day_at!r} is no time of day")
        return int(found[1]) * 3_600 + int(found[2]) * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsSettings:
    """The spool folders of smstools, which every stream may read and write; each sends `per_minute` at the most."""

    incoming: str
    outgoing: str
    per_minute: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The PostgreSQL server that holds all databases; without this section they are SQLite files."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """When the books are audited every night: `at`, campus time, best when little is sold and the day is closed."""

    at: str = "04:00"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.at):
            raise SettingsInvalid(f"settlement.toml: [audit] at = {self.at!r} is no time of day such as 04:00")

    @property
    def minute(self) -> int:
        """The minute of the day."""
        return int(self.at[:2]) * 60 + int(self.at[3:])


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """The operator's pages; they are plain HTTP, so beyond this host they need a tunnel or a proxy with TLS."""

    host: str = "127.0.0.1"
    port: int = 7480


@dataclass(frozen=True, slots=True)
class Settings:
    """All of `settlement.toml`.

    What is wrong with one process's section is in `faults`, by its title, and that process's trouble alone.
    """

    streams: Mapping[Stream, StreamSettings]
    ledger: LedgerSettings = LedgerSettings()
    top_up: TopUpSettings | None = None
    sms: SmsSettings | None = None
    database: DatabaseSettings | None = None
    web: WebSettings | None = None
    audit: AuditSettings | None = None
    faults: Mapping[str, SettingsInvalid] = field(default_factory=dict)

    @property
    def served(self) -> frozenset[Stream]:
        """The streams that have a section, right or wrong."""
        wrong = {stream for stream in CONSUMPTION_STREAMS if f"streams.{stream.label}" in self.faults}
        return frozenset(self.streams) | wrong

    @property
    def has_top_up(self) -> bool:
        """Whether the desk has a section, right or wrong."""
        return self.top_up is not None or "top-up" in self.faults

    @property
    def has_audit(self) -> bool:
        """Whether the nightly audit has a section, right or wrong."""
        return self.audit is not None or "audit" in self.faults

    @property
    def has_web(self) -> bool:
        """Whether the operator's pages have a section, right or wrong."""
        return self.web is not None or "web" in self.faults

    def checked(self, title: str) -> Self:
        """These settings; raises what is wrong with that section."""
        if title in self.faults:
            raise self.faults[title]
        return self


_Section = TypeVar(
    "_Section", bound=StreamSettings | LedgerSettings | SmsSettings | WebSettings | DatabaseSettings | AuditSettings
)


def default_settings_text() -> str:
    """What `init` writes: every setting that an operator is likely to change."""
    sections = [
        f'[streams.{stream.label}]\nhost = "127.0.0.1"\nport = {port}    # 0: any free one\n'
        for stream, port in _PORTS.items()
    ]
    sections.append(
        f'[top-up]\nhost = "127.0.0.1"\nport = {_TOP_UP_PORT}\nload_fen_max = {TopUpSettings(port=0).load_fen_max}\n'
        f"purse_fen_max = {TopUpSettings(port=0).purse_fen_max}\n"
    )
    days = LedgerSettings().terminal_outage_days_max
    sections.append(
        f"[ledger]\nterminal_outage_days_max = {days}    # then a torn tap is settled from its card's counters\n"
        f'close_day_at = "{LedgerSettings().close_day_at}"    # the day before is closed, campus time\n'
    )
    sections.append(f'[audit]\nat = "{AuditSettings().at}"    # every night, campus time\n')
    sections.append(f'[web]\nhost = "{WebSettings().host}"\nport = {WebSettings().port}    # pages for the operator\n')
    return "\n".join(sections)


def parse_settings(text: str) -> Settings:
    """Read the settings; raises `SettingsInvalid` in words for anything unknown."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"settlement.toml: {error}") from error
    if unknown := set(tree) - {"streams", "ledger", "top-up", "sms", "web", "database", "audit"}:
        raise SettingsInvalid(f"settlement.toml: [{min(unknown)}] is not known")
    labels = {stream.label: stream for stream in CONSUMPTION_STREAMS}
    sections = tree.get("streams", {})
    if not isinstance(sections, dict):
        raise SettingsInvalid("settlement.toml: [streams] is not a table")
    faults: dict[str, SettingsInvalid] = {}
    streams = {}
    for label, section in sections.items():
        if label not in labels:
            raise SettingsInvalid(f"settlement.toml: there is no stream {label!r}")
        with _one_section(f"streams.{label}", faults) as title:
            stream = labels[label]
            streams[stream] = _read_section(title, section, StreamSettings, deadline_s=_DEADLINES_S[stream])
    ledger, top_up = LedgerSettings(), None
    with _one_section("ledger", faults) as title:
        ledger = _read_section(title, tree.get(title, {}), LedgerSettings)
        _check_ledger(ledger)
    with _one_section("top-up", faults) as title:
        top_up = _read_section(title, tree[title], TopUpSettings) if title in tree else None
    audit = None
    with _one_section("audit", faults) as title:
        audit = _read_section(title, tree[title], AuditSettings) if title in tree else None
    web = None
    with _one_section("web", faults) as title:
        web = _read_section(title, tree[title], WebSettings) if title in tree else None
    sms = _read_section("sms", tree["sms"], SmsSettings) if "sms" in tree else None
    database = _read_section("database", tree["database"], DatabaseSettings) if "database" in tree else None
    if database is not None:
        prefix_of(database.url)
    return Settings(streams, ledger, top_up, sms, database, web, audit, faults)


def _check_ledger(ledger: LedgerSettings) -> None:
    assert ledger.close_at_s >= 0, "or it raises"
    if ledger.merchant_fee_per_10000 > _FEE_MAX:
        raise SettingsInvalid(f"settlement.toml: [ledger] merchant_fee_per_10000 is at most {_FEE_MAX}")


@contextmanager
def _one_section(title: str, faults: dict[str, SettingsInvalid]) -> Iterator[str]:
    try:
        yield title
    except SettingsInvalid as error:
        faults[title] = error


def _read_section(title: str, section: object, settings: type[_Section], **defaults: float) -> _Section:
    """The settings in one section; `defaults` go before the type's own."""
    if not isinstance(section, dict):
        raise SettingsInvalid(f"settlement.toml: [{title}] is not a table")
    known = {field.name: field.type for field in fields(settings)}
    for name, value in section.items():
        kind = known.get(name)
        if kind is None:
            raise SettingsInvalid(f"settlement.toml: [{title}] {name} is not known")
        right = isinstance(value, str) if kind == "str" else isinstance(value, (int, float) if kind == "float" else int)
        if not right or isinstance(value, bool):
            raise SettingsInvalid(f"settlement.toml: [{title}] {name} = {value!r} is not of type {kind}")
        most = FEN_MAX if name.endswith("_fen_max") else 65_535
        if not isinstance(value, str) and not 0 <= value <= most:
            raise SettingsInvalid(f"settlement.toml: [{title}] {name} = {value!r} is out of range")
    if missing := {field.name for field in fields(settings) if field.default is MISSING} - set(section):
        raise SettingsInvalid(f"settlement.toml: [{title}] needs the key {min(missing)}")
    return settings(**{**defaults, **section})
