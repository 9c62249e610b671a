"""Pictures of what a run recorded: rates, spikes, weights, learning curves, alignment.

``neuroplast show RUN --plot KIND`` writes them into the run's folder; in Python::

    traces = Traces.load("runs/rflo_periodic-0")
    fig = neuroplast.pictures.plot(traces, "rates")

They show what was recorded as it is. Where there is more than a picture can hold, each of its points stands for
several of the data (smallest and largest, means, quantiles), and the picture says so.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from neuroplast.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuroplast.traces import Traces

#: Kind of picture -> module here whose function of that name draws it.
KINDS = {"rates": "rates", "raster": "raster", "weights": "weights", "loss": "curves", "alignment": "curves"}


def plot(traces: Traces, kind: str, *, net: str | None = None, variable: str | None = None, trials=None) -> Figure:
    """Figure of one kind.

    Parameters
    ----------
    traces : Traces
        Of a run, or of one of its nets.
    kind : {"rates", "raster", "weights", "loss", "alignment"}
        Rates in time; spikes by neuron and the population's rate; weights first, last and the difference; learning
        curves over trials; the cosine, and its angle, between readout and feedback weights.
    net : str, optional
        Label of a net. By default learning curves are over all nets and the others show the first net that holds what
        is needed.
    variable : str, optional
        What to draw, such as ``units.h``; by default the first of the kind.
    trials : sequence of int, optional
        Trials (of tests: tests) to show; negative ones count from the last recorded. By default the first and the last.

    Returns
    -------
    matplotlib.figure.Figure
        Apart from pyplot's state; `neuroplast.figures.save` writes it.

    Raises
    ------
    InputError
        If nothing that was recorded can be drawn so: the message says which record could.
    """
    if kind not in KINDS:
        raise InputError(f"There is no picture called {kind!r}. There are: {', '.join(KINDS)}.")
    draw = getattr(import_module(f"neuroplast.pictures.{KINDS[kind]}"), kind)
    return draw(traces, net=net, variable=variable, trials=trials)


def write(traces: Traces, kind: str, folder=None, **options) -> list[Path]:
    """Draw one kind of picture and write it as ``plot-KIND.png`` and ``plot-KIND.svg``.

    Parameters
    ----------
    traces : Traces
    kind : str
    folder : str or pathlib.Path, optional
        By default where the traces were read from; made if it is not there.
    **options
        As for `plot`.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    from neuroplast.figures import save

    fig, folder = plot(traces, kind, **options), Path(folder or traces.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError(f"{folder}: cannot be made ({err.strerror}). Give another folder with --out DIR.") from err
    return save(fig, folder, f"plot-{kind}")
