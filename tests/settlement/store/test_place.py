"""A setting names a server and what all names on it begin with, or is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.settings import Home, SettingsInvalid, default_settings_text, parse_settings
from settlement.store.place import DatabaseUrlInvalid, ServerPlace, prefix_of

URL = "postgresql://admin:secret@db.campus.example:5433/north?sslmode=require"


def test_places_of_an_installation_without_a_server_are_its_files() -> None:
    home = Home(Path("/srv/campus"))
    assert home.place("ledger") == home.place("ledger", role="canteen") == Path("/srv/campus/settlement/ledger.db")


def test_place_on_a_server_is_a_database_seen_by_a_role() -> None:
    place = Home(Path("/srv/campus"), URL).place("onecard", role="canteen")
    assert isinstance(place, ServerPlace)
    assert (place.name, place.role_name) == ("north_onecard", "north_canteen")
    assert "secret" not in repr(place)
    assert "secret" not in repr(Home(Path("/srv/campus"), URL))
    assert place.password_file == Path("/srv/campus/settlement/database/canteen.pgpass")


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        (URL, "north"),
        ("postgres://db.campus.example", "campus"),
        ("postgresql:///", "campus"),
        ("postgresql://admin@/south_2?host=/run/postgresql", "south_2"),
    ],
)
def test_names_begin_with_the_urls_last_part(url: str, prefix: str) -> None:
    assert prefix_of(url) == prefix


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://db/campus",
        "host=db dbname=campus",
        "postgresql://db/Campus",
        "postgresql://db/campus;drop",
        "postgresql://db/campus-north",
        "postgresql://db/食堂",
        "postgresql://db/a/b",
        "postgresql://[db/campus",
        f"postgresql://db/{'x' * 41}",
    ],
)
def test_url_that_cannot_begin_names_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlInvalid):
        prefix_of(url)
    with pytest.raises((DatabaseUrlInvalid, SettingsInvalid)):
        parse_settings(f"{default_settings_text()}\n[database]\nurl = '{url}'\n")


@given(st.text())
def test_any_text_is_a_prefix_that_is_safe_in_a_statement_or_a_typed_error(text: str) -> None:
    for url in (text, f"postgresql://db/{text}"):
        try:
            prefix = prefix_of(url)
        except DatabaseUrlInvalid:
            continue
        assert prefix.isidentifier()
        assert prefix.isascii()
        assert prefix.lower() == prefix


def test_setting_is_read_and_anything_else_in_its_section_is_refused() -> None:
    assert parse_settings(default_settings_text()).database is None
    read = parse_settings(f"[database]\nurl = '{URL}'\n").database
    assert read is not None
    assert read.url == URL
    for section in ("", "url = 5", f"url = '{URL}'\npassword = 'x'"):
        with pytest.raises(SettingsInvalid):
            parse_settings(f"[database]\n{section}\n")
