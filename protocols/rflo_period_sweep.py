"""RFLO's final loss against the duration of the output: near BPTT's for short ones, above it for long ones.

J. M. Murray (2019), eLife 8:e43299, figure 2b: the task of figure 2a at T = 20, 40, 80 and 160 tau, with the learning
rates of the paper for each rule and duration. To be seen: RFLO ends near BPTT at 20 and 40 tau and above it at 160 tau;
both end below the untrained network. Ours: an output that is always zero as a further line, since a network that has
only learned to be silent also ends below the untrained one.

The paper found its rates by a search. With ``rates=search`` we do that again for our networks, most of which end silent
at T = 160 tau with the paper's rates. The search runs for 4,000 of the 10,000 trials, so that the whole takes 8 min on
two idle cores: 0.58 G steps of search and 0.54 G for the results, 0.7 us each, and 264 nets, 0.3 s each.
"""

from dataclasses import dataclass

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.parameters import parameter
from neuroplast.protocol import VERDICTS, Claim, holds
from neuroplast.protocols import _figure2 as figure2

PAPER = {"figure": "Murray 2019, figure 2b", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "4 min on two idle cores; 8 min with rates=search"


@dataclass(frozen=True)
class Parameters(figure2.Durations):
    """What figure 2b varies, and how rates are found."""

    rates: str = parameter("paper", "learning rates: as given, or searched for again", choices=("paper", "search"))
    grid_nets: int = parameter(3, "nets per rate of the search, others than those of the results", least=1)
    grid_trials: int = parameter(4000, "trials per net of the search", least=1)


QUICK = {"trials": 1000, "nets": 3, "grid_trials": 300}


def experiment(parameters, run):
    """Train every net by both rules on all durations, after a search if there is to be one."""
    p, cases, found = parameters, parameters.cases(run), {}
    if p.rates == "search":
        cases, found["grid_loss"] = figure2.search(cases, p, run)
    found |= {"target": figure2.target(p), "rate": figure2.rates(cases)}
    return figure2.train(cases, p, run, diverged="omit").assign(found)


def _untrained(dataset):
    """Loss of the first trial, which both rules begin alike, unless weights change at each step."""
    return dataset.loss.isel(trial=0).min("rule")


def _medians(dataset, periods=None):
    """Duration and final losses of BPTT and RFLO, medians over nets; of these durations or of all."""
    last = final(dataset.loss).median("net")
    chosen = [period for period in dataset.period.values.tolist() if periods is None or period in periods]
    return [(period, *(float(last.sel(rule=rule, period=period)) for rule in figure2.RULES)) for period in chosen]


def _compare(dataset, periods, criterion):
    found = _medians(dataset, periods)
    text = "; ".join(f"{period:g} tau: BPTT {bptt:.3g}, RFLO {rflo:.3g}" for period, bptt, rflo in found)
    verdict = holds(all(criterion(bptt, rflo) for _, bptt, rflo in found))
    return (text, verdict) if found else ("no such duration", VERDICTS[2])


def _near(dataset):
    return _compare(dataset, (20, 40), lambda bptt, rflo: bptt < 3 * rflo and rflo < 3 * bptt)


def _lower(dataset):
    return _compare(dataset, (160,), lambda bptt, rflo: 1.5 * bptt < rflo)


def _learns(dataset):
    texts, learned = [], []
    for period, *last in _medians(dataset):
        untrained = float(_untrained(dataset).sel(period=period).median("net"))
        silent = float(figure2.silent(dataset.target.sel(period=period)))
        texts.append(f"{period:g} tau: {last[0]:.2g}, {last[1]:.2g} of {untrained:.2g} (silent {silent:.2g})")
        learned.append(max(last) < 0.9 * untrained)
    return "; ".join(texts), holds(all(learned))


EXPECTED = [
    Claim("20 and 40 tau: RFLO ends near BPTT", "close together; here: medians within a factor of 3", _near),
    Claim("160 tau: BPTT ends lower", "BPTT below RFLO; here: median by a factor of 1.5", _lower),
    Claim("both end below the untrained network", "at every duration; here: medians below 0.9 times its", _learns),
]


def figure(dataset):
    """Final loss against duration; the learning rates that led there."""
    fig, (left, right) = figures.subplots(1, 2)
    period, last = dataset.period, figure2.drawable(final(dataset.loss)).transpose("rule", "net", "period")
    for rule, colour, size, line in (("bptt", figures.COLOURS[0], 8, "-"), ("rflo", figures.COLOURS[1], 5, "--")):
        options = {"color": colour, "marker": "o", "markersize": size}
        figures.median_quartile_curve(left, period, last.sel(rule=rule), rule.upper(), **options)
        right.plot(period, dataset.rate.sel(rule=rule), label=rule.upper(), linestyle=line, **options)
    untrained = _untrained(dataset).median("net")
    left.plot(period, untrained, color="0.6", label="untrained")
    left.plot(period, figure2.silent(dataset.target), color="black", linestyle=":", linewidth=1, label="silent output")
    left.set(ylim=(min(float(last.min()) / 2, 0.03), 3 * float(untrained.max())), title="after learning")
    left.set_ylabel("loss (median, quartiles)")
    right.set(ylabel="learning rate η", title="rates found by search" if "grid_loss" in dataset else "rates given")
    right.set(ylim=(min(figure2.GRID) / 1.5, max(figure2.GRID) * 1.5))
    for ax in (left, right):
        ax.set(xscale="log", yscale="log", xlabel="duration T (τ)")
        ax.set_xticks(period.values, [str(value) for value in period.values])
        ax.minorticks_off()
        ax.legend()
    return fig
