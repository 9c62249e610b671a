"""What F = 0 and random perturbations are, the protocol that compares them with PEPITA, and comparisons in pairs."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from brian2 import ms
from scipy.stats import ttest_1samp, ttest_rel

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import pepita
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _images, _pairs
from neuroplast.rules import FROZEN_HIDDEN, PEPITA, RANDOM_PERTURBATION

PERTURBATION = load(find("pepita_perturbation"))
SMALL = {
    "data": "digits", "rows": 80, "hidden": (8,), "nets": 3, "random_nets": 2, "epochs": 3,
    "strengths": (0.01, 1e38), "centred": (0.1,),
}  # fmt: skip


@pytest.mark.parametrize(
    "epochs, constants, frozen",
    [
        (3, {"keep": 1.0}, {}),
        # With dropout the masks are the same while both have taken the same number of steps.
        (1, {"keep": 0.8}, {"standard": 20 * ms}),
    ],
)
def test_a_feedback_of_zero_is_a_readout_that_learns_alone(epochs, constants, frozen):
    images = data.load("digits").first(150, 70)
    found = {}
    for name, rule, more in (("zero", PEPITA, {"f_scale": 0.0}), ("frozen", FROZEN_HIDDEN, frozen)):
        chosen = pepita.Parameters(hidden=(12, 9), batch=20, eta=0.1, **constants, **more)
        found[name] = pepita.build(chosen, images, rule, seed=4, target="numpy", dtype="float64").run(epochs).dataset
    zero, frozen = found["zero"], found["frozen"]
    for name in ("test_accuracy", "train_accuracy"):
        np.testing.assert_array_equal(zero[name], frozen[name])
    np.testing.assert_allclose(zero.test_loss, frozen.test_loss, rtol=1e-12)
    np.testing.assert_allclose(zero.w_w3, frozen.w_w3, rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(zero.w_w1, frozen.w_w1)
    begin = pepita.initial_values(chosen, images, 4)
    np.testing.assert_array_equal(zero.w_w1[-1], begin["w1.w"])
    assert (zero.w_w3[-1] != begin["w3.w"]).mean() > 0.5


@pytest.mark.parametrize("rule, grows", [(RANDOM_PERTURBATION, True), (_images.CENTRED, False)])
def test_noise_that_has_a_mean_lets_weights_grow_exponentially(rule, grows):
    """Each batch adds eta lambda <r> sum(x) to the logarithm of the weights' sum, without momentum."""
    n, batches, eta, strength = 50, 40, 0.05, 0.01
    image = np.full((64 * batches, n), 0.5, np.float32)
    labels = np.zeros(64 * batches, int)
    images = Images("even", image, labels, image[:1], labels[:1], 2, (1, 5, 10))
    chosen = pepita.Parameters(hidden=(1,), momentum=0.0, keep=1.0, eta=eta, strength=strength)
    model = pepita.build(chosen, images, rule, target="numpy", dtype="float64")
    found = model.run(1, state={"w1.w": np.full((n, 1), 0.1), "w2.w": np.zeros((1, 2))}).dataset
    growth = np.log(found.w_w1.values.sum() / (0.1 * n))
    assert growth == pytest.approx(batches * eta * strength * 0.5 * 0.5 * n if grows else 0, rel=0.05, abs=5e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_images.RATES, "digits", {"pepita": 0.05, "frozen": 0.2})
        folder = tmp_path_factory.mktemp("run") / "run"
        return run_protocol("pepita_perturbation", settings=SMALL, out=folder, target="numpy")


def test_run_leaves_claims_and_a_figure(run):
    complete_runs.check(run, 8, ("digits (median", "F = 0, own rate", "λ = 0.01", "centred 0.1"))
    verdicts = [claim["verdict"] for claim in run.record["claims"]]
    assert verdicts[:3] == ["not run"] * 3 and verdicts[7] == "not run"  # digits, and three pairs


def test_a_net_that_diverges_counts_as_at_chance(run):
    found = run.dataset
    names = ["pepita", "frozen", "frozen_own_rate", "random 1e+38", "random 0.01", "centred 0.1"]
    assert list(found.variant.values) == names
    lost = found.diverged.sel(variant="random 1e+38")
    assert lost.values.tolist() == [True, True, False] and found.diverged.sum() == 2
    strongest = found.test_accuracy.sel(variant="random 1e+38")
    assert (strongest.isel(net=slice(2)) == 0.1).all() and strongest.isel(net=2).isnull().all()
    assert found.test_accuracy.sel(variant=names[:3]).notnull().all()
    assert run.record["claims"][3]["measured"] == "random 1e+38 10.00 ± 0.00 (2 diverged)"


def test_f_zero_has_the_rate_of_pepita_and_its_own(run):
    frozen, own = (run.dataset.sel(variant=name) for name in ("frozen", "frozen_own_rate"))
    assert (frozen.train_accuracy != own.train_accuracy).any()
    np.testing.assert_allclose(frozen.norm_w1, own.norm_w1, rtol=1e-6)  # the hidden layer does not learn
    images = data.load("digits").first(80, 80)
    chosen = pepita.Parameters(hidden=(8,), eta=0.05, decay_at=(2,))
    again = pepita.build(chosen, images, FROZEN_HIDDEN, target="numpy").run(3, 1).dataset
    np.testing.assert_array_equal(frozen.train_accuracy.isel(net=1), again.train_accuracy)


