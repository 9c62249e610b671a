"""What the hidden layer makes of images it has not learned from, before and after PEPITA, in two dimensions.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, figure 4: t-SNE of the hidden layer's responses, for the
fully connected network of figure 3 (MNIST). To be seen: points of a class lie together. A picture made by t-SNE shows
clusters of almost anything, so a number stands beside it: purity, the part of a response's ten nearest neighbours that
are of its class, in the hidden layer itself and in the picture.

Ours: Fashion-MNIST, the number, and what the learned responses are compared with: those of the same layer before
learning, and the images themselves, since random weights keep neighbours together. Responses are computed in numpy from
the weights that the network ends with; their accuracy in the test says whether they are the network's own. Without
scikit-learn the picture shows the first two principal components. Criteria were set before the full-size run.
"""

from dataclasses import dataclass

import matplotlib
import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.analysis.embedding import principal, purity, tsne
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images

PAPER = {"figure": "Dellaferrera and Kreiman 2022, figure 4", "doi": ""}
EXPECTED_TIME = "10 min on two idle cores; 1 min with --reuse of pepita_table"
STAGES = ("images", "untrained", "trained")


@dataclass(frozen=True)
class Parameters(_images.Common):
    """How much is embedded."""

    nets: int = parameter(2, "nets, each with its own initial weights; the first one is shown", least=1)
    rule: str = parameter("pepita", "rule", choices=("pepita", "bp", "fa", "frozen"))
    samples: int = parameter(3000, "test images that are embedded", least=12)
    perplexity: float = parameter(30.0, "about the neighbours that t-SNE reckons with", least=1)
    neighbours: int = parameter(10, "neighbours that purity counts", least=1)


QUICK = {"rows": 1000, "epochs": 3, "hidden": (64,), "samples": 300}


def experiment(parameters, run):
    """Train the nets, compute hidden responses to test images, embed them and count neighbours."""
    p = parameters
    images = _images.load(p.data, p.rows, run)
    n = min(p.samples, len(images.test))
    if n <= max(p.perplexity, p.neighbours):
        raise InputError(
            f"samples should be more than perplexity and neighbours. Got {n} images (samples={p.samples}, the test of "
            f"{images.name} has {len(images.test)}), perplexity={p.perplexity:g} and neighbours={p.neighbours}."
        )
    names = [f"w{layer}" for layer in range(1, len(p.hidden) + 2)]
    keep = ("test_accuracy", *(f"w_{name}" for name in names))
    found = _images.train([_images.Case({}, p.rule, images)], p, run, keep=keep)
    model, constants = _images.NETWORKS[p.rule].model, _images.constants(images.name, p.rule, hidden=p.hidden)
    x, labels = (images.scale * images.test).astype(np.float32), images.test_labels
    pure, accuracy, shown = [], [], None
    for net in found.net.values:
        after = [found[f"w_{name}"].sel(net=net).isel(snapshot=-1).values for name in names]
        state = model.initial_values(constants, images, _images.seed(run, int(net)))
        before = [np.reshape(state[f"{name}.w"], w.shape) for name, w in zip(names, after, strict=True)]
        trained = hidden(x, after)
        accuracy.append(float(np.mean((trained @ after[-1]).argmax(axis=1) == labels)))
        responses = {"images": x[:n], "untrained": hidden(x[:n], before), "trained": trained[:n]}
        pure.append([purity(r, labels[:n], p.neighbours) for r in responses.values()])
        shown = shown or responses
    points, how = embed(shown, p.perplexity)
    return xr.Dataset(
        {
            "point": (("stage", "sample", "axis"), points),
            "label": ("sample", labels[:n]),
            "purity": (("net", "stage"), pure),
            "purity_shown": ("stage", [purity(each, labels[:n], p.neighbours) for each in points]),
            "accuracy": ("net", accuracy),
            "test_accuracy": found.test_accuracy,
        },
        {"stage": list(STAGES), "net": found.net},
        {"data": found.attrs["data"], "embedding": how, "rule": p.rule, "classes": images.classes},
    )


def hidden(x, weights):
    """Responses of the last hidden layer to images; the last weights are the readout's."""
    for w in weights[:-1]:
        x = np.maximum(x @ np.asarray(w, dtype=x.dtype), 0)
    return x


def embed(responses, perplexity):
    """Points in two dimensions for each stage, and how they were found, in words."""
    try:
        return np.stack([tsne(responses[stage], perplexity=perplexity) for stage in STAGES]), "t-SNE"
    except InputError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        shown = np.stack([principal(responses[stage], 2) for stage in STAGES])
        return shown, f"principal components; not run: {error}"


def _texts(values, form="{:.3f}"):
    return ", ".join(f"{stage} {form.format(float(values.sel(stage=stage)))}" for stage in STAGES)


def _purer_than(stage):
    def check(dataset):
        gain = dataset.purity.sel(stage="trained") - dataset.purity.sel(stage=stage)
        text = f"{_texts(dataset.purity.mean('net'))}; higher in {int((gain > 0).sum())} of {gain.size} nets"
        return text, holds((gain > 0).all())

    return check


def _in_the_picture(dataset):
    text = f"{dataset.attrs['embedding']}: {_texts(dataset.purity_shown)}"
    if dataset.attrs["embedding"] != "t-SNE":
        return text, "not run"
    return text, holds(dataset.purity_shown.sel(stage="trained") > 0.5)


def _same(dataset):
    network = dataset.test_accuracy.isel(epoch=-1)
    text = f"{_images.spread(dataset.accuracy)} %, counted in the network {_images.spread(network)} %"
    return text, holds((abs(dataset.accuracy - network) < 0.001).all())


EXPECTED = [
    _images.used(),
    Claim("classes lie together in the picture", "figure 4; here: purity after learning above 0.5", _in_the_picture),
    Claim("learning brings classes together", "implied; here: purity of responses, each net", _purer_than("untrained")),
    Claim("more than they are in the images", "no such claim; here: purity, each net", _purer_than("images")),
    Claim("responses are the network's", "ours: test accuracy from these weights within 0.1 %", _same),
]


def figure(dataset):
    """The images, and the responses to them before and after learning: a point for each, a colour for each class."""
    fig, axes = figures.subplots(1, len(STAGES), width=3.4, height=3.4)
    colours = matplotlib.colormaps["tab10" if dataset.attrs["classes"] <= 10 else "nipy_spectral"]
    classes = range(dataset.attrs["classes"])
    for ax, stage in zip(axes, STAGES, strict=True):
        part = dataset.sel(stage=stage)
        for label in classes:
            chosen = part.point.values[dataset.label.values == label]
            ax.plot(*chosen.T, ".", markersize=2, color=colours(label / max(9, len(classes) - 1)), label=label)
        ax.set(xticks=[], yticks=[], title=f"{stage}: purity {float(part.purity_shown):.2f}")
        ax.spines[:].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    if len(classes) <= 20:
        fig.legend(handles, names, loc="outside lower center", ncols=10, markerscale=4)
    return fig
