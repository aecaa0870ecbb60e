"""Documents and code name the same commands, options and error codes; each check is seen to fail."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("wire", "drivers", "terminal", "sync", "settlement", "sim")

# What the two shell scripts take beside the options of the program they start.
SHELL_OPTIONS = {"--python"}


def scripts() -> dict[str, str]:
    """Each installed command and the module whose build_parser() describes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {name: target.split(":")[0] for name, target in project["scripts"].items()}


def parser_of(script: str) -> argparse.ArgumentParser:
    parser = importlib.import_module(scripts()[script]).build_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def long_options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def parsers(words: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be typed, as its words, with its parser."""
    yield words, parser
    for name, below in subcommands(parser).items():
        yield from parsers(f"{words} {name}", below)


def documents_of(package: str) -> str:
    files = [ROOT / "README.md", *sorted((ROOT / package).rglob("*.md"))]
    return "\n".join(file.read_text() for file in files if file.exists())


def all_documents() -> str:
    return "\n".join(documents_of(package) for package in PACKAGES)


def is_mentioned(words: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", re.sub(r"\s+", " ", text)) is not None


def undocumented(script: str, parser: argparse.ArgumentParser, text: str) -> list[str]:
    """The commands and long options that `text` does not name."""
    missing = []
    for words, below in parsers(script, parser):
        missing += [words] if not is_mentioned(words, text) else []
        options = sorted(long_options(below) - {"--help"})
        missing += [f"{words}: {option}" for option in options if not is_mentioned(option, text)]
    return missing


def snippets(text: str) -> Iterator[str]:
    """What a document sets as code: the lines of fenced blocks, and spans in running text."""
    for number, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if number % 2:
            yield from part.splitlines()
        else:
            yield from re.findall(r"`([^`]+)`", part)


def unknown_commands(text: str, known: dict[str, argparse.ArgumentParser]) -> list[str]:
    """The commands in the documents' code that no parser has: a wrong subcommand or a wrong option."""
    wrong = []
    for snippet in snippets(text):
        for line in re.split(r"[|;&#]", snippet):
            found = re.search(rf"(?<![\w/.-])({'|'.join(map(re.escape, known))})(?![\w-])(.*)", line)
            if found:
                wrong += [f"{line.strip()}: {word}" for word in unknown_words(found[2].split(), known[found[1]])]
    return wrong


def unknown_words(words: list[str], parser: argparse.ArgumentParser) -> Iterator[str]:
    options = {"--help"} | long_options(parser)
    for word in words:
        option = word.strip("[]").split("=")[0]
        if option.startswith("--"):
            if option not in options:
                yield word
        elif word in subcommands(parser):
            parser = subcommands(parser)[word]
            options |= long_options(parser)
        elif subcommands(parser) and re.fullmatch(r"[a-z][a-z-]*", word):
            yield word


def error_codes(sources: list[str]) -> dict[str, str | None]:
    """Each class under CampusError and the code it sets, or that the nearest class above it (but CampusError) sets."""
    bases: dict[str, list[str]] = {}
    own: dict[str, str] = {}
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                value = getattr(line, "value", None)
                if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
                    own[node.name] = str(value.value)

    def line_of(name: str) -> list[str]:
        return [name, *(above for base in bases.get(name, []) for above in line_of(base))]

    lines = {name: line_of(name) for name in bases if name != "CampusError" and "CampusError" in line_of(name)}
    return {name: next((own[n] for n in line if n in own and n != "CampusError"), None) for name, line in lines.items()}


def codes_of(package: str) -> dict[str, str | None]:
    """The codes of one package; classes of wire come first, since others stand on them."""
    sources = {p: [file.read_text() for file in sorted((ROOT / p).rglob("*.py"))] for p in ("wire", package)}
    every = error_codes([source for group in sources.values() for source in group])
    mine = {n.name for s in sources[package] for n in ast.walk(ast.parse(s)) if isinstance(n, ast.ClassDef)}
    return {name: code for name, code in every.items() if name in mine}


def listed_codes(text: str) -> set[str]:
    """The first code span of each table row or list item under a heading that ends in 'rror codes'."""
    codes: set[str] = set()
    for section in re.split(r"^#+ ", text, flags=re.MULTILINE):
        title, _, body = section.partition("\n")
        if title.strip().lower().endswith("error codes"):
            codes |= set(re.findall(r"^\s*[|*-]\s*`([^`]+)`", body, re.MULTILINE))
    return codes


@pytest.mark.parametrize("script", scripts())
def test_every_command_and_option_is_documented(script: str) -> None:
    package = scripts()[script].split(".")[0]
    assert undocumented(script, parser_of(script), documents_of(package)) == []


def test_every_command_in_the_documents_exists() -> None:
    known = {script: parser_of(script) for script in scripts()}
    run = argparse.ArgumentParser(parents=[subcommands(known["campus-sim"])["run"]], add_help=False)
    check = argparse.ArgumentParser(add_help=False)
    check.add_argument("--slow", action="store_true")
    for option in SHELL_OPTIONS:
        run.add_argument(option)
        check.add_argument(option)
    assert unknown_commands(all_documents(), known | {"./run": run, "./check": check}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_error_code_is_documented(package: str) -> None:
    text = documents_of(package)
    codes = codes_of(package)
    assert [name for name, code in codes.items() if code is None] == []
    assert sorted({code for code in codes.values() if code and not is_mentioned(f"`{code}`", text)}) == []


def test_every_listed_error_code_exists() -> None:
    real = {code for package in PACKAGES for code in codes_of(package).values()}
    assert listed_codes(all_documents()) - {code for code in real if code} == set()


def sample_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("campus-x")
    serve = parser.add_subparsers().add_parser("serve")
    serve.add_argument("--home")
    serve.add_argument("stream")
    return parser


def test_missing_command_and_option_are_found() -> None:
    assert undocumented("campus-x", sample_parser(), "campus-x serve --home") == []
    assert undocumented("campus-x", sample_parser(), "campus-x serve --homes") == ["campus-x serve: --home"]
    assert undocumented("campus-x", sample_parser(), "campus-x --home") == ["campus-x serve"]


def test_invented_command_and_option_are_found() -> None:
    known = {"campus-x": sample_parser()}
    assert unknown_commands("`campus-x serve canteen --home here`, as campus-x does", known) == []
    assert unknown_commands("```\n$ campus-x dance\n```", known) == ["$ campus-x dance: dance"]
    assert unknown_commands("`campus-x serve --away`", known) == ["campus-x serve --away: --away"]


def test_error_codes_follow_the_classes() -> None:
    source = (
        "class A(CampusError):\n    code: ClassVar[str] = 'a-code'\n"
        "class B(A): pass\nclass C(CampusError): pass\nclass D(Exception):\n    code = 'other'"
    )
    assert error_codes([source]) == {"A": "a-code", "B": "a-code", "C": None}


def test_invented_error_code_is_found() -> None:
    assert listed_codes("# Error codes\n\n| `a-code` | text `b` |\n\n# Rest\n- `c`") == {"a-code"}
