"""One presentation of a bounce in continuous time: activity, the autapses' traces and the error.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section III: an autapse is a leaky integrator of its neuron's activity (7), hence a low-pass filter of it (8),
and re-weights the error that is fed back (9). The report's network has discrete steps, dt = tau_m; here the same
equations run with dt = tau_m/20 on the same motion, and the report's steps stand beside them. No spikes, and nothing
learns meanwhile: the weights are the initial ones, or those that the autapse rule has learned at dt = tau_m. To be
seen: what the rule multiplies, (B err)_i and k_j, while the ball and, before it, the target turn round at a wall.

Criteria were set before the first run.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from brian2 import ms

from neuroplast import figures
from neuroplast.analysis import prediction
from neuroplast.models import autapse
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _ball as ball
from neuroplast.rules import AUTAPSE

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), equations 7 to 9", "doi": ""}
EXPECTED_TIME = "10 s on two idle cores"
#: What the model is asked to record; the results have the same names.
RECORD = ("h", "trace")


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What can be varied."""

    nets: int = parameter(1, "nets; the first is shown", least=1)
    substeps: int = parameter(20, "steps of the continuous picture in one of the report's", least=2)
    tau_k: int = parameter(5, "time constant of the traces, in steps of the report", least=1)
    test: int = parameter(0, "number of the trajectory", least=0)


QUICK = {"epochs": 20}


def experiment(parameters, run):
    """Learn at dt = tau_m; present a trajectory at both time steps, before and after."""
    p = parameters
    cases = [ball.Case({"rule": "autapse"}, AUTAPSE, {"eta_rec": ball.ETA["autapse"], "tau_k": p.tau_k * ms})]
    steps = ball.train(cases, p, run, record=RECORD, keep=("output", *RECORD)).isel(rule=0, net=0, test=p.test)
    # The same motion with more samples.
    task = ball.make_task(
        p, run.seed, samples=p.samples * p.substeps, horizon=p.horizon * p.substeps, dt=1 / p.substeps
    )
    constants = autapse.Parameters(dt=1 / p.substeps * ms, tau_k=p.tau_k * ms, burn_in=p.burn_in)
    model = autapse.build(constants, task, AUTAPSE, record=RECORD, target=run.target)
    states = {"untrained": {}, "trained": {"recurrent.w": steps.w_recurrent.values.ravel()}}
    parts = [model.run(0, 1000 * run.seed, state=states[stage]).dataset.isel(test=p.test) for stage in ball.STAGES]
    results = {"feedback": (("unit", "channel"), model.initial(1000 * run.seed)["readout.b"].reshape(2, 2))}
    for name, channels in {"output": "channel", "h": "unit", "trace": "unit"}.items():
        results[name] = ("stage", "step", channels), [part[name].transpose("step", channels).values for part in parts]
        results[f"{name}_steps"] = (
            ("stage", "sample", channels),
            steps[name].transpose("stage", "step", channels).values,
        )
    (given,), (target,) = prediction.trajectories(task, task.tests[[p.test]])
    results |= {"given": (("step", "channel"), given), "target": (("step", "channel"), target)}
    times = {"step": (1 + np.arange(task.samples - 1)) / p.substeps, "sample": 1.0 + np.arange(p.samples)}
    return xr.Dataset(results, {"stage": list(ball.STAGES), **times}, {"tau_k": p.tau_k, "burn_in": p.burn_in})


def _filtered(activity, times, tau):
    """Equation 8 by the trapezoidal rule: the activity's exponentially weighted past, from zero activity on."""
    activity, times = np.vstack([np.zeros(activity.shape[1]), activity]), np.append(0.0, times)
    found = []
    for i in range(1, len(times)):
        kernel = np.exp(-(times[i] - times[: i + 1]) / tau) / tau
        found.append(np.trapezoid(kernel[:, None] * activity[: i + 1], times[: i + 1], axis=0))
    return np.array(found)


def _low_pass(dataset):
    worst = 0.0
    for stage in dataset.stage.values:
        one = dataset.sel(stage=stage)
        wanted = _filtered(one.h.values, dataset.step.values, dataset.attrs["tau_k"])
        worst = max(worst, float(np.max(abs(one.trace.values - wanted)) / np.max(wanted)))
    return f"largest difference {worst:.2%} of the largest trace", holds(worst < 0.01)


