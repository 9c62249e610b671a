"""Two whole schedules in batches: a recorded trial that is run backward, and modules that infer, then learn top-down.

They are small patterns of what models look like on the engine: every operation is listed where it acts.
"""

import numpy as np
import pytest
from brian2 import StateMonitor, ms
from sklearn.datasets import load_digits

from neuroplast.engine import (
    Dataset,
    DenseSynapses,
    Event,
    Loop,
    Phase,
    Population,
    Schedule,
    Simulation,
    Tape,
    count_correct,
    cross_entropy,
    philox,
    softmax,
    start,
)
from neuroplast.engine.cpp_codegen import stream_key

TARGETS = ["numpy", "cpp"]
PLASTIC = "w : 1\nG : 1\nm : 1\ns : 1\n"
# Adam (Kingma and Ba 2015, algorithm 1); n is the number of updates, this one included.
ADAM = """m = 0.9*m + 0.1*G
s = 0.999*s + 0.001*G**2
w -= eta*m/(1 - 0.9**n)/(sqrt(s/(1 - 0.999**n)) + 1e-8)"""


def adam(w, gradient, m, s, n, eta):
    """The same in numpy."""
    m, s = 0.9 * m + 0.1 * gradient, 0.999 * s + 0.001 * gradient**2
    return w - eta * m / (1 - 0.9**n) / (np.sqrt(s / (1 - 0.999**n)) + 1e-8), m, s


# -- a trial that is recorded, run backward and accumulated ------------------------------------------------------

N, OUT, COPIES, STEPS, ALPHA, ETA = 6, 2, 4, 12, 0.2, 0.02


def backward(target, trials=150):
    """A recurrent network that learns sines, of another phase in each copy, by the adjoint of its recorded trial."""
    start(target, dt=1 * ms)
    rng = np.random.default_rng(0)
    ns = {"tau": 1 * ms / ALPHA, "alpha": ALPHA, "eta": ETA}
    rec = Population(
        N,
        """dh/dt = (-h + tanh(u))/tau : 1
        u : 1
        h_last : 1
        slope : 1
        z : 1  # adjoint of h: what it takes from the error and from the step after
        push : 1
        back : 1
        delta : 1
        n : integer (shared)""",
        batch=COPIES, method="euler", order=20, name="rec", namespace=ns,
    )  # fmt: skip
    out = Population(OUT, "y : 1\nerr : 1", batch=COPIES, name="out", namespace=ns)
    w = DenseSynapses(
        rec, rec, PLASTIC + "u_post = w*h_pre : 1 (summed)\nback_pre = w*delta_post : 1 (summed)",
        order={"u_post": 0, "back_pre": 1}, name="w", namespace=ns,
    )  # fmt: skip
    o = DenseSynapses(
        rec, out, PLASTIC + "y_post = w*h_pre : 1 (summed)\npush_pre = w*err_post : 1 (summed)",
        order={"y_post": 30, "push_pre": 0}, name="o", namespace=ns,
    )  # fmt: skip
    keep = rec.run_regularly("h_last = h\nslope = 1 - tanh(u)**2", when="groups", order=10, name="keep")
    error = out.run_regularly("err = y - sin(0.5*(k + 1) + copy + feature)", when="groups", order=40, name="error")
    states = Tape(rec, ["h", "h_last", "slope"], STEPS, "states")
    errors = Tape(out, ["err"], STEPS, "errors")
    deltas = Tape(rec, ["delta"], STEPS, "deltas")
    adjoint = rec.run_regularly(
        "z = push + (1 - alpha)*z + back\ndelta = alpha*slope*z", when="groups", order=10, name="adjoint"
    )
    shown = StateMonitor(out, "err", record=True, when="end", name="shown")
    forward = [w.summed_updaters["u_post"], keep, rec.state_updater, o.summed_updaters["y_post"], error, shown]
    back = [o.summed_updaters["push_pre"], w.summed_updaters["back_pre"], adjoint]
    gradients = [
        w.accumulate("G", "delta_post*h_last_pre", over=(states, deltas)),
        o.accumulate("G", "err_post*h_pre", over=(states, errors)),
    ]
    # Both matrices learn with the population's one step counter.
    step = rec.run_regularly("n += 1", name="step")
    adams = [syn.run_regularly(ADAM.replace("n)", "n_pre)"), order=1, name=f"adam_{syn.name}") for syn in (w, o)]
    body = [
        Event("reset", [rec.run_regularly("h = 0.5*sin(feature + copy)", name="reset")]),
        Phase("forward", [*forward, states.store(), errors.store()], STEPS),
        Event("turn", [rec.run_regularly("z = 0\ndelta = 0", name="turn")]),
        Phase("backward", [states.load(["slope"]), errors.load(), *back, deltas.store()], STEPS, "hold", -1),
        Event("gradients", gradients),
        Event("update", [step, *adams]),
    ]
    w.w, o.w = rng.normal(0, 0.6, N * N), rng.normal(0, 0.4, N * OUT)
    return Simulation(Schedule([Loop("trial", trials, body)]), name="backward").build()


