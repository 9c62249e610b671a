"""Protocols that look into modules while they relax: small runs on digits, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from brian2 import Hz
from complete_runs import verdicts

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _modules, _shown

NAMES = ("ap_states", "ap_trajectories", "ap_timestep", "ap_traces")
STATES, TRAJECTORIES, TIMESTEP, TRACES = (load(find(name)) for name in NAMES)
BLOCK = 4
SMALL = {"data": "digits", "rows": 60, "block": BLOCK, "batch": 30, "epochs": 2}
SETTINGS = {
    "ap_states": {"radii": (0.1, 2.0), "steps": 30},
    "ap_trajectories": {"samples": 3, "steps": 8, "modules": 2},
    "ap_timestep": {"phases": (2, 8), "steps": 2},
    "ap_traces": {"steps": 4, "max_rate": 40 * Hz},
}
CLAIMS = {"ap_states": 4, "ap_trajectories": 4, "ap_timestep": 5, "ap_traces": 5}
TEXTS = {
    "ap_states": ("spectral radius 0.1", "difference"),
    "ap_trajectories": ("EPE, after 1 epoch", "cosine to the last error"),
    "ap_timestep": ("at once, small dt", "EPE"),
    "ap_traces": ("SE of module 2", "displacement of module 1"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def weights_of(run, net):
    """Weights of a net of the run's training."""
    from neuroplast.checkpoints import read_state

    return read_state(run.folder / "learning" / "nets" / net)


def relaxed(z, current, w, iterations):
    """States of a module after each iteration, by the paper's update."""
    found = []
    for _ in range(iterations):
        z = np.tanh(z @ w + current)
        found.append(z)
    return np.array(found)


def test_states_are_those_of_the_trained_module(runs):
    found, p = runs["ap_states"].dataset, _modules.Common(block=BLOCK)
    images = data.load("digits")
    x = images.scale * images.test[:1].astype(float)
    for radius in (0.1, 2.0):
        state = weights_of(runs["ap_states"], f"radius={radius}_net=0")
        w = np.reshape(state["rec_module1.w"], (4 * BLOCK, 4 * BLOCK)).astype(float)
        assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(radius, rel=1e-5)
        current = np.zeros(4 * BLOCK)
        current[:BLOCK] = (x @ np.reshape(state["w_in.w"], (64, BLOCK)).astype(float))[0]
        wanted = relaxed(np.zeros(4 * BLOCK), current, w, 30)
        np.testing.assert_allclose(STATES.states(found, radius)[1:], wanted, atol=1e-9)
        np.testing.assert_allclose(_shown.currents(state, x, p, 2)[0][0], current, atol=1e-12)


def states(**moves):
    """Activity of two neurons in 20 iterations that moves by so much for so long, by radius."""
    parts = []
    for size, until in moves.values():
        step = np.where(np.arange(20) < until, size * (-1.0) ** np.arange(20), 0)
        parts.append((1 + np.cumsum(step))[None, :, None] * np.ones(2))
    dims = ("radius", "module1.z_trial", "module1.z_time", "module1.z_neuron")
    array = xr.DataArray(parts, dims=dims, attrs={"kind": "rates"})
    array = array.assign_coords({"radius": [float(name[1:]) / 10 for name in moves], "module1.z_trial": [0]})
    return xr.Dataset({"module1.z": array}, attrs={"data": "fashion-mnist"})


def test_settling_is_judged():
    good = {"r1": (0.1, 3), "r5": (0.1, 6), "r20": (0.1, 20)}
    assert STATES.settling(states(**good)) == {0.1: 3, 0.5: 6, 2.0: pytest.approx(np.nan, nan_ok=True)}
    assert set(verdicts(STATES, states(**good)).values()) == {"holds"}
    settles, slower, never = list(verdicts(STATES, states(**good)))[1:]
    assert verdicts(STATES, states(**good | {"r5": (0.1, 15)}))[settles] == "does not hold"
    assert verdicts(STATES, states(**good | {"r1": (0.1, 8)}))[slower] == "does not hold"
    assert verdicts(STATES, states(**good | {"r20": (0.1, 10)}))[never] == "does not hold"
    assert verdicts(STATES, states(r1=(0.1, 3)))[never] == "not run"


