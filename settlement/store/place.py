"""Where one of an installation's databases is: a file, or a database of its own on a PostgreSQL server.

Left out: opening it (`settlement.store.database`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wire.errors import CampusError

_SCHEMES: Final = ("postgresql", "postgres")
_DEFAULT_PREFIX: Final = "campus"
_PREFIX_MAX: Final = 40  # with a name behind it, well within PostgreSQL's 63 bytes


class DatabaseUrlInvalid(CampusError):
    """The setting names no PostgreSQL server."""

    code = "database-url-invalid"


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """One database on a PostgreSQL server, as the role `role` sees it; `folder` holds the roles' password files.

    `url` is the setting: host, port, and as the database's name what all names of the installation begin with. User and
    password in it are the administrator's, whom only `init` and `restore` need.
    """

    url: str = field(repr=False)
    alias: str
    role: str
    folder: Path

    @property
    def name(self) -> str:
        """The database's name, which its owner has too."""
        return f"{prefix_of(self.url)}_{self.alias}"

    @property
    def role_name(self) -> str:
        """The name of the role on the server."""
        return f"{prefix_of(self.url)}_{self.role}"

    @property
    def password_file(self) -> Path:
        """The role's password in libpq's own format."""
        return self.folder / f"{self.role}.pgpass"


Place = Path | ServerPlace


def prefix_of(url: str) -> str:
    """What the names of all databases and roles begin with; raises `DatabaseUrlInvalid`."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DatabaseUrlInvalid("the database's url cannot be read") from error
    if parts.scheme not in _SCHEMES:
        raise DatabaseUrlInvalid(f"the database's url begins with {_SCHEMES[0]}://")
    prefix = parts.path.strip("/") or _DEFAULT_PREFIX
    # Names are written into statements, where no parameter may stand.
    if not (prefix.isascii() and prefix.isidentifier() and prefix == prefix.lower() and len(prefix) <= _PREFIX_MAX):
        raise DatabaseUrlInvalid(f"{prefix!r} cannot begin names: lower-case letters, digits and _ are wanted")
    return prefix
