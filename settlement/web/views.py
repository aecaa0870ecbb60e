"""The pages, each in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from settlement.ledger.store import OpenSuspense
from settlement.serve import Event
from settlement.web.reading import Standing, StreamState, TerminalState
from settlement.web.site import Site
from settlement.web.words import LANGUAGES, Words, age_text
from wire.errors import CampusError
from wire.money import format_fen
from wire.record import CAMPUS_ZONE

_STYLE: Final = Path(__file__).parent / "templates" / "style.css"
_PAGES: Final = ("overview", "terminals", "suspense", "days")
_STALE_S: Final = 86_400  # a terminal that was silent for a day is worth a look


def start(_: ASGIRequest) -> HttpResponse:
    """Chinese unless somebody chooses."""
    return HttpResponseRedirect("/zh/overview")


def style(_: ASGIRequest) -> HttpResponse:
    """The one stylesheet."""
    return HttpResponse(_STYLE.read_bytes(), content_type="text/css; charset=utf-8")


def page(request: ASGIRequest, language: str, name: str) -> HttpResponse:
    """One page in one language."""
    if language not in LANGUAGES or name not in _PAGES:
        raise Http404
    words = LANGUAGES[language]
    other = next(code for code in LANGUAGES if code != language)
    links = [(getattr(words, name), name) for name in _PAGES]
    context = {"w": words, "language": language, "other": other, "name": name, "links": links}
    site: Site = request.scope["site"]
    try:
        standing = site.standing()
    except CampusError as error:
        return render(request, "fault.html", context | {"fault": f"{error} [{error.code}]"}, status=503)
    context["as_of"] = _local(standing.now_utc_s)
    context["alarms"] = list(_alarms(standing, words))
    return render(request, f"{name}.html", context | _facts(standing, words))


def _facts(standing: Standing, words: Words) -> dict[str, object]:
    now_utc_s = standing.now_utc_s
    oldest = min((item.since_utc_s for item in standing.suspense), default=None)
    return {
        "supervised": standing.supervised is not None,
        "supervisor_runs": standing.supervised is not None and standing.supervised.runs,
        "processes": list(_processes(standing, words)),
        "streams": [_stream(row, words, now_utc_s) for row in standing.streams],
        "terminals": [_terminal(row, words, now_utc_s) for row in standing.terminals],
        "suspense": [_suspense(item, words, now_utc_s) for item in standing.suspense],
        "suspense_count": standing.suspense_count,
        "suspense_yuan": format_fen(standing.suspense_fen),
        "suspense_oldest": "" if oldest is None else age_text(now_utc_s - oldest, words),
        "audited_at": "" if standing.audit is None else _local(standing.audit.at_utc_s),
        "loads": standing.loads,
        "loads_yuan": format_fen(standing.loads_fen),
        "days": [
            {"day": _day(row.day), "closed_at": _local(row.closed_at_utc_s), "entries": row.entries}
            for row in standing.days
        ],
    }


def _alarms(standing: Standing, words: Words) -> Iterator[str]:
    """What somebody has to look at, the worst first."""
    if standing.unbalanced:
        yield f"{words.unbalanced}: {', '.join(map(str, standing.unbalanced[:20]))}"
    for point in () if standing.audit is None else standing.audit.broken:
        yield f"{words.audit}: {point}"
    for terminal in standing.terminals:
        if terminal.quarantined_because is not None:
            yield f"{words.terminal} {terminal.terminal}: {words.quarantined}: {terminal.quarantined_because}"
        if terminal.rolled_back_to_seq is not None:
            yield f"{words.terminal} {terminal.terminal}: {words.rolled_back} {terminal.rolled_back_to_seq}"
    for item in standing.suspense:
        if item.contradicts is not None:
            yield f"{words.contradicts}: {item.origin}"
    for shift in standing.shifts:
        yield f"{words.shift_report}: {shift}"
    if standing.supervised is not None:
        if not standing.supervised.runs:
            yield words.supervisor_gone
        for notice in standing.supervised.notices:
            if notice.event == Event.KEEPS_ENDING:
                yield f"{words.keeps_ending}: {notice.process}: {notice.words}"


def _processes(standing: Standing, words: Words) -> Iterator[dict[str, object]]:
    for notice in () if standing.supervised is None else standing.supervised.notices:
        yield {
            "name": notice.process,
            "state": words.states.get(notice.event, notice.event),
            "is_well": notice.event == Event.READY,
            "since": age_text(standing.now_utc_s - notice.at_utc_s, words),
            "words": notice.words,
        }


def _stream(row: StreamState, words: Words, now_utc_s: int) -> dict[str, object]:
    heard = row.heard_at_utc_s
    return {
        "name": words.stream_names[row.stream],
        "here": words.not_run_here if row.taps_here is None else row.taps_here,
        "booked": row.taps_booked,
        "lag": 0 if row.taps_here is None else row.taps_here - row.taps_booked,
        "heard": "–" if heard is None else age_text(now_utc_s - heard, words),
    }


def _terminal(row: TerminalState, words: Words, now_utc_s: int) -> dict[str, object]:
    state = []
    if row.quarantined_because is not None:
        state.append(f"{words.quarantined}: {row.quarantined_because}")
    if row.rolled_back_to_seq is not None:
        state.append(f"{words.rolled_back} {row.rolled_back_to_seq}")
    name = row.outlet_name.zh if words.html.startswith("zh") else row.outlet_name.english
    return {
        "terminal": row.terminal,
        "stream": words.stream_names[row.stream],
        "outlet": f"{row.outlet} {name}",
        "epoch": row.epoch,
        "last": row.last_seq,
        "heard": age_text(now_utc_s - row.heard_at_utc_s, words),
        "is_stale": now_utc_s - row.heard_at_utc_s > _STALE_S,
        "unsent": row.unsent,
        "unsent_yuan": format_fen(row.unsent_fen),
        "condition": "; ".join(state),
    }


def _suspense(item: OpenSuspense, words: Words, now_utc_s: int) -> dict[str, object]:
    return {
        "tap": str(item.origin),
        "card": str(item.card),
        "yuan": format_fen(item.amount_fen),
        "reason": words.reasons[item.reason],
        "age": age_text(now_utc_s - item.since_utc_s, words),
    }


def _local(utc_s: int) -> str:
    return f"{datetime.fromtimestamp(utc_s, UTC).astimezone(CAMPUS_ZONE):%Y-%m-%d %H:%M:%S}"


def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
