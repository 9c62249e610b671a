"""Rates in time: a map of all neurons, and a few as lines; outputs with their targets."""

from __future__ import annotations

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.pictures import choice, thinning

MOST_LINES = 8  # more units than this are shown as a map, and some of them as lines
LINES = 3
MOST_TRIALS = 4
TARGETS = ("target", "goal")


def rates(traces, *, net=None, variable=None, trials=None):
    """A column for each trial: all neurons as a map above, some of them as lines below; few units as lines only."""
    missing = f"No rates were recorded. {choice.again(traces, 'units.h:trials=0,-1')}"
    # Rates of a population are there because somebody asked for them; outputs of tests are always there.
    asked = any(map(_populations, [traces, *traces.nets.values()])) if net is None else False
    names = _populations if asked else _names
    shown = choice.shown(traces, net, variable, lambda of: of.rates, names, missing)
    shown, array, trial, time = _arranged(shown)
    labels = array[trial].values if trial in array.coords else np.arange(array.sizes[trial])
    where = choice.positions(labels, trials, trial)
    if len(where) > MOST_TRIALS:
        raise InputError(f"rates: at most {MOST_TRIALS} {trial}s fit into a picture. Got {len(where)}.")
    unit = array.dims[2]
    units, mapped = array.sizes[unit], array.sizes[unit] > MOST_LINES
    lines = np.unique(np.linspace(0, units - 1, LINES if mapped else units).astype(int))
    parts = [_Part(array.isel({trial: at}), time, lines, shown, trial) for at in where]
    fig, axes, keys = _axes(1 + mapped, len(parts))
    label = choice.quantity(shown.name, array.attrs)
    notes = [choice.meaning(shown.name, array.attrs)]
    with figures.style():
        if mapped:
            colours = figures.scale(*(part.image for part in parts))
            for ax, part in zip(axes[0], parts, strict=True):
                mesh = ax.pcolormesh(part.edges, part.rows, part.image, rasterized=True, **colours)
            axes[0, 0].set_ylabel(unit)
            fig.colorbar(mesh, cax=keys[0].inset_axes((0, 0, 0.2, 1)), label=label)
            notes += [part.note for part in parts[:1]]
        for ax, part in zip(axes[-1], parts, strict=True):
            _lines(ax, part, lines, unit)
        axes[-1, 0].set_ylabel(label)
        for ax, at in zip(axes[0] if trial != "run" else (), where, strict=False):
            ax.set_title(f"{trial} {labels[at]}")
        keys[-1].legend(*axes[-1, 0].get_legend_handles_labels(), loc="center left", borderpad=0, borderaxespad=0)
        for ax in axes[-1]:
            ax.set_xlabel(parts[0].label)
    more = len(labels) - len(where)
    notes += [f"{len(where)} of the {len(labels)} recorded {trial}s."] if more else []
    choice.title(fig, shown, *notes)
    return fig


def _axes(rows, columns):
    """Rows of panels that share their axes, and at the right of each a place for what its colours mean."""
    width = 3.4 if columns == 1 else max(2.2, 6.0 / columns)
    ratios = [1.0] * columns + [0.8 / (width - 0.8 / columns)]
    fig, grid = figures.mosaic(
        [[f"{row} {column}" for column in range(columns)] + [f"key {row}"] for row in range(rows)],
        width=width * columns + 0.8,
        height=1.7 * rows if rows > 1 else 2.2,
        width_ratios=ratios,
    )
    axes = np.array([[grid[f"{row} {column}"] for column in range(columns)] for row in range(rows)])
    for (row, column), ax in np.ndenumerate(axes):
        if column:
            ax.sharey(axes[row, 0])
            ax.tick_params(labelleft=False)
        if row:
            axes[0, column].sharex(ax)
            axes[0, column].tick_params(labelbottom=False)
    keys = [grid[f"key {row}"] for row in range(rows)]
    for key in keys:
        key.set_axis_off()
    return fig, axes, keys


class _Part:
    """One trial, no finer than it can be drawn."""

    def __init__(self, array, time, lines, shown, trial):
        x, self.label = choice.in_time(array, time, shown.traces, trial)
        image, (along, across), self.lines = thinning.in_pieces(array, time, lines)
        known = np.flatnonzero(np.isfinite(image).any(axis=0))
        last = known[-1] + 1 if len(known) else image.shape[1]  # shorter trials than the longest end with NaN
        self.image, self.x = image[:, :last], x
        self.target = _target(shown, array, time)
        step = x[1] - x[0] if len(x) > 1 else 1.0
        starts = x[::along] - step
        self.edges = np.append(starts, x[-1])[: last + 1]
        units = array.shape[1]
        self.rows = np.append(np.arange(0, units, across), units) - 0.5
        parts = [f"{along} samples"] * (along > 1) + [f"{across} neurons"] * (across > 1)
        self.note = f"Each cell of the map is the mean of {' by '.join(parts)}; lines keep the extremes." * bool(parts)


def _populations(traces):
    return [name for name in traces.rates if "neuron" in traces.rates[name].dims]


def _names(traces):
    return sorted(traces.rates, key=lambda name: name not in _populations(traces))


def _arranged(shown):
    """The array with dimensions (trial, time, unit), whatever they are called, and the names of the first two."""
    dims = shown.data.dims
    trial = next((dim for dim in dims if dim in ("trial", "test")), None)
    time = next((dim for dim in dims if dim in ("time", "step", "sample", "record")), None)
    if time is None:
        trial, time = None, trial  # recorded at the ends of trials: one line from trial to trial
    if time is None:
        raise InputError(f"{shown.name}: is not over time or trials. Its dimensions: {', '.join(map(str, dims))}.")
    unit = dims[-1] if dims[-1] not in (trial, time) else None
    shown = shown.single([dim for dim in (trial, time, unit) if dim])
    array = shown.data
    if trial is None:
        trial, array = "run", array.expand_dims("run")
    if unit is None:
        unit, array = "unit", array.expand_dims("unit", -1)
    return shown, array.transpose(trial, time, unit), trial, time


def _lines(ax, part, lines, unit):
    for number, (places, values), colour in zip(lines, part.lines, _colours(len(lines)), strict=True):
        ax.plot(part.x[places], values, color=colour, linewidth=1.2, label=f"{unit} {number}")
    if part.target is not None:
        for number, values in enumerate(part.target.T):
            label = "target" if number == 0 else None
            ax.plot(part.x[: len(values)], values, color=figures.TARGET_COLOUR, ls="--", lw=1, label=label)


def _colours(number):
    return [figures.COLOURS[index % (len(figures.COLOURS) - 1)] for index in range(number)]  # black is the target's


def _target(shown, array, time):
    """What an output should be (samples x units), if the run's results hold it for this net's only test."""
    trial = next((dim for dim in ("trial", "test") if dim in shown.data.dims), None)
    if shown.run.folder is None and shown.traces is not shown.run:
        return None
    for name in TARGETS:
        goal = shown.run.dataset.get(name)
        if goal is None:
            continue
        place = {dim: value for dim, value in shown.coords.items() if dim in goal.dims}
        if trial in goal.dims and trial in array.coords:
            place[trial] = array[trial].item()
        elif trial and shown.data.sizes[trial] > 1:
            continue  # which of them it is for, it does not say
        goal = goal.sel(place)
        if time in goal.dims and set(goal.dims) <= {time, array.dims[-1]}:
            values = goal.transpose(time, ...).values.astype(float)
            return values.reshape(len(values), -1)[: array.sizes[time]]
    return None
