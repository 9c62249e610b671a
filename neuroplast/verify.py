"""Our models against reference vectors: runs of the authors' own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroplast.errors import InputError

TOLERANCE = 1e-9
#: Rounding of the initial weights, and the difference at which it has grown too far for two programs to be compared.
EPSILON = np.finfo(float).eps
GROWN = TOLERANCE / 100


def verify_file(path, target: str | None = None):
    """Run a model from the initial values in a file and compare with the results in it.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.npz`` of reference vectors; the system is the first part of its name, as in ``rflo_small.npz``.
    target : {"cpp", "numpy"}, optional
        Where our model runs; by default cpp if there is a compiler.

    Returns
    -------
    deviation : float
        Largest absolute deviation.
    tolerance : float
    passed : bool
    detail : str
        What was compared.

    Raises
    ------
    InputError
        For a system that is not known, or a file that is not laid out as a reference file.
    """
    from neuroplast.engine import have_compiler

    path = Path(path)
    system = path.name.partition("_")[0]
    if system not in SYSTEMS:
        raise InputError(
            f"{path.name}: the first part of the name should be a system that can be verified: "
            f"{', '.join(SYSTEMS)}. Got {system!r}."
        )
    target = target or ("cpp" if have_compiler() else "numpy")
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors = {name: file[name] for name in file.files}
        deviations, detail = SYSTEMS[system](vectors, target)
    except (KeyError, OSError, ValueError) as err:
        if isinstance(err, InputError):
            raise
        raise InputError(f"{path}: is no file of reference vectors for {system} ({err}).") from err
    worst = max(deviations, key=deviations.get)
    deviation = deviations[worst]
    passed = all(value <= TOLERANCE for value in deviations.values())
    return deviation, TOLERANCE, passed, f"{detail}; largest in {worst}"


def _rflo(vectors, target):
    return (_rflo_notebook if "compare_trials" in vectors else _rflo_small)(vectors, target)


def _rflo_small(vectors, target):
    """Every run of `rflo_small.npz` whose rule there is here, and the exact changes of one trial."""
    from neuroplast.rules import BPTT, DELTA, FROZEN, RFLO

    deviations = {}
    runs = {
        "rflo_batch": (RFLO, DELTA, "trial"),
        "rflo_online": (RFLO, DELTA, "online"),
        "bptt_batch": (BPTT, DELTA, "trial"),
        "None_batch": (FROZEN, FROZEN, "trial"),
    }
    for name, (rule, readout_rule, update) in runs.items():
        found = _run_rflo(vectors, rule, readout_rule, update, int(vectors["K"]), target, vectors["eta_in_rec_out"])
        for key, values in found.items():
            deviations[f"{name}_{key}"] = _deviation(values, vectors[f"{name}_{key}"])
    for name, rule in {"WoutT_nonlocal": BPTT, "B_local": RFLO}.items():
        found = _run_rflo(vectors, rule, DELTA, "trial", 1, target, (1.0, 1.0, 1.0), exact=True)
        for key in ("in", "rec", "out"):
            change = found[f"w_{key}"][0] - vectors[f"w_{key}0"]
            deviations[f"exact_{name}_{key}"] = _deviation(change, vectors[f"exact_{name}_dw_{key}"])
    detail = f"{', '.join(runs)} and exact gradients (rtrl_* are the tests' oracle's)"
    return deviations, detail


def _run_rflo(vectors, rule, readout_rule, update, trials, target, eta, exact=False):
    """u, h, y (trials, T, .) with first samples, and the weights after each trial, as the authors lay them out."""
    from brian2 import ms

    from neuroplast.models import rflo
    from neuroplast.tasks import Condition, Task

    N = len(vectors["h0"])
    eta_in, eta_rec, eta_out = map(float, eta)
    parameters = rflo.Parameters(
        N=N, tau=float(vectors["tau"]) * ms, eta_in=eta_in, eta_rec=eta_rec, eta_out=eta_out,
        q_lag=int(not exact), notebook_compat=not exact,
    )  # fmt: skip
    drive = vectors["x"] if vectors["x"].any() else None
    recorded = {"w_rec": "recurrent.w", "w_out": "readout.w"} | ({} if drive is None else {"w_in": "afferent.w"})
    first = {"units.u": np.zeros(N), "units.h": vectors["h0"], "outputs.y": np.zeros(vectors["y_target"].shape[1])}
    model = rflo.build(
        parameters, Task(Condition(vectors["y_target"], drive)), rule, readout_rule=readout_rule, update=update,
        record=[*recorded.values(), *first], target=target,
    )  # fmt: skip
    weights = dict(w_rec=vectors["w_rec0"], w_out=vectors["w_out0"], b=vectors["B"])
    weights |= {} if drive is None else {"w_in": vectors["w_in0"]}
    state = {**rflo.weights_to_state(**weights), "units.h0": vectors["h0"]}
    found = model.run(trials, state=state).dataset
    results = {name: np.swapaxes(found[ours].values, 1, 2) for name, ours in recorded.items()}
    for name, value in first.items():
        before = np.broadcast_to(value, (trials, 1, len(value)))
        results[name.partition(".")[2]] = np.concatenate([before, found[name].values], axis=1)
    return results


def _rflo_notebook(vectors, target):
    """Loss and alignment of each trial of the notebook's example, as far as rounding lets two programs agree."""
    from brian2 import ms

    from neuroplast.models import rflo
    from neuroplast.rules import BPTT, RFLO
    from neuroplast.tasks import Condition, Task

    trials, (_, eta_rec, eta_out) = int(vectors["compare_trials"]), map(float, vectors["eta_in_rec_out"])
    rule = {"rflo": RFLO, "bptt": BPTT}[str(vectors["rule"])]
    parameters = rflo.Parameters(
        N=len(vectors["h0"]), tau=float(vectors["tau"]) * ms, eta_rec=eta_rec, eta_out=eta_out, notebook_compat=True
    )
    update = "online" if vectors["online"] else "trial"
    model = rflo.build(parameters, Task(Condition(vectors["y_target"])), rule, update=update, target=target)

    def run(scale):
        weights = rflo.weights_to_state(w_rec=vectors["w_rec0"] * scale, w_out=vectors["w_out0"], b=vectors["B"])
        found = model.run(trials, state={**weights, "units.h0": vectors["h0"]}).dataset
        return {"loss": found.loss.values, "align": found.alignment.values}

    ours = run(1.0)
    rng = np.random.default_rng(0)
    nudged = [run(1 + EPSILON * rng.standard_normal(vectors["w_rec0"].shape)) for _ in range(3)]
    last = min(_agreement(ours[name], other[name]) for other in nudged for name in ours)
    deviations = {name: _deviation(values[:last], vectors[name][:last]) for name, values in ours.items()}
    detail = f"loss and alignment of trials 1 to {last}"
    if last < trials:
        detail += f" of {trials}: then our own runs part, too, from weights that differ by rounding alone"
    return deviations, detail


