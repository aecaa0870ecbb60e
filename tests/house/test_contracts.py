"""The import contracts of setup.cfg: an untouched copy keeps them all, and each is seen to break when broken."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "importlinter:contract:"

# For each contract: (module that is made to import, what it imports).
BREACHES = {
    "nobody-imports-sim": [("wire/money.py", "sim"), ("settlement/__main__.py", "sim.card")],
    "wire-stands-alone": [("wire/money.py", "drivers.channel"), ("wire/record.py", "settlement")],
    "wire-uses-only-cryptography": [("wire/pboc.py", "tenacity"), ("wire/batch.py", "apsw")],
    "drivers-import-wire": [("drivers/apdu.py", "terminal.rules"), ("drivers/pcsc.py", "sync")],
    "terminal-imports-drivers-and-wire": [("terminal/till.py", "sync.outbox"), ("terminal/__main__.py", "settlement")],
    "settlement-imports-wire": [("settlement/__main__.py", "drivers.apdu"), ("settlement/__main__.py", "sync")],
    "sync-knows-no-settlement": [("sync/uplink.py", "settlement")],
    "sync-reads-only-the-journal": [("sync/outbox.py", "terminal.rules"), ("sync/__main__.py", "terminal")],
    "smartcard-in-one-file": [("drivers/channel.py", "smartcard.System"), ("sim/__main__.py", "smartcard")],
    "modem-libraries-in-drivers": [
        ("sync/link.py", "serial"),
        ("sim/__main__.py", "gsmmodem.pdu"),
        ("drivers/at.py", "serial"),
        ("drivers/stacks/quectel.py", "serial"),
        ("drivers/sms_pdu.py", "gsmmodem.pdu"),
        ("drivers/printer.py", "escpos.constants"),
        ("terminal/till.py", "evdev"),
        ("sim/__main__.py", "gpiod"),
    ],
    "django-in-store-and-web": [("settlement/__main__.py", "django.db"), ("sim/__main__.py", "django")],
    "cores-are-pure": [
        ("wire/session.py", "socket"),
        ("drivers/purse.py", "time"),
        ("drivers/apdu.py", "random"),
        ("drivers/at.py", "time"),
        ("drivers/modemfaults.py", "random"),
        ("drivers/devicefaults.py", "time"),
        ("drivers/display.py", "time"),
        ("drivers/keys.py", "time"),
        ("drivers/printer.py", "socket"),
        ("drivers/signals.py", "time"),
        ("drivers/voice_words.py", "random"),
        ("sim/devices/escpos.py", "time"),
        ("drivers/sms_pdu.py", "socket"),
        ("drivers/purchase.py", "sqlite3"),
        ("drivers/load.py", "time"),
        ("terminal/clock.py", "time"),
        ("terminal/receipts.py", "time"),
        ("terminal/screen/layout.py", "time"),
        ("terminal/screen/report.py", "apsw"),
        ("terminal/telling.py", "time"),
        ("terminal/till.py", "apsw"),
        ("terminal/rules.py", "time"),
        ("terminal/salvage.py", "time"),
        ("terminal/selling.py", "time"),
        ("terminal/subsidy.py", "time"),
        ("terminal/totals.py", "random"),
        ("terminal/usage.py", "sqlite3"),
        ("sync/policy.py", "random"),
        ("settlement/ledger/counters.py", "time"),
        ("settlement/ledger/entries.py", "django.db"),
        ("settlement/ledger/ways.py", "time"),
        ("settlement/streams/smsfile.py", "time"),
        ("sim/carrier/gsm7.py", "random"),
        ("sim/carrier/tpdu.py", "time"),
        ("sim/modem/engine.py", "socket"),
        ("sim/modem/syntax.py", "time"),
        ("sim/timers.py", "time"),
    ],
}


def read_config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def packages_and_contracts() -> tuple[list[str], dict[str, str]]:
    """The root packages, and each contract's name by its identifier."""
    config = read_config()
    contracts = {s.removeprefix(PREFIX): config[s]["name"] for s in config.sections() if s.startswith(PREFIX)}
    return config["importlinter"]["root_packages"].split(), contracts


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "setup.cfg", folder)
    for package in packages_and_contracts()[0]:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    """Run import-linter in `folder`: KEPT or BROKEN for each contract's name."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run(
        [*command, "--config", "setup.cfg", "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(folder), "COLUMNS": "300", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert found, done.stdout + done.stderr
    assert (done.returncode != 0) == ("BROKEN" in found.values()), done.stdout + done.stderr
    return found


def test_untouched_copy_keeps_every_contract(copy: Path) -> None:
    assert verdicts(copy) == dict.fromkeys(packages_and_contracts()[1].values(), "KEPT")


def test_every_contract_has_its_breach() -> None:
    assert set(BREACHES) == set(packages_and_contracts()[1])


@pytest.mark.parametrize(
    ("contract", "file", "imported"),
    [(contract, file, imported) for contract, pairs in BREACHES.items() for file, imported in pairs],
)
def test_forbidden_import_breaks_its_contract(contract: str, file: str, imported: str, copy: Path) -> None:
    name = packages_and_contracts()[1][contract]
    module = copy / file
    honest = module.read_text()
    try:
        module.write_text(f"{honest}\nimport {imported}\n")
        assert verdicts(copy)[name] == "BROKEN"
    finally:
        module.write_text(honest)


def test_wire_contract_names_every_dependency_but_cryptography() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    distributions = {re.split(r"[^\w-]", line)[0].lower() for line in project["dependencies"]}
    imported = {
        "pyopenssl": "openssl",
        "pyscard": "smartcard",
        "pyserial": "serial",
        "python-escpos": "escpos",
        "python-gsmmodem-new": "gsmmodem",
    }
    modules = {imported.get(d, d.replace("-", "_")) for d in distributions - {"cryptography"}}
    assert modules == set(read_config()[PREFIX + "wire-uses-only-cryptography"]["forbidden_modules"].lower().split())
