"""`neuroplast verify`: passes on what the authors' code gave, fails on anything else."""

from pathlib import Path

import numpy as np
import pytest
from oracles import rflo as oracle
from typer.testing import CliRunner

from neuroplast import verify
from neuroplast.cli import app
from neuroplast.errors import InputError

SMALL = Path(__file__).parent / "data" / "rflo_small.npz"
AUTAPSE = SMALL.with_name("autapse_small_OURS.npz")


@pytest.fixture
def altered(tmp_path):
    """The reference file with some of its arrays changed or left out."""

    def write(name="rflo_small.npz", **changes):
        vectors = dict(np.load(SMALL)) | changes
        np.savez(tmp_path / name, **{key: values for key, values in vectors.items() if values is not None})
        return tmp_path / name

    return write


def test_authors_vectors_pass():
    deviation, tolerance, passed, detail = verify.verify_file(SMALL, target="numpy")
    assert passed and tolerance == 1e-9 and 0 < deviation < 1e-12
    for name in ("rflo_batch", "rflo_online", "bptt_batch", "None_batch", "exact gradients"):
        assert name in detail


@pytest.mark.parametrize("name", ["rflo_online_u", "exact_B_local_dw_in"])
def test_a_small_change_fails(name, altered):
    values = np.load(SMALL)[name].copy()
    values.flat[-1] += 2e-9
    deviation, _, passed, detail = verify.verify_file(altered(**{name: values}), target="numpy")
    assert not passed and deviation == pytest.approx(2e-9, rel=1e-3)
    assert detail.endswith(f"largest in {name.replace('_dw', '')}")


def test_nan_fails(altered):
    values = np.load(SMALL)["rflo_batch_y"].copy()
    values[0, 3, 0] = np.nan
    deviation, _, passed, _ = verify.verify_file(altered(rflo_batch_y=values), target="numpy")
    assert not passed and deviation == np.inf


def test_vectors_of_the_autapse_rule_pass():
    deviation, _, passed, detail = verify.verify_file(AUTAPSE, target="numpy")
    assert passed and 0 < deviation < 1e-12
    names = "O, E, k_trace, mod_grad_per_step, sum_grad_bptt, sum_grad_fa, sum_grad_dfa"
    assert detail.startswith(names)


@pytest.mark.parametrize("name", ["E", "k_trace", "mod_grad_per_step", "sum_grad_fa"])
def test_a_small_change_of_the_autapse_vectors_fails(name, tmp_path):
    vectors = dict(np.load(AUTAPSE))
    vectors[name].flat[-1] += 2e-9
    np.savez(tmp_path / "autapse_off.npz", **vectors)
    deviation, _, passed, detail = verify.verify_file(tmp_path / "autapse_off.npz", target="numpy")
    assert not passed and deviation == pytest.approx(2e-9, rel=1e-3) and detail.endswith(f"largest in {name}")


@pytest.mark.parametrize(
    ("name", "changed", "what"),
    [
        ("pepita_pepita_2h_keep09", "W2_after_each_batch", "W2 after batch 3"),
        ("pepita_fa_2h_keep09", "out_standard", "out_standard of batch 3"),
        ("ap_epe_8_4_learnrec", "after3_bias_rnn1", "bias_rnn1 after batch 3"),
        ("ap_reuse_C_simultaneous", "k2_e3", "e3 of batch 3"),
    ],
)
def test_vectors_of_networks_that_learn_from_batches_pass_and_a_small_change_fails(name, changed, what, tmp_path):
    path = SMALL.with_name(f"{name}.npz")
    deviation, _, passed, _ = verify.verify_file(path, target="numpy")
    assert passed and 0 < deviation < 1e-11
    vectors = dict(np.load(path))
    vectors[changed].flat[-1] += 2e-9
    np.savez(tmp_path / f"{name}.npz", **vectors)
    deviation, _, passed, detail = verify.verify_file(tmp_path / f"{name}.npz", target="numpy")
    assert not passed and deviation == pytest.approx(2e-9, rel=1e-2) and detail.endswith(f"largest in {what}")


