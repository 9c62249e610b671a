"""Spikes in time by neuron, and the rate of the population."""

from __future__ import annotations

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.pictures import choice, thinning

MOST_COLUMNS = 4
MOST_MARKS = 30_000  # spikes of a column that are drawn one by one; more become a map of counts
BINS = 60  # of a column, for the population's rate: about so many


def raster(traces, *, net=None, variable=None, trials=None):
    """A column for each run of consecutive trials: spikes above, the population's rate below."""
    missing = f"No spikes were recorded. {choice.again(traces, 'units.spikes:trials=-1')}"
    shown = choice.shown(traces, net, variable, lambda of: of.spikes, lambda of: list(of.spikes), missing)
    spikes = shown.data
    if not spikes.sizes["spike"]:
        raise InputError(f"{shown.name}: not one spike was recorded.")
    labels, first = _trials(spikes)
    where = choice.positions(labels, trials)
    columns = [_Column(shown, labels, first, block) for block in _blocks(labels, sorted(where))]
    if len(columns) > MOST_COLUMNS:
        raise InputError(f"raster: at most {MOST_COLUMNS} separate trials fit into a picture. Got {len(columns)}.")
    neurons = max(column.neurons for column in columns)
    longest = max(column.stop - column.start for column in columns)
    step = float(spikes.attrs.get("time_step", 0))
    width = _width(longest, step)
    size = 4.6 if len(columns) == 1 else max(2.3, 6.8 / len(columns))
    options = {"sharex": "col", "sharey": "row", "squeeze": False, "height_ratios": (2, 1)}
    fig, axes = figures.subplots(2, len(columns), width=size, height=2.0, **options)
    notes = _notes(spikes.attrs)
    with figures.style():
        _spikes(fig, axes, columns, neurons)
        for (above, below), column in zip(axes.T, columns, strict=True):
            x, label = column.rate(below, neurons, width, step)
            column.mark_trials(above, below)
            above.set_title(column.title)
            below.set(xlabel=label, xlim=(x[0], x[-1]))
        axes[0, 0].set(ylabel="neuron", ylim=(-0.5, neurons - 0.5))
        axes[1, 0].set(ylabel="rate (Hz)", ylim=(0, None))
    bins = f"{width * 1000:g} ms" if width < 1 else f"{width:g} s"
    notes.append(f"Below: mean rate of the {neurons} neurons in bins of {bins}.")
    choice.title(fig, shown, *notes)
    return fig


def _spikes(fig, axes, columns, neurons):
    """Each spike as a mark, or if they are too many a map of their rate."""
    if all(column.drawable for column in columns):
        for ax, column in zip(axes[0], columns, strict=True):
            column.marks(ax, neurons)
        return
    maps = [column.map(neurons) for column in columns]
    colours = figures.scale(*(image for *_, image in maps)) | {"cmap": "Greys"}
    for ax, (x, y, image) in zip(axes[0], maps, strict=True):
        mesh = ax.pcolormesh(x, y, image, rasterized=True, **colours)
    fig.colorbar(mesh, ax=list(axes.flat), label="spikes: rate (Hz)", aspect=30, pad=0.02)