def test_trajectories_are_those_of_both_phases(runs):
    """Of module 1 of two: its inference phase is the first, its learning phase the last."""
    found = runs["ap_trajectories"].dataset
    for error in ("ste", "epe"):
        state = weights_of(runs["ap_trajectories"], f"error={error}_after=2_net=0")
        images, p = data.load("digits"), _modules.Common(block=BLOCK)
        x = images.scale * images.test[:3].astype(float)
        current = _shown.currents(state, x, p, 1)[0]
        w = _shown.recurrent_of(state, 1, p)
        here = found.z.sel(error=error, after=2).transpose("phase", "iteration", "image", "neuron").values
        np.testing.assert_allclose(here[0], relaxed(np.zeros_like(current), current, w, 8), atol=1e-9)
        before = np.zeros_like(current) if error == "ste" else here[0, -1]
        steps = np.arctanh(here[1]) - np.concatenate([before[None], here[1, :-1]]) @ w - current
        changed = np.abs(steps).max((0, 1)) > 1e-9  # what the error adds: on the neurons that receive it alone
        assert changed[2 * BLOCK : 3 * BLOCK].all() and not np.delete(changed, slice(2 * BLOCK, 3 * BLOCK)).any()


def trajectories(turn=1.0, grows=1.0):
    """Both phases of two images; the error turns in its first iterations, or grows late."""
    rng, path = np.random.default_rng(0), np.linspace(0, 1, 12)[:, None] * np.ones(8)
    e = np.ones((12, 8))
    e[:6, 2:] *= turn
    e[:-1] *= grows
    z = np.array([np.stack([path, path - 0.1 * e])] * 2).transpose(1, 0, 2, 3)
    epe = np.array([np.stack([path, path[-1] - 0.1 * e])] * 2).transpose(1, 0, 2, 3)
    coords = {"error": ["ste", "epe"], "after": [1, 5], "phase": ["inference", "learning"]}
    array = xr.DataArray([[z, z], [epe, epe]], coords, ("error", "after", "phase", "image", "iteration", "neuron"))
    return xr.Dataset({"z": array + 1e-9 * rng.random(array.shape)}).assign_attrs(
        data="fashion-mnist", block=8, from_step=4
    )


def test_directions_are_judged():
    good, turned, late = (
        verdicts(TRAJECTORIES, trajectories(**change)) for change in ({}, {"turn": -1}, {"grows": 0.3})
    )
    assert set(good.values()) == {"holds"}
    ste, epe, soon = list(good)[1:]
    assert (turned[ste], turned[epe], turned[soon]) == ("does not hold", "does not hold", "holds")
    assert (late[ste], late[epe], late[soon]) == ("holds", "holds", "does not hold")


def test_principal_components_are_those_of_both_phases():
    (first, second), shares = TRAJECTORIES.components(trajectories(), "ste", 5, 0)
    assert first.shape == second.shape == (13, 3) and shares[0] > 0.9
    apart = np.linalg.norm(first - second, axis=1)
    np.testing.assert_allclose(apart[1:], 0.1 * np.sqrt(8), rtol=1e-6)  # no length is lost in three components
    assert apart[0] == pytest.approx(0, abs=1e-9)


def ways(**last):
    """Accuracies of 80 % in all ways, but for those given: {error: {way: {phase: accuracy}}}."""
    coords = {"error": ["ste", "epe"], "way": list(TIMESTEP.WAYS), "phase": [2, 4, 8, 16], "net": [0], "epoch": [0, 1]}
    found = xr.DataArray(np.full([len(c) for c in coords.values()], 0.8), coords)
    for error, changes in last.items():
        for way, values in changes.items():
            for phase, value in values.items():
                found.loc[{"error": error, "way": way, "phase": phase}] = value / 100
    return xr.Dataset({"test_accuracy": found}, attrs={"data": "fashion-mnist"})


