"""Holds the house rules that no off-the-shelf tool holds, each shown to catch a bad sample; not on documents."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("wire", "drivers", "terminal", "sync", "settlement", "sim")

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 600

# A third-party driver library, and the one file that may import it.
DRIVER_LIBRARIES = {"smartcard": "drivers/pcsc.py"}

# Tests that are about more than one module.
TESTS_ACROSS_MODULES = (
    "tests/house/",
    "tests/system/",
    "tests/sync/test_soak.py",
    "tests/terminal/test_counter.py",
    "tests/terminal/test_day.py",
    "tests/terminal/test_kinds.py",
    "tests/terminal/test_machine.py",
    "tests/wire/test_format_doc.py",
    "tests/wire/test_vectors.py",
)

# Modules that no import leads to: alive when the package around them is, each for its reason.
FOUND_WITHOUT_IMPORT = {
    r"settlement\.store\.\w+\.migrations(\.\w+)?": "Django finds migrations by their folder",
    r"settlement\.store\.\w+\.(apps|models)": "Django loads these for every installed application",
}

CLOCK_AND_CHANCE = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "django.utils.timezone.now",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "uuid.uuid1",
    "uuid.uuid4",
}
CHANCE_AS_ARGUMENT = {"random.Random", "random.SystemRandom"}


def dotted_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every use of something imported, whatever it was renamed to."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in names:
            yield inner.lineno, ".".join([names[inner.id], *parts])


def imported_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import; `from a import b` counts as both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Every comment and docstring."""
    yield from comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def driver_library_problems(source: str) -> list[str]:
    roots = {(line, name.split(".")[0]) for line, name in imported_names(ast.parse(source))}
    return [f"{line}: imports {name}" for line, name in sorted(roots) if name in DRIVER_LIBRARIES]


def clock_problems(source: str) -> list[str]:
    return [
        f"{line}: {name} is an argument"
        for line, name in dotted_uses(ast.parse(source))
        if name in CLOCK_AND_CHANCE or (re.fullmatch(r"random\.[a-z]\w*", name) and name not in CHANCE_AS_ARGUMENT)
    ] + [
        f"{node.value.lineno}: {node.arg} reads the clock"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword) and node.arg in ("auto_now", "auto_now_add")
    ]


