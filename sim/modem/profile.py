"""What tells one make of modem from another, as data. Left out: the TCP stacks, which are code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One make. `boot_urcs` are (seconds after power-on, line), where `+CPIN` stands for the SIM's state.

    `ready_urcs` follow once the SIM wants no PIN (any more).
    """

    name: str
    maker: str
    model: str
    revision: str
    information: tuple[str, ...]  # ATI
    imei: str
    boot_urcs: tuple[tuple[float, str], ...]
    ready_urcs: tuple[tuple[float, str], ...]
    prompt: bytes
    tries_command: str  # how many tries PIN and PUK have left: +QPINC, +SPIC or +CPINR
    iccid_command: str  # +QCCID, +CICCID or +CCID
    iccid_prefix: bool
    lte: bool  # has +CEREG, and reports E-UTRAN
    me_messages_max: int = 99
    off_urc: str | None = None


EC25: Final = Profile(
    name="quectel-ec25",
    maker="Quectel",
    model="EC25",
    revision="EC25EFAR06A06M4G",
    information=("Quectel", "EC25", "Revision: EC25EFAR06A06M4G"),
    imei="861107030000014",
    boot_urcs=(
        (0.2, "RDY"),
        (0.3, "+CFUN: 1"),
        (0.4, "+CPIN"),
        (0.6, "+QUSIM: 1"),
    ),
    ready_urcs=((0.5, "+QIND: SMS DONE"), (0.7, "+QIND: PB DONE")),
    prompt=b"\r\n> ",
    tries_command="+QPINC",
    iccid_command="+QCCID",
    iccid_prefix=True,
    lte=True,
    off_urc="POWERED DOWN",
)

SIM7600: Final = Profile(
    name="simcom-sim7600",
    maker="SIMCOM INCORPORATED",
    model="SIMCOM_SIM7600E-H",
    revision="+CGMR: LE20B03SIM7600M22",
    information=(
        "Manufacturer: SIMCOM INCORPORATED",
        "Model: SIMCOM_SIM7600E-H",
        "Revision: SIM7600M22_V2.0",
        "IMEI: 861107030000022",
        "+GCAP: +CGSM",
    ),
    imei="861107030000022",
    boot_urcs=((0.2, "RDY"), (0.4, "+CPIN")),
    ready_urcs=((0.5, "SMS DONE"), (0.7, "PB DONE")),
    prompt=b"\r\n>",
    tries_command="+SPIC",
    iccid_command="+CICCID",
    iccid_prefix=True,
    lte=True,
)

SIM800: Final = Profile(
    name="simcom-sim800",
    maker="SIMCOM_Ltd",
    model="SIMCOM_SIM800L",
    revision="Revision:1418B04SIM800L24",
    information=("SIM800 R14.18",),
    imei="861107030000030",
    boot_urcs=((0.2, "RDY"), (0.3, "+CFUN: 1"), (0.4, "+CPIN")),
    ready_urcs=((0.5, "Call Ready"), (0.7, "SMS Ready")),
    prompt=b"\r\n> ",
    tries_command="+SPIC",
    iccid_command="+CCID",
    iccid_prefix=False,
    lte=False,
    me_messages_max=25,
    off_urc="NORMAL POWER DOWN",
)


def hurried(profile: Profile, times: int = 10) -> Profile:
    """The same make, booting so many times faster, for whoever is not interested in how it boots."""
    return replace(
        profile,
        boot_urcs=tuple((delay_s / times, line) for delay_s, line in profile.boot_urcs),
        ready_urcs=tuple((delay_s / times, line) for delay_s, line in profile.ready_urcs),
    )


PROFILES: Final = {profile.name: profile for profile in (EC25, SIM7600, SIM800)}
