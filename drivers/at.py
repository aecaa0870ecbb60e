"""AT commands as text: final results, unsolicited lines, answers taken apart, error numbers in words.

Pure. Left out: the port (`drivers.line`), what is asked in which order (`drivers.modem`, `drivers.stacks`).
Sources: ITU-T V.250, 3GPP TS 27.007 and 27.005, the vendors' manuals.
"""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from drivers.modemfaults import AtError, ModemGarbled

# Anchored at both ends: a line of somebody's text that merely begins with OK ends nothing.
FINAL: Final = re.compile(
    r"(?:OK|ERROR|NO CARRIER|BUSY|NO ANSWER|NO DIALTONE|COMMAND NOT SUPPORT|CONNECT(?: \d+)?|SHUT OK"
    r"|\+CM[ES] ERROR: ?.*|(?:\d+, ?)?(?:SEND OK|SEND FAIL|CLOSE OK)|DATA ACCEPT: ?\d+(?:, ?\d+)?)$"
)
_CM_ERROR: Final = re.compile(r"\+(CM[ES]) ERROR: ?(.*)$")
_REFUSALS: Final = frozenset({"ERROR", "COMMAND NOT SUPPORT", "NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE"})

# Lines that a modem says by itself and that no command answers.
_ALWAYS_URC: Final = re.compile(
    r"(?:RDY|APP RDY|\+CMTI:|\+CDSI:|\+CDS:|\+CMT:|\+CRING:|RING$|\+QIURC:|\+QIND:|\+QUSIM:|\+CIPRXGET: ?1,|\+CIPEVENT:"
    r"|\+IPCLOSE:|\+PDP: ?DEACT|\d+, ?(?:CLOSED|CONNECT OK|CONNECT FAIL|ALREADY CONNECT)$|\+CTZV:|\+CTZE:|\*PSUTTZ:"
    r"|DST:|\+CGEV:|Call Ready$|SMS Ready$|SMS DONE$|PB DONE$|POWERED DOWN|NORMAL POWER DOWN|UNDER-VOLTAGE|OVER-VOLTAGE"
    r"|\+NITZ|\+CIEV:)"
)
# Lines that are either: an answer when their own command is under way, else said by the modem itself.
_SOMETIMES_URC: Final = re.compile(
    r"\+(CREG|CGREG|CEREG|CPIN|CFUN|CUSD|QIOPEN|NETOPEN|NETCLOSE|CIPOPEN|CIPCLOSE|CIPSEND|CDNSGIP|CPMS|CCLK):"
)
_REGISTRATION_URC: Final = re.compile(r"\+C(?:G|E)?REG: ?\d(?:$|, ?\"|, ?[0-9A-Fa-f]{3,},)")
_HEADED_URC: Final = re.compile(r"\+CDS: ?\d+|\+CMT:")
RESTART: Final = r"(?:APP )?RDY$"

BODY_LINES_MAX: Final = 8  # of one unsolicited text; a USSD menu fits, a lost quotation mark does not swallow the rest


class Registration27007(Enum):
    """<stat> of +CREG, +CGREG and +CEREG."""

    NOT_SEARCHING = 0
    HOME = 1
    SEARCHING = 2
    DENIED = 3
    UNKNOWN = 4
    ROAMING = 5
    SMS_ONLY_HOME = 6
    SMS_ONLY_ROAMING = 7
    EMERGENCY = 8


# <AcT> of the same answers, and of +COPS.
TECHNOLOGIES: Final = {
    0: "GSM",
    1: "GSM",
    2: "UMTS",
    3: "EDGE",
    4: "HSDPA",
    5: "HSUPA",
    6: "HSPA",
    7: "LTE",
    8: "GSM",
    9: "LTE",
}

# 27.007, clause 9.2, as far as a terminal meets them.
CME_WORDS: Final = {
    0: "phone failure",
    3: "operation not allowed now",
    4: "operation not supported",
    5: "the SIM's PIN is required",
    10: "no SIM inserted",
    11: "the SIM's PIN is required",
    12: "the SIM's PUK is required",
    13: "the SIM failed",
    14: "the SIM is busy",
    15: "wrong kind of SIM",
    16: "incorrect password",
    17: "the SIM's PIN2 is required",
    18: "the SIM's PUK2 is required",
    20: "memory full",
    21: "invalid index",
    22: "not found",
    23: "memory failure",
    26: "dial string too long",
    30: "no network service",
    31: "network timeout",
    32: "only emergency calls allowed",
    100: "unknown failure",
    103: "illegal subscriber",
    106: "illegal equipment",
    107: "GPRS services not allowed",
    111: "this network not allowed",
    112: "this area not allowed",
    113: "roaming not allowed in this area",
    132: "service option not supported",
    133: "service option not subscribed",
    134: "service option temporarily out of order",
    148: "unspecified GPRS failure",
    149: "the access point refused user or password",
    515: "please wait, initialising or busy with a command",
}

