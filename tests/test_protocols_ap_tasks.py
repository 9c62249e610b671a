"""Protocols of adjoint propagation on one task and on two: small runs, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.checkpoints import read_state
from neuroplast.data.gabor import gabor
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol

CHOICE, REUSE = load(find("ap_2afc")), load(find("ap_reuse"))
SETTINGS = {
    "ap_2afc": {
        "noises": (0.0, 2.0), "nets": 2, "epochs": 2, "train": 6, "test": 5, "pool": 9, "block": 2, "angles": 9,
        "patches": 2,
    },
    "ap_reuse": {"data": "digits", "second": "digits", "rows": 30, "batch": 20, "block": 2, "epochs": 2, "compared": 2},
}  # fmt: skip


@pytest.mark.parametrize(
    "name, claims, texts",
    [
        ("ap_2afc", 5, ("noise 2", "tilt (degrees)", "last epoch")),
        ("ap_reuse", 9, ("task 2: digits", "(b), in turn", "weight changes of task 1")),
    ],
)
def test_run_leaves_claims_and_a_figure(runs, name, claims, texts):
    complete_runs.check(runs[name], claims, texts)


# -- a choice between two tilts ----------------------------------------------------------------------------------------


def test_the_psychometric_curve_is_that_of_the_net_that_learned(runs):
    """Without noise all patches of a tilt are alike: its response follows from the weights by hand."""
    found, block = runs["ap_2afc"].dataset, SETTINGS["ap_2afc"]["block"]
    state = read_state(runs["ap_2afc"].folder / "nets" / "noise=0_net=1")
    state = {name: np.asarray(values, float) for name, values in state.items()}
    z = gabor(np.linspace(-12, 12, 9)).reshape(9, -1).astype(float)
    sent = z @ state["w_in.w"].reshape(1024, block)
    for module, onward in ((1, "w1.w"), (2, "w_out.w")):
        clamp = np.zeros((9, 4 * block))
        clamp[:, :block] = sent
        z = np.zeros_like(clamp)
        for _ in range(8):
            z = np.tanh(z @ state[f"rec_module{module}.w"].reshape(4 * block, -1) + clamp)
        sent = z[:, block : 2 * block] @ state[onward].reshape(block, -1)
    p = np.exp(sent) / np.exp(sent).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.response.sel(noise=0), p[:, 1], rtol=1e-4)
    assert dict(found.test_accuracy.sizes) == {"noise": 2, "net": 2, "epoch": 2}


def logistic(steepness, middle=0.0):
    degrees = np.linspace(-12, 12, 25)
    return xr.DataArray(1 / (1 + np.exp(-steepness * (degrees - middle))), {"degrees": degrees})


def test_slope_and_threshold_of_a_logistic_curve():
    assert CHOICE.slope(logistic(0.1)) == pytest.approx(0.1 / 4, rel=0.05)
    assert CHOICE.threshold(logistic(0.7, 2.3)) == pytest.approx(2.3, abs=0.05)
    assert np.isnan(CHOICE.threshold(0.4 * logistic(1))) and np.isnan(CHOICE.threshold(0.6 + 0 * logistic(1)))


def choices(best=(1, 1, 1, 0.95, 0.85), last=0.0, steepness=(3, 3, 1.5, 0.7, 0.3), middle=0.0):
    """Results whose last epochs are lower than the best ones by `last`."""
    noise = [0.0, 0.2, 1.0, 2.0, 4.0]
    curve = np.array(best)[:, None, None] * np.ones((1, 2, 3)) - np.array([0.1, 0, last])
    accuracy = xr.DataArray(curve, {"noise": noise, "net": [0, 1], "epoch": range(3)})
    curves = [logistic(each, middle).expand_dims(noise=[n]) for n, each in zip(noise, steepness, strict=True)]
    return xr.Dataset({"test_accuracy": accuracy, "response": xr.concat(curves, "noise")})


def test_choices_are_judged():
    assert set(verdicts(CHOICE, choices()).values()) == {"holds"}
    fails = {
        "perfect with little noise": {"best": (1, 0.98, 1, 0.95, 0.85)},
        "noise costs accuracy": {"best": (1, 1, 1, 0.84, 0.85)},
        "accuracy at a noise of 4": {"last": 0.1},
        "psychometric curves are sigmoids": {"middle": 4},
        "noise flattens them": {"steepness": (3, 3, 0.7, 1.5, 0.3)},
    }
    for claim, change in fails.items():
        assert verdicts(CHOICE, choices(**change))[claim] == "does not hold", claim
    quiet = verdicts(CHOICE, choices().isel(noise=[0, 1]))
    assert quiet["noise costs accuracy"] == quiet["noise flattens them"] == "not run"
    assert verdicts(CHOICE, choices().isel(noise=[2, 4]))["perfect with little noise"] == "not run"


# -- two tasks ---------------------------------------------------------------------------------------------------------


def test_the_smaller_set_comes_several_times():
    digits = data.load("digits")
    some, more = digits.first(7, 3), digits.first(16, 5)
    images = REUSE.alike(some, more)
    assert images["x2"] is more and images["x1"].rows == 16 and len(images["x1"].test) == 5
    np.testing.assert_array_equal(images["x1"].train[7:14], some.train)
    np.testing.assert_array_equal(images["x1"].train_labels, np.tile(some.train_labels, 3)[:16])
    np.testing.assert_array_equal(images["x1"].test_labels, some.test_labels[[0, 1, 2, 0, 1]])


def test_what_task_2_cannot_reach_is_the_same_with_it(runs):
    """In (b) L1 and L2 hear nothing of the others, and L2 gets the error of its output only."""
    found = runs["ap_reuse"].dataset
    assert found.error.sel(way=["a", "b_in_turn"]).isnull().all()
    both = found.sel(way="b", net=0)
    np.testing.assert_allclose(both.error.sel(error_of=["e2", "e5"]), 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(both.change.sel(change_of=["w1", "w_out1"]), 1, rtol=0, atol=1e-6)
    others = both.error.sel(error_of=["e1", "e3", "e4"])
    assert (others < 0.9999).all() and (both.change.sel(change_of="w_in1") < 0.9999).all()
    # In (c) the output of task 1 hears L4, which hears the images of task 2.
    assert (found.error.sel(way="c", error_of="e5") < 1).all()


def test_cosine_is_that_of_two_vectors():
    assert REUSE._cosine(np.array([1.0, 0.0]), np.array([3.0, 4.0])) == pytest.approx(0.6)


def shared(second="mnist", drop=None, errors=0.95, exact=1.0, change=0.99, **attrs):
    """Results in which one configuration may be lower in a task, as the paper has them otherwise."""
    coords = {"way": list(REUSE.WAYS), "net": [0], "epoch": range(2)}
    found = {}
    for task in (1, 2):
        best = [papers[task - 1] or 97.4 for *_, papers in REUSE.WAYS.values()]
        curve = np.array(best)[:, None, None] / 100 - np.array([0.2, 0.0])
        found[f"test_accuracy_{task}"] = xr.DataArray(curve, coords)
        if drop and drop[0] == task:
            found[f"test_accuracy_{task}"] -= drop[1] * (found[f"test_accuracy_{task}"].way == "c")
    error = xr.DataArray([errors, exact, errors, errors, 1.0], {"error_of": list(REUSE.ERRORS)})
    changes = xr.DataArray([change, 1.0, 1.0], {"change_of": list(REUSE.CHANGES)})
    for name, values in (("error", error), ("change", changes)):
        found[name] = values * xr.DataArray(np.ones((4, 1, 2)), coords)
    size = {"data": "fashion-mnist", "block": 256, "batch": 500, "epochs": 100, "rows": 0, "second": second}
    return xr.Dataset(found).assign_attrs(size | attrs)


def test_two_tasks_are_judged():
    assert set(verdicts(REUSE, shared()).values()) == {"holds"}
    fails = {
        "task 1 learns alike in all configurations": {"drop": (1, 0.03)},
        "so does task 2": {"drop": (2, 0.03)},
        "accuracies of figure 5": {"drop": (1, 0.01)},
        "(b): errors of L2 and of the output are the same": {"exact": 0.9999},
        "(b): all others are near": {"errors": 0.8},
        "(b): weight changes are nearer": {"change": 0.94},
        "(c): errors and changes are near": {"change": 0.8},
    }
    for claim, change in fails.items():
        assert verdicts(REUSE, shared(**change))[claim] == "does not hold", claim
    other = verdicts(REUSE, shared(second="digits", drop=(2, 0.01)))
    assert other["MNIST is task 2"] == "not run" and other["accuracies of figure 5"] == "holds"
    assert verdicts(REUSE, shared(block=64))["accuracies of figure 5"] == "not run"
    alone = verdicts(REUSE, shared().sel(way=["a"]))
    assert alone["so does task 2"] == alone["(b): all others are near"] == "not run"


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("ap_2afc", "noises=1,1", "noises should be different numbers"),
        ("ap_2afc", "train=9000", "train should be at most pool, 8000 images. Got 9000"),
        ("ap_2afc", "noises=-1", "noises should be"),
        ("ap_reuse", "ways=a,d", "ways should be one of a, b_in_turn, b, c"),
        ("ap_reuse", "second=mnits", "second should be one of auto"),
        ("ap_reuse", "compared=0", "compared should be at least 1"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, setting, words):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[setting], out=tmp_path / "run", target="numpy")
