"""Registers the tables with Django."""

from __future__ import annotations

from django.apps import AppConfig


class TopupTables(AppConfig):
    """Named explicitly, so that the label does not depend on the folder."""

    name = "settlement.store.topup"
    label = "topup"
