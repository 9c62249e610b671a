"""What the protocols of Murray (2019), figure 2, share: the task, the learning rates, how nets are trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from brian2 import Quantity, ms

from neuroplast.analysis.curves import final
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.nets import places_of
from neuroplast.parameters import check_one_each, parameter
from neuroplast.rules import BPTT, RFLO, Rule
from neuroplast.tasks import periodic
from neuroplast.traces import combine

RULES = {"bptt": BPTT, "rflo": RFLO}
#: Learning rates of figure 2 (Materials and methods), by duration in tau.
ETA = {
    "bptt": {20: 0.03, 40: 0.03, 80: 0.01, 160: 0.03},
    "rflo": {20: 0.03, 40: 0.01, 80: 0.001, 160: 0.0003},
}
#: Durations of figure 2, at tau = 10 ms.
PERIODS = tuple(10 * period * ms for period in ETA["bptt"])
#: The rates that the paper searched through.
GRID = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Common:
    """What every protocol of figure 2 can vary; the rest is `neuroplast.models.rflo.Parameters`."""

    trials: int = parameter(10_000, "trials per net", least=1)
    nets: int = parameter(9, "nets, each with its own initial weights", least=1)
    N: int = parameter(30, "recurrent units", least=1)
    tau: Quantity = parameter(10 * ms, "time constant")
    dt: Quantity = parameter(1 * ms, "time step")
    update: str = parameter("trial", "when weights change", choices=("trial", "online"))

    def __post_init__(self):
        for period in self.periods if hasattr(self, "periods") else (self.period,):
            if not float(period) > float(self.dt):
                raise InputError(f"a duration of the output should be longer than dt = {self.dt}. Got {period}.")

    def durations(self):
        """Durations of the output as multiples of tau, whole numbers where they are that."""
        found = []
        for period in self.periods if hasattr(self, "periods") else (self.period,):
            multiple = float(period / self.tau)
            found.append(round(multiple) if abs(multiple - round(multiple)) < 1e-9 * multiple else multiple)
        return found

    def samples(self, period):
        """Samples of a duration in tau."""
        return round(period * float(self.tau / self.dt))


@dataclass(frozen=True)
class Several(Common):
    """What a protocol of several durations can vary besides."""

    periods: tuple = parameter(PERIODS, "durations of the output")

    def etas(self, name, rule, run=None):
        """Learning rates given for each duration, or else the paper's of this rule; `run` is told of those borrowed."""
        given, periods = getattr(self, name), self.durations()
        if given:
            return given
        found, borrowed = [], []
        for period in periods:
            nearest = min(ETA[rule], key=lambda known, period=period: abs(np.log(known / period)))
            found.append(ETA[rule][nearest])
            if nearest != period:
                borrowed.append(f"{found[-1]:g} for {period:g} tau, the paper's for {nearest} tau")
        if run is not None:
            run.note(**{name: found})
            if borrowed:
                run.progress.say(f"{name}: {'; '.join(borrowed)}. Give others with --set {name}=...")
        return tuple(found)


@dataclass(frozen=True)
class Durations(Several):
    """Several durations learned by both rules."""

    eta_bptt: tuple = parameter((), "learning rate of BPTT for each duration; the paper's if not given", like=0.03)
    eta_rflo: tuple = parameter((), "learning rate of RFLO for each duration; the paper's if not given", like=0.03)

    def __post_init__(self):
        super().__post_init__()
        for name in ("eta_bptt", "eta_rflo"):
            check_rates(name, self)

    def cases(self, run=None):
        """Both rules on all durations."""
        return [
            Case({"rule": name, "period": period}, rule, period, eta)
            for name, rule in RULES.items()
            for period, eta in zip(self.durations(), self.etas(f"eta_{name}", name, run), strict=True)
        ]


def check_rates(name, p):
    """Refuse learning rates that are given and do not go with the durations one by one."""
    if getattr(p, name):
        check_one_each(name, getattr(p, name), p.periods)


@dataclass(frozen=True)
class Case:
    """Nets that differ in their initial weights only.

    Attributes
    ----------
    coords : dict
        Their place among the results, such as ``{"rule": "rflo", "period": 20}``.
    rule : Rule
    period : float
        Duration of the output, in tau.
    eta : float
        Learning rate of all weights.
    constants : dict
        Other parameters of the model, such as ``{"g": 1.0}``.
    """

    coords: Mapping
    rule: Rule
    period: float
    eta: float
    constants: Mapping = field(default_factory=dict)


