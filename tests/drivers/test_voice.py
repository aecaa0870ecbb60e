"""The voice: sounds that are made, kept and not silent; what happens without its programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from drivers.devicefaults import DeviceFault, DeviceMissing
from drivers.voice import SpokenVoice


def a_program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


def sound_of(path: Path) -> tuple[float, float]:
    """Seconds and loudest sample (0 to 1), as sox measures them."""
    told = subprocess.run(
        ["sox", str(path), "-n", "stat"], capture_output=True, text=True, timeout=20, check=True
    ).stderr
    values = dict(re.findall(r"^(.+?):\s+(-?[\d.]+)$", told, re.MULTILINE))
    return float(values["Length (seconds)"]), float(values["Maximum amplitude"])


@pytest.mark.parametrize(("language", "sentence"), [("zh-hans", "收款十元五角"), ("en", "ten yuan, five jiao")])
def test_sound_is_made_and_not_silent_and_made_only_once(tmp_path: Path, language: str, sentence: str) -> None:
    voice = SpokenVoice(tmp_path / "voice")
    path = voice.sound(sentence, language)
    seconds, loudest = sound_of(path)
    assert 0.5 < seconds < 10
    assert loudest > 0.1
    made_at = path.stat().st_ctime_ns
    first = path.read_bytes()
    assert voice.sound(sentence, language) == path
    assert path.read_bytes() == first
    assert path.stat().st_ctime_ns >= made_at


def test_another_amount_is_another_sound(tmp_path: Path) -> None:
    voice = SpokenVoice(tmp_path)
    assert voice.sound("五分", "zh-hans").read_bytes() != voice.sound("十元", "zh-hans").read_bytes()


def test_recorded_sentence_goes_before_a_made_one(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded" / "en" / "thank you.wav"
    recorded.parent.mkdir(parents=True)
    recorded.write_bytes(b"RIFF")
    voice = SpokenVoice(tmp_path / "made", recordings=tmp_path / "recorded")
    assert voice.sound("thank you", "en") == recorded
    assert voice.sound("../../thank you", "en").parent == tmp_path / "made"


def test_oldest_sounds_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.voice._KEPT_MAX", 2)
    voice = SpokenVoice(tmp_path)
    for age, sentence in enumerate(("one", "two", "three")):
        os.utime(voice.sound(sentence, "en"), (age, age))
    assert len(list(tmp_path.glob("*.wav"))) == 2


def test_player_gets_the_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(tmp_path / "bin", "aplay", f'cp "$2" {tmp_path}/played.wav')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    SpokenVoice(tmp_path / "voice").say("十元", "zh-hans")
    assert sound_of(tmp_path / "played.wav")[1] > 0.1


def test_without_a_player_or_a_speaker_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    voice = SpokenVoice(tmp_path / "voice")
    with pytest.raises(DeviceMissing, match="alsa-utils"):
        voice.say("ten", "en")
    a_program(tmp_path / "bin", "aplay", "exit 0")
    with pytest.raises(DeviceMissing, match="espeak-ng"):
        voice.say("ten", "en")


def test_player_without_a_sound_card_is_missing_and_a_broken_speaker_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_program(tmp_path / "bin", "aplay", "echo 'no soundcards found' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    with pytest.raises(DeviceMissing, match="no soundcards"):
        SpokenVoice(tmp_path / "voice").say("ten", "en")
    a_program(tmp_path / "bin", "espeak-ng", "echo broken >&2; exit 1")
    with pytest.raises(DeviceFault, match="broken"):
        SpokenVoice(tmp_path / "other").sound("ten", "en")


def test_hush_ends_what_is_being_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = shutil.which("sleep")
    a_program(tmp_path / "bin", "aplay", f"touch {tmp_path}/begun; exec {sleeper} 20")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    voice = SpokenVoice(tmp_path / "voice")
    saying = threading.Thread(target=voice.say, args=("ten", "en"))
    saying.start()
    ends_s = time.monotonic() + 5
    while not (tmp_path / "begun").exists() and time.monotonic() < ends_s:
        threading.Event().wait(0.01)
    voice.hush()
    saying.join(5)
    assert not saying.is_alive()
