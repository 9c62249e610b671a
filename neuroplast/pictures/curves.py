"""Metrics over trials: learning curves, and the alignment of readout and feedback weights."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from matplotlib.lines import Line2D

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.pictures import choice, thinning

POINTS = 300  # of a curve
PANELS = 8
ALONG = ("trial", "epoch")
LARGEST = 1e300  # stands for the infinite loss of a net that diverged, which quantiles cannot take


def loss(traces, *, net=None, variable=None, trials=None):
    """Learning curves, logarithmic; any other metric over trials if it is named."""
    shown = _metric(traces, net, variable, trials, ("loss", "error"), "No loss over trials was recorded.")
    fig, axes = _curves(shown)
    logarithmic = "loss" in shown.name or "error" in shown.name
    drawn = [line.get_ydata() for ax in axes for line in ax.get_lines()]
    if logarithmic and np.nanmin(np.concatenate(drawn)) > 0:
        for ax in axes:
            ax.set_yscale("log")
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(min(low, high / 10), high)
    return fig


def alignment(traces, *, net=None, variable=None, trials=None):
    """Cosine between two sets of weights over trials, from -1 to 1, and on the right the angle."""
    missing = "No alignment was recorded; models with feedback weights of their own record it."
    shown = _metric(traces, net, variable, trials, ("alignment", "angle", "cosine"), missing)
    fig, axes = _curves(shown)
    degrees = str(shown.data.attrs.get("units", "")).startswith("deg")
    with figures.style():
        for ax in axes:
            ax.axhline(90 if degrees else 0, color="0.6", linewidth=0.8, zorder=0)
            ax.set_ylim((0, 180) if degrees else (-1, 1))
        if not degrees:
            _angles(axes)
    return fig


def _angles(axes):
    """A second scale at the right of each row."""
    for ax in axes:
        if ax is axes[-1] or ax.get_subplotspec().is_last_col():
            scale = ax.secondary_yaxis("right", functions=(_angle, _cosine))
            scale.set_yticks([0, 45, 60, 75, 90, 105, 120, 135, 180])
            scale.set_ylabel("angle (°)")
            scale.spines["right"].set_visible(True)


def _angle(cosine):
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _cosine(angle):
    return np.cos(np.radians(angle))


def _metric(traces, net, variable, trials, words, missing):
    if trials is not None:
        raise InputError("--trials is for rates, raster and weights; learning curves are over all trials.")

    def names(of):
        found = [name for name in of.metrics if _along(of.metrics[name]) and any(word in name for word in words)]
        return sorted(found, key=lambda name: name not in words)

    if net is None and traces.nets and names(traces):
        shown = choice.Shown(variable or names(traces)[0], None, traces, traces)
        shown = replace(shown, data=traces.metrics[shown.name])
    else:
        shown = choice.shown(traces, net, variable, lambda of: of.metrics, names, missing)
    if _along(shown.data) is None:
        dims = ", ".join(map(str, shown.data.dims)) or "none"
        raise InputError(f"{shown.name}: is not over trials. Its dimensions: {dims}.")
    return shown


def _along(array):
    return next((dim for dim in array.dims if str(dim).endswith(ALONG)), None)


def _curves(shown):
    """A panel for each combination of the nets' coordinates but the first (or the rule), which has colours."""
    array, along = shown.data, _along(shown.data)
    nets = next((dim for dim in array.dims if str(dim).endswith("net")), None)
    others = [dim for dim in array.dims if dim not in (along, nets)]
    coloured = "rule" if "rule" in others else next(iter(others), None)
    split = [dim for dim in others if dim != coloured]
    panels = []
    for place in itertools.product(*(range(array.sizes[dim]) for dim in split)):
        here = array.isel(dict(zip(split, place, strict=True)))
        curves = _panel(here, coloured, nets, along)
        if curves:
            panels.append(("\n".join(f"{dim} = {_text(here, dim)}" for dim in split), curves))
    if not panels:
        raise InputError(f"{shown.name}: holds no number that could be drawn.")
    left, panels = panels[PANELS:], panels[:PANELS]
    columns = min(len(panels), 4 if len(panels) > 4 else 2 if len(panels) in (2, 4) else 3)
    rows = -(-len(panels) // columns)
    width = {1: 4.6, 2: 3.4, 3: 2.5, 4: 2.1}[columns]
    fig, grid = figures.subplots(rows, columns, width=width, height=2.6, squeeze=False, sharey=True, sharex=True)
    axes, blank = list(grid.flat)[: len(panels)], list(grid.flat)[len(panels) :]
    for ax in blank:
        ax.set_axis_off()
    labels = list(dict.fromkeys(label for _, curves in panels for label, *_ in curves))
    colours = dict(zip(labels, _colours(len(labels)), strict=True))
    with figures.style():
        for ax, (heading, curves) in zip(axes, panels, strict=True):
            for label, x, low, middle, high, _ in curves:
                ax.plot(x, middle, color=colours[label], label=label or None, linewidth=1.2)
                ax.fill_between(x, low, high, color=colours[label], alpha=0.25, linewidth=0)
            ax.set_title(heading)
        for ax in axes[-columns:]:
            ax.set_xlabel(along)
            ax.tick_params(labelbottom=True)
        for ax in grid[:, 0]:
            ax.set_ylabel(choice.quantity(shown.name, array.attrs))
        handles = [Line2D([], [], color=colour, label=label) for label, colour in colours.items() if label]
        lines, claims = _papers(shown, axes)
        _legend(fig, axes[0], blank, handles + lines)
    notes = _notes(array, along, panels, len(left))
    choice.title(fig, shown, choice.meaning(shown.name, array.attrs), *notes, *claims)
    return fig, axes


def _legend(fig, ax, blank, handles):
    """In a panel that is left over, else in the first one; a long one at the right of all."""
    if not handles:
        return
    if blank:
        blank[-1].legend(handles=handles, loc="center left")
    elif len(handles) <= 3:
        ax.legend(handles=handles)
    else:
        fig.legend(handles=handles, loc="outside right center")


def _panel(here, coloured, nets, along):
    """Label, places, lower end, middle, upper end and number of nets of each curve that has a number in it."""
    curves = []
    for number in range(here.sizes[coloured] if coloured else 1):
        one = here.isel({coloured: number}) if coloured else here
        samples = one.transpose(nets, along).values if nets else one.values[None]
        label = f"{coloured} = {_text(one, coloured)}" if coloured else ""
        label = _text(one, coloured).upper() if coloured == "rule" else label
        x = one[along].values if along in one.coords else np.arange(one.sizes[along])
        if np.isfinite(samples).any():
            curves.append((label, *_summary(np.asarray(x, dtype=float), samples.astype(float))))
    return curves


def _summary(x, samples):
    """Middle of each bin, median and quartiles over nets and the trials in it (of one net extremes); how many nets."""
    size = thinning.size_of_bins(len(x), POINTS)
    samples = samples[np.isfinite(samples).any(axis=1) | np.isinf(samples).any(axis=1)]
    levels = (0, 50, 100) if len(samples) == 1 else (25, 50, 75)
    found = []
    for start in range(0, len(x), size):
        part = np.clip(samples[:, start : start + size], -LARGEST, LARGEST)
        if not np.isnan(part).all():
            found.append((x[start : start + size].mean(), *np.nanpercentile(part, levels)))
    places, *lines = np.array(found).T
    low, middle, high = (np.where(np.abs(line) < LARGEST / 100, line, np.nan) for line in lines)
    return places, low, middle, high, len(samples)


def _notes(array, along, panels, left):
    size = thinning.size_of_bins(array.sizes[along], POINTS)
    over = f"{size} {along}s" if size > 1 else ""
    counts = {number for _, curves in panels for *_, number in curves}
    if max(counts) > 1:
        number = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else max(counts)
        over = " and ".join(part for part in (f"{number} nets", over) if part)
        notes = [f"Line and band: median and quartiles over {over}."]
    elif over:
        notes = [f"Line and band: median and range of {over}."]
    else:
        notes = []
    if np.isinf(array.values).any():
        notes.append("Nets that diverged count as infinite.")
    return notes + ([f"{len(panels)} of {len(panels) + left} panels."] if left else [])


def _papers(shown, axes):
    """Draw the values that the run's claims give for this metric; returns lines for the legend, and what they say."""
    claims = shown.traces.record.get("claims") or []
    lines = [(claim, claim["values"][shown.name]) for claim in claims if shown.name in claim.get("values", {})]
    handles, notes = [], []
    for (claim, value), style in zip(lines, itertools.cycle(("--", ":", "-.")), strict=False):
        line = {"color": figures.TARGET_COLOUR, "linestyle": style, "linewidth": 1, "label": f"claim: {value:g}"}
        handles += [ax.axhline(value, **line) for ax in axes][:1]
        notes.append(f"Claim ({value:g}): {claim['name']}. Paper: {claim['paper']}.")
    return handles, notes


def _text(array, dim):
    value = array[dim].item() if dim in array.coords else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _colours(number):
    if number < len(figures.COLOURS):
        return figures.COLOURS[:number]
    return [figures.SEQUENTIAL(value) for value in np.linspace(0, 0.9, number)]