def opening_problems(source: str) -> list[str]:
    tree = ast.parse(source)
    problems = [] if ast.get_docstring(tree) else ["1: the module does not say what it is for"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            problems.append(f"{node.lineno}: import *")
        if isinstance(node, ast.Name) and node.id in ("__author__", "__license__", "__copyright__"):
            problems.append(f"{node.lineno}: {node.id}")
    for line, text in prose(source):
        if re.search(r"\b(TODO|FIXME)\b", text):
            problems.append(f"{line}: something is left to do")
        if re.search(r"(?im)^[#\s]*(copyright|spdx-|@?author:|licen[cs]ed under)", text):
            problems.append(f"{line}: licence or author block")
    return problems


def size_problems(source: str) -> list[str]:
    lines = len(source.splitlines())
    problems = [f"1: {lines} lines"] if lines > MODULE_LINES_MAX else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                problems.append(f"{node.lineno}: {node.name} has {length} lines")
    return problems


def ignore_problems(source: str) -> list[str]:
    return [
        f"{line}: a type: ignore without its [code] or its reason"
        for line, text in comments(source)
        if re.search(r"type:\s*ignore", text) and not re.match(r"#\s*type: ignore\[[\w, -]+\]\s+# \S+", text)
    ]


def double_problems(source: str) -> list[str]:
    tree = ast.parse(source)
    mocks = {line for line, name in imported_names(tree) if re.match(r"(unittest\.)?mock\b|pytest_mock\b", name)}
    sleeps = {line for line, name in dotted_uses(tree) if re.fullmatch(r"(time|asyncio|\w+\.time)\.sleep", name)}
    return [f"{line}: mock" for line in sorted(mocks)] + [f"{line}: sleep" for line in sorted(sleeps)]


def package_files() -> list[Path]:
    return [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def files_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def files_of_benchmarks() -> list[Path]:
    return sorted((ROOT / "benchmarks").rglob("*.py"))


def every_file() -> list[Path]:
    return [*package_files(), *files_of_tests(), *files_of_benchmarks()]


def reads_no_clock() -> list[Path]:
    """A benchmark measures time, a test may have to wait for another process, and `__main__` hands the clock on."""
    return [file for file in package_files() if file.name != "__main__.py"]


def imports_no_driver_library() -> list[Path]:
    return [file for file in every_file() if place(file) not in DRIVER_LIBRARIES.values()]


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Rule:
    problems_in: Callable[[str], list[str]]
    files: Callable[[], list[Path]]
    bad: tuple[str, ...]
    good: str


RULES = {
    "driver library": Rule(
        driver_library_problems,
        imports_no_driver_library,
        bad=("from smartcard.System import readers", "def f():\n    import smartcard"),
        good="import smart.card",
    ),
    "clock and chance": Rule(
        clock_problems,
        reads_no_clock,
        bad=(
            "import datetime\ndatetime.datetime.now(datetime.UTC)",
            "from datetime import datetime as dt\ndt.now()",
            "import time as t\nx = t.monotonic",
            "from time import time\ntime()",
            "import random\nrandom.randint(1, 2)",
            "from random import choice\nchoice([1])",
            "from django.utils import timezone\ntimezone.now()",
            "models.DateTimeField(auto_now_add=True)",
        ),
        good="from random import Random\nimport datetime\ndef f(clock, rng: Random): return clock.now(datetime.UTC)",
    ),
    "opening": Rule(
        opening_problems,
        every_file,
        bad=(
            "x = 1",
            '"""Doc."""\nfrom wire import *',
            '"""Doc."""\n# TODO: later',
            '"""Doc. FIXME"""',
            '"""Doc."""\n__author__ = "me"',
            '"""Doc."""\n# Copyright 2020',
            '"""Doc.\n\nLicensed under the terms of something."""',
        ),
        good='"""Doc."""\nTODO_LIST = "TODO"',
    ),
    "size": Rule(
        size_problems,
        every_file,
        bad=("def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "x = 1\n" * (MODULE_LINES_MAX + 1)),
        good="def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1),
    ),
    "type: ignore": Rule(
        ignore_problems,
        every_file,
        bad=("x = 1  # type: ignore", "x = 1  # type: ignore[misc]", "x = 1  # type: ignore  # because"),
        good="x = 1  # type: ignore[misc]  # the library has no types",
    ),
    "test doubles": Rule(
        double_problems,
        files_of_tests,
        bad=(
            "from unittest import mock",
            "from unittest.mock import patch",
            "import time\ntime.sleep(1)",
            "from asyncio import sleep\nsleep(1)",
        ),
        good="import time\ntime.monotonic()",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rule_holds_in_every_file(name: str) -> None:
    rule = RULES[name]
    files = rule.files()
    assert files
    assert [f"{place(file)}:{problem}" for file in files for problem in rule.problems_in(file.read_text())] == []


@pytest.mark.parametrize(("name", "sample"), [(name, bad) for name, rule in RULES.items() for bad in rule.bad])
def test_rule_catches_its_bad_sample(name: str, sample: str) -> None:
    assert RULES[name].problems_in(sample)


@pytest.mark.parametrize("name", RULES)
def test_rule_leaves_its_good_sample_alone(name: str) -> None:
    assert RULES[name].problems_in(RULES[name].good) == []


def module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def references(source: str, modules: set[str], name: str, *, is_package: bool) -> set[str]:
    """The modules that `source` imports, or names whole in a string (`python -m`), with their packages."""
    tree = ast.parse(source)
    named = {found for _, found in imported_names(tree)}
    parents = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            named |= {node.value, f"{node.value}.__main__"}
        if isinstance(node, ast.ImportFrom) and node.level:
            start = [*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])]
            named |= {".".join(start), *(".".join([*start, alias.name]) for alias in node.names)}
    return {part for found in named & modules for part in with_packages(found)} & modules


def with_packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def dead_modules(sources: dict[str, str], entry_points: set[str]) -> set[str]:
    """The modules in `sources` (by file) that no chain of imports from an entry point reaches."""
    files = {module_name(file): file for file in sources}
    found_without_import = [name for name in files if any(re.fullmatch(p, name) for p in FOUND_WITHOUT_IMPORT)]
    reached: set[str] = set()
    waiting = [part for entry in entry_points for part in with_packages(entry) if part in files]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            is_package = files[name].endswith("__init__.py")
            waiting += references(sources[files[name]], set(files), name, is_package=is_package)
            waiting += [child for child in found_without_import if child.rpartition(".")[0] == name]
    return set(files) - reached


def entry_points() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"benchmarks.__main__", *(target.split(":")[0] for target in project["scripts"].values())}


def test_every_module_is_reached_from_an_entry_point() -> None:
    sources = {place(file): file.read_text() for file in [*package_files(), *files_of_benchmarks()]}
    assert dead_modules(sources, entry_points()) == set()


def test_module_that_nothing_imports_is_found_dead() -> None:
    sources = {
        "sim/__init__.py": "",
        "sim/__main__.py": "from sim import bank\nSETTINGS = 'sim.settings'",
        "sim/bank.py": "from . import money",
        "sim/money.py": "",
        "sim/settings.py": "",
        "sim/orphan.py": "import sim.orphan_friend",
        "sim/orphan_friend.py": "",
        "settlement/store/ledger/__init__.py": "",
        "settlement/store/ledger/models.py": "",
    }
    dead = {"sim.orphan", "sim.orphan_friend", "settlement.store.ledger", "settlement.store.ledger.models"}
    assert dead_modules(sources, {"sim.__main__"}) == dead


def test_models_of_an_installed_application_are_alive() -> None:
    sources = {
        "settlement/store/ledger/__init__.py": "",
        "settlement/store/ledger/models.py": "",
        "settlement/__main__.py": "APPS = ['settlement.store.ledger']",
    }
    assert dead_modules(sources, {"settlement.__main__"}) == set()


def unmirrored(tests: list[str], exists: Callable[[str], bool]) -> list[str]:
    """The test files whose module (or package) is not there; test_main.py stands for __main__.py."""
    found = []
    for test in tests:
        folder, _, name = test.removeprefix("tests/").rpartition("/")
        module = f"{folder}/{name.removeprefix('test_')}".replace("/main.py", "/__main__.py")
        if not exists(module) and not exists(f"{module.removesuffix('.py')}/__init__.py"):
            found.append(test)
    return found


def test_every_test_file_mirrors_a_module() -> None:
    tests = [place(file) for file in files_of_tests() if file.name.startswith("test_")]
    single = [test for test in tests if not test.startswith(TESTS_ACROSS_MODULES)]
    assert unmirrored(single, lambda module: (ROOT / module).exists()) == []


def test_test_file_without_its_module_is_found() -> None:
    tests = ["tests/wire/test_ids.py", "tests/wire/test_gone.py", "tests/sim/test_card.py", "tests/sim/test_main.py"]
    there = {"wire/ids.py", "sim/card/__init__.py", "sim/__main__.py"}
    assert unmirrored(tests, there.__contains__) == ["tests/wire/test_gone.py"]
