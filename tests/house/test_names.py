"""Our top-level import names are plain words that others use too: nobody else may claim them in this environment."""

from __future__ import annotations

import configparser
import importlib
import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "campus-settlement"


def top_level_names() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.packages.find"]["include"].split()
    return [pattern for pattern in patterns if "." not in pattern]


def claims_on(name: str) -> set[str]:
    """The distributions, in their normal spelling, that install something importable as `name`."""
    found = metadata.packages_distributions().get(name, [])
    return {re.sub(r"[-_.]+", "-", distribution).lower() for distribution in found}


@pytest.mark.parametrize("name", top_level_names())
def test_no_other_distribution_claims_our_name(name: str) -> None:
    assert claims_on(name) <= {OURS}


@pytest.mark.parametrize("name", top_level_names())
def test_our_name_imports_from_this_repository(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).resolve() == ROOT / name / "__init__.py"


def test_another_distribution_is_seen_by_its_claim() -> None:
    assert claims_on("pytest") == {"pytest"}


def test_every_package_folder_is_listed_in_setup_cfg() -> None:
    assert sorted(top_level_names()) == sorted(p.parent.name for p in ROOT.glob("*/__init__.py"))
