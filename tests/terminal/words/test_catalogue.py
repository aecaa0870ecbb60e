"""Both languages say everything, with the same facts in it, and no text is anywhere but in the catalogue."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path
from unicodedata import east_asian_width

import pytest

from terminal.words import WORDS
from terminal.words.catalogue import Language, Words
from terminal.words.codes import CODES

ROOT = Path(__file__).parents[3]
FIELDS = [field.name for field in fields(Words)]
CHINESE = re.compile("[\u4e00-\u9fff]")
SHOWN = re.compile("[\u3000-\u9fff\uff00-\uffef]|[A-Za-z]{2,} [A-Za-z]{2,}|^[A-Z][a-z]+ ?[a-z]*$")
ON_KEYS = {"Enter", "Backspace"}
# What shows something to people; every word of theirs comes from the catalogue.
SHOWING = [*sorted((ROOT / "terminal" / "screen").glob("*.py"))]


def facts(text: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def said(name: str, language: Language) -> str:
    text = getattr(WORDS[language], name)
    assert isinstance(text, str)
    return text


def missing(english: str, chinese: str) -> str | None:
    """What is wrong with a pair of texts, if anything."""
    if not english.strip() or not chinese.strip():
        return "empty"
    if facts(english) != facts(chinese):
        return "other facts"
    return None


def test_both_languages_say_everything_with_the_same_facts() -> None:
    found = {name: missing(said(name, Language.EN), said(name, Language.ZH_HANS)) for name in FIELDS}
    assert {name: problem for name, problem in found.items() if problem} == {}


# The language key shows the other language's own name.
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("menu_language", "act_language")])
def test_chinese_is_chinese_and_english_is_not(name: str) -> None:
    assert not CHINESE.search(said(name, Language.EN))
    letters = re.sub(r"\{\w+\}", "", said(name, Language.ZH_HANS))
    assert CHINESE.search(letters)


def test_no_character_is_wide_in_one_terminal_and_narrow_in_another() -> None:
    texts = [said(name, language) for name in FIELDS for language in Language]
    texts += [text for code in CODES for language in Language for text in astuple(code.advice(language))]
    assert {character for text in texts for character in text if east_asian_width(character) == "A"} == set()


@pytest.mark.parametrize(("english", "chinese"), [("", "空"), ("Paid", " "), ("{n} left", "余额 {m}")])
def test_missing_translation_is_found(english: str, chinese: str) -> None:
    assert missing(english, chinese)


def shown_outside(source: str) -> Iterator[str]:
    """String constants that look like something for people: docstrings, codes and colours are not."""
    tree = ast.parse(source)
    quiet: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            quiet |= {id(node.value)}
        told = node.msg if isinstance(node, ast.Assert) else node.exc if isinstance(node, ast.Raise) else None
        quiet |= {id(below) for below in ast.walk(told)} if told is not None else set()  # for whoever reads a log
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SHOWN.search(node.value):
            style = "#" in node.value
            yield from () if style or id(node) in quiet or node.value in ON_KEYS else (f"{node.lineno}: {node.value}",)


@pytest.mark.parametrize("file", SHOWING, ids=lambda file: str(file.name))
def test_no_text_for_people_stands_outside_the_catalogue(file: Path) -> None:
    assert list(shown_outside(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("sample", ["x = '余额'", "say('card left')", "x = f'{a} not paid'", "label = 'Approved'"])
def test_text_outside_the_catalogue_is_found(sample: str) -> None:
    assert list(shown_outside(sample))


def test_names_codes_and_docstrings_are_left_alone() -> None:
    source = '"""A module of words."""\nx = "reader-fault"\nCSS = "Grid { color: #ffffff }"\nassert x, "no x at all"'
    assert list(shown_outside(source)) == []