def _lag(dataset):
    """Time by which the traces follow the activity: that of the highest correlation, pooled over units, by stage."""
    step = float(dataset.step[1] - dataset.step[0])
    start = round(dataset.attrs["burn_in"] / step)
    lags = np.arange(round(3 * dataset.attrs["tau_k"] / step))
    found = []
    for stage in dataset.stage.values:
        h, trace = (dataset[name].sel(stage=stage).values[start:] for name in ("h", "trace"))
        each = [
            prediction.pearson(trace[None, lags[-1] :], h[None, lags[-1] - lag : len(h) - lag]).mean() for lag in lags
        ]
        found.append(float(lags[np.argmax(each)] * step))
    return found


def _lags(dataset):
    found, tau = _lag(dataset), dataset.attrs["tau_k"]
    text = ", ".join(f"{name} {lag:.3g}" for name, lag in zip(dataset.stage.values, found, strict=True))
    return f"{text} steps behind, tau_k {tau}", holds(all(tau / 2 < lag < 3 * tau / 2 for lag in found))


def _samples(dataset):
    texts, close = [], []
    for stage in dataset.stage.values:
        one = dataset.sel(stage=stage).sel(step=dataset.sample.values, method="nearest")
        coarse, fine = (values.values[dataset.attrs["burn_in"] :] for values in (one.h_steps, one.h))
        share = float(np.sqrt(np.mean((coarse - fine) ** 2)) / np.mean(np.std(fine, axis=0)))
        texts.append(f"{stage} {share:.1%}")
        close.append(share < 0.1)
    return ", ".join(texts), holds(all(close))


EXPECTED = [
    Claim(
        "the trace is the low-passed activity",
        "equations 7 and 8 are the same; here: within 1 % of the largest trace, (8) by quadrature",
        _low_pass,
    ),
    Claim(
        "it follows the activity with a lag of tau_k",
        '"a low pass filter of its own activations"; here: best correlation at 0.5 to 1.5 tau_k',
        _lags,
    ),
    Claim(
        "the report's steps sample the continuous network",
        "no such claim; here: rms difference of the activity below 10 % of its standard deviation",
        _samples,
    ),
]


def turns(given, start: float = 0.0):
    """Times at which a coordinate turns round, after a start."""
    step = np.sign(np.diff(given.values))
    times = given.step.values[1:-1][step[1:] != step[:-1]]
    return times[times > start]


def figure(dataset):
    """What the rule sees around the first bounce off a wall across the first coordinate."""
    found = turns(dataset.given.isel(channel=0), dataset.attrs["burn_in"] + 15)
    middle = float(found[0]) if len(found) else float(dataset.step.mean())
    window = middle - 15, middle + 20
    fig, axes = figures.subplots(4, 2, width=3.6, height=1.5, sharex=True, sharey="row")
    for column, stage in zip(axes.T, dataset.stage.values, strict=True):
        one = dataset.sel(stage=stage, step=slice(*window), sample=slice(*window))
        error = one.target - one.output
        coarse = one.target.sel(step=one.sample.values, method="nearest").values - one.output_steps
        column[0].plot(one.step, one.given.isel(channel=0), color="0.6", label="ball $x_1(t)$")
        column[0].plot(one.step, one.target.isel(channel=0), color="black", linestyle="--", label="target")
        for unit, colour in enumerate(figures.COLOURS[:2]):
            for ax, line, points in (
                (column[1], one.h, one.h_steps),
                (column[2], one.trace, one.trace_steps),
                (column[3], error @ one.feedback, coarse @ one.feedback),
            ):
                ax.plot(one.step, line.isel(unit=unit), color=colour, label=f"unit {unit + 1}")
                ax.plot(one.sample, points.isel(unit=unit), "o", color=colour, markersize=3)
        for ax in column:
            for time, style in ((turns(one.given.isel(channel=0)), "-"), (turns(one.target.isel(channel=0)), "--")):
                for at in time:
                    ax.axvline(at, color="0.8", linestyle=style, linewidth=1, zorder=0)
        column[0].set(title=f"{stage} weights", ylim=(0, 1))
        column[3].set(xlabel=r"time ($\tau_m$)", xlim=window)
        column[3].axhline(0, color="black", linewidth=0.5)
    for ax, text in zip(axes[:, 0], ("position", "activity $o$", "trace $k$", "error $(B\\,err)$"), strict=True):
        ax.set_ylabel(text)
    axes[0, 0].legend(loc="lower left", fontsize=8)
    axes[1, 0].legend(loc="lower left", fontsize=8)
    return fig
