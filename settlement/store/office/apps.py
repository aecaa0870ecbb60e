"""Registers the tables with Django."""

from __future__ import annotations

from django.apps import AppConfig


class OfficeTables(AppConfig):
    """Named explicitly, so that the label does not depend on the folder."""

    name = "settlement.store.office"
    label = "office"