@pytest.fixture(scope="module")
def recorded():
    return {target: backward(target) for target in TARGETS}


def loss(result):
    """Half the summed squared error of each trial, over steps, copies and outputs."""
    return 0.5 * (result.monitors["shown"]["err"].reshape(-1, STEPS * OUT * COPIES) ** 2).sum(axis=1)


@pytest.mark.parametrize("target", TARGETS)
def test_the_adjoint_gives_the_gradient(recorded, target):
    simulation = recorded[target]
    gradient = simulation.run(stop=5).state
    for name in ("w", "o"):
        weights = simulation.initial[f"{name}.w"]
        numeric = np.empty(weights.size)
        for i in range(weights.size):
            shift = np.zeros(weights.size)
            shift[i] = 1e-5
            up, down = (loss(simulation.run({f"{name}.w": weights + sign * shift}, stop=2)) for sign in (1, -1))
            numeric[i] = (up - down).item() / 2e-5
        np.testing.assert_allclose(gradient[f"{name}.G"], numeric, rtol=1e-6, atol=1e-8)
        assert np.abs(numeric).min() > 1e-3


@pytest.mark.parametrize("target", TARGETS)
def test_adam_with_a_step_counter_that_matrices_share(recorded, target):
    simulation = recorded[target]
    wanted = {name: (simulation.initial[f"{name}.w"], 0, 0) for name in ("w", "o")}
    state, position = None, 0
    for n in (1, 2, 3):
        result = simulation.run(state, start=position, stop=position + 6)
        state, position = result.state, result.position
        for name, (w, m, s) in wanted.items():
            wanted[name] = adam(w, state[f"{name}.G"], m, s, n, ETA)
            np.testing.assert_allclose(state[f"{name}.w"], wanted[name][0], rtol=1e-12, atol=1e-14)
    assert state["rec.n"] == 3