# 27.005, clause 3.2.5, with the causes of 24.011 that networks really give.
CMS_WORDS: Final = {
    1: "unassigned number",
    21: "short message transfer rejected",
    27: "destination out of order",
    28: "unidentified subscriber",
    30: "unknown subscriber: short messages may be off for this SIM",
    38: "network out of order",
    41: "temporary network failure",
    42: "network congested",
    47: "network resources unavailable",
    50: "short messages not subscribed for this SIM",
    300: "modem failure",
    301: "the short message service is reserved",
    302: "operation not allowed",
    303: "operation not supported",
    304: "invalid PDU",
    305: "invalid text mode parameter",
    310: "no SIM inserted",
    311: "the SIM's PIN is required",
    313: "the SIM failed",
    314: "the SIM is busy",
    316: "the SIM's PUK is required",
    320: "memory failure",
    321: "invalid memory index",
    322: "the message store is full",
    330: "the number of the SMS centre is not known",
    331: "no network service",
    332: "network timeout",
    340: "no acknowledgement expected",
    500: "unknown error",
    512: "the message was refused",
    515: "please wait, initialising or busy with a command",
}

# Both mean: ask again in a moment.
BUSY: Final = frozenset({14, 314, 515})


def refusal(final: str, command: str) -> AtError | None:
    """The fault that a final result stands for, None for a good one; `command` is shown in its text."""
    if final in _REFUSALS:
        return AtError(command, f"the modem answered {final}")
    found = _CM_ERROR.match(final)
    if not found:
        return None
    kind, what = found[1], found[2].strip()
    if not re.fullmatch(r"\d{1,5}", what, re.ASCII):
        number = next((n for n, text in _VERBOSE.items() if text == what.lower()), None)
        return AtError(command, what or "no reason given", kind=kind, number=number if kind == "CME" else None)
    number = int(what)
    words = CME_WORDS if kind == "CME" else CMS_WORDS
    return AtError(command, words.get(number, "an error of the maker's own"), kind=kind, number=number)


# What CMEE=2 says for the numbers that decide something here (27.007, clause 9.2).
_VERBOSE: Final = {
    3: "operation not allowed",
    10: "sim not inserted",
    11: "sim pin required",
    12: "sim puk required",
    13: "sim failure",
    14: "sim busy",
    16: "incorrect password",
    30: "no network service",
}


def is_final(line: str) -> bool:
    """Whether `line` ends an answer."""
    return FINAL.match(line) is not None


def is_unsolicited(line: str, command: str | None) -> bool:
    """Whether the modem says `line` by itself, `command` being the one that waits for its answer (None: none)."""
    if command is None or _ALWAYS_URC.match(line):
        return True
    found = _SOMETIMES_URC.match(line)
    if not found:
        return False
    if _REGISTRATION_URC.match(line):  # the answer would begin with two numbers
        return True
    return not re.search(rf"(?:^AT|;)\+{found[1]}(?![A-Z])", command.upper())


def is_unfinished(line: str) -> bool:
    """Whether an unsolicited `line` goes on in the next one: a PDU after its header, a USSD text with line breaks."""
    if _HEADED_URC.match(line):
        return "\n" not in line
    return line.startswith("+CUSD:") and line.count('"') % 2 == 1 and line.count("\n") < BODY_LINES_MAX


def is_noise(line: str) -> bool:
    """Whether nobody sent this: bytes that are no text, on a line that does not begin like an answer."""
    return not line.startswith("+") and not (line.isascii() and line.isprintable())


def is_restart(line: str) -> bool:
    """Whether the modem says that it has just started: whatever it was told before is forgotten."""
    return re.match(RESTART, line) is not None


def fields(line: str) -> list[str]:
    """What stands after the colon of `+NAME: a,"b,c",d`, without quotation marks and outer spaces; at least one."""
    rest = line.partition(":")[2] if line.startswith(("+", "*", "^")) else line
    try:
        return [part.strip() for part in next(csv.reader([rest], skipinitialspace=True))] or [""]
    except csv.Error as error:
        raise ModemGarbled(f"an answer that cannot be taken apart: {error}") from error


def number(text: str) -> int:
    """A small decimal number, or `ModemGarbled`."""
    if not re.fullmatch(r"-?\d{1,10}", text.strip(), re.ASCII):
        raise ModemGarbled(f"{text[:40]!r} stands where a number should")
    return int(text)


def answer(lines: list[str], name: str) -> list[str]:
    """The fields of the last answer line that begins with `+NAME:`, or `ModemGarbled`."""
    found = [line for line in lines if line.startswith(f"{name}:")]
    if not found:
        raise ModemGarbled(f"no {name} in the answer {' / '.join(lines)[:80]!r}")
    return fields(found[-1])


