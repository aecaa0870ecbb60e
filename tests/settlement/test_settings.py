"""What `settlement.toml` may say."""

from __future__ import annotations

import pytest

from settlement.settings import (
    LedgerSettings,
    SettingsInvalid,
    SmsSettings,
    StreamSettings,
    TopUpSettings,
    default_settings_text,
    parse_settings,
)
from wire.ids import Stream


def test_default_settings_name_all_four_streams() -> None:
    streams = parse_settings(default_settings_text()).streams
    assert {stream: settings.port for stream, settings in streams.items()} == {
        Stream.TUITION: 7401,
        Stream.CANTEEN: 7402,
        Stream.SUPERMARKET: 7403,
        Stream.SHOPS: 7404,
    }


def test_every_setting_can_be_given() -> None:
    text = '[streams.shops]\nhost="::1"\nport=0\nqueue_max=3\ndeadline_s=1\nconnections_max=9\nidle_timeout_s=2.5'
    assert parse_settings(text).streams == {
        Stream.SHOPS: StreamSettings(
            host="::1", port=0, queue_max=3, deadline_s=1, connections_max=9, idle_timeout_s=2.5
        )
    }


def test_longest_outage_of_a_terminal_is_a_week_unless_named() -> None:
    assert parse_settings("").ledger.outage_s == 7 * 86_400
    assert parse_settings("[ledger]\nterminal_outage_days_max = 30").ledger == LedgerSettings(
        terminal_outage_days_max=30
    )


def test_desk_is_run_by_default_and_its_limits_can_be_given() -> None:
    assert parse_settings(default_settings_text()).top_up == TopUpSettings(port=7405)
    assert parse_settings("").top_up is None
    assert parse_settings("[top-up]\nport=0\nload_fen_max=20000\npurse_fen_max=300000").top_up == TopUpSettings(
        port=0, load_fen_max=200_00, purse_fen_max=3000_00
    )


def test_hour_of_the_close_is_read_as_seconds_after_midnight() -> None:
    assert parse_settings("").ledger.close_at_s == 3 * 3_600
    assert parse_settings("[ledger]\nclose_day_at='23:59'").ledger.close_at_s == 86_340


def raise_first_fault(text: str) -> None:
    settings = parse_settings(text)
    for title in settings.faults:
        settings.checked(title)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ledger = 1", "[ledger] is not a table"),
        ("[ledger]\noutage = 1", "[ledger] outage is not known"),
        ("[ledger]\nterminal_outage_days_max = -1", "out of range"),
        ("[ledger]\nclose_day_at = '3:00'", "close_day_at = '3:00' is no time of day"),
        ("[ledger]\nclose_day_at = '24:00'", "is no time of day"),
        ("[ledger]\nmerchant_fee_per_10000 = 1001", "at most 1000"),
        ("[streams", "settlement.toml"),
        ("[other]", "[other] is not known"),
        ("top-up = 1", "[top-up] is not a table"),
        ("[top-up]", "[top-up] needs the key port"),
        ("[top-up]\nport=0\nload_fen_max=-1", "load_fen_max = -1 is out of range"),
        ("sms = 1", "[sms] is not a table"),
        ("[sms]\nincoming='/in'", "[sms] needs the key outgoing"),
        ("[sms]\nincoming='/in'\noutgoing=3", "outgoing = 3 is not of type str"),
        ("streams = 1", "[streams] is not a table"),
        ("[streams.bank]\nport=1", "no stream 'bank'"),
        ("[streams]\ncanteen=1", "[streams.canteen] is not a table"),
        ("[streams.canteen]", "needs the key port"),
        ("[streams.canteen]\nport='x'", "port = 'x' is not of type int"),
        ("[streams.canteen]\nport=true", "port = True is not of type int"),
        ("[streams.canteen]\nport=70000", "port = 70000 is out of range"),
        ("[streams.canteen]\nport=1\ndeadline=2", "deadline is not known"),
    ],
)
def test_wrong_setting_is_named(text: str, fault: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        raise_first_fault(text)
    assert fault in str(caught.value)


def test_wrong_section_is_the_trouble_of_its_own_process() -> None:
    text = "[streams.canteen]\ncolour=1\n[streams.shops]\nport=1\n[top-up]\n[ledger]\nterminal_outage_days_max='x'"
    settings = parse_settings(text)
    assert settings.checked("streams.shops").streams == {Stream.SHOPS: StreamSettings(port=1)}
    assert settings.served == {Stream.CANTEEN, Stream.SHOPS}
    assert settings.has_top_up
    assert set(settings.faults) == {"streams.canteen", "top-up", "ledger"}


def test_canteen_refuses_sooner_than_the_others_and_tuition_last() -> None:
    streams = parse_settings(default_settings_text()).streams
    longest_first = sorted(streams, key=lambda stream: streams[stream].deadline_s, reverse=True)
    assert (longest_first[0], longest_first[-1]) == (Stream.TUITION, Stream.CANTEEN)
    assert parse_settings("[streams.canteen]\nport=1\ndeadline_s=9").streams[Stream.CANTEEN].deadline_s == 9


def test_spool_folders_are_read() -> None:
    settings = parse_settings("[sms]\nincoming='/in'\noutgoing='/out'")
    assert settings.sms == SmsSettings(incoming="/in", outgoing="/out")
    assert parse_settings("").sms is None
