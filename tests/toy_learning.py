"""A toy network's loss falls.

A protocol for the tests of what runs protocols: two rules, three nets each, on a simulation of a few lines.
"""

from dataclasses import dataclass

from brian2 import Quantity, ms
from fakes import RECORDED, FakeSimulation

from neuroplast import figures
from neuroplast.nets import Job
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.traces import combine

PAPER = {"figure": "Nobody 1900, figure 0", "doi": "10.0/toy"}
EXPECTED_TIME = "2 s"


@dataclass(frozen=True)
class Parameters:
    trials: int = parameter(60, "trials per net")
    nets: int = parameter(3, "nets")
    rules: tuple = parameter(("a", "b"), "rules", choices=("a", "b"))
    tau: Quantity = parameter(10 * ms, "time constant")
    sleep: float = parameter(0.0, "seconds per position")
    diverges_at: int = parameter(-1, "trial")


QUICK = {"trials": 10, "nets": 2}


def experiment(parameters, run):
    run.note(rule=list(parameters.rules))
    sim = FakeSimulation(parameters.trials, sleep=parameters.sleep, diverges_at=parameters.diverges_at)
    jobs = [
        Job(f"{rule}-{net}", sim, {"rule": rule, "net": net}, seed=run.seed + net, recorded=RECORDED)
        for rule in parameters.rules
        for net in range(parameters.nets)
    ]
    return combine([(net.coords, net.dataset) for net in run.train_many(jobs)])


def falls(dataset):
    first, last = dataset.loss.isel(trial=0).median(), dataset.loss.isel(trial=-1).median()
    return f"{first:.3f} to {last:.3f}", holds(last < first)


EXPECTED = [
    Claim("loss falls", "from 1 to 0.1", falls),
    Claim("on real data", "0.3", lambda dataset: ("data absent", "not run")),
]


def figure(dataset):
    fig, ax = figures.subplots()
    for rule in dataset.rule.values:
        figures.median_quartile_curve(ax, dataset.trial, dataset.loss.sel(rule=rule), label=rule)
    ax.set(xlabel="trial", ylabel="loss")
    ax.legend()
    return fig
