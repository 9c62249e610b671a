"""Protocols that compare adjoint propagation with other rules, depths and roles: small runs, claims either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts
from oracles.modules import relax

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.checkpoints import read_state
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.protocol import run_protocol

NAMES = ("ap_versus_ep", "ap_depth", "ap_roles", "ap_role_sizes", "ap_deep")
EP, DEPTH, ROLES, SIZES, DEEP = (load(find(name)) for name in NAMES)
SMALL = {"data": "digits", "rows": 20, "batch": 10, "block": 3, "epochs": 2}
SETTINGS = {
    "ap_versus_ep": {"layers": (2,), "short": (3, 2), "epochs": 3},
    "ap_depth": {"layers": (1,), "etas": (1e-3, 2e-4)},
    "ap_roles": {"layers": (2,), "blocks": (2,), "kinds": ("roles", "merged")},
    "ap_role_sizes": {"layers": (2,), "error_sizes": (0, 1), "inference_sizes": (1,)},
    "ap_deep": {"layers": (2,), "betas": (1.0, 3.0), "radii": (0.25, 0.5), "profile": 2},
}
CLAIMS = {"ap_versus_ep": 8, "ap_depth": 7, "ap_roles": 5, "ap_role_sizes": 6, "ap_deep": 6}
TEXTS = {
    "ap_versus_ep": ("EP 3-2", "AP 8-8", "processor time"),
    "ap_depth": ("hidden layers", "rate 0.0002", "AP's scale"),
    "ap_roles": ("neurons in a block", "no roles, one block, 16-8"),
    "ap_role_sizes": ("X neurons", "X = SI=RI"),
    "ap_deep": ("spectral radius", "mean absolute error", "2 modules"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def attrs(**more):
    return {"data": "fashion-mnist", "block": 64, "batch": 50, "epochs": 20, "rows": 6000, "nets": 1} | more


# -- equilibrium propagation -------------------------------------------------------------------------------------------


def rising(last, seconds, fall=0.0, first=0.5, epochs=10):
    """A curve that rises from `first` to `last`; `fall` is lost after the seventh epoch and won back."""
    curve = np.linspace(first, last, epochs)
    curve[7] = curve[6] - fall if fall else curve[7]
    return curve, seconds


def against(short=(0.8, 0.03, 0.05), **curves):
    """Results of AP, EP, and EP with few iterations, whose falls are given for two layers and for three."""
    last, *falls = short
    found, times = [], []
    for fall in falls:
        rows = [curves.get("ap", rising(0.85, 1.0)), curves.get("ep", rising(0.86, 3.0, first=0.6))]
        rows.append(rising(last, 0.5, fall))
        found.append([row for row, _ in rows])
        times.append([seconds for _, seconds in rows])
    coords = {"layers": [2, 3], "network": ["ap", "ep", "ep_short"], "net": [0]}
    accuracy = xr.DataArray(np.array(found)[:, :, None], coords | {"epoch": range(10)})
    seconds = xr.DataArray(np.array(times)[:, :, None], coords)
    return xr.Dataset({"test_accuracy": accuracy, "seconds": seconds}, attrs=attrs(short="32-10"))


def test_ep_is_compared():
    assert set(verdicts(EP, against()).values()) == {"holds"}
    fails = {
        "both learn": {"ep": rising(0.7, 3.0, first=0.6)},
        "EP is faster at first": {"ep": rising(0.86, 3.0, first=0.4)},
        "EP is unstable with few iterations": {"short": (0.8, 0.01, 0.05)},
        "AP is stable": {"ap": rising(0.85, 1.0, 0.025)},
        "EP's instability grows with depth": {"short": (0.8, 0.05, 0.03)},
        "AP takes less time, 2 layers": {"ap": rising(0.85, 5.0)},
        "AP takes less time, 3 layers": {"ap": rising(0.85, 5.0)},
    }
    for claim, change in fails.items():
        assert verdicts(EP, against(**change))[claim] == "does not hold", claim
    shallow = verdicts(EP, against().sel(layers=[2]))
    assert shallow["AP takes less time, 3 layers"] == shallow["EP's instability grows with depth"] == "not run"
    lost = against()
    lost["test_accuracy"] = lost.test_accuracy.where(lost.network != "ep_short")  # it diverged
    assert verdicts(EP, lost)["EP is unstable with few iterations"] == "holds"


def test_time_to_a_level_and_falls_are_read_from_the_curves():
    found = against(ap=(np.array([0.2, 0.5, 0.4, 0.7, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7]), 2.0))
    assert EP.reach(found, 2, "ap", 0.5) == 4.0 and EP.reach(found, 2, "ap", 0.65) == 8.0
    assert EP.reach(found, 2, "ap", 0.9) == np.inf
    assert float(EP.swing(found.test_accuracy).sel(layers=2, network="ap")) == pytest.approx(10)


def test_times_are_measured(runs):
    found = runs["ap_versus_ep"].dataset
    assert dict(found.seconds.sizes) == {"layers": 1, "network": 3, "net": 1}
    assert (found.seconds > 0).all() and np.isfinite(found.seconds).all()


# -- depth -------------------------------------------------------------------------------------------------------------


def depths(ap, fa, bp=(88, 88, 88, 88), scaled=None):
    """Results with these accuracies by depth at both rates."""
    coords = {"network": list(DEPTH.NETWORKS), "eta": [1e-3, 2e-4], "layers": [1, 3, 5, 10], "net": [0], "epoch": [0]}
    values = np.array([ap, fa, scaled or fa, bp])[:, None, :, None, None] / 100 * np.ones((1, 2, 1, 1, 1))
    return xr.Dataset({"test_accuracy": xr.DataArray(values, coords)}, attrs=attrs())


def test_collapse_is_told():
    good = verdicts(DEPTH, depths((85, 84, 82, 60), (86, 84, 40, 10)))
    assert set(good.values()) == {"holds"}
    assert DEPTH.collapse(DEPTH.best(depths((85, 84, 82, 60), (86, 84, 40, 10)), "fa", 1e-3)) == 5
    for ap, fa in (((85, 84, 40, 10), (86, 84, 40, 10)), ((85, 84, 80, 78), (86, 84, 83, 80))):
        judged = verdicts(DEPTH, depths(ap, fa))
        assert (
            judged["FA collapses earlier than AP, 1e-3"]
            == judged["FA collapses earlier than AP, 2e-4"]
            == "does not hold"
        )
    assert judged["AP is above FA in the deepest network"] == "does not hold"
    assert verdicts(DEPTH, depths((70, 84, 82, 60), (86, 84, 40, 10)))["all learn with one layer"] == "does not hold"
    other = depths((85, 84, 82, 60), (86, 84, 40, 10)).sel(eta=[1e-3])
    assert verdicts(DEPTH, other)["FA collapses earlier than AP, 2e-4"] == "not run"
    scale = verdicts(DEPTH, depths((85, 84, 80, 60), (86, 84, 83, 80), scaled=(86, 84, 70, 50)))
    assert scale["FA collapses earlier than AP, 1e-3"] == "does not hold"
    assert scale["FA with AP's scale collapses earlier than AP, 1e-3"] == "holds"
    lost = depths((85, 84, 82, 80), (86, 84, 83, 82))
    lost["test_accuracy"] = lost.test_accuracy.where((lost.network != "fa") | (lost.layers < 10))  # it diverged
    assert verdicts(DEPTH, lost)["FA collapses earlier than AP, 1e-3"] == "holds"


# -- roles -------------------------------------------------------------------------------------------------------------


def constrained(roles, merged, merged_8_8=None):
    """Results by neurons in a block (8, 64) with two modules, and with one module of 64."""
    kinds = {"roles": roles, "merged": merged} | ({"merged_8_8": (np.nan, merged_8_8)} if merged_8_8 else {})
    coords = {"kind": list(kinds), "layers": [1, 2], "size": [8, 64], "net": [0], "epoch": [0]}
    values = np.array([[(np.nan, large), (small, large)] for small, large in kinds.values()]) / 100
    accuracy = xr.DataArray(values[..., None, None], coords)
    return xr.Dataset({"test_accuracy": accuracy}, attrs=attrs())


def test_roles_are_judged():
    good = verdicts(ROLES, constrained((60, 85), (70, 85.5), 85))
    assert set(good.values()) == {"holds"}
    assert verdicts(ROLES, constrained((60, 85), (70, 85.5)))["16-8 is sufficient without roles"] == "not run"
    fails = {
        "both learn at all depths": ((60, 74), (70, 85.5), 85),
        "16-8 is sufficient without roles": ((60, 85), (70, 80), 85),
        "the constraint costs more in tiny blocks": ((60, 75), (70, 90), 85),
        "small blocks learn less": ((86, 85), (70, 85.5), 85),
    }
    for claim, values in fails.items():
        assert verdicts(ROLES, constrained(*values))[claim] == "does not hold", claim
    one = constrained((60, 85), (70, 85.5)).sel(size=[64])
    assert verdicts(ROLES, one)["small blocks learn less"] == "not run"


# -- sizes of roles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["RE", "SE"])
def test_no_feedback_weights_are_the_same_as_no_role(role):
    """Gradients of a network with zeros are those of one in which fewer neurons have the role."""
    images, few = data.load("digits").first(6, 2), 2
    p = adjoint.Parameters(modules=2, block=4, batch=6, shuffle=False)
    whole = adjoint.build(p, images, seed=1, target="numpy", dtype="float64")
    start = whole.initial() | SIZES._fewer(role, few, 4)(whole.initial())
    smaller = adjoint.build(p, images, sizes={role: few}, seed=1, target="numpy", dtype="float64")
    shapes = {"e_out.f": (10, 4), "e1.f": (4, 4)}
    kept = {name: np.reshape(start[name], shape) for name, shape in shapes.items()}
    kept["e1.f"] = kept["e1.f"][:few] if role == "SE" else kept["e1.f"][:, :few]
    kept["e_out.f"] = kept["e_out.f"][:, :few] if role == "RE" else kept["e_out.f"]
    assert np.abs(kept["e1.f"]).min() > 0 and np.abs(kept["e_out.f"]).min() > 0
    own = start | {name: values.ravel() for name, values in kept.items()}
    found = []
    for model, state in ((whole, start), (smaller, own)):
        schedule, counts = model.simulation.schedule, model.counts(1)
        stop = schedule.length(counts, schedule.body[0].body[0].body)
        found.append(model.simulation.run(state, stop=stop, counts=counts).state)
    for name in ("w_in.G", "w1.G", "w_out.G"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=0, atol=1e-14)


def test_a_reservoir_learns_its_readout_alone(runs):
    folder = runs["ap_role_sizes"].folder / "nets"
    before = read_state(folder / "role=RE_neurons=0_layers=2_net=0")
    p = adjoint.Parameters(modules=2, block=3, batch=10)
    values = adjoint.build(p, data.load("digits").first(20, 20), target="numpy").initial(0)
    np.testing.assert_allclose(before["w_in.w"], values["w_in.w"], rtol=1e-6)
    assert np.abs(before["w_out.w"] - values["w_out.w"]).max() > 1e-4
    other = read_state(folder / "role=RE_neurons=1_layers=2_net=0")
    assert np.abs(other["w_in.w"] - values["w_in.w"]).max() > 1e-4


def sized(RE=(40, 70, 84.5, 85), SE=(80, 84), inference=(60, 70), block=64):
    """Results by role; the numbers of neurons are 0, 2, 10 (RE), 2, 10 (SE) and 2, 10 (RI and others)."""
    coords = {"role": ["all", *SIZES.ROLES], "neurons": [0, 2, 10, block], "layers": [2], "net": [0], "epoch": [0]}
    values, no = np.full((6, 4), np.nan), np.nan
    values[0, 3], values[1], values[2] = RE[3], (*RE[:3], no), (no, *SE, no)
    values[3:] = (no, *inference, no)
    accuracy = xr.DataArray(values[:, :, None, None, None] / 100, coords)
    return xr.Dataset({"test_accuracy": accuracy}, attrs=attrs(block=block, chance=0.1))


def test_sizes_of_roles_are_judged():
    assert set(verdicts(SIZES, sized()).values()) == {"holds"}
    fails = {
        "whole blocks learn": {"RE": (40, 60, 69, 70)},
        "flat down to 10 RE neurons": {"RE": (40, 70, 82, 85)},
        "it drops below": {"RE": (40, 84.8, 84.9, 85)},
        "no RE: a reservoir, whose readout learns": {"RE": (15, 70, 84, 85)},
        "RE and SE matter less than RI and SI": {"SE": (50, 55)},
    }
    for claim, change in fails.items():
        assert verdicts(SIZES, sized(**change))[claim] == "does not hold", claim
    high = verdicts(SIZES, sized(RE=(84, 70, 84.5, 85)))
    assert high["no RE: a reservoir, whose readout learns"] == "does not hold"
    assert verdicts(SIZES, sized().sel(neurons=[2, 64]))["flat down to 10 RE neurons"] == "not run"
    assert verdicts(SIZES, sized().sel(neurons=[2, 64]))["no RE: a reservoir, whose readout learns"] == "not run"


# -- deep networks -----------------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_last_batch():
    """Of two modules by hand, from the weights of the net; of the outputs, from their probabilities."""
    images = data.load("digits").first(10, 5)
    p = adjoint.Parameters(modules=2, block=3, batch=10, shuffle=False, beta=2.0)
    model = adjoint.build(p, images, seed=1, target="numpy", dtype="float64")

    class Net:
        state = model.initial()

    found, state = DEEP.errors(Net, model), Net.state
    n, block = 12, 3
    z, sent = [], images.scale * images.train.astype(float) @ state["w_in.w"].reshape(64, block)
    clamps = []
    for i, onward in ((1, "w1.w"), (2, "w_out.w")):
        clamps.append(np.zeros((10, n)))
        clamps[-1][:, :block] = sent
        z.append(relax(np.zeros((10, n)), state[f"rec_module{i}.w"].reshape(n, n), clamps[-1], 8))
        sent = z[-1][:, block : 2 * block] @ state[onward].reshape(block, -1)
    made = np.exp(sent)
    err = made / made.sum(axis=1, keepdims=True) - np.eye(10)[images.train_labels]
    np.testing.assert_allclose(found[2 * block :], np.abs(err).mean(axis=0), rtol=1e-10)
    back, SI, RE, SE = -2 * err @ state["e_out.f"].reshape(10, block), slice(3, 6), slice(6, 9), slice(9, 12)
    for i, weights in ((2, "e1.f"), (1, None)):
        clamps[i - 1][:, RE] += back
        error = z[i - 1] - relax(np.zeros((10, n)), state[f"rec_module{i}.w"].reshape(n, n), clamps[i - 1], 8)
        wanted = np.abs(error[:, SI]).mean(axis=0)
        np.testing.assert_allclose(found[(i - 1) * block : i * block], wanted, rtol=1e-8)
        back = -2 * error[:, SE] @ state[weights].reshape(block, block) if weights else None


def deep(share=(1e-3, 0.3, 1.0, 3.0), first=(1e-4, 1e-2, 0.1, 0.5), accuracy=(40, 60, 80, 20), lines=2):
    """Results of five modules whose errors and accuracies along beta are given, and along the radius alike."""
    betas, radii = [0.01, 0.1, 1.0, 10.0], [0.05, 0.25, 0.5, 1.0]
    coords = {"layers": [3, 5], "beta": betas, "radius": radii, "net": [0]}
    curve = np.full((2, 4, 4), 40.0)
    curve[:, :, 1] = accuracy
    curve[:, 2, :] = (60, *[accuracy[2]] * 2, 20) if lines == 2 else 40
    curve[0, 3, 1] = 79  # the shallow one has more room
    error = np.full((4, 4, 5), 1e-3)
    error[:, 1, 0], error[:, 1, 4] = first, np.array(first) / share
    error[2, [0, 2, 3], 0] = 1e-3, 0.2, 0.6
    blocks = np.concatenate([np.repeat(error, 2, axis=-1), np.ones((4, 4, 10))], axis=-1)
    found = np.stack([np.full_like(blocks, np.nan), blocks])[:, :, :, None]
    test = xr.DataArray(curve[..., None, None] / 100, coords | {"epoch": [0]})
    error = xr.DataArray(found, dims=("layers", "beta", "radius", "net", "neuron"))
    return xr.Dataset({"test_accuracy": test, "error": error}, attrs=attrs(block=2, profile=5, chance=0.1))


def test_vanishing_and_exploding_errors_are_told():
    assert set(verdicts(DEEP, deep()).values()) == {"holds"}
    fails = {
        "errors vanish with a small beta": {"share": (0.5, 0.3, 1.0, 3.0)},
        "a larger beta carries them further": {"first": (1e-1, 1e-2, 0.1, 0.5)},
        "an excessive beta makes them explode": {"accuracy": (40, 60, 80, 79)},
        "a larger radius acts alike": {"lines": 1, "accuracy": (40, 60, 41, 20)},
    }
    for claim, change in fails.items():
        assert verdicts(DEEP, deep(**change))[claim] == "does not hold", claim
    assert verdicts(DEEP, deep(share=(1e-3, 0.3, 1, 0.9)))["an excessive beta makes them explode"] == "does not hold"
    narrow = deep().isel(layers=[1, 0])  # as if the deep one had more room
    assert (
        verdicts(DEEP, narrow.assign_coords(layers=[3, 5]).assign_attrs(profile=3))["deeper networks leave less room"]
        == "does not hold"
    )
    assert verdicts(DEEP, deep().sel(layers=[5]))["deeper networks leave less room"] == "not run"


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("ap_versus_ep", "layers=4", "layers should be one of 2, 3"),
        ("ap_versus_ep", "short=32", "short should be two numbers of iterations"),
        ("ap_depth", "layers=2,3", "layers should be different numbers, 1 among them"),
        ("ap_depth", "etas=0.1,0.1", "etas should be different rates"),
        ("ap_roles", "kinds=roles,merged_large", "kinds should be different ones, roles and merged among them"),
        ("ap_roles", "layers=1,3", "layers should be different numbers, 2 among them"),
        ("ap_role_sizes", "error_sizes=0,64", "error_sizes should be below block, 64 neurons. Got 64"),
        ("ap_role_sizes", "inference_sizes=2,2", "inference_sizes should be different numbers"),
        ("ap_role_sizes", "inference_sizes=0", "inference_sizes should be"),
        ("ap_deep", "betas=0.1", "betas should be different numbers, 1 among them"),
        ("ap_deep", "profile=4", "layers should be different numbers, 4 among them"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, setting, words):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[setting], out=tmp_path / "run", target="numpy")