def made(name="fashion-mnist", **ends):
    """Results in which nets of each variant end so (%), all of them or one by one."""
    ends = {
        "pepita": [87, 87.2, 87.4, 87.1, 87.3, 87], "frozen": [86, 86.1, 86.3, 86.2, 86.1, 86],
        "frozen_own_rate": [86.2, 86.3, 86.5, 86.4, 86.3, 86.2], "random 1": [10, 15], "random 1e-07": [85.9, 86.2],
        "centred 0.01": [86.2, 86],
    } | ends  # fmt: skip
    ends = {key: nets for key, nets in ends.items() if nets}
    accuracy = np.full((len(ends), 6, 2), np.nan)
    for i, nets in enumerate(ends.values()):
        accuracy[i, : len(nets)] = np.array(nets)[:, None] / 100
    accuracy[..., 0] = np.where(np.isnan(accuracy[..., 0]), np.nan, 0.5)  # the first epoch does not count
    coords = {"variant": list(ends), "net": range(6), "epoch": range(2)}
    accuracy = xr.DataArray(accuracy, coords)
    found = xr.Dataset({"test_accuracy": accuracy, "diverged": xr.zeros_like(accuracy.isel(epoch=0), bool)})
    return found.assign_attrs(data=name, chance=0.1, rates="0.01, F = 0 0.01")


def verdicts(dataset):
    return [claim.measure(dataset)["verdict"] for claim in PERTURBATION.EXPECTED]


GOOD = ["holds"] * 7 + ["not run"]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, {}),
        ({"frozen": [87, 87.1, 87.5, 87.2, 87.1, 87]}, {1: "does not hold", 4: "does not hold", 6: "does not hold"}),
        ({"frozen_own_rate": [88] * 6}, {2: "does not hold"}),
        ({"frozen_own_rate": None}, {2: "not run"}),
        ({"random 1": [10, 21]}, {3: "does not hold"}),
        ({"random 1e-07": [85.9, 84]}, {4: "does not hold"}),
        ({"random 1e-07": [86, 87.3]}, {4: "does not hold", 5: "does not hold"}),
        ({"centred 0.01": [80, 80]}, {6: "does not hold"}),
        ({"centred 0.01": None}, {6: "not run"}),
        ({"random 1": None, "random 1e-07": None, "centred 0.01": None}, dict.fromkeys((3, 4, 5, 6), "not run")),
        ({"name": "mnist"}, {0: "not run"}),
        (
            {"name": "cifar10"} | {"pepita": [52] * 6, "frozen": [45] * 6, "frozen_own_rate": [44.5] * 6},
            {0: "not run", 4: "does not hold", 5: "does not hold", 6: "does not hold", 7: "holds"},
        ),
        (
            {"name": "cifar10", "frozen_own_rate": None, "pepita": [88] * 6},
            {0: "not run", 2: "not run", 7: "does not hold"},
        ),
    ],
)
def test_claims_can_come_out_either_way(changes, expected):
    wanted = [expected.get(i, verdict) for i, verdict in enumerate(GOOD)]
    assert verdicts(made(**changes)) == wanted


def test_figure_is_drawn_from_what_there_is():
    fig = PERTURBATION.figure(made(frozen_own_rate=None))
    left, middle, right = fig.axes
    assert [text.get_text() for text in right.get_xticklabels()] == ["PEPITA", "F = 0"]
    assert len(left.get_lines()) == 5 and len(middle.get_lines()) == 2


def test_random_nets_are_among_the_nets(tmp_path):
    with pytest.raises(InputError, match=r"random_nets should be at most nets=1, .* Got 2"):
        run_protocol("pepita_perturbation", settings=["nets=1"], out=tmp_path / "run", target="numpy")


def test_paired_judgements_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for shift in (-0.3, 0.0, 0.1, 0.2, 0.5):
        one = rng.normal(87, 0.3, 6)
        other = one - shift + rng.normal(0, 0.1, 6)
        higher = ttest_rel(one, other).pvalue < 0.05 and one.mean() > other.mean()
        assert (_pairs.higher(one, other)[1] == "holds") == higher
        for margin in (0.05, 0.1, 0.3, 0.6):
            # Two one-sided tests: it is neither as low as -margin nor as high as margin.
            above = ttest_1samp(one - other, -margin, alternative="greater").pvalue
            below = ttest_1samp(one - other, margin, alternative="less").pvalue
            assert (_pairs.alike(one, other, margin)[1] == "holds") == (max(above, below) < 0.05)
    assert _pairs.higher([1, 2, 3, 4], [0, 0, 0, 0])[1] == _pairs.alike([1] * 4, [1] * 4, 0.5)[1] == "not run"
    low, high = ttest_rel(one, other).confidence_interval(0.9)
    assert f"90 % interval {low:+.2f} to {high:+.2f}" in _pairs.alike(one, other, 0.5)[0]


def test_the_rate_falls_after_the_same_part_of_the_epochs():
    assert _pairs.decay_at("fashion-mnist", 50) == (30,) and _pairs.decay_at("cifar10", 50) == (30, 45)
    for name in ("mnist", "fashion-mnist", "cifar10", "cifar100", "digits"):
        assert _pairs.decay_at(name, 100) == _images.constants(name, "pepita").decay_at
