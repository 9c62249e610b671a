"""Trained weights and hidden responses: small runs on digits, measures by hand, claims that can come out either way."""

import sys

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import feedforward
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _images

WEIGHTS, TSNE = load(find("pepita_weights")), load(find("pepita_tsne"))
SMALL = {"data": "digits", "rows": 80, "hidden": (8,), "nets": 2, "epochs": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    settings = SMALL | {"rules": ("bp", "pepita", "drtp")}
    return run_protocol("pepita_weights", settings=settings, out=tmp_path_factory.mktemp("w") / "run", target="numpy")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    settings = SMALL | {"samples": 60, "perplexity": 5.0, "neighbours": 3}
    return run_protocol("pepita_tsne", settings=settings, out=tmp_path_factory.mktemp("t") / "run", target="numpy")


# -- weights -------------------------------------------------------------------------------------------------


def test_weights_of_each_layer_are_measured_before_and_after(weights):
    complete_runs.check(weights, 9, ("PEPITA", "DRTP", "weight", "density"))
    found = weights.dataset
    assert found.rule.values.tolist() == ["bp", "pepita", "drtp", "initial"]
    assert dict(found.sd.sizes) == {"rule": 4, "layer": 2, "net": 2}
    # The untrained ones are those that the nets began with: uniform, with the spread of He's.
    images = data.load("digits").first(80, 80)
    constants = _images.constants("digits", "bp", hidden=(8,))
    state = feedforward.initial_values(constants, images, seed=1)
    for layer in (1, 2):
        initial = found.sel(rule="initial", layer=layer, net=1)
        assert float(initial.sd) == pytest.approx(np.std(state[f"w{layer}.w"]))
        assert float(initial["range"]) == pytest.approx(np.ptp(state[f"w{layer}.w"]))
        assert abs(found.sd.sel(rule="bp", layer=layer, net=1) - initial.sd) > 1e-6
    assert found.test_accuracy.sel(rule="bp").notnull().all() and found.test_accuracy.sel(rule="initial").isnull().all()


def test_histograms_are_densities_in_the_same_bins():
    rng = np.random.default_rng(0)
    drawn = {("bp", 1, 0): rng.normal(0, 1, 4000), ("pepita", 1, 0): rng.normal(0, 3, 5000)}
    found = WEIGHTS.measured(drawn, [1])
    width = np.diff(found.weight.sel(layer=1))
    np.testing.assert_allclose(width, width[0])
    for (rule, _, _), w in drawn.items():
        part = found.sel(rule=rule, layer=1, net=0)
        inside = abs(w) < float(found.weight.max())
        assert float((part.density * width[0]).sum()) == pytest.approx(inside.mean())
        assert float(part.sd) == pytest.approx(w.std())


def drawn(bp, pepita, bp_first=None, pepita_first=None):
    """Results for weights drawn by functions of (generator, size); first layers uniform if nothing is said."""
    rng = np.random.default_rng(0)
    uniform = np.random.Generator.uniform
    of = {
        ("bp", 1): bp_first or (lambda rng, n: 1.01 * uniform(rng, -1, 1, n)),
        ("pepita", 1): pepita_first or (lambda rng, n: uniform(rng, -1, 1, n)),
        ("bp", 2): bp,
        ("pepita", 2): pepita,
        ("initial", 1): lambda rng, n: uniform(rng, -1, 1, n),
        ("initial", 2): lambda rng, n: uniform(rng, -1, 1, n),
    }
    made = {(*key, net): draw(rng, 20_000) for key, draw in of.items() for net in range(2)}
    return WEIGHTS.measured(made, [1, 2]).assign_attrs(data="fashion-mnist")


def gauss(sd):
    return lambda rng, n: rng.normal(0, sd, n)


def student(df, scale):
    return lambda rng, n: scale * rng.standard_t(df, n)


def test_claims_on_weights_as_in_the_paper():
    found = verdicts(WEIGHTS, drawn(gauss(0.1), student(5, 0.3)))
    first = {name: found.pop(name) for name in list(found) if name.startswith("first")}
    assert set(found.values()) == {"holds"}
    assert first == {
        "first layer: BP and PEPITA alike": "holds",
        "first layer: BP's range is greater": "holds",
        "first layer: BP's are normal": "does not hold",  # uniform, which Student's t does not tell from normal
        "first layer: PEPITA's are Student's t": "does not hold",
    }


def test_claims_on_weights_that_are_otherwise():
    found = verdicts(WEIGHTS, drawn(student(5, 0.3), gauss(0.1), gauss(0.5), student(8, 0.5)))
    assert found.pop("Fashion-MNIST is learned") == "holds"
    assert found.pop("first layer: BP's are normal") == "holds"
    assert found.pop("first layer: PEPITA's are Student's t") == "holds"
    assert set(found.values()) == {"does not hold"}


@pytest.mark.parametrize("rules", [("bp", "fa"), ("pepita",)])
def test_weights_need_both_rules_of_the_paper(rules):
    with pytest.raises(InputError, match="rules should have bp, pepita among them"):
        WEIGHTS.Parameters(rules=rules)


# -- responses -----------------------------------------------------------------------------------------------


def test_responses_are_those_of_the_network(embedded):
    complete_runs.check(embedded, 5, ("untrained", "trained", "purity"))
    found = embedded.dataset
    assert dict(found.point.sizes) == {"stage": 3, "sample": 60, "axis": 2}
    images = data.load("digits").first(80, 80)
    assert found.label.values.tolist() == images.test_labels[:60].tolist()
    np.testing.assert_allclose(found.accuracy, found.test_accuracy.isel(epoch=-1), atol=1e-9)
    # The same images for both nets, other weights.
    one, other = found.purity.isel(net=0), found.purity.isel(net=1)
    assert one.sel(stage="images") == other.sel(stage="images")
    assert one.sel(stage="untrained") != other.sel(stage="untrained")
    assert ((found.purity > 0.1) & (found.purity <= 1)).all()


def test_hidden_responses_by_hand():
    w1, w2, w3 = np.array([[1.0, -1.0], [2.0, 0.5]]), np.array([[1.0, 2.0], [-1.0, 1.0]]), np.full((2, 3), 9.0)
    # x W_1 = (5, 0) and (-1, -1.5) -> (5, 0), (0, 0); times W_2: (5, 10), (0, 0).
    x = np.array([[1.0, 2.0], [1.0, -1.0]])
    np.testing.assert_array_equal(TSNE.hidden(x, [w1, w2]), [[5, 0], [0, 0]])
    np.testing.assert_array_equal(TSNE.hidden(x, [w1, w2, w3]), [[5, 10], [0, 0]])


def test_without_scikit_learn_components_are_shown_and_the_claim_says_so(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    rng = np.random.default_rng(0)
    responses = {stage: rng.normal(size=(20, 5)) for stage in TSNE.STAGES}
    points, how = TSNE.embed(responses, 5.0)
    assert points.shape == (3, 20, 2) and how.startswith("principal components; not run: t-SNE needs scikit-learn")
    dataset = made().assign_attrs(embedding=how)
    row = TSNE.EXPECTED[1].measure(dataset)
    assert row["verdict"] == "not run" and "pip install 'neuroplast[embedding]'" in row["measured"]


def made(images=0.6, untrained=0.5, trained=0.7, shown=0.8, off=0.0):
    stages = {"stage": list(TSNE.STAGES)}
    purity = xr.DataArray([[images, untrained, trained]] * 2, {"net": range(2), **stages})
    accuracy = xr.DataArray([0.8, 0.81], {"net": range(2)})
    return xr.Dataset(
        {
            "purity": purity,
            "purity_shown": xr.DataArray([0.4, 0.4, shown], stages),
            "accuracy": accuracy + off,
            "test_accuracy": accuracy.expand_dims(epoch=3),
        },
        attrs={"data": "fashion-mnist", "embedding": "t-SNE"},
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"shown": 0.45}, [1]),
        ({"untrained": 0.75}, [2]),
        ({"images": 0.75}, [3]),
        ({"off": 0.002}, [4]),
        ({"trained": 0.4}, [2, 3]),
    ],
)
def test_claims_on_responses(changes, wrong):
    expected = ["does not hold" if place in wrong else "holds" for place in range(5)]
    assert list(verdicts(TSNE, made(**changes)).values()) == expected


def test_one_net_in_which_learning_takes_classes_apart_is_enough():
    dataset = made()
    dataset.purity.loc[{"net": 1, "stage": "trained"}] = 0.55
    found = verdicts(TSNE, dataset)
    assert found["learning brings classes together"] == "holds"
    assert found["more than they are in the images"] == "does not hold"


@pytest.mark.parametrize("wrong", [{"perplexity": 60.0}, {"neighbours": 70}])
def test_too_few_images_are_refused_before_training(wrong, tmp_path):
    with pytest.raises(InputError, match="samples should be more than perplexity and neighbours. Got 60 images"):
        run_protocol(
            "pepita_tsne", settings=SMALL | {"samples": 60, "neighbours": 3, "perplexity": 5.0} | wrong,
            out=tmp_path / "run", target="numpy",
        )  # fmt: skip