class _Column:
    """Spikes of consecutive trials."""

    def __init__(self, shown, labels, first, block):
        self.spikes = shown.data
        self.slice = slice(first[block[0]], first[block[-1] + 1])
        self.numbers = numbers = [labels[at] for at in block]
        self.title = f"trial {numbers[0]}" if len(block) == 1 else f"trials {numbers[0]} to {numbers[-1]}"
        self.neurons = int(self.spikes.attrs.get("neurons", 0)) or int(self.spikes["neuron"].max()) + 1
        begin = _begins(shown, numbers)
        times = self.spikes["time"][self.slice]
        first, last = float(times[0]), float(times[-1]) + float(self.spikes.attrs.get("time_step", 0))
        self.start = first if begin[0] is None else begin[0]
        self.stop = last if begin[-1] is None else max(begin[-1], last)
        if len(labels) == 1:  # then it is known when spikes were looked for
            self.start = max(self.start, float(self.spikes.attrs.get("start", self.start)))
            self.stop = max(last, min(self.stop, float(self.spikes.attrs.get("stop", self.stop))))
        self.begins = [at - self.start for at in begin[1:-1] if at is not None]

    @property
    def factor(self):
        """What makes of seconds the unit of the axis."""
        return 1.0 if self.stop - self.start >= 10 else 1000.0

    def _pieces(self):
        part = self.spikes.isel(spike=self.slice)
        for start, times in thinning.pieces(part["time"], "spike"):
            yield times - self.start, part["neuron"].isel(spike=slice(start, start + len(times))).values

    @property
    def drawable(self):
        """Whether the spikes are so few that each can be seen."""
        return self.slice.stop - self.slice.start <= MOST_MARKS

    def marks(self, ax, neurons):
        """Draw each spike."""
        for times, indices in self._pieces():
            ax.scatter(
                times * self.factor, indices, s=min(40.0, max(1.0, (120.0 / neurons) ** 2)), marker="|",
                color=figures.TARGET_COLOUR, linewidths=0.6, rasterized=len(times) > 3000,
            )  # fmt: skip

    def map(self, neurons):
        """Edges in time and among neurons, and rates between them (Hz)."""
        rows = np.append(np.arange(0, neurons, thinning.size_of_bins(neurons, thinning.ROWS)), neurons)
        edges = np.linspace(0, self.stop - self.start, thinning.COLUMNS // 2 + 1)
        counts = sum(np.histogram2d(times, indices, (edges, rows))[0] for times, indices in self._pieces())
        return edges * self.factor, rows - 0.5, (counts / np.outer(np.diff(edges), np.diff(rows))).T

    def rate(self, ax, neurons, width, step):
        """Draw the population's rate; returns the edges of its bins and the axis's label."""
        duration = self.stop - self.start
        inner = np.arange(1, max(1, round(duration / width))) * width  # the last bin is what is left
        edges = np.concatenate([[0.0], inner, [duration]]) - step / 2  # spikes lie on the steps: edges between them
        counts = sum(np.histogram(times, edges)[0] for times, _ in self._pieces())
        edges_shown = edges * self.factor
        ax.stairs(counts / (neurons * np.diff(edges)), edges_shown, color=figures.COLOURS[0], fill=True, alpha=0.5)
        since = "in the trial" if len(self.numbers) == 1 else f"since trial {self.numbers[0]}'s beginning"
        return edges_shown, f"time {since} ({'s' if self.factor == 1 else 'ms'})"

    def mark_trials(self, *axes):
        """A line where each further trial begins."""
        for ax in axes:
            for begin in self.begins:
                ax.axvline(begin * self.factor, color=figures.COLOURS[1], linestyle=":", linewidth=1)


def _trials(spikes):
    """Trials that have spikes, and the number of the first spike of each; at the end the number of all."""
    labels, first, last = [], [], None
    for start, numbers in thinning.pieces(spikes["trial"], "spike"):
        changes = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1 if last is None else last))
        labels += numbers[changes].tolist()
        first += (start + changes).tolist()
        last = numbers[-1]
    return labels, [*first, spikes.sizes["spike"]]


def _blocks(labels, where):
    """Positions of trials, those that follow each other together."""
    blocks = [[where[0]]]
    for at in where[1:]:
        if labels[at] == labels[blocks[-1][-1]] + 1:
            blocks[-1].append(at)
        else:
            blocks.append([at])
    return blocks


def _begins(shown, numbers):
    """Times (s) at which trials began, and the last one ended; None where nothing says so."""
    ends = next((array for array in shown.traces.metrics.values() if "trial_time" in array.coords), None)
    if ends is None or "trial" not in ends.coords:
        return [None] * (len(numbers) + 1)
    known = dict(zip(ends["trial"].values.tolist(), ends["trial_time"].values.tolist(), strict=True))
    return [known.get(number - 1, 0.0 if number == 0 else None) for number in [*numbers, numbers[-1] + 1]]


def _width(duration, step):
    """Of a bin: 1, 2 or 5 times a power of ten, and a multiple of the time step."""
    rough = max(duration / BINS, step, 1e-6)
    power = 10.0 ** np.floor(np.log10(rough))
    nice = power * next(multiple for multiple in (1, 2, 5, 10) if multiple * power >= rough * 0.999)
    return max(1, round(nice / step)) * step if step else nice


def _notes(attrs):
    """How the spikes came about."""
    notes = [f"Spikes: {attrs['process']}."] if attrs.get("process") else []
    if attrs.get("map"):
        notes.append(f"From rate to Hz: {attrs['map']}.")
    if "refractory" in attrs:
        refractory = float(attrs["refractory"]) * 1000
        notes.append(f"Refractory period {refractory:g} ms." if refractory else "No refractory period.")
    return notes
