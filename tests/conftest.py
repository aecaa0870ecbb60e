"""Settings that every test runs under. Fixtures stand beside the tests that use them."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a machine that is busy for a moment is not a failure. A failing example prints what reproduces it.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
