"""For the whole suite: hypothesis draws the same examples each time, no screen is needed; small runs of protocols."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("neuroplast", derandomize=True, database=None, deadline=None)
settings.load_profile("neuroplast")


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Small runs of protocols, by name as the module's SETTINGS; what they have in common is in its SMALL."""
    import complete_runs  # after MPLBACKEND has been set

    shared = getattr(request.module, "SMALL", {})
    settings = {name: shared | chosen for name, chosen in request.module.SETTINGS.items()}
    return complete_runs.run_all(tmp_path_factory.mktemp("runs"), settings)
