"""RFLO learns a short periodic output as well as BPTT does, and a long one less well.

J. M. Murray (2019), eLife 8:e43299, figure 2a (and 2c): a recurrent network without input learns to produce one period
of a sum of sines, T = 20 tau or T = 160 tau long, by RFLO or by BPTT. One trial is one period; the weights change after
each. To be seen: the loss of both rules falls far below that of the untrained network; at T = 20 tau they end alike, at
T = 160 tau BPTT ends lower; under RFLO the readout weights turn towards the feedback weights.
"""

from dataclasses import dataclass

import xarray as xr
from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.rules import BPTT, RFLO
from neuroplast.tasks import periodic
from neuroplast.traces import combine

PAPER = {"figure": "Murray 2019, figure 2a", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "2 min on two idle cores"
RULES = {"bptt": BPTT, "rflo": RFLO}


@dataclass(frozen=True)
class Parameters:
    """What figure 2a varies; the rest is `neuroplast.models.rflo.Parameters`."""

    periods: tuple = parameter((20, 160), "durations of the output, in tau")
    eta_bptt: tuple = parameter((0.03, 0.03), "learning rate of BPTT for each duration")
    eta_rflo: tuple = parameter((0.03, 0.0003), "learning rate of RFLO for each duration")
    trials: int = parameter(10_000, "trials per net")
    nets: int = parameter(9, "nets, each with its own initial weights")
    N: int = parameter(30, "recurrent units")
    tau: Quantity = parameter(10 * ms, "time constant")
    dt: Quantity = parameter(1 * ms, "time step")
    update: str = parameter("trial", "when weights change", choices=("trial", "online"))

    def __post_init__(self):
        for name in ("eta_bptt", "eta_rflo"):
            if len(getattr(self, name)) != len(self.periods):
                raise InputError(f"{name} should have a value for each of {self.periods}. Got {getattr(self, name)}.")


QUICK = {"trials": 3000, "nets": 5}


def experiment(parameters, run):
    """Train every net by both rules on all durations; all nets of a rule share one compiled program."""
    p = parameters
    tasks = {period: periodic(round(period * float(p.tau / p.dt))) for period in p.periods}
    longest = max(tasks.values(), key=lambda task: task.samples)
    jobs = []
    for name, rule in RULES.items():
        update = p.update if rule.online else "trial"
        model = rflo.build(_constants(p, 0.0), longest, rule, update=update, target=run.target)
        for (period, task), eta in zip(tasks.items(), getattr(p, f"eta_{name}"), strict=True):
            for net in range(p.nets):
                coords = {"period": period, "rule": name, "net": net}
                options = {"parameters": _constants(p, eta), "task": task}
                jobs.append(model.job(f"{name}-{period}tau-{net}", coords, p.trials, 1000 * run.seed + net, **options))
    run.note(rules=list(RULES), update=p.update)
    results = combine([(net.coords, net.dataset) for net in run.train_many(jobs)])
    target = [xr.DataArray(task.target[1:, 0], dims="step") for task in tasks.values()]
    target = xr.concat([part.assign_coords(step=range(part.size)) for part in target], "period", join="outer")
    return results.assign(target=target).assign_attrs(dt_ms=float(p.dt / ms))


def _constants(p, eta):
    return rflo.Parameters(N=p.N, tau=p.tau, dt=p.dt, eta_rec=eta, eta_in=eta, eta_out=eta)


def _final(dataset, period):
    """Median over nets of the loss in the last hundredth of the trials: BPTT, RFLO; and of the first trial's."""
    loss = dataset.loss.sel(period=period)
    last = loss.isel(trial=slice(-max(1, loss.trial.size // 100), None)).mean("trial").median("net")
    return (*(float(last.sel(rule=rule)) for rule in RULES), float(loss.isel(trial=0).median("net").max()))


def _alike(dataset):
    bptt, learned, _ = _final(dataset, dataset.period.min())
    return f"BPTT {bptt:.2g}, RFLO {learned:.2g}", holds(1 / 3 < learned / bptt < 3)


def _unlike(dataset):
    bptt, learned, _ = _final(dataset, dataset.period.max())
    return f"BPTT {bptt:.3g}, RFLO {learned:.3g}", holds(bptt < learned / 1.5)


def _learns(dataset):
    """Whether the nets end below the untrained ones, and below an output that has only learned to be silent."""
    texts, learned = [], []
    for period in dataset.period:
        *finals, untrained = _final(dataset, period)
        silent = float((dataset.target.sel(period=period) ** 2).mean() / 2)
        texts.append(f"{int(period)} tau: {finals[0]:.2g}, {finals[1]:.2g} of {untrained:.2g} (silent {silent:.2g})")
        learned.append(max(finals) < 0.9 * min(untrained, silent))
    return "; ".join(texts), holds(all(learned))


def _aligns(dataset):
    chosen = dataset.alignment.sel(rule="rflo", period=dataset.period.min()).median("net")
    first, last = float(chosen[0]), float(chosen[-1])
    return f"{first:.2f} to {last:.2f}", holds(abs(first) < 0.3 and last > 0.7)


EXPECTED = [
    Claim("shortest period: RFLO ends as low as BPTT", "about equal; here: within a factor of 3", _alike),
    Claim("longest period: BPTT ends lower", "BPTT below RFLO; here: by a factor of 1.5", _unlike),
    Claim(
        "both end below the untrained network", "final loss of BPTT, RFLO below it; here: and below silence", _learns
    ),
    Claim("RFLO aligns W_out with B (figure 2c)", "from about 0 towards 1; here: to above 0.7", _aligns),
]


def figure(dataset):
    """Learning curves and final outputs: a row for each duration."""
    fig, axes = figures.subplots(dataset.period.size, 2, squeeze=False)
    for (left, right), period in zip(axes, dataset.period.values, strict=True):
        here = dataset.sel(period=period)
        for rule, colour, offset in (("bptt", figures.COLOURS[0], 2.0), ("rflo", figures.COLOURS[1], -2.0)):
            label = rule.upper()
            loss = here.loss.sel(rule=rule)
            figures.median_quartile_curve(left, loss.trial + 1, loss.transpose("net", "trial"), label, color=colour)
            output = here.output.sel(rule=rule).isel(channel=0).transpose("net", "step").dropna("step", how="all")
            time = (output.step + 1) * dataset.attrs["dt_ms"]
            target = here.target.sel(step=output.step) + offset
            lines = figures.traces_with_targets(right, time, output + offset, target, label, color=colour)
            right.annotate(label, (1.0, offset), xycoords=("axes fraction", "data"), color=colour, va="center")
        left.set(yscale="log", xlabel="trial", ylabel="loss (median, quartiles)", title=f"T = {period} τ")
        low, high = left.get_ylim()
        left.set_ylim(min(low, high / 10), high)  # a decade at least: a flat curve should look flat
        right.set(xlabel="time (ms)", ylabel="output (offset)", yticks=[], title="after learning")
        left.legend()
        right.legend(handles=lines[-1:], loc="upper right")
    return fig
