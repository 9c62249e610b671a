"""RFLO learns alike at dt = tau/10, the published algorithm, and at dt far below tau, the differential equations.

Ours: figure 2a's task of Murray (2019), eLife 8:e43299, with T = 20 tau, learned with time steps of tau/10, tau/50 and
tau/200 by the same nets (same initial weights, learning rates, target in time). To be seen: the learning curves agree,
and the more so the smaller the steps.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.models import rflo
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.rules import RFLO
from neuroplast.tasks import periodic
from neuroplast.traces import combine

PAPER = {"figure": "ours, on Murray 2019, figure 2a", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "3 min on two idle cores"


@dataclass(frozen=True)
class Parameters:
    """What is varied; the rest is `neuroplast.models.rflo.Parameters`."""

    steps: tuple = parameter((10, 50, 200), "time steps per time constant, the published one first", least=1)
    period: Quantity = parameter(200 * ms, "duration of the output")
    eta: float = parameter(0.03, "learning rate")
    trials: int = parameter(10_000, "trials per net", least=1)
    nets: int = parameter(9, "nets, each with its own initial weights", least=1)
    N: int = parameter(30, "recurrent units", least=1)
    tau: Quantity = parameter(10 * ms, "time constant")
    update: str = parameter("trial", "when weights change", choices=("trial", "online"))


QUICK = {"trials": 500, "nets": 5}


def experiment(parameters, run):
    """Train the same nets at every time step; a table as long as the longest trial lets them share one program."""
    p = parameters
    tasks = {steps: periodic(round(float(p.period / p.tau) * steps)) for steps in p.steps}
    longest, jobs = tasks[max(p.steps)], []
    for steps, task in tasks.items():
        constants = rflo.Parameters(N=p.N, tau=p.tau, dt=p.tau / steps, **rflo.learning_rates(p.eta))
        model = rflo.build(constants, longest, RFLO, update=p.update, record=run.record, target=run.target)
        for net in range(p.nets):
            coords = {"steps_per_tau": steps, "net": net}
            jobs.append(model.job(f"{steps}-per-tau-{net}", coords, p.trials, 1000 * run.seed + net, task=task))
    run.note(rule="rflo", update=p.update)
    results = combine([(net.coords, net.dataset) for net in run.train_many(jobs)]).isel(test=0, drop=True)
    return results.assign_attrs(duration_ms=float(p.period / ms))


def _final(dataset):
    """Median over nets of the final loss, for each time step."""
    last = final(dataset.loss).median("net")
    return {int(steps): float(last.sel(steps_per_tau=steps)) for steps in last.steps_per_tau}


def _alike(dataset):
    finals = _final(dataset)
    text = ", ".join(f"tau/{steps}: {value:.2g}" for steps, value in finals.items())
    return text, holds(max(finals.values()) < 2 * min(finals.values()))


def _converges(dataset):
    """Distance of the curves of each net from those at the smallest step, early on: later, each goes its own way."""
    curves = np.log10(dataset.loss.isel(trial=slice(0, max(2, dataset.trial.size // 50))))
    finest = int(dataset.steps_per_tau.max())
    gaps = abs(curves - curves.sel(steps_per_tau=finest)).mean("trial").median("net")
    gaps = {int(steps): float(gaps.sel(steps_per_tau=steps)) for steps in sorted(dataset.steps_per_tau.values)[:-1]}
    text = ", ".join(f"tau/{steps}: {gap:.2g}" for steps, gap in gaps.items())
    ordered = list(gaps.values())
    return f"log10 loss away from tau/{finest} by {text}", holds(ordered == sorted(ordered, reverse=True))


EXPECTED = [
    Claim("all time steps end alike", "no such claim; here: within a factor of 2", _alike),
    Claim("smaller steps agree better", "no such claim; here: in the first fiftieth of the trials", _converges),
]


def figure(dataset):
    """Learning curves, and a net's output after learning, for each time step."""
    fig, (left, right) = figures.subplots(1, 2)
    duration = dataset.attrs["duration_ms"]
    # Where curves coincide, the coarser step is the wider line below.
    for steps, colour, width in zip(dataset.steps_per_tau.values, figures.COLOURS, (3.0, 2.0, 1.0), strict=False):
        here, style = dataset.sel(steps_per_tau=steps), {"color": colour, "linewidth": width}
        loss, label = here.loss.transpose("net", "trial"), f"dt = τ/{steps}"
        figures.median_quartile_curve(left, here.trial + 1, loss, label, **style)
        output = here.output.isel(net=0, channel=0).dropna("step").values
        right.plot(duration * np.arange(1, len(output) + 1) / (len(output) + 1), output, label=label, **style)
    target = periodic(500).conditions[0].target[:, 0]
    right.plot(duration * np.arange(500) / 500, target, color=figures.TARGET_COLOUR, ls="--", lw=1, label="target")
    left.set(xscale="log", yscale="log", xlabel="trial", ylabel="loss (median, quartiles)", title="learning")
    right.set(xlabel="time (ms)", ylabel="output", title="one net, after learning")
    left.legend()
    right.legend()
    return fig