def train(cases: Sequence[Case], p: Common, run, nets=None, *, part="", diverged="raise") -> xr.Dataset:
    """Train the nets of all cases; those of one rule and size share one compiled program, with other runs of a sweep.

    Parameters
    ----------
    cases : sequence of Case
    p : Common
    run : neuroplast.experiment.Run
    nets : iterable of int, optional
        Numbers of the nets of each case, if not the first ``p.nets``. A net's number decides its initial weights.
    part, diverged
        As for `neuroplast.experiment.Run.train_many`. With ``diverged="omit"`` a net that diverged has an infinite loss
        and NaN for the rest; the cases have to be all combinations of their coordinates.

    Returns
    -------
    xarray.Dataset
        Loss and alignment by trial, output by step, along the cases' coordinates and ``net``.
    """
    tasks = {case.period: periodic(p.samples(case.period)) for case in cases}
    longest = periodic(run.largest("samples", p, lambda q: max(map(q.samples, q.durations()))))
    models, jobs = {}, []
    record = () if part else run.record  # a search's nets are not among the results
    for case in cases:
        options = {"N": p.N, "tau": p.tau, "dt": p.dt} | rflo.learning_rates(case.eta)
        constants = rflo.Parameters(**options | dict(case.constants))
        key = (case.rule.name, constants.N)
        if key not in models:
            update = p.update if case.rule.online else "trial"
            models[key] = rflo.build(constants, longest, case.rule, update=update, record=record, target=run.target)
        for net in range(p.nets) if nets is None else nets:
            coords = {**case.coords, "net": net}
            name = "_".join(f"{key}={value}" for key, value in coords.items())
            options = {"parameters": constants, "task": tasks[case.period]}
            jobs.append(models[key].job(name, coords, p.trials, 1000 * run.seed + net, **options))
    run.note(rules=sorted({case.rule.name for case in cases}), update=p.update)
    trained = run.train_many(jobs, part=part, diverged=diverged)
    results = combine([(net.coords, net.dataset) for net in trained]).isel(test=0, drop=True)
    if diverged == "omit":
        results = results.reindex(places_of(jobs))
        results["loss"] = results.loss.fillna(np.inf)
    if "period" in results.coords:
        results.period.attrs["units"] = "tau"
    return results.assign_attrs(dt_ms=float(p.dt / ms))


def search(cases: Sequence[Case], p, run) -> tuple[list[Case], xr.DataArray]:
    """Choose the rate of each case as the paper did: the one of its grid with the lowest final loss.

    The search trains ``p.grid_nets`` nets for ``p.grid_trials`` trials at each rate. They are numbered after those of
    the results, so that no net is judged at a rate that was chosen for it.

    Parameters
    ----------
    cases : sequence of Case
        Their own rates are not used.
    p : Common
        With ``grid_nets`` and ``grid_trials``.
    run : neuroplast.experiment.Run

    Returns
    -------
    list of Case
        With the rates chosen.
    xarray.DataArray
        Final losses along the cases' coordinates, ``eta`` and ``grid_net``.
    """
    grid = [replace(case, coords={**case.coords, "eta": eta}, eta=eta) for case in cases for eta in GRID]
    numbers = range(p.nets, p.nets + p.grid_nets)
    found = train(grid, replace(p, trials=p.grid_trials), run, numbers, part="search", diverged="omit")
    losses = final(found.loss).rename(net="grid_net")
    chosen = best(losses)
    return [replace(case, eta=float(chosen.sel(case.coords))) for case in cases], losses


def best(losses):
    """Rate with the lowest median loss over the search's nets; of two alike the lower one."""
    return losses.eta[losses.median("grid_net").argmin("eta")].drop_vars("eta")


def rates(cases: Sequence[Case]) -> xr.DataArray:
    """Learning rates along the cases' coordinates."""
    return combine([(case.coords, xr.Dataset({"rate": case.eta})) for case in cases]).rate


def target(p):
    """Targets after each step, by ``period`` (in tau) and ``step``; the shorter ones end with NaN."""
    periods = p.durations()
    parts = [periodic(p.samples(period)).conditions[0].target[1:, 0] for period in periods]
    parts = [xr.DataArray(part, {"step": range(part.size)}) for part in parts]
    return xr.concat(parts, xr.IndexVariable("period", periods, {"units": "tau"}), join="outer")


def silent(target):
    """Loss of an output that is always zero, by ``period``."""
    return (target**2).mean("step") / 2


def drawable(loss):
    """Losses with a large number for those that are infinite, which percentiles and axes cannot take."""
    return loss.clip(max=1e6)