def notebook_vectors(path, rule, trials=6, samples=15, N=5, shift=0.0):
    """A short run of the notebook's example, by the oracle."""
    rng = np.random.default_rng(2)
    weights = oracle.Weights(np.zeros((N, 1)), rng.standard_normal((N, N)), rng.standard_normal((1, N)))
    B, target, x, h0 = (
        rng.standard_normal((N, 1)),
        rng.standard_normal((samples, 1)),
        np.zeros((samples, 1)),
        np.ones(N),
    )
    eta = (0.0, 0.3, 0.3)
    kind = {"rflo": oracle.RFLO, "bptt": oracle.BPTT}[rule].as_in_notebook()
    learned = list(oracle.train(weights, B, x, target, h0, 10.0, eta, kind, trials))
    outs = np.array([w.out[0] for w, _ in learned])
    align = outs @ B[:, 0] / np.linalg.norm(outs, axis=1) / np.linalg.norm(B)
    loss = np.array([trial.loss(target) for _, trial in learned]) + shift
    np.savez(
        path, loss=loss, align=align, w_in0=weights.inp, w_rec0=weights.rec, w_out0=weights.out, B=B, x=x, h0=h0,
        y_target=target, tau=10.0, T=samples, eta_in_rec_out=eta, rule=rule, online=0, compare_trials=trials,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("rule", ["rflo", "bptt"])
def test_notebook_runs(rule, tmp_path):
    path = notebook_vectors(tmp_path / f"rflo_notebook_{rule}.npz", rule)
    deviation, _, passed, detail = verify.verify_file(path, target="numpy")
    assert passed and deviation < 1e-12 and detail.startswith("loss and alignment of trials 1 to 6;")


def test_notebook_run_that_differs(tmp_path):
    path = notebook_vectors(tmp_path / "rflo_notebook_off.npz", "rflo", shift=1e-8)
    deviation, _, passed, detail = verify.verify_file(path, target="numpy")
    assert not passed and deviation == pytest.approx(1e-8, rel=1e-3) and detail.endswith("largest in loss")


def test_trials_that_rounding_lets_two_runs_share():
    one = np.linspace(1, 2, 10)
    other = one.copy()
    assert verify._agreement(one, other) == 10
    other[3] += 1e-15
    other[7] += 1e-6
    assert verify._agreement(one, other) == 7


def test_unknown_system(tmp_path):
    with pytest.raises(InputError, match="a system that can be verified: ap, autapse, pepita, rflo. Got 'other'"):
        verify.verify_file(tmp_path / "other_bp.npz", target="numpy")


def test_file_without_what_is_needed(altered):
    with pytest.raises(InputError, match="no file of reference vectors for rflo \\('w_rec0"):
        verify.verify_file(altered(w_rec0=None), target="numpy")


def test_file_that_is_no_npz(tmp_path):
    (tmp_path / "rflo_text.npz").write_text("hello")
    with pytest.raises(InputError, match="no file of reference vectors for rflo"):
        verify.verify_file(tmp_path / "rflo_text.npz", target="numpy")


def test_command_line_shows_each_file_and_fails_if_one_does(monkeypatch, tmp_path):
    paths = [tmp_path / "rflo_a.npz", tmp_path / "rflo_b.npz"]
    for path in paths:
        path.touch()
    answers = {"rflo_a.npz": (3e-16, 1e-9, True, "all"), "rflo_b.npz": (2e-3, 1e-9, False, "all")}
    monkeypatch.setattr(verify, "verify_file", lambda path: answers[path.name])
    shown = CliRunner().invoke(app, ["verify", str(paths[0])])
    assert shown.exit_code == 0 and "PASS" in shown.output and "3.0e-16" in shown.output
    shown = CliRunner().invoke(app, ["verify", *map(str, paths)])
    assert shown.exit_code == 1 and "FAIL" in shown.output and "PASS" in shown.output
