"""What every answer goes through: the token, reading alone, and headers that let a browser load nothing foreign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from settlement.web.site import Site

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Django's middleware around all views; the site is in the request's scope."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[ASGIRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: ASGIRequest) -> HttpResponseBase:
        """The view's answer, or why there is none."""
        answer = self._answer(request)
        for name, value in HEADERS.items():
            answer.headers[name] = value
        return answer

    def _answer(self, request: ASGIRequest) -> HttpResponseBase:
        site: Site = request.scope["site"]
        if not site.lets_in(request.headers.get("Authorization")):
            challenge = {"WWW-Authenticate": 'Basic realm="campus-settlement", charset="UTF-8"'}
            return HttpResponse("token wanted\n", status=401, content_type="text/plain", headers=challenge)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse("read-only\n", status=405, content_type="text/plain", headers={"Allow": "GET, HEAD"})
        return self._get_response(request)
