"""Weights at first, at last, and what changed."""

from __future__ import annotations

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.pictures import choice, thinning

MOST_SNAPSHOTS = 200  # that the change over trials is measured at
BINS = 60


def weights(traces, *, net=None, variable=None, trials=None):
    """Two snapshots and their difference in the same colours; their distributions; the change over trials."""
    missing = f"No weights were recorded. {choice.again(traces, 'recurrent.w:trials=0,-1')}"
    shown = choice.shown(traces, net, variable, lambda of: of.weights, lambda of: list(of.weights), missing)
    dims = shown.data.dims
    if len(dims) < 3:
        raise InputError(f"{shown.name}: should have snapshots of pre x post. It has: {', '.join(map(str, dims))}.")
    shown = shown.single(dims[-3:])
    array, along = shown.data, shown.data.dims[0]
    labels = array[along].values if along in array.coords else np.arange(array.sizes[along])
    where = choice.positions(labels, trials, along)
    if len(where) > 2:
        raise InputError(f"weights: give two snapshots to compare. Got {len(where)}.")
    after = "after " if along == "trial" else ""  # it is recorded at the end of a trial
    snapshots = {f"{after}{along} {labels[at]}": array.isel({along: at}).values.astype(float) for at in where}
    matrices = dict(snapshots)
    if len(where) == 2:
        first, last = snapshots.values()
        matrices["difference"] = last - first
    label = choice.quantity(shown.name, array.attrs)
    fig, above, values, change = _axes(len(matrices), array.sizes[along] > 2)
    with figures.style():
        notes = [choice.meaning(shown.name, array.attrs), *_matrices(fig, above, matrices, label)]
        _distributions(values, snapshots, label)
        if change is not None:
            notes += _changes(change, array, along, labels)
    choice.title(fig, shown, *notes)
    return fig


def _axes(matrices, followed):
    """Axes of the matrices, of the distributions and, if there are snapshots between, of the change over trials."""
    if matrices == 1:
        fig, (above, values) = figures.subplots(1, 2, width=3.4, height=2.8)
        return fig, [above], values, None
    # Rows of their own: what is beside a matrix need not be beside a curve.
    layout = [[[["0", "1", "2"]]], [[["values", "change"] if followed else ["values"]]]]
    fig, axes = figures.mosaic(layout, width=6.8, height=4.4, height_ratios=(1.1, 1))
    return fig, [axes[name] for name in "012"], axes["values"], axes.get("change")


def _matrices(fig, axes, matrices, label):
    size = [thinning.size_of_bins(length, thinning.ROWS) for length in next(iter(matrices.values())).shape]
    images = {name: thinning.means(thinning.means(matrix, size[0]), size[1], 1) for name, matrix in matrices.items()}
    colours = figures.scale(*images.values())
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        pre, post = next(iter(matrices.values())).shape
        x, y = (np.append(np.arange(0, n, s), n) - 0.5 for n, s in zip((pre, post), size, strict=True))
        mesh = ax.pcolormesh(x, y, image.T, rasterized=True, **colours)
        ax.set(title=name, xlabel="presynaptic neuron", ylim=(post - 0.5, -0.5))  # as in W h: row by row
        ax.tick_params(labelleft=ax is axes[0])
        if post <= 4:
            ax.set_yticks(range(post))
        if pre <= 4:
            ax.set_xticks(range(pre))
    axes[0].set_ylabel("postsynaptic neuron")
    fig.colorbar(mesh, ax=list(axes), label=label, aspect=12, pad=0.02)
    blocks = " by ".join(str(number) for number in size)
    return [f"Each cell of the matrices is the mean of {blocks} weights."] if max(size) > 1 else []


def _distributions(ax, snapshots, label):
    limit = max(np.nanmax(np.abs(matrix)) for matrix in snapshots.values()) or 1.0
    edges = np.linspace(-limit, limit, BINS + 1)
    for (name, matrix), colour in zip(snapshots.items(), figures.COLOURS, strict=False):
        ax.stairs(np.histogram(matrix, edges)[0], edges, color=colour, linewidth=1.5, label=name)
    ax.set(xlabel=label, ylabel="number of weights", ylim=(0, 1.3 * ax.get_ylim()[1]))  # with room for the legend
    ax.legend(loc="upper left", handlelength=1, borderaxespad=0)


def _changes(ax, array, along, labels):
    """Size of the change since the first snapshot, relative to that snapshot's own."""
    number = min(len(labels), MOST_SNAPSHOTS)
    at = np.unique(np.linspace(0, len(labels) - 1, number).astype(int))
    begin = array.isel({along: 0}).values.astype(float)
    norms = [np.linalg.norm(array.isel({along: one}).values - begin) for one in at]
    own = np.linalg.norm(begin)
    ax.plot(np.asarray(labels)[at], norms / own if own else norms, color=figures.COLOURS[2], marker=".", markersize=3)
    ylabel = f"change since {along} {labels[0]},\n" + ("relative to the weights" if own else "(norm)")
    ax.set(xlabel=along, ylabel=ylabel, ylim=(0, None))
    return [f"Change: Frobenius norm, at {len(at)} of {len(labels)} snapshots."]
