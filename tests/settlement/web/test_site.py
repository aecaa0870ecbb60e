"""The token opens, nothing else does; and however many look, the databases are read once in a while."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.settings import Home
from settlement.web.reading import Standing, read_standing
from settlement.web.site import KEPT_S, Site, TokenUnreadable, read_token
from tests.settlement.conftest import NOW

TOKEN = "a-token-of-the-operator"


def nothing() -> Standing:
    raise AssertionError("nobody looks")


SITE = Site(token=TOKEN, read=nothing, monotonic_s=lambda: 0.0)


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


def test_token_as_password_opens_whatever_the_name_is() -> None:
    assert all(SITE.lets_in(basic(f"{name}:{TOKEN}")) for name in ("", "operator", "王芳"))


@given(st.none() | st.text(max_size=40) | st.text(max_size=40).map(basic) | st.text(max_size=40).map("Basic ".__add__))
def test_nothing_else_opens(header: str | None) -> None:
    assert not SITE.lets_in(header)


def test_databases_are_read_once_however_many_look(home: Home) -> None:
    reads, now_s = [0], [100.0]

    def read() -> Standing:
        reads[0] += 1
        return read_standing(home, now_utc_s=NOW, outage_s=604_800)

    site = Site(token=TOKEN, read=read, monotonic_s=lambda: now_s[0])
    first = site.standing()
    assert (site.standing() is first, reads) == (True, [1])
    now_s[0] += KEPT_S
    assert (site.standing() == first, reads) == (True, [2])


def test_token_is_the_one_that_init_made_and_a_short_one_is_none(home: Home, tmp_path: Path) -> None:
    assert len(read_token(home.web_token)) > 40
    assert home.web_token.stat().st_mode & 0o777 == 0o600
    (tmp_path / "short").write_text("secret\n")
    (tmp_path / "odd").write_bytes(b"\xff" * 40)
    for name in ("short", "odd", "none"):
        with pytest.raises(TokenUnreadable):
            read_token(tmp_path / name)