def _autapse(vectors, target):
    """Activity, errors, the trace, and each rule's gradient for one trajectory with the weights held."""
    from neuroplast.models import autapse
    from neuroplast.rules import AUTAPSE, BPTT_MEAN, DFA_MEAN, FA_MEAN
    from neuroplast.tasks import Condition, Task

    steps, N = len(vectors["X"]), len(vectors["W"])
    # Row 0 of a condition is the sample before the first step, which is given to nobody.
    drive, goal = (np.vstack([values[:1], values]) for values in (vectors["X"], vectors["Y"]))
    weights = dict(w_rec=vectors["W"], w_in=vectors["U"], w_out=vectors["V"], b_rec=vectors["B_fa"])

    def made(rule):
        parameters = autapse.Parameters(N=N, tau_k=float(vectors["tau"]) * autapse.Parameters().dt, burn_in=0)
        task = Task(Condition(goal, drive))
        record = ("units.h:phase=test", *(("units.trace:phase=test",) if rule is AUTAPSE else ()))
        model = autapse.build(parameters, task, rule, record=record, target=target)
        state = autapse.weights_to_state(**weights, b=vectors["B_dfa"])
        known = {name: values for name, values in state.items() if name in model.initial()}
        return model, known

    def summed(model, state, until):
        """The gradient summed over the first steps."""
        task = Task(Condition(goal[: until + 1], drive[: until + 1]))
        found = model.run(1, task=task, state=state).dataset
        return until * (vectors["W"] - found.w_recurrent.values[0].T)

    model, state = made(AUTAPSE)
    at_rest = model.run(0, state=state).dataset  # no training, the test alone
    change = np.stack([summed(model, state, until) for until in range(1, steps + 1)])
    results = {
        "O": np.vstack([np.zeros(N), at_rest["units.h_test"].values[0]]),
        "E": at_rest.output.values[0] - vectors["Y"],
        "k_trace": at_rest["units.trace_test"].values[0],
        "mod_grad_per_step": np.diff(change, axis=0, prepend=0),
    }
    for rule in (BPTT_MEAN, FA_MEAN, DFA_MEAN):
        results[f"sum_grad_{rule.name.removesuffix('_mean')}"] = summed(*made(rule), steps)
    deviations = {name: _deviation(values, vectors[name]) for name, values in results.items()}
    return deviations, ", ".join(results)