def test_it_learns_the_same_on_both_targets(recorded):
    numpy, cpp = (recorded[target].run() for target in TARGETS)
    assert loss(cpp)[-1] < 0.2 * loss(cpp)[0]
    for name in ("w.w", "o.w", "w.G"):
        np.testing.assert_allclose(cpp.state[name], numpy.state[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("cut", [8, 9, 11])
def test_a_trial_that_is_cut_goes_on(recorded, target, cut):
    simulation = recorded[target]
    part = simulation.run(stop=cut)
    rest, whole = simulation.run(part.state, start=cut, stop=18), simulation.run(stop=18)
    for name, values in whole.state.items():
        assert values.tobytes() == rest.state[name].tobytes(), name


# -- two modules that infer, then learn top-down -----------------------------------------------------------------

PIXELS, BLOCK, CLASSES, BATCH, ITERATIONS, RATE = 64, 48, 10, 50, 4, 0.02
MODULE = 4 * BLOCK  # neurons that receive, send, receive errors, send errors
TRAIN = 1437  # the last of 29 batches has 37 rows
RI, SI, RE, SE = (slice(n * BLOCK, (n + 1) * BLOCK) for n in range(4))


def digits():
    """Training and test rows of the 8 x 8 digits, and their labels."""
    data = load_digits()
    rows = np.random.default_rng(5).permutation(len(data.target))  # they are sorted by writer
    features, labels = data.data.astype(np.uint8)[rows], data.target[rows]
    return (features[:TRAIN], labels[:TRAIN]), (features[TRAIN:], labels[TRAIN:])


def initial_weights():
    rng = np.random.default_rng(4)
    mask = rng.random((2, MODULE, MODULE)) < 0.5
    shapes = {"in1": (PIXELS, BLOCK), "in2": (BLOCK, BLOCK), "read": (BLOCK, CLASSES)}
    weights = {name: rng.uniform(-1, 1, shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    weights |= {"err2": rng.uniform(-1, 1, (CLASSES, BLOCK)), "err1": rng.uniform(-1, 1, (BLOCK, BLOCK))}
    for n in (1, 2):
        recurrent = rng.uniform(-1, 1, (MODULE, MODULE)) * mask[n - 1]
        weights[f"rec{n}"] = 0.5 * recurrent / np.abs(np.linalg.eigvals(recurrent)).max()
    return weights, mask


def modular(target):
    """Two recurrent modules with roles: inference bottom-up, then errors top-down (after Liu et al.)."""
    start(target, dt=1 * ms)
    ns = {"tau": 1 * ms, "eta": RATE}
    x = Population(PIXELS, "x : 1", batch=BATCH, name="x")
    module = """dz/dt = (-z + tanh(drive + rec - feedback))/tau : 1
    drive : 1
    rec : 1
    feedback : 1
    free : 1  # activity that inference has ended with
    err : 1  # how far the error has moved it"""
    m1, m2 = (
        Population(MODULE, module, batch=BATCH, method="euler", order=10, name=f"m{n}", namespace=ns) for n in (1, 2)
    )
    y = Population(
        CLASSES, "logits : 1\np : 1\ntarget : 1\nerr : 1\nloss : 1 (shared)\ncorrect : integer (shared)",
        batch=BATCH, name="y",
    )  # fmt: skip
    learned = PLASTIC + "n : integer (shared)\n"
    synapses = {
        "in1": DenseSynapses(x, m1[RI], learned + "drive_post = w*x_pre : 1 (summed)", name="in1", namespace=ns),
        "in2": DenseSynapses(m1[SI], m2[RI], learned + "drive_post = w*z_pre : 1 (summed)", name="in2", namespace=ns),
        "read": DenseSynapses(m2[SI], y, learned + "logits_post = w*z_pre : 1 (summed)", name="read", namespace=ns),
        "err2": DenseSynapses(y, m2[RE], "w : 1\nfeedback_post = w*err_pre : 1 (summed)", name="err2"),
        "err1": DenseSynapses(m2[SE], m1[RE], "w : 1\nfeedback_post = w*err_pre : 1 (summed)", name="err1"),
    }
    weights, mask = initial_weights()
    for n, m in ((1, m1), (2, m2)):
        synapses[f"rec{n}"] = DenseSynapses(
            m, m, "w : 1\nrec_post = w*z_pre : 1 (summed)", order={"rec_post": 0}, mask=mask[n - 1], name=f"rec{n}"
        )
    for name, syn in synapses.items():
        syn.w = weights[name].ravel()
    (sums,) = zip(*(syn.summed_updaters.values() for syn in synapses.values()), strict=True)
    into = dict(zip(synapses, sums, strict=True))

    reset = [m.run_regularly("z = 0\ndrive = 0\nrec = 0\nfeedback = 0", name=f"reset_{m.name}") for m in (m1, m2)]
    latch = [m.run_regularly("free = z\nz = 0", name=f"latch_{m.name}") for m in (m1, m2)]
    displaced = {m: m.run_regularly("err = free - z", name=f"displaced_{m.name}") for m in (m1, m2)}
    # Copies that a partial batch leaves without data must not teach.
    error = y.run_regularly("err = (p - target)*int(copy < n_valid)", when="groups", order=2, name="error")
    readout = [into["read"], softmax(y, "logits", "p", order=1), error, count_correct(y, "p", order=3)]
    readout.append(cross_entropy(y, order=4))
    clear = y.run_regularly("loss = 0\ncorrect = 0", name="clear")
    gradients = [
        synapses["in1"].accumulate("G", "x_pre*err_post/n_valid"),
        synapses["in2"].accumulate("G", "free_pre*err_post/n_valid"),
        synapses["read"].accumulate("G", "free_pre*err_post/n_valid"),
    ]
    adams = [synapses[name].run_regularly("n += 1\n" + ADAM, name=f"adam_{name}") for name in ("in1", "in2", "read")]
    train, test = (Dataset(*rows, name=name) for rows, name in zip(digits(), ("train", "test"), strict=True))
    scores = {
        name: StateMonitor(y, ["correct", "loss", "epoch"], record=[0], when="end", name=f"{name}_score")
        for name in ("train", "test")
    }

    def inference(use, show):
        return [
            Event(f"reset_{use}", reset),
            Event(f"show_{use}", [show]),
            Event(f"drive_1_{use}", [into["in1"]]),
            Phase(f"infer_1_{use}", [m1.state_updater, into["rec1"]], ITERATIONS),
            Event(f"drive_2_{use}", [into["in2"]]),
            Phase(f"infer_2_{use}", [m2.state_updater, into["rec2"]], ITERATIONS),
            Event(f"readout_{use}", readout),
        ]

    learning = [
        Event("latch", latch),
        Event("feedback_2", [into["err2"]]),
        Phase("learn_2", [m2.state_updater, into["rec2"]], ITERATIONS),
        Event("error_2", [displaced[m2]]),
        Event("feedback_1", [into["err1"]]),
        Phase("learn_1", [m1.state_updater, into["rec1"]], ITERATIONS),
        Event("error_1", [displaced[m1]]),
        Event("gradients", gradients),
        Event("update", adams),
    ]
    teach = inference("train", train.present(x, "x", scale=1 / 16, target=(y, "target")))
    examine = inference("test", test.present(x, "x", scale=1 / 16, target=(y, "target"), permute=False))
    epoch = [
        Event("clear", [clear]),
        Loop("trial", train.batches(BATCH), [*teach, *learning]),
        Event("score", [scores["train"]]),
        Event("clear_again", [clear]),
        Loop("test", test.batches(BATCH), examine, counter="trial"),
        Event("examined", [scores["test"]]),
    ]
    return Simulation(Schedule([Loop("epoch", 5, epoch)]), name="modular").build()


@pytest.fixture(scope="module")
def modules():
    return {target: modular(target) for target in TARGETS}


def relax(w, clamp, steps=ITERATIONS):
    z = np.zeros_like(clamp)
    for _ in range(steps):
        z = np.tanh(z @ w + clamp)
    return z


def in_numpy(seed, epochs):
    """The same learning as matrices (rows are copies); weights, and correct answers and loss of each epoch."""
    weights, _ = initial_weights()
    moments = {name: (0, 0) for name in ("in1", "in2", "read")}
    (features, labels), (test, test_labels) = digits()

    def infer(x):
        c1, c2 = np.zeros((2, len(x), MODULE))
        c1[:, RI] = x @ weights["in1"]
        z1 = relax(weights["rec1"], c1)
        c2[:, RI] = z1[:, SI] @ weights["in2"]
        z2 = relax(weights["rec2"], c2)
        p = np.exp(z2[:, SI] @ weights["read"])
        return c1, z1, c2, z2, p / p.sum(axis=1, keepdims=True)

    scores, n = [], 0
    for epoch in range(epochs):
        order = philox.permutation(seed, stream_key("train", 0), epoch, TRAIN)
        correct, loss = 0, 0
        for rows in np.split(order, range(BATCH, TRAIN, BATCH)):
            x, label, n = features[rows] / 16, labels[rows], n + 1
            c1, z1, c2, z2, p = infer(x)
            correct += (p.argmax(axis=1) == label).sum()
            loss -= np.log(p[np.arange(len(rows)), label]).sum()
            error = p - np.eye(CLASSES)[label]
            c2[:, RE] -= error @ weights["err2"]
            e2 = z2 - relax(weights["rec2"], c2)
            c1[:, RE] -= e2[:, SE] @ weights["err1"]
            e1 = z1 - relax(weights["rec1"], c1)
            gradients = {"in1": x.T @ e1[:, RI], "in2": z1[:, SI].T @ e2[:, RI], "read": z2[:, SI].T @ error}
            for name, gradient in gradients.items():
                weights[name], *moments[name] = adam(weights[name], gradient / len(rows), *moments[name], n, RATE)
        scores.append((correct, loss, (infer(test / 16)[-1].argmax(axis=1) == test_labels).sum()))
    return weights, scores


def test_one_epoch_equals_matrices_in_numpy(modules):
    weights, ((correct, loss, examined),) = in_numpy(seed=11, epochs=1)
    for target in TARGETS:
        result = modules[target].run(seed=11, counts={"epoch": 1})
        for name, wanted in weights.items():
            np.testing.assert_allclose(result.state[f"{name}.w"].reshape(wanted.shape), wanted, rtol=1e-8, atol=1e-10)
        train, test = result.monitors["train_score"], result.monitors["test_score"]
        assert train["correct"].item() == correct and test["correct"].item() == examined
        np.testing.assert_allclose(train["loss"].item(), loss, rtol=1e-9)


def test_it_learns_to_read(modules):
    result = modules["cpp"].run(seed=1)
    test, train = (result.monitors[f"{name}_score"] for name in ("test", "train"))
    assert test["epoch"].ravel().tolist() == [0, 1, 2, 3, 4]
    assert test["correct"][-1] / len(digits()[1][0]) > 0.9
    assert train["loss"][-1] < 0.2 * train["loss"][0]


@pytest.mark.parametrize("part", [0.3, 0.85])
@pytest.mark.parametrize("target, trials", [("cpp", 29), ("numpy", 5)])
def test_a_run_that_is_cut_within_an_epoch_goes_on(modules, target, trials, part):
    simulation, counts = modules[target], {"epoch": 2, "trial": trials}
    cut = int(part * simulation.length(counts))
    whole = simulation.run(seed=2, counts=counts)
    first = simulation.run(seed=2, counts=counts, stop=cut)
    rest = simulation.run(first.state, seed=2, counts=counts, start=cut)
    for name, values in whole.state.items():
        assert values.tobytes() == rest.state[name].tobytes(), name
    for name, recorded in whole.monitors.items():
        joined = np.concatenate([first.monitors[name]["loss"], rest.monitors[name]["loss"]])
        assert joined.tobytes() == recorded["loss"].tobytes()
