"""What all pages share: the installation, its token, and one reading for everybody who looks within a few seconds."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from settlement.web.reading import Standing
from wire.errors import CampusError

TOKEN_CHARACTERS_MIN: Final = 20  # nobody guesses as many
KEPT_S: Final = 5.0  # however many look: the databases are read once in so long


class TokenUnreadable(CampusError):
    """The file with the pages' token is missing or holds none."""

    code = "token-unreadable"


def read_token(path: Path) -> str:
    """The token that `init` made; raises `TokenUnreadable`."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise TokenUnreadable(f"{path} cannot be read; `campus-settlement init` makes it") from error
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise TokenUnreadable(f"{path} holds no token of at least {TOKEN_CHARACTERS_MIN} characters")
    return token


class Site:
    """Made once for the process; `read` is called by one thread at a time."""

    def __init__(self, *, token: str, read: Callable[[], Standing], monotonic_s: Callable[[], float]) -> None:
        self._token = token.encode()
        self._read = read
        self._monotonic_s = monotonic_s
        self._lock = Lock()
        self._kept: tuple[float, Standing] | None = None

    def standing(self) -> Standing:
        """How everything stands, at most `KEPT_S` old; raises what reading raises."""
        with self._lock:
            now_s = self._monotonic_s()
            if self._kept is None or now_s >= self._kept[0] + KEPT_S:
                self._kept = now_s, self._read()
            return self._kept[1]

    def lets_in(self, authorization: str | None) -> bool:
        """Whether this HTTP header has the token as its password; the name before it does not matter."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, colon, password = b64decode(encoded, validate=True).partition(b":")
        except (NotBase64, ValueError):
            return False
        return bool(colon) and hmac.compare_digest(password, self._token)