def parse_registration(lines: list[str], name: str) -> tuple[Registration27007, str]:
    """State and technology ("" if not told) from the answer of `AT+CREG?` and its sisters."""
    parts = answer(lines, name)
    if len(parts) < 2:
        raise ModemGarbled(f"{name} tells no state")
    try:
        state = Registration27007(number(parts[1]))
    except ValueError:
        raise ModemGarbled(f"{name} tells the state {parts[1][:8]}, which nobody has defined") from None
    technology = TECHNOLOGIES.get(number(parts[4]), "") if len(parts) > 4 else ""
    return state, technology


def parse_cpin(lines: list[str]) -> str:
    """What the SIM waits for: READY, SIM PIN, SIM PUK ..."""
    return answer(lines, "+CPIN")[0].upper()


def dbm_of(rssi: int) -> int | None:
    """<rssi> of +CSQ (27.007, 8.5) in dBm; None for 99 and what is not defined."""
    return -113 + 2 * rssi if 0 <= rssi <= 31 else None


def parse_cops(lines: list[str]) -> str:
    """The operator's name as `AT+COPS?` tells it, empty when there is none."""
    parts = answer(lines, "+COPS")
    return parts[2] if len(parts) > 2 else ""


def parse_clock(lines: list[str]) -> datetime | None:
    """The moment that +CCLK tells as local time and quarters of an hour, in UTC; None for one that was never set."""
    found = re.fullmatch(
        r"(\d\d)/(\d\d)/(\d\d),(\d\d):(\d\d):(\d\d)(?:([+-]\d{1,2}))?",
        ",".join(answer(lines, "+CCLK")).strip(),
        re.ASCII,
    )
    if not found:
        raise ModemGarbled("the network's clock is not a clock")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        return None
    try:
        local = datetime(2000 + year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        raise ModemGarbled("the network's clock tells a day that is not in the calendar") from None
    return local - timedelta(minutes=15 * int(found[7] or 0))


# A modem that has not heard the network's time tells 70, 80, 00 or 04; this program is younger and its SIM's life ends.
_YEAR_MIN: Final = 25
_YEAR_MAX: Final = 60


def parse_iccid(text: str) -> str:
    """The SIM's number from whatever form a modem gives it in; trailing filler F is dropped."""
    found = re.search(r"(?<![0-9A-Fa-f])(89\d{15,18})[Ff]?(?![0-9A-Fa-f])", text)
    if not found:
        raise ModemGarbled("no SIM number in the answer")
    return found[1]


def parse_crsm_iccid(lines: list[str]) -> str:
    """The SIM's number from its file 2FE2, two digits in each byte in reversed order (ETSI TS 102 221, 13.2)."""
    parts = answer(lines, "+CRSM")
    if len(parts) < 3 or number(parts[0]) not in (0x90, 0x91):
        raise ModemGarbled("the SIM does not give its number")
    swapped = "".join(parts[2][i + 1 : i + 2] + parts[2][i : i + 1] for i in range(0, len(parts[2]), 2))
    return parse_iccid(swapped)


@dataclass(frozen=True, slots=True)
class Listed:
    """One message of `AT+CMGL=4`: its place in the store, and its PDU as it stands there."""

    index: int
    pdu: str


def parse_cmgl(lines: list[str]) -> list[Listed]:
    """Every message of a listing in PDU mode, each line of PDU with the header right above it and no other."""
    found = []
    for header, pdu in itertools.pairwise(lines):
        if header.startswith("+CMGL:"):
            index = number(fields(header)[0])
            found.append(Listed(index, "" if pdu.startswith("+CMGL:") or is_final(pdu) else pdu.strip()))
    return found


def parse_memories(lines: list[str]) -> list[str]:
    """The stores that messages can be read from, out of `AT+CPMS=?`."""
    for line in lines:
        found = re.match(r'\+CPMS: ?\(((?:"\w+",?)+)\)', line)
        if found:
            return re.findall(r'"(\w+)"', found[1])
    raise ModemGarbled("the modem names no message store")


def parse_tries(lines: list[str]) -> int | None:
    """How many PINs may still be tried, from +CPINR, +QPINC or +SPIC; None when the answer does not say."""
    for line in lines:
        parts = fields(line)
        if line.startswith("+CPINR:") and parts[0].upper() == "SIM PIN" and len(parts) > 1:
            return number(parts[1])
        if line.startswith("+QPINC:") and parts[0].upper() == "SC" and len(parts) > 1:
            return number(parts[1])
        if line.startswith("+SPIC:"):
            return number(parts[0])
    return None


def parse_cusd(text: str) -> tuple[int, str]:
    """State and text of a USSD answer."""
    found = re.match(r'\+CUSD: ?(\d)(?:, ?"(.*?)"(?:, ?\d+)?)?\s*$', text, re.DOTALL | re.ASCII)
    if not found:
        raise ModemGarbled("an answer to a USSD code that cannot be read")
    return int(found[1]), found[2] or ""


def quoted(text: str) -> str:
    """`text` as an AT string; a quotation mark or control character in it would end the command early."""
    if re.search(r'["\x00-\x1f\x7f]', text) or not text.isascii():
        raise ModemGarbled("a text that cannot stand in an AT command")
    return f'"{text}"'
