"""Figures in one style: colours that everybody can tell apart, readable at column width."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from neuroplast.files import written_whole

#: Okabe and Ito's palette, https://jfly.uni-koeln.de/color/ (without its yellow, pale on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TARGET_COLOUR = "#000000"
#: For what is never negative: perceptually uniform, and made for all kinds of colour vision.
SEQUENTIAL = matplotlib.colormaps["cividis"]
DPI = 200
STYLE = {
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "neuroplast",  # the same figure gives the same file
}


def _signed() -> ListedColormap:
    """From blue over near-white to brown: straight lines in Oklab, so that equal steps look equal, on both sides alike.

    Lightness falls evenly from zero on either side, and blue differs from brown for all kinds of colour vision. Oklab:
    Ottosson (2020), https://bottosson.github.io/posts/oklab/.
    """
    ends = np.array([[0.42, -0.02, -0.14], [0.97, 0.0, 0.0], [0.42, 0.085, 0.078]])  # lightness, green-red, blue-yellow
    lab = np.stack([np.interp(np.linspace(-1, 1, 257), (-1, 0, 1), channel) for channel in ends.T], axis=1)
    lms = (
        lab
        @ np.array(
            [[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775], [0.2158037573, -0.0638541728, -1.2914855480]]
        )
    ) ** 3
    linear = lms @ np.array(
        [
            [4.0767416621, -1.2684380046, -0.0041960863],
            [-3.3077115913, 2.6097574011, -0.7034186147],
            [0.2309699292, -0.3413193965, 1.7076147010],
        ]
    )
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)
    return ListedColormap(rgb.clip(0, 1), name="neuroplast_signed")


#: For what may be negative: give it limits symmetric about zero, as `scale` does.
SIGNED = _signed()


def scale(*arrays) -> dict:
    """Colours for arrays that are to be compared: one map and its limits, symmetric about 0 if any number is negative.

    Returns
    -------
    dict
        ``cmap`` and ``norm``, for `Axes.pcolormesh` and `Axes.imshow`. What is missing (NaN) stays blank.
    """
    found = [array[np.isfinite(array)] for array in map(np.asarray, arrays)]
    low, high = min(array.min(initial=0) for array in found), max(array.max(initial=0) for array in found)
    if low < 0:
        low, high = -max(-low, high), max(-low, high)
    return {"cmap": SIGNED if low < 0 else SEQUENTIAL, "norm": Normalize(low, high if high > 0 else 1.0)}


def style():
    """Context in which matplotlib draws in the package's style."""
    return matplotlib.rc_context(STYLE)


def subplots(rows: int = 1, columns: int = 1, *, width: float = 3.4, height: float = 2.6, **options):
    """Figure with axes in the package's style, apart from pyplot's state.

    Parameters
    ----------
    rows, columns : int
    width, height : float
        Size of one panel (inch).
    **options
        Passed to `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes or array of Axes
    """
    with style():
        fig = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplots(rows, columns, **options)


def mosaic(layout, *, width: float = 6.8, height: float = 5.0, **options):
    """Figure with axes of different sizes in the package's style, apart from pyplot's state.

    Parameters
    ----------
    layout : list of lists of str
        As for `matplotlib.figure.Figure.subplot_mosaic`.
    width, height : float
        Size of the figure (inch).
    **options
        Passed to `matplotlib.figure.Figure.subplot_mosaic`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    axes : dict of str to matplotlib.axes.Axes
    """
    with style():
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplot_mosaic(layout, **options)


def median_quartile_curve(ax, x, samples, label: str | None = None, **options):
    """Median over samples as a line, the range between the quartiles as a band.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : array_like of shape (points,)
    samples : array_like of shape (samples, points)
        NaN stands for what is missing.
    label : str, optional
    **options
        Passed to `Axes.plot`, such as ``color``.

    Returns
    -------
    matplotlib.lines.Line2D
        The median.
    """
    samples = np.atleast_2d(np.asarray(samples, dtype=float))
    x = np.asarray(x)
    known = ~np.isnan(samples).all(axis=0)
    low, middle, high = np.nanpercentile(samples[:, known], (25, 50, 75), axis=0)
    (line,) = ax.plot(x[known], middle, label=label, **options)
    ax.fill_between(x[known], low, high, color=line.get_color(), alpha=0.25, linewidth=0)
    return line


def traces_with_targets(ax, t, outputs, target, label: str | None = None, **options):
    """Outputs of several nets over what they should be.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    t : array_like of shape (steps,)
    outputs : array_like of shape (nets, steps) or (steps,)
    target : array_like of shape (steps,)
    label : str, optional
        Of the outputs; the target's label is "target".
    **options
        Passed to `Axes.plot` for the outputs.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The outputs, then the target.
    """
    outputs = np.atleast_2d(np.asarray(outputs, dtype=float))
    colour = options.pop("color", None) or ax.plot([], [])[0].get_color()
    alpha = options.pop("alpha", 1.0 if len(outputs) == 1 else 0.5)
    lines = [
        ax.plot(t, trace, color=colour, alpha=alpha, label=None if number else label, **options)[0]
        for number, trace in enumerate(outputs)
    ]
    lines += ax.plot(t, target, color=TARGET_COLOUR, linestyle="--", linewidth=1, label="target")
    return lines


def show_a_decade(ax, level: float, above: float = 1.0) -> None:
    """Let a logarithmic y axis reach from a tenth of a level, or lower, to a multiple: a flat curve should look flat.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    level : float
    above : float
        The upper end, in multiples of the level.
    """
    ax.set_ylim(min(ax.get_ylim()[0], level / 10), above * level)


def save(fig, folder, name: str = "figure") -> list[Path]:
    """Write a figure as PNG and SVG.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    folder : str or pathlib.Path
    name : str
        Without suffix.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    paths = [Path(folder) / f"{name}.png", Path(folder) / f"{name}.svg"]
    with style():
        for path, options in zip(paths, ({}, {"metadata": {"Date": None}}), strict=True):
            with written_whole(path) as temporary:
                fig.savefig(temporary, format=path.suffix[1:], dpi=DPI, **options)
    return paths


def moving(fig, draw, frames: int):
    """Animation of a figure.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    draw : callable
        ``draw(frame)`` changes the artists and returns those that it changed.
    frames : int

    Returns
    -------
    matplotlib.animation.FuncAnimation
    """
    return FuncAnimation(fig, draw, frames, blit=False)


def save_animation(animation, folder, name: str = "animation", *, frames_per_second: int = 25) -> Path:
    """Write an animation as GIF.

    Parameters
    ----------
    animation : matplotlib.animation.Animation
    folder : str or pathlib.Path
    name : str
        Without suffix.
    frames_per_second : int

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    path = Path(folder) / f"{name}.gif"
    # The writer takes the format from the name, which a file that is not yet whole does not have.
    with style(), tempfile.TemporaryDirectory() as aside:
        animation.save(Path(aside) / path.name, writer=PillowWriter(fps=frames_per_second), dpi=100)
        with written_whole(path) as temporary:
            shutil.copyfile(Path(aside) / path.name, temporary)
    return path
