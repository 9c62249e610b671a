"""In continuous time, and with all modules relaxing at once, adjoint propagation goes on learning, if phases are long.

Ours, on Z. Liu et al. (2026), eLife 15:e108237: their algorithm is a network of leaky neurons at dt = tau, whose
modules relax one after the other, for eight iterations each. Here the same equations run at dt = tau/10, with modules
in turn or all at once, in both phases: nobody then tells a module when those before it have settled. With
short-trajectory errors (STE) a module that starts anew tells those below it about a displacement that is not an error
yet, until it has settled; with error-perturbed errors (EPE) there is nothing to tell before the error comes.

To be seen, and not known before: whether smaller steps change anything; whether modules that relax at once learn, and
how long the phases then have to be. Criteria were set after a tiny run on digits and before the first one on
Fashion-MNIST.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "ours, on Liu et al. 2026", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "2 min on two idle cores"
FULL_TIME = "2 h on two idle cores"
#: How modules relax: whether all at once, and whether in small steps.
WAYS = {
    "in turn, dt = tau": (False, False),
    "in turn, small dt": (False, True),
    "at once, dt = tau": (True, False),
    "at once, small dt": (True, True),
}
PUBLISHED, SMALL, _, CONTINUOUS = WAYS
ERRORS = {"ste": "STE", "epe": "EPE"}
#: Points below the published algorithm within which a net counts as having learned as well.
WITHIN = 2


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    block: int = parameter(32, "neurons of each role, of which a module has four", least=1)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    epochs: int = parameter(8, "times that a net sees all images", least=1)
    tau: Quantity = parameter(10 * ms, "time constant of the neurons")
    steps: int = parameter(10, "small time steps in tau", least=2)
    phases: tuple = parameter((2, 4, 8, 16), "durations of each phase of each module, in tau", least=2)


QUICK = {"rows": 1000, "epochs": 3, "block": 16, "steps": 4, "phases": (2, 8)}
#: Ours: modules of 1024 neurons at small steps would take weeks.
FULL = {"rows": 0, "block": 64, "batch": 100, "epochs": 10}


def experiment(parameters, run):
    """Train a net in every way, with phases of every duration, by both kinds of errors."""
    p, images, cases = parameters, _modules.load(parameters, run), []
    for error in ERRORS:
        for way, (simultaneous, small) in WAYS.items():
            for phase in p.phases:
                constants = {"epe": error == "epe", "simultaneous": simultaneous, "tau": p.tau}
                constants |= dict.fromkeys(("inference", "learning"), phase * p.tau)
                constants["dt"] = p.tau / p.steps if small else p.tau
                cases.append(
                    _modules.Case({"error": error, "way": way, "phase": int(phase)}, images, constants=constants)
                )
    found = _modules.train(cases, p, run, diverged="omit").sortby("phase")
    return found.assign_attrs(_modules.size(p), steps=p.steps)


def _published(dataset, error):
    """Accuracy of the published algorithm, with phases of 8 tau or the shortest there are."""
    last = _modules.last(dataset).sel(error=error, way=PUBLISHED)
    return float(last.sel(phase=8) if 8 in last.phase else last[0])


def enough(dataset, error, way):
    """The shortest phases with which, and with all longer ones, a net learns as well; NaN if there are none."""
    good = (_modules.last(dataset).sel(error=error, way=way) > _published(dataset, error) - WITHIN).values
    bad = np.flatnonzero(~good)
    since = bad[-1] + 1 if len(bad) else 0
    return float(dataset.phase[since]) if since < len(good) else np.nan


def _text(dataset, error, way):
    return f"{ERRORS[error]} {_modules.listed(_modules.last(dataset).sel(error=error, way=way))}"


def _small(dataset):
    last = _modules.last(dataset)
    last = last.where(last.phase >= 8, drop=True)
    apart = np.abs(last.sel(way=SMALL) - last.sel(way=PUBLISHED))
    text = "; ".join(f"{_text(dataset, e, PUBLISHED)}, in small steps {_text(dataset, e, SMALL)[4:]}" for e in ERRORS)
    return text, holds((apart < WITHIN).all()) if apart.size else "not run"


def _at_once(dataset):
    texts = [f"{_text(dataset, e, CONTINUOUS)} (published {_published(dataset, e):.1f})" for e in ERRORS]
    longest = _modules.last(dataset).sel(way=CONTINUOUS).isel(phase=-1)
    good = [float(longest.sel(error=e)) > _published(dataset, e) - WITHIN for e in ERRORS]
    return "; ".join(texts), holds(all(good))


def _needs(error, most):
    def check(dataset):
        needed = {way: enough(dataset, error, way) for way in WAYS}
        text = ", ".join(f"{way}: {'none' if np.isnan(n) else f'{n:g} tau'}" for way, n in needed.items())
        return text, holds(needed[CONTINUOUS] <= most)

    return check


EXPECTED = [
    _modules.used(),
    Claim(
        "small time steps change little while modules relax in turn",
        f"ours: less than {WITHIN} points from 8 tau on, with both kinds of errors",
        _small,
    ),
    Claim(
        "all at once and in continuous time, modules learn",
        f"ours: longest phases, both kinds of errors, less than {WITHIN} points below the published algorithm",
        _at_once,
    ),
    *(
        Claim(
            f"{ERRORS[error]} then needs phases of 8 tau at most",
            f"ours: the shortest, and all longer ones, with which it ends within {WITHIN} points",
            _needs(error, 8),
        )
        for error in ("epe", "ste")
    ),
]


def figure(dataset):
    """Accuracy against the duration of phases, a panel for each kind of error; grey: the published algorithm."""
    fig, axes = figures.subplots(1, 2, sharey=True, width=3.8, height=3)
    for ax, (error, title) in zip(axes, ERRORS.items(), strict=True):
        for (way, (_, small)), colour in zip(WAYS.items(), figures.COLOURS, strict=False):
            values = _modules.last(dataset).sel(error=error, way=way)
            ax.plot(dataset.phase, values, "o-" if small else "s--", color=colour, label=way, markersize=4)
        level = _published(dataset, error)
        ax.axhspan(level - WITHIN, level + WITHIN, color="0.92", zorder=0)
        ax.set(xlabel=r"duration of a phase ($\tau$)", xticks=dataset.phase.values, title=title)
    axes[0].set_ylabel("test accuracy, last epoch (%)")
    axes[1].legend(title=rf"small: $\tau$/{dataset.attrs['steps']}", fontsize=8)
    return fig