def _pepita(vectors, target):
    """Outputs of each pass and weights after each batch, with the dropout masks of the file."""
    from neuroplast.data import Images
    from neuroplast.models import feedforward, pepita
    from neuroplast.rules import BP, DFA_LAYERS, FA_LAYERS, PEPITA

    L, size, batches = len(vectors["sizes"]) - 1, int(vectors["bs"]), int(vectors["nb"])
    labels, features = vectors["T"].argmax(axis=1), vectors["X"].astype(float)
    images = Images("reference", features, labels, features, labels, vectors["T"].shape[1], (1, 1, features.shape[1]))
    weights = [vectors[f"W{i}_init"] for i in range(1, L + 1)]
    feedback = [vectors[f"B{i}"] for i in range(1, L) if f"B{i}" in vectors]
    constants = {
        "hidden": tuple(map(int, vectors["sizes"][1:-1])), "batch": size, "eta": float(vectors["eta"]),
        "momentum": 0.9, "keep": 1.0, "shuffle": False, "np_compat": True,
    }  # fmt: skip
    if "F" in vectors:
        rule, model = PEPITA, pepita
        state = pepita.weights_to_state(weights, vectors["F"])
        events = {"out_standard": 3, "out_modulated": 5}  # positions after which the outputs are the pass's
    else:
        straight = all(b.shape[1] == images.classes for b in feedback)  # with one hidden layer FA and DFA are the same
        rule, model = (DFA_LAYERS if straight else FA_LAYERS) if feedback else BP, feedforward
        state, events = feedforward.weights_to_state(weights, feedback), {"out_standard": 3}
    made = model.build(model.Parameters(**constants), images, rule, target=target, dtype="float64")
    state = made.initial() | {name: values for name, values in state.items() if name in made.initial()}
    counts, deviations = made.counts(1), {}
    for batch in range(batches):
        rows, start = slice(batch * size, (batch + 1) * size), batch * max(events.values())
        state |= {f"hidden{i}.mask": vectors[f"dropmask{i}"][rows].T for i in range(1, L)}
        for name, event in events.items():
            until = batch * max(events.values()) + event
            state = made.simulation.run(state, start=start, stop=until, counts=counts).state
            found, start = state["outputs.p"].reshape(-1, size).T, until
            deviations[f"{name} of batch {batch + 1}"] = _deviation(found, vectors[name][rows])
        for i, w in enumerate(weights, 1):
            found, expected = state[f"w{i}.w"].reshape(w.T.shape).T, vectors[f"W{i}_after_each_batch"][batch]
            deviations[f"W{i} after batch {batch + 1}"] = _deviation(found, expected)
    return deviations, f"rule {rule.name}, {L - 1} hidden: {', '.join(events)} and weights of {batches} batches"


def _adjoint(vectors, target):
    """Modules in a row, those of figure 5, Lyapunov exponents or Gabor patches, whichever the file holds."""
    from neuroplast.verify_adjoint import KINDS, chained

    compare = next((compare for key, compare in KINDS.items() if key in vectors), chained)
    return compare(vectors, target, _deviation)


def _agreement(one, other):
    """Number of trials for which two runs are the same but for rounding that has not grown."""
    apart = np.flatnonzero(np.abs(one - other) > GROWN)
    return int(apart[0]) if len(apart) else len(one)


def _deviation(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise InputError(f"a result has shape {found.shape} where the file has {expected.shape}.")
    difference = np.abs(found - expected)
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


#: Name of a system -> deviations of everything compared, and what that was.
SYSTEMS = {"ap": _adjoint, "autapse": _autapse, "pepita": _pepita, "rflo": _rflo}
