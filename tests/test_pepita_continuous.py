"""PEPITA at small time steps: against loops in numpy and closed forms, through both phases of a presentation."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import Hz, ms

from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import pepita
from neuroplast.parameters import with_settings
from neuroplast.recording import expected
from neuroplast.rules import FROZEN_HIDDEN, PEPITA
from neuroplast.spikes import Spikes
from neuroplast.traces import Traces
from neuroplast.training import Pace, train

TARGETS = ["numpy", "cpp"]
FEATURES, CLASSES, BATCH, HIDDEN = 6, 3, 2, (5, 4)
POSITIONS = 5  # of a presentation: begin, standard, modulate, modulated, learn
CONSTANTS = {"hidden": HIDDEN, "batch": BATCH, "eta": 0.2, "keep": 1.0, "shuffle": False, "f_scale": 0.5}


def make_images(rows=5, tests=3):
    rng = np.random.default_rng(0)
    return Images(
        "random", rng.random((rows, FEATURES)), rng.integers(0, CLASSES, rows), rng.random((tests, FEATURES)),
        rng.integers(0, CLASSES, tests), CLASSES, (1, 2, 3),
    )  # fmt: skip


IMAGES = make_images()
#: Of every compiled model, so that there is one program: options do not enter it.
RECORD = {
    "hidden1.v_d": "", "hidden2.v_d": "", "soma1.v_s": "", "soma2.v_s": "", "hidden1.r": "", "outputs.err": "",
    "w1.w": ":at=trial", "w2.w": ":at=trial", "w3.w": ":at=trial", "hidden1.spikes": ":max=30*Hz",
}  # fmt: skip


def constants(steps=10, standard=4, modulated=3, **changes):
    """Parameters at dt = tau/steps, phases in tau."""
    tau = 10 * ms
    times = {"dt": tau / steps, "standard": standard * tau, "modulated": modulated * tau}
    return pepita.Parameters(**{**CONSTANTS, **times, **changes})


def records(**options):
    """What is recorded, with other options for some: ``hidden1_r=":every=2"``."""
    return [name + options.get(name.replace(".", "_"), more) for name, more in RECORD.items()]


def build(p, rule=PEPITA, images=IMAGES, **options):
    return pepita.build(p, images, rule, **{"seed": 3, "target": "numpy", "dtype": "float64", **options})


def weights_of(state):
    sizes = [FEATURES, *HIDDEN, CLASSES]
    return [np.reshape(state[f"w{i}.w"], sizes[i - 1 : i + 1]) for i in range(1, len(sizes))]


def softmax(v):
    return np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)


def loop(weights, F, p, presentations):
    """Loops over time and layers: dendrites of layer 1 and somata of layer 2 at each step, weights after each batch."""
    steps = {phase: round(float(getattr(p, phase) / p.dt)) for phase in ("standard", "modulated")}
    v_d, v_s = ([np.zeros((BATCH, size)) for size in sizes] for sizes in ((*HIDDEN, CLASSES), HIDDEN))
    velocity, dendrites, somata, after = [np.zeros_like(w) for w in weights], [], [], []
    for number in range(presentations):
        rows = slice(number * BATCH, (number + 1) * BATCH)
        x, t, count = np.zeros((BATCH, FEATURES)), np.zeros((BATCH, CLASSES)), len(IMAGES.train[rows])
        x[:count], t[:count] = IMAGES.train[rows], np.eye(CLASSES)[IMAGES.train_labels[rows]]
        there, error = (np.arange(BATCH) < count)[:, None], np.zeros((BATCH, CLASSES))
        for phase in ("standard", "modulated"):
            shown = x + error @ F
            for _ in range(steps[phase]):
                sent = [shown]
                for i, w in enumerate(weights):
                    v_d[i] = v_d[i] + float(p.dt / p.tau_d) * (sent[i] @ w - v_d[i])
                    sent.append(np.maximum(v_d[i], 0))
                    if i < len(v_s) and phase == "standard":
                        v_s[i] = v_s[i] + float(p.dt / p.tau_s) * (v_d[i] - v_s[i])
                dendrites.append(v_d[0].T)
                somata.append(v_s[1].T)
            error = there * (softmax(v_d[-1]) - t)
        post = [there * (np.maximum(m, 0) - r) for m, r in zip(v_s, sent[1:], strict=False)] + [error]
        G = [r.T @ change / count for r, change in zip(sent, post, strict=False)]
        velocity = [0.9 * v - p.eta * g for v, g in zip(velocity, G, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
        after.append(weights)
    return np.array(dendrites), np.array(somata), after


@pytest.mark.parametrize("target", TARGETS)
def test_an_epoch_is_that_of_loops_in_numpy(target):
    p = constants(tau_s=7 * ms)
    model = build(p, record=records(), target=target)
    start = model.initial()
    dendrites, somata, after = loop(
        weights_of(start), np.reshape(start["feedback.f"], (CLASSES, FEATURES)), p, presentations=3
    )
    found = Traces(model.run(1).dataset)
    for name, wanted in (("hidden1.v_d", dendrites), ("soma2.v_s", somata)):
        array = found.rates[name]
        assert array.shape[:2] == (3, 70)  # both phases of a presentation in one row
        np.testing.assert_allclose(array.values.reshape(wanted.shape), wanted, rtol=0, atol=1e-12)
    for i in (1, 2, 3):
        wanted = [weights[i - 1] for weights in after]
        np.testing.assert_allclose(found.weights[f"w{i}.w"].values, wanted, rtol=0, atol=1e-12)
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3


@pytest.mark.parametrize("target", TARGETS)
def test_the_soma_holds_to_the_last_bit(target):
    found = Traces(build(constants(), record=records(), target=target).run(1).dataset)
    for name in ("soma1.v_s", "soma2.v_s", "hidden1.v_d", "hidden2.v_d"):
        values = found.rates[name].values
        changes = np.ptp(values[:, 39:], axis=1)  # from the last step of the standard phase, of 40, on
        assert changes.max() > 1e-3 if "v_d" in name else (changes == 0).all()
        assert np.ptp(values[:, :40], axis=1).max() > 1e-2


def first_change(p, **options):
    """Weight change of each layer after the first batch, from silence."""
    model = build(p, **options)
    start = model.initial()
    end = model.simulation.run(start, stop=POSITIONS, counts=model.counts(1)).state
    return [after - before for after, before in zip(weights_of(end), weights_of(start), strict=True)]


def test_with_long_phases_the_change_is_that_of_dt_tau():
    published = first_change(constants(steps=1, standard=1, modulated=1))
    away = []
    for phase in (3, 6, 12, 24):
        made = first_change(constants(standard=phase, modulated=phase))
        away.append([
            np.linalg.norm(one - other) / np.linalg.norm(other) for one, other in zip(made, published, strict=True)
        ])  # fmt: skip
    assert (np.diff(away, axis=0) < 0).all()
    assert np.max(away[0][:2]) > 0.1 and np.max(away[-1]) < 1e-6


def test_what_is_left_of_the_state_before_follows_from_the_time_constants():
    """Linear neurons, no feedback: after n steps from silence the soma lacks (1 + n dt/tau) (1 - dt/tau)^n of W x."""
    p = constants(standard=4, modulated=2, f_scale=0.0, activation="linear", momentum=0.0)
    model = build(p)
    start = model.initial()
    w, x = weights_of(start)[0], IMAGES.train[:BATCH]
    lacks = (1 + 40 * 0.1) * 0.9**40 - 0.9**60
    wanted = p.eta * lacks * x.T @ (x @ w) / BATCH
    np.testing.assert_allclose(first_change(p)[0], wanted, rtol=1e-10)
    assert (wanted * w).sum() > 0  # so the weights grow although there is no error


def test_at_dt_tau_a_phase_of_one_step_is_enough():
    """But for the rounding of v + (I - v)."""
    ends = [build(constants(1, *phases)).run(2).dataset for phases in ((1, 1), (3, 1), (1, 4))]
    for other in ends[1:]:
        for name in ("w_w1", "w_w2", "w_w3", "test_accuracy", "train_loss", "angle"):
            np.testing.assert_allclose(other[name], ends[0][name], rtol=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_records_go_through_both_phases(target):
    record = records(
        hidden1_v_d=":trials=0,-1", soma1_v_s=":every=7", hidden1_r=":steps=35-45", w1_w=":at=trial:trials=1",
        outputs_err=":steps=0-3:epochs=-1",
    )  # fmt: skip
    model = build(constants(), record=record, target=target)
    job, found = model.job("net", {}, 2), model.run(2)
    whole = found.rates["hidden1.v_d"]
    assert dict(whole.sizes) == {"trial": 2, "time": 70, "neuron": 5, "copy": BATCH}
    assert whole.trial.values.tolist() == [0, 5]
    np.testing.assert_allclose(whole.time, 1e-3 * np.arange(1, 71))
    np.testing.assert_allclose(found.rates["soma1.v_s"].time, 1e-3 * np.arange(7, 71, 7))
    window = found.rates["hidden1.r"]
    assert window.shape[:2] == (6, 10) and np.isfinite(window).all()
    np.testing.assert_allclose(window.time, 1e-3 * np.arange(36, 46))
    # Presentations follow each other on the run's clock; the tests, of the standard phase's steps, between epochs.
    begins = 1e-3 * np.array([0, 70, 140, 210 + 80, 280 + 80, 350 + 80])
    np.testing.assert_allclose(found.rates["soma1.v_s"].start, begins, rtol=1e-9)
    assert found.rates["outputs.err"].shape == (3, 3, CLASSES, BATCH)
    assert found.weights["w1.w"].shape == (1, FEATURES, HIDDEN[0])
    sizes = expected(model.simulation, model.counts(2))
    assert job.size == sum(size for _, size in sizes.values())
    monitors = model.simulation.run(counts=model.counts(2)).monitors
    del sizes["hidden1_spikes"]  # which is estimated
    for name, (number, size) in sizes.items():
        assert {len(values) for values in monitors[name].values()} == {number}, name
        assert size == sum(values.nbytes for of, values in monitors[name].items() if of != "t"), name


def test_where_the_rule_has_one_phase_records_have_its_steps():
    found = build(constants(), FROZEN_HIDDEN, record=["hidden1.v_d"]).run(1)
    assert found.rates["hidden1.v_d"].shape[:2] == (3, 40)
    with pytest.raises(InputError, match="steps=.40, 50. begin after the end of phase 'standard', .* 0 to 39"):
        build(constants(), FROZEN_HIDDEN, record=["hidden1.v_d:steps=40-50"]).run(1)


@pytest.mark.parametrize("target", TARGETS)
def test_spikes_are_drawn_in_both_phases(target):
    p = constants(standard=10, modulated=15)
    found = build(p, record=records(), target=target).run(2, seed=1)
    spikes, chance = found.spikes["hidden1"], 1e-3 * 30 * found.rates["hidden1.r"].values  # trial, time, neuron, copy
    assert spikes.attrs["map"].startswith("rectified: rate = max_rate*r")
    since = spikes.time - found.rates["hidden1.r"].start.values[spikes.trial]
    for first, last in ((0, 100), (100, 250)):
        p = chance[:, first:last]
        number = int(((since > 1e-3 * first - 1e-6) & (since < 1e-3 * last - 1e-6)).sum())
        assert p.sum() > 50 and abs(number - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    silent = chance.sum(axis=(0, 1)).ravel() == 0
    assert (np.bincount(spikes.neuron, minlength=silent.size)[silent] == 0).all()


def test_spikes_of_rectifiers_take_one_map():
    build(constants(), record=["hidden1.spikes:map=rectified"])
    for kind in ("scaled", "shifted"):
        words = f"hidden1.spikes: map={kind} is not for rates from 0 to inf, between which r lies. Use map=rectified.$"
        with pytest.raises(InputError, match=words):
            build(constants(), record=[f"hidden1.spikes:map={kind}"])
    with pytest.raises(InputError, match="more than a step of this length can hold; give a lower max: r of 'hidden1'"):
        build(replace(constants(), f_scale=2000.0), record=["hidden1.spikes:max=100*Hz"]).run(1)
    assert Spikes(max=10 * Hz).map is None
    shifted = build(constants(activation="tanh"), record=["hidden1.spikes"]).run(1).spikes["hidden1"]
    assert shifted.attrs["map"].startswith("shifted")
    with pytest.raises(InputError, match="hidden1.spikes: which map from rate to Hz"):
        build(constants(activation="linear"), record=["hidden1.spikes"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_run_that_is_cut_goes_on_as_if_it_were_not(target):
    """Between the phases too, where the somata begin to hold; 16 is among the tests."""
    model = build(constants(), record=records(soma2_v_s=":steps=35-50"), target=target)
    begin, options = model.initial(), {"seed": 5, "counts": model.counts(1)}
    whole = model.simulation.run(begin, **options)
    for cut in (1, 2, 3, 4, POSITIONS + 2, 16):
        first = model.simulation.run(begin, stop=cut, **options)
        second = model.simulation.run(first.state, start=cut, **options)
        for name, values in whole.state.items():
            np.testing.assert_array_equal(second.state[name], values, err_msg=f"{name}, cut at {cut}")
        for monitor, variables in whole.monitors.items():
            for name, values in variables.items():
                parts = [first.monitors[monitor][name], second.monitors[monitor][name]]
                np.testing.assert_array_equal(np.concatenate(parts), values, err_msg=f"{monitor}.{name}, cut at {cut}")


def test_a_training_in_segments_is_that_of_one_piece(tmp_path):
    model = build(constants(), record=records(soma1_v_s=":trials=-1"), target="cpp")
    whole, job = model.run(2, seed=4).dataset, model.job("net", {}, 2, seed=4)
    train(
        job.sim, tmp_path, seed=job.seed, counts=job.counts, state=job.state, recorded=job.recorded,
        pace=Pace(positions=3),
    )  # fmt: skip
    found = Traces.load(tmp_path).dataset
    assert set(found.variables) == set(whole.variables)
    for name in whole.variables:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tau_d": 0.5 * ms}, r"tau_d should be at least dt. Got tau_d=0.5 ms and dt=1. ms: Euler steps would oversh"),
        ({"tau_s": 0.5 * ms}, r"tau_s should be at least dt. Got tau_s=0.5 ms and dt=1. ms"),
        ({"tau_s": 10}, "tau_s should be a positive time"),
        ({"standard": 10.5 * ms}, r"standard should be a whole number of time steps, dt=1. ms. Got 10.5 ms"),
        ({"modulated": 0.5 * ms}, r"modulated should be a whole number of time steps, dt=1. ms. Got 0.5 ms"),
        ({"modulated": 0 * ms}, "modulated should be a positive time"),
        ({"standard": 40}, "standard should be a positive time"),
        ({"dt": 0 * ms}, "dt should be a positive time"),
    ],
)
def test_times_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        replace(constants(), **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"np_compat": True}, "np_compat is part of the compiled model 'pepita', which has False. Got True"),
        ({"standard": 50 * ms}, r"standard is part of the compiled model 'pepita', which has 40. ms. Got 50. ms"),
        ({"modulated": 50 * ms}, "modulated is part of the compiled model"),
        ({"dt": 0.5 * ms}, "dt is part of the compiled model"),
    ],
)
def test_what_is_compiled_in_is_not_changed_for_a_net(changes, words):
    model = build(constants())
    with pytest.raises(InputError, match=words):
        model.run(1, parameters=replace(constants(), **changes))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("np_compat=3", "np_compat should be true or false"),
        ("tau_d=10", "tau_d should be a quantity in units of s"),
        ("modulated=3*mV", "modulated should be a quantity in units of s"),
        ("tau_d=0.1*ms", "tau_d should be at least dt"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting, words):
    with pytest.raises(InputError, match=words):
        with_settings(constants(), [setting])