def test_continuous_time_is_judged():
    good = verdicts(TIMESTEP, ways())
    small, at_once, epe, ste = list(good)[1:]
    assert set(good.values()) == {"holds"}
    both = TIMESTEP.CONTINUOUS
    found = ways(ste={both: {2: 40, 4: 70, 8: 75}}, epe={TIMESTEP.SMALL: {4: 60}})
    judged = verdicts(TIMESTEP, found)
    assert (judged[small], judged[at_once], judged[epe], judged[ste]) == ("holds", "holds", "holds", "does not hold")
    assert TIMESTEP.enough(found, "ste", both) == 16 and TIMESTEP.enough(found, "epe", both) == 2
    assert TIMESTEP.enough(found, "epe", TIMESTEP.SMALL) == 8
    never = ways(epe={both: {16: 70}})
    assert np.isnan(TIMESTEP.enough(never, "epe", both))
    assert verdicts(TIMESTEP, never)[epe] == verdicts(TIMESTEP, never)[at_once] == "does not hold"
    assert verdicts(TIMESTEP, ways(ste={TIMESTEP.SMALL: {8: 77}}))[small] == "does not hold"
    assert verdicts(TIMESTEP, ways(ste={TIMESTEP.SMALL: {2: 10}}))[small] == "holds"


@pytest.mark.parametrize("epe", [True, False])
def test_at_dt_of_tau_the_traces_are_the_published_algorithm(tmp_path, epe):
    """With one step in tau nothing is left of the deviation but the rounding of the learned weights' product."""
    settings = SMALL | {"steps": 1, "epe": epe, "max_rate": 10 * Hz}
    found = run_protocol("ap_traces", settings=settings, out=tmp_path / "run", target="numpy").dataset
    zs, errors = TRACES.ends(found, 1)
    np.testing.assert_allclose(zs, found.wanted_state, atol=1e-12)
    np.testing.assert_allclose(errors, found.wanted_error, atol=1e-12)
    assert np.abs(found.wanted_error).max() > 1e-4
    np.testing.assert_allclose(found.cosine, 1, atol=1e-9)


def test_published_changes_are_those_that_the_model_makes(tmp_path):
    """One plain step on one image."""
    images = _shown.shown(data.load("digits"), [5])
    p = TRACES.Parameters(block=BLOCK)
    constants = adjoint.Parameters(block=BLOCK, batch=1, optimiser="sgd", eta=0.5, epe=True)
    model = adjoint.build(constants, images, seed=3, target="numpy", dtype="float64")
    start = model.initial()
    state = {name: np.asarray(values, float) for name, values in start.items()}
    x, target = images.scale * images.train[0].astype(float), np.eye(10)[images.train_labels[0]]
    _, _, changes = TRACES.published(state, x, target, p)
    after = model.simulation.run(start, counts=model.counts(1)).state
    for name, change in zip(("w_in.w", "w1.w", "w_out.w"), changes, strict=True):
        made = np.reshape(after[name] - state[name], change.shape)
        np.testing.assert_allclose(made, 0.5 * change, atol=1e-12)


def test_spikes_and_roles_of_the_traces(runs):
    found = runs["ap_traces"]
    assert found.dataset.attrs["roles"] == "RI 0-3, SI 4-7, RE 8-11, SE 12-15"
    assert {"module1.spikes", "module2.spikes"} <= set(found.spikes)
    t, z = TRACES.trace(found.dataset, 1)
    assert z.shape == (4 * 8 * 4, 4 * BLOCK) and t[-1] == pytest.approx(32)
    assert (z[8 * 4 : 24 * 4] == z[8 * 4 - 1]).all()  # module 1 waits while module 2 relaxes
    for module in (1, 2):
        halves = TRACES.halves(found.dataset, module)
        assert halves["RE"] < halves["RI"] and halves["RE"] < halves["SE"]


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("ap_traces", {"image": 297, "rows": 0}, "There are 297 test images, counted from 0. Got number 297"),
        ("ap_states", {"image": 60}, "There are 60 test images"),
        ("ap_timestep", {"phases": (1,)}, "phases should be at least 2"),
        ("ap_traces", {"steps": 1}, "max=50.Hz is too fast for the time step of 10 ms"),
        ("ap_trajectories", {"steps": 4}, "steps should be at least 8"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, settings, words):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=SMALL | settings, out=tmp_path / "run", target="numpy")
