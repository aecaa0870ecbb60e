"""Both languages say everything, and neither says it in the other's words."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from settlement.serve import Event
from settlement.web.words import EN, LANGUAGES, ZH, Words, age_text
from wire.ids import Stream
from wire.receipt import Suspense

EITHER = {"html", "other_language", "units"}


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=LANGUAGES)
def test_every_word_is_there(words: Words) -> None:
    assert all(getattr(words, field.name) for field in fields(Words))
    assert set(words.reasons) == set(Suspense)
    assert set(words.stream_names) == set(Stream)
    of_a_process = {Event.STARTED, Event.READY, Event.ENDED, Event.KEEPS_ENDING, Event.KILLED}
    assert set(words.states) == of_a_process


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Words)} - EITHER))
def test_chinese_is_chinese_and_english_is_not(name: str) -> None:
    chinese, english = str(getattr(ZH, name)), str(getattr(EN, name))
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert not re.search("[\u4e00-\u9fff]", english)


@pytest.mark.parametrize(
    ("seconds", "chinese", "english"),
    [
        (-5, "0 秒", "0 s"),
        (59, "59 秒", "59 s"),
        (60, "1 分", "1 min"),
        (7200, "2 小时", "2 h"),
        (90_000, "1 天", "1 d"),
    ],
)
def test_age_is_told_in_the_largest_unit_that_fits(seconds: int, chinese: str, english: str) -> None:
    assert (age_text(seconds, ZH), age_text(seconds, EN)) == (chinese, english)
