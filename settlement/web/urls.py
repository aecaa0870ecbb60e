"""Where the pages are."""

from __future__ import annotations

from django.urls import path

from settlement.web.views import page, start, style

urlpatterns = [
    path("", start),
    path("style.css", style),
    path("<str:language>/<str:name>", page),
]
