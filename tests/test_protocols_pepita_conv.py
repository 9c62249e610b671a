"""Protocols of convolutional networks: small runs on digits, measures by hand, claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.protocols import _conv

NAMES = ("pepita_conv_table", "pepita_conv_filters", "pepita_conv_compat")
TABLE, FILTERS, COMPAT = (load(find(name)) for name in NAMES)
SMALL = {"data": "digits", "rows": 60, "filters": 3, "nets": 2, "epochs": 2}
SETTINGS = {
    "pepita_conv_table": {"rules": ("drtp", "pepita"), "hidden": (5,), "validation": 20},
    "pepita_conv_filters": {"rules": ("pepita", "bp"), "patches": 4, "eta": 0.3},
    "pepita_conv_compat": {},
}
CLAIMS = {"pepita_conv_table": 14, "pepita_conv_filters": 5, "pepita_conv_compat": 5}
TEXTS = {
    "pepita_conv_table": ("digits", "DRTP", "dashed: fully connected"),
    "pepita_conv_filters": ("PEPITA", "BP", "seen"),
    "pepita_conv_compat": ("published script", "initial norm"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def test_table_has_both_kinds_of_networks_on_held_back_images(runs):
    found, record = runs["pepita_conv_table"].dataset, runs["pepita_conv_table"].record
    assert dict(found.test_accuracy.sizes) == {"images": 1, "network": 2, "rule": 2, "net": 2, "epoch": 2}
    assert record["images"] == {"digits": [45, 15]}  # a quarter is held back, not more
    assert set(verdicts(TABLE, found).values()) == {"not run"}
    assert not found.test_accuracy.isel(network=0).equals(found.test_accuracy.isel(network=1))


def test_script_turns_and_shortens_the_first_change(runs):
    """After one epoch of few batches both rules' kernels have moved along nearly one line."""
    found = runs["pepita_conv_compat"].dataset
    assert (found.along.sel(rule="pepita") > 0.999).all() and (found.moved.sel(rule="frozen") == 0).all()
    assert (found.along.sel(rule="pt_compat") < 0).all()
    # Divided by the batch of 60 once more.
    ratio = found.moved.sel(rule="pt_compat") / found.moved.sel(rule="pepita")
    assert ((ratio > 0.2 / 60) & (ratio < 5 / 60)).all()


def test_filters_are_those_of_the_networks(runs):
    found = runs["pepita_conv_filters"].dataset
    assert dict(found.kernel.sizes) == {"stage": 3, "net": 2, "filter": 3, "channel": 1, "row": 3, "column": 3}
    images, p = data.load("digits").first(60, 60), FILTERS.Parameters(filters=3)
    _, field = _conv.field_of(images, "pepita", p)
    state = _conv.NETWORKS["pepita"].model.initial_values(_conv.constants("digits", "pepita", p), images, seed=1)
    np.testing.assert_allclose(
        found.kernel.sel(stage="initial", net=1), field.to_kernels(np.reshape(state["w1.w"], (9, 3))), rtol=1e-6
    )
    assert (found.moved.sel(stage=["pepita", "bp"]) > 0).all() and (found.moved.sel(stage="initial") == 0).all()
    assert set(found.test_accuracy.rule.values) == {"pepita", "bp", "frozen"}


def test_best_patches_by_hand():
    """A filter for a bright pixel left of a dark one finds the edge in each image, and the stronger image first."""
    bright = np.zeros((2, 3, 4))
    bright[0, 1, 1], bright[1, 2, 0] = 1, 3
    images = data.Images("edges", bright.reshape(2, -1), [0, 1], bright.reshape(2, -1), [0, 1], 2, (1, 3, 4))
    kernel = np.array([[[[1.0, -1.0]]]])
    p = FILTERS.Parameters(patches=1)
    np.testing.assert_array_equal(FILTERS.best_patches(images, kernel, p), [[[[3, 0]]]])
    p = FILTERS.Parameters(patches=2)
    np.testing.assert_array_equal(FILTERS.best_patches(images, kernel, p), [[[[2, 0]]]])
    np.testing.assert_allclose(FILTERS.likeness(kernel, np.array([[[[2.0, 0.0]]]])), [1])
    np.testing.assert_allclose(FILTERS.likeness(kernel, np.array([[[[2.0, 2.0]]]])), [0])


def test_smoothness_by_hand():
    even, board = np.ones((1, 1, 3, 3)), np.indices((3, 3)).sum(axis=0) % 2 * 2.0 - 1
    np.testing.assert_allclose(_conv.smoothness(even), [1])
    np.testing.assert_allclose(_conv.smoothness(board[None, None]), [-1])
    drawn = np.random.default_rng(0).normal(size=(400, 1, 5, 5))
    assert abs(_conv.smoothness(drawn).mean()) < 0.03
    assert _conv.smoothness(np.zeros((1, 1, 2, 2))) == [0]


def accuracies(name, conv, full, size=1, nets=3):
    """Results of the table on one data set, from accuracies in per cent by rule of both kinds."""
    rules = list(conv)
    values = np.array([[kind[rule] for rule in rules] for kind in (conv, full)]) / 100
    jitter = 1e-5 * np.random.default_rng(0).normal(size=(*values.shape, nets))
    array = (values[..., None] + jitter)[None, ..., None]
    coords = {"images": [name], "network": list(TABLE.KINDS), "rule": rules, "net": range(nets), "epoch": [99]}
    return xr.Dataset({"test_accuracy": (tuple(coords), array)}, coords, {"full": size})


