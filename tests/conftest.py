"""Settings that every test runs under. Fixtures stand beside the tests that use them."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadline: a machine that is busy for a moment is not a failure. A failing example prints what reproduces it.
# CI judges a change by the same examples every time; everybody else's runs search on.
settings.register_profile("house", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("house")

# A shell without job control starts what is in the background with SIGINT ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
