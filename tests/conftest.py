"""Settings for the whole suite: hypothesis draws the same examples every time, figures need no screen."""

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("neuroplast", derandomize=True, database=None, deadline=None)
settings.load_profile("neuroplast")
