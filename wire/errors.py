"""The root of every fault raised on purpose. Expected outcomes are values, not exceptions; bugs are `assert`."""

from __future__ import annotations

from typing import ClassVar


class CampusError(Exception):
    """A fault with a stable `code` that scripts and people can rely on.

    The text never carries a full card number or a key. `retryable` says whether the same request may succeed later
    unchanged.
    """

    code: ClassVar[str] = "campus-error"
    retryable: ClassVar[bool] = False
