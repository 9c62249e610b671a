"""Do neurons need roles? Modules whose neurons all receive and send both inference and errors, beside those with roles.

Z. Liu et al. (2026), eLife 15:e108237, figure 4e, f, Fashion-MNIST. By default a module has four blocks of 256 neurons,
each with one role. Without the constraint one block has all four roles: the block's size stays, so the module has a
quarter of the neurons; or the module's size stays, so that all 1024 have all roles. Without roles 16 and 8 iterations
are sufficient. To be seen: (e) both learn at all depths; (f) against the neurons in a block, the constraint costs more
the fewer there are.

Which of them is ahead at the default size is not said in our source of the paper. The usual size has 64 neurons in a
block, and a tenth of the images in batches of 50, so that an epoch has as many batches as the paper's. Criteria were
set before the first run.
"""

from dataclasses import dataclass

from brian2 import ms

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, figure 4e, f", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "3 min on two idle cores"
FULL_TIME = "9 h on two idle cores"
#: Kind of module: merged roles, blocks of neurons, iterations of the inference phase, label.
KINDS = {
    "roles": ("none", 1, 8, "roles, 8-8"),
    "merged": ("all", 1, 16, "no roles, one block, 16-8"),
    "merged_large": ("all", 4, 16, "no roles, four blocks, 16-8"),
    "merged_8_8": ("all", 1, 8, "no roles, one block, 8-8"),
}
COLOURS = dict(zip(KINDS, (_modules.COLOURS["ap"], *figures.COLOURS[2:]), strict=False))
ITERATION = 10 * ms
#: Depth at which the size of blocks is varied.
DEPTH = 2


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """Depths, kinds of modules, sizes of blocks."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    layers: tuple = parameter((1, 2, 4), "numbers of modules", least=1)
    blocks: tuple = parameter((8, 16, 32), "neurons in a block, besides those of block", least=1)
    kinds: tuple = parameter(("roles", "merged", "merged_large"), "kinds of modules", choices=tuple(KINDS))

    def __post_init__(self):
        if not {"roles", "merged"} <= set(self.kinds) or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"kinds should be different ones, roles and merged among them. Got {self.kinds}.")
        if DEPTH not in self.layers or len(set(self.layers)) < len(self.layers):
            raise InputError(f"layers should be different numbers, {DEPTH} among them. Got {self.layers}.")


QUICK = {"data": "digits", "rows": 0, "batch": 20, "block": 16, "epochs": 3, "layers": (2,), "blocks": (4,)}
FULL = _modules.FULL | {"layers": (1, 2, 3, 5), "blocks": (8, 16, 32, 64, 128, 512), "kinds": tuple(KINDS)}


def experiment(parameters, run):
    """Train every kind at each depth, and those of one block with blocks of each size."""
    p = parameters
    images = _modules.load(p, run)
    places = [(kind, depth, p.block) for kind in p.kinds for depth in p.layers]
    small = [kind for kind in p.kinds if KINDS[kind][1] == 1 and kind != "merged_8_8"]
    places += [(kind, DEPTH, block) for kind in small for block in p.blocks if block != p.block]
    cases = []
    for kind, depth, block in places:
        merged, blocks, iterations, _ = KINDS[kind]
        constants = {"modules": depth, "merged": merged, "block": blocks * block, "inference": iterations * ITERATION}
        cases.append(_modules.Case({"kind": kind, "layers": depth, "size": block}, images, constants=constants))
    found = _modules.train(cases, p, run, diverged="omit")
    found = found.reindex(layers=sorted(p.layers), size=sorted({p.block, *p.blocks}))
    return found.assign_attrs(_modules.size(p))


def best(dataset):
    """Best test accuracy in per cent, mean over nets; NaN for what is not there."""
    return 100 * dataset.test_accuracy.max("epoch").mean("net")


def cost(dataset):
    """Points of per cent by which roles lie below one block without them, by neurons in a block."""
    here = best(dataset).sel(layers=DEPTH)
    return (here.sel(kind="merged") - here.sel(kind="roles")).dropna("size")


def _depths(dataset):
    block = dataset.attrs["block"]
    parts = []
    for kind in dataset.kind.values:
        here = dataset.test_accuracy.sel(kind=kind, size=block)
        texts = (f"{int(depth)}: {_modules.ends(here.sel(layers=depth))}" for depth in dataset.layers.values)
        parts.append(f"{KINDS[kind][3]}: {', '.join(texts)}")
    found = best(dataset).sel(size=block, kind=["roles", "merged"])
    return f"{'; '.join(parts)} %", holds(float(found.min()) > 75)


def _sufficient(dataset):
    if "merged_8_8" not in dataset.kind:
        return "8-8 without roles is not among the kinds", "not run"
    here = best(dataset).sel(size=dataset.attrs["block"])
    gain = here.sel(kind="merged") - here.sel(kind="merged_8_8")
    parts = (f"{int(depth)}: {float(gain.sel(layers=depth)):+.1f}" for depth in gain.layers.values)
    return f"16-8 less 8-8, points: {', '.join(parts)}", holds((gain > -1).all())


def _tiny(dataset):
    found = cost(dataset)
    if found.size < 2:
        return "more than one size of blocks is needed", "not run"
    parts = (f"{int(size)}: {float(found.sel(size=size)):+.1f}" for size in found["size"].values)
    text = f"points more without roles than with: {', '.join(parts)}"
    return text, holds(float(found[0]) > 0 and float(found[0]) > float(found[-1]))


def _falls(dataset):
    here = best(dataset).sel(layers=DEPTH, kind="roles").dropna("size")
    if here.size < 2:
        return "more than one size of blocks is needed", "not run"
    return _modules.listed(here.drop_vars(["layers", "kind"])) + " %", holds(float(here[0]) < float(here[-1]))


EXPECTED = [
    _modules.used(),
    Claim("both learn at all depths", "figure 4e; here: the mean of best epochs is above 75 %", _depths),
    Claim(
        "16-8 is sufficient without roles",
        "figure 4e; here: not more than a point below 8-8, at any depth",
        _sufficient,
    ),
    Claim(
        "the constraint costs more in tiny blocks",
        "figure 4f; here: with the smallest, roles lie below one block without them, by more than with the largest",
        _tiny,
    ),
    Claim("small blocks learn less", "figure 4f; here: with roles, the smallest below the largest", _falls),
]


def figure(dataset):
    """Accuracy against depth, and against the neurons in a block; dotted: the last epoch's."""
    fig, (deep, small) = figures.subplots(1, 2, sharey=True)
    end = 100 * dataset.test_accuracy.isel(epoch=-1).mean("net")
    for accuracy, style in ((best(dataset), "o-"), (end, ":")):
        for kind in dataset.kind.values:
            options = {"color": COLOURS[kind], "label": KINDS[kind][3] if style == "o-" else None}
            here = accuracy.sel(kind=kind, size=dataset.attrs["block"])
            deep.plot(here.layers, here, style, **options)
            here = accuracy.sel(kind=kind, layers=DEPTH).dropna("size")
            if here.size > 1:
                small.plot(here["size"], here, style, **options)
    deep.set(xlabel="modules", ylabel="test accuracy (%)", xticks=dataset.layers.values)
    deep.set_title(f"{dataset.attrs['data']}, blocks of {dataset.attrs['block']}")
    small.set(xlabel="neurons in a block", xscale="log", title=f"{DEPTH} modules")
    sizes = dataset["size"].values
    small.set_xticks(sizes, [str(size) for size in sizes])
    small.minorticks_off()
    deep.legend(loc="best", title="best epoch (dotted: last)")
    return fig
