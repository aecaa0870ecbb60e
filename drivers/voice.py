"""A voice that says a sentence: recorded, or made by espeak-ng once and kept. Programs of the system do the work.

Left out: which sentences (`terminal.outputs`) and the words for amounts (`drivers.voice_words`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final, Protocol

from drivers.devicefaults import DeviceFault, DeviceMissing, DeviceSilent

VOICES: Final = {"zh-hans": "cmn", "en": "en"}  # by the till's name of the language
_PLAYERS: Final = (("aplay", "-q"), ("paplay",))
_MAKE_S: Final = 5.0  # espeak-ng takes a tenth of a second on a Pi; one that takes longer hangs
_PLAY_S: Final = 15.0  # the longest sentence has half of that
_KEPT_MAX: Final = 500  # amounts of a canteen; a file has 60 kB
_WORDS_A_MINUTE: Final = "150"


class Voice(Protocol):
    """Says one sentence after the other."""

    def say(self, sentence: str, language: str) -> None:
        """Return when it has been said, or `hush` was called; raises a `DeviceFault`."""
        ...

    def hush(self) -> None:
        """Let what is being said end at once, from any thread."""
        ...


class SpokenVoice:
    """Plays LANGUAGE/SENTENCE.wav of `recordings` if it was recorded, else what espeak-ng makes, kept in `folder`."""

    def __init__(self, folder: Path, *, recordings: Path | None = None) -> None:
        self._folder = folder
        self._recordings = recordings
        self._playing: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def say(self, sentence: str, language: str) -> None:
        """Play it; `DeviceMissing` when no program can."""
        player = next((words for words in _PLAYERS if shutil.which(words[0])), None)
        if player is None:
            raise DeviceMissing("there is no program that plays sounds: install alsa-utils (aplay)")
        self._play([*player, str(self.sound(sentence, language))])

    def hush(self) -> None:
        """End what is playing."""
        with self._lock:
            if self._playing is not None:
                self._playing.terminate()

    def sound(self, sentence: str, language: str) -> Path:
        """The file that says it, recorded or made; raises a `DeviceFault`."""
        if self._recordings is not None:
            recorded = self._recordings / language / f"{sentence}.wav"
            if "/" not in sentence and recorded.is_file():
                return recorded
        name = hashlib.sha256(f"{language}\0{sentence}".encode()).hexdigest()[:24]
        kept = self._folder / f"{name}.wav"
        try:
            if not kept.is_file():
                self._make(kept, sentence, VOICES[language])
            os.utime(kept)
        except OSError as error:
            raise DeviceFault(f"no sound can be kept in {self._folder}: {error}") from error
        return kept

    def _make(self, kept: Path, sentence: str, voice: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_oldest()
        draft = kept.with_suffix(".new")
        command = ["espeak-ng", "-v", voice, "-s", _WORDS_A_MINUTE, "-w", str(draft), "--stdin"]
        try:
            done = subprocess.run(command, input=sentence.encode(), capture_output=True, timeout=_MAKE_S, check=False)
        except FileNotFoundError as error:
            raise DeviceMissing("there is no espeak-ng to speak with: install it, or record the sentences") from error
        except OSError as error:
            raise DeviceFault(f"espeak-ng cannot be started: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise DeviceSilent("espeak-ng does not end") from error
        if done.returncode != 0 or not draft.is_file():
            raise DeviceFault(f"espeak-ng: {done.stderr.decode(errors='replace').strip()[:200]}")
        draft.replace(kept)

    def _forget_oldest(self) -> None:
        found = sorted(self._folder.glob("*.wav"), key=lambda path: path.stat().st_mtime)
        for path in found[: max(len(found) - _KEPT_MAX + 1, 0)]:
            path.unlink(missing_ok=True)

    def _play(self, command: list[str]) -> None:
        try:
            with self._lock:
                self._playing = playing = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
        except OSError as error:
            raise DeviceFault(f"{command[0]} cannot be started: {error}") from error
        try:
            _, complaint = playing.communicate(timeout=_PLAY_S)
        except subprocess.TimeoutExpired as error:
            playing.kill()
            playing.communicate()
            raise DeviceSilent(f"{command[0]} does not end") from error
        finally:
            with self._lock:
                self._playing = None
        if playing.returncode > 0:
            raise DeviceMissing(f"{command[0]}: {complaint.decode(errors='replace').strip()[:200]}")