LOW = {"bp": 98.63, "fa": 98.42, "drtp": 95.10, "pepita": 98.01}


def test_claims_on_the_table_as_in_the_paper():
    for name, means in TABLE.PAPERS.items():
        found = verdicts(TABLE, accuracies(name, means, {rule: mean - 1 for rule, mean in means.items()}))
        assert {v for claim, v in found.items() if claim.startswith(f"{name}:")} == {"holds"}
        assert {v for claim, v in found.items() if not claim.startswith(f"{name}:")} == {"not run"}


@pytest.mark.parametrize(
    ("changed", "full", "wrong"),
    [
        ({"bp": 98.30}, {"bp": 97.0}, ["accuracies of table 1", "BP >= FA, FA >= PEPITA, PEPITA > DRTP"]),
        ({"pepita": 97.2}, {}, ["accuracies", "BP >= FA", "convolutional above"]),
        ({}, {"drtp": 98.0}, ["convolutional above fully connected"]),
        ({"pepita": np.nan}, {}, ["accuracies", "BP >= FA", "convolutional above"]),
    ],
)
def test_claims_on_a_table_that_is_otherwise(changed, full, wrong):
    dataset = accuracies("mnist", TABLE.PAPERS["mnist"] | changed, LOW | full)
    failed = {name for name, verdict in verdicts(TABLE, dataset).items() if verdict == "does not hold"}
    assert all(any(text in name for name in failed) for text in wrong) and len(failed) == len(wrong)


def test_numbers_of_the_table_are_judged_at_its_size_only():
    dataset = accuracies("mnist", TABLE.PAPERS["mnist"], LOW, size=0)
    row = TABLE.EXPECTED[0].measure(dataset)
    assert row["verdict"] == "not run" and "--full" in row["measured"]
    assert verdicts(TABLE, dataset)["mnist: convolutional above fully connected"] == "holds"


def made(moved=(0.5, 0.01), along=-0.9, last=(90.0, 88.0, 88.05), nets=5):
    """Results of the comparison with the script."""
    coords = {"rule": list(COMPAT.RULES), "net": range(nets)}
    jitter = 0.01 * np.random.default_rng(0).normal(size=(3, nets))
    accuracy = (np.array(last)[:, None] + jitter)[..., None] / 100
    return xr.Dataset(
        {
            "test_accuracy": (("rule", "net", "epoch"), accuracy),
            "moved": (("rule", "net"), np.tile([[moved[0]], [moved[1]], [0]], nets)),
            "along": (("rule", "net"), np.tile([[1.0], [along], [np.nan]], nets)),
        },
        coords,
        {"data": "fashion-mnist"},
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"moved": (0.5, 0.1)}, [1]),
        ({"along": 0.2}, [2]),
        ({"last": (90.0, 88.0, 87.0)}, [3]),
        ({"last": (88.0, 88.0, 88.0)}, [4]),
    ],
)
def test_claims_on_the_script(changes, wrong):
    expected = ["does not hold" if place in wrong else "holds" for place in range(5)]
    assert list(verdicts(COMPAT, made(**changes)).values()) == expected


def test_few_nets_are_not_judged():
    assert list(verdicts(COMPAT, made(nets=2)).values()) == ["holds", "holds", "holds", "not run", "not run"]


def filters(moved=0.3, smooth=0.4, like=0.5, above=1.0):
    stages = ["initial", "pepita"]
    nets = range(2)
    last = np.array([[0.85 + above / 100] * 2, [0.85] * 2])[..., None]
    return xr.Dataset(
        {
            "moved": (("stage", "net"), np.tile([[0.0], [moved]], 2)),
            "smoothness": (("stage", "net", "filter"), np.tile(np.array([0.0, smooth])[:, None, None], (1, 2, 3))),
            "likeness": (("stage", "net", "filter"), np.tile(np.array([0.3, like])[:, None, None], (1, 2, 3))),
            "test_accuracy": (("rule", "net", "epoch"), last),
        },
        {"stage": stages, "net": nets, "rule": ["pepita", "frozen"]},
        {"data": "fashion-mnist"},
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({}, []), ({"moved": 0.01}, [1]), ({"above": -0.1}, [2]), ({"smooth": -0.1}, [3]), ({"like": 0.2}, [4])],
)
def test_claims_on_filters(changes, wrong):
    expected = ["does not hold" if place in wrong else "holds" for place in range(5)]
    assert list(verdicts(FILTERS, filters(**changes)).values()) == expected


@pytest.mark.parametrize(
    ("module", "rules", "message"),
    [
        (FILTERS, ("bp",), "rules should have pepita among them"),
        (TABLE, ("bp", "dfa"), "rules should be different ones of bp, fa, drtp"),
        (TABLE, ("bp", "bp"), "rules should be different ones"),
    ],
)
def test_rules_that_have_no_network_are_refused(module, rules, message):
    with pytest.raises(InputError, match=message):
        module.Parameters(rules=rules)
