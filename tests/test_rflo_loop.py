"""The loop that chooses the next input, against a loop written by hand, and on both targets."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms

from neuroplast.errors import InputError
from neuroplast.models import rflo, rflo_loop
from neuroplast.tasks import Task, movements

N, SYLLABLES = 7, 5
TASK = Task(movements(8, 5).conditions, "square", order=[0, 2, 1, 3], tests=[2, 0, 0, 0, 0])
PARAMETERS = rflo_loop.Parameters(N=N, explore=0.0, eta_s=0.7, moving=8, h0=0.3)


def trained(seed=21):
    """Weights of a network before the loop is closed: the paper's matrices."""
    rng = np.random.default_rng(seed)
    return {"w_rec": rng.normal(size=(N, N)), "w_in": rng.normal(size=(N, 4)), "w_out": rng.normal(size=(2, N))}


def run(target="numpy", trials=12, **changes):
    model = rflo_loop.build(replace(PARAMETERS, **changes), TASK, seed=0, target=target)
    state = model.initial() | rflo.weights_to_state(**trained())
    out = model.simulation.run(state, seed=1, counts=model.counts(trials))
    return model, state, out


def by_hand(state, trials, hebb="winner", carry=True):
    """Weights of the loop, rewards, and the cursor's path in the test."""
    w, w_s = trained(), state["loop.w"].reshape(N, 4).T.copy()
    follows = {0: 2, 2: 1, 1: 3, 3: 0}
    rewards, path = [], []
    h, chosen = np.full(N, 0.3), 2
    for syllable in range(trials + SYLLABLES):
        if syllable == trials:
            h, chosen, cursor = np.full(N, 0.3), 2, np.zeros(2)
        h = h if carry else np.full(N, 0.3)
        for k in range(12):
            x = np.eye(4)[chosen] * (k + 1 < 8)
            h = h + (-h + np.tanh(w["w_rec"] @ h + w["w_in"] @ x)) / 10
            if syllable >= trials:
                cursor = cursor + 5 * 0.001 * w["w_out"] @ h
                path.append(cursor)
        z = w_s @ h
        winner = int(np.argmax(z))
        if syllable < trials:
            rewards.append(float(winner == follows[chosen]))
            w_s[winner] += 0.7 * rewards[-1] * (z[winner] if hebb == "drive" else 1) * h
        chosen = winner
    return w_s, rewards, np.array(path)


@pytest.mark.parametrize("target", ["numpy", "cpp"])
@pytest.mark.parametrize("hebb", ["winner", "drive"])
def test_loop_by_hand(target, hebb):
    _, state, out = run(target, hebb=hebb)
    w_s, rewards, path = by_hand(state, 12, hebb)
    assert 0 < sum(rewards) < 12
    np.testing.assert_array_equal(out.monitors["trials"]["R"][:, 0], rewards)
    np.testing.assert_allclose(out.state["loop.w"].reshape(N, 4).T, w_s, rtol=0, atol=1e-12)
    np.testing.assert_allclose(out.monitors["cursor"]["s"], path, rtol=0, atol=1e-12)


def test_each_syllable_can_start_anew():
    _, state, out = run(carry=False)
    w_s, rewards, path = by_hand(state, 12, carry=False)
    np.testing.assert_array_equal(out.monitors["trials"]["R"][:, 0], rewards)
    np.testing.assert_allclose(out.state["loop.w"].reshape(N, 4).T, w_s, rtol=0, atol=1e-12)
    np.testing.assert_allclose(out.monitors["cursor"]["s"], path, rtol=0, atol=1e-12)


def test_results_are_labelled_by_syllable():
    model, state, _ = run()
    found = model.run(2, state=state).dataset
    assert dict(found.cursor.sizes) == {"syllable": SYLLABLES, "step": 12, "axis": 2}
    np.testing.assert_array_equal(found.input[0, :, 2], np.arange(1, 13) < 8)


def test_random_choices_are_the_same_on_both_targets_and_of_the_right_number():
    cpp, numpy = (
        run(target, trials=400, explore=1.0, eta_s=0.0)[2].monitors["trials"]["R"] for target in ("cpp", "numpy")
    )
    np.testing.assert_array_equal(cpp, numpy)
    # Every choice is random: a quarter is right, 100 of 400 with a standard deviation of 9.
    assert 70 < cpp.sum() < 130


def test_exploring_sometimes_departs_from_the_greatest_drive():
    greedy, sometimes = (run(trials=200, eta_s=0.0, explore=p)[2].monitors["trials"]["R"] for p in (0.0, 0.1))
    assert not np.array_equal(greedy, sometimes)


def test_equal_drives_have_one_winner():
    model, state, _ = run()
    out = model.simulation.run(state | {"loop.w": 0.0, "loop.eta": 0.0}, counts=model.counts(1))
    assert out.state["inputs.a"].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    "task, message",
    [
        (Task(movements(8, 5).conditions[:3]), "Got 4 inputs and 3 movements"),
        (
            Task([*movements(8, 5).conditions[:3], movements(8, 6).conditions[3]]),
            r"movements of \[13, 13, 13, 14\] samples",
        ),
    ],
)
def test_movements_must_fit_the_inputs(task, message):
    with pytest.raises(InputError, match=message):
        rflo_loop.build(PARAMETERS, task, target="numpy")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"explore": 1.5}, "a probability from 0 to 1. Got 1.5"),
        ({"speed": 3.0}, "a rate such as 5/second. Got 3.0"),
        ({"N": 0}, "N should be a positive number of units. Got 0"),
        ({"dt": 20 * ms}, "dt should be at most tau. Got dt=20. ms and tau=10. ms"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(PARAMETERS, **change)
