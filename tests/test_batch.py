"""Batches of dense synapses: sums and accumulates against broadcasting in numpy, and against single networks."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from brian2 import ms
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, Tape, start
from neuroplast.errors import InputError

SYNAPSE = {"w": "w : 1", "v": "v : 1", "u": "u = 1 + w**2 : 1", "G": "G : 1", "gain": "gain : 1 (shared)"}
CONSTANT = 0.7


@dataclass
class Case:
    """One sum over a batch: onto neurons ("post", "pre") or, for accumulate, onto synapses ("set", "add", "keep")."""

    expression: str
    onto: str = "post"
    shape: tuple = (5, 4)
    batch: int = 3
    starts: tuple = (0, 0)
    masked: bool = False
    recurrent: bool = False


FIXED = [
    Case("w*x_pre"),
    Case("-w*x_pre*g_post", shape=(3, 7)),
    Case("w*(x_pre + a_pre)*(y_post - g_post)"),
    Case("w*x_pre + v*a_pre*y_post + gain", batch=1 + 15),
    Case("w*(x_pre - y_post)", starts=(2, 1)),
    Case("u*x_pre*exp(-g_post)", "pre", masked=True),
    Case("w*y_post", "pre", starts=(1, 3)),
    Case("1/v*y_post", "pre", masked=True),
    Case("clip(w*x_pre - y_post, 0, 1)", masked=True, starts=(1, 0)),
    Case("clip(w*x_pre - y_post, 0, 1)", "pre", shape=(4, 6)),
    Case("(x_pre - y_post)**2", "set"),
    Case("x_pre*y_post", "add"),
    Case("constant*gain*(x_pre - a_pre)*y_post", "add", starts=(2, 2), masked=True),
    Case("w*x_pre*y_post + v*x_pre", "set"),
    Case("G*x_pre*y_post + x_pre", "set"),
    Case("w*int(x_pre > y_post)", "add", masked=True),
    Case("i*w*(j + 1)*x_pre", starts=(1, 2)),
    Case("w*int(i != j)*x_pre", shape=(5, 5), starts=(1, 1), recurrent=True),
    Case("w*x_pre*int(copy_pre < 2)*feature_post", starts=(0, 2)),
    Case("w*(i // 2)*x_pre + trial"),
    Case("y_post - x_pre", masked=True, shape=(6, 1)),
    Case("w*x_pre + w*a_pre", shape=(1, 1), batch=2),
    Case("w*x_pre", shape=(6, 6), recurrent=True),
    Case("w*x", "pre"),
    Case("x_pre*y_post", "keep"),
    Case("-gain/n_steps*x_pre*(y_post - g_post)", "keep", starts=(1, 2), masked=True),
    Case("constant*x_pre*y_post - gain*x_pre*g_post + w*a_pre", "keep"),
]
#: What a sum of that kind leaves of the variable.
KEEP = "constant/(1 + trial)"

SYN = ["w", "v", "u", "exp(v)", "(w - v)"]
PRE = ["x_pre", "a_pre", "(x_pre - a_pre)", "tanh(x_pre)", "(i + 1)", "int(copy_pre > 0)"]
POST = ["y_post", "g_post", "(y_post + 2*g_post)", "1/(1 + y_post**2)", "sqrt(g_post)", "j"]
SHARED = ["gain", "constant", "0.25", "trial", "(n_steps + 1)"]
MIXED = ["(x_pre - y_post)", "clip(w*x_pre - y_post, 0, 1)", "exp(-(x_pre - y_post)**2)", "int(i != j)", "(w + x_pre)"]


@st.composite
def cases(draw):
    """Sums of products of factors of every kind, with sizes, subgroups and masks."""
    pools = [SYN, PRE, POST, SHARED, MIXED]
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(st.sampled_from(pools), min_size=1, max_size=4))
        terms.append(draw(st.sampled_from(["", "-"])) + "*".join(draw(st.sampled_from(kind)) for kind in kinds))
    recurrent = draw(st.booleans())
    return Case(
        " + ".join(terms).replace("+ -", "- "),
        draw(st.sampled_from(["post", "pre", "set", "add"])),
        (draw(st.integers(1, 6)), draw(st.integers(1, 6))),
        draw(st.integers(2, 5)),
        (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        draw(st.booleans()),
        recurrent,
    )


def drawn(number):
    """The first cases that hypothesis draws, all to be compiled into one program."""
    found = {}

    @settings(max_examples=10 * number, phases=[Stage.generate])
    @given(cases())
    def collect(case):
        # Hypothesis also draws cases that differ little from others: one for each geometry is enough.
        found.setdefault((case.onto, case.shape), case)

    collect()
    return list(found.values())[:number]


CASES = FIXED + drawn(16)


def used(case):
    """Variables of neurons and of synapses that occur in the expression."""
    words = set(re.findall("[A-Za-z]+", case.expression))
    return sorted(words & set("xayg")), sorted((words | {"w", "G"}) & set(SYNAPSE))


def group(population, start, size):
    return population if (start, size) == (0, population.features) else population[start : start + size]


def network(target, dtype, cases):
    """A simulation of the cases, and their masks."""
    start(target, dtype=dtype, dt=1 * ms)
    rng = np.random.default_rng(0)
    objects, masks = [], []
    for n, case in enumerate(cases):
        neuron, synapse = used(case)
        sizes = [first + size for first, size in zip(case.starts, case.shape, strict=True)]
        sides = []
        for side, size in zip("AB", [max(sizes)] if case.recurrent else sizes, strict=False):
            sides.append(
                Population(size, "\n".join(f"{v} : 1" for v in [*neuron, "r"]), batch=case.batch, name=f"{side}{n}")
            )
            for v in neuron:
                setattr(sides[-1], v, rng.uniform(0.1, 1, size * case.batch))
        masks.append(rng.random(case.shape) < 0.6 if case.masked else None)
        equations = [SYNAPSE[v] for v in synapse]
        if case.onto in ("pre", "post"):
            equations.append(f"r_{case.onto} = {case.expression} : 1 (summed)")
        synapses = DenseSynapses(
            group(sides[0], case.starts[0], case.shape[0]),
            group(sides[-1], case.starts[1], case.shape[1]),
            "\n".join(equations),
            name=f"S{n}",
            mask=masks[-1],
            namespace={"constant": CONSTANT},
        )
        if case.onto not in ("pre", "post"):
            kept = {"add": {"add": True}, "keep": {"keep": KEEP}}.get(case.onto, {})
            synapses.accumulate("G", case.expression, **kept)
        if "gain" in synapse:
            synapses.gain = 1.5
        for v in set(synapse) & set("wvG"):
            setattr(synapses, v, rng.uniform(0.5, 1, case.shape[0] * case.shape[1]))
        objects.append(synapses)
    return Simulation(Schedule([Loop("trial", 2, [Phase("step", objects, 1)])]), name="cases"), masks


def expected(case, number, state, mask):
    """The sum by broadcasting over (pre, post, copy), from the values in `state`."""
    (n_pre, n_post), batch = case.shape, case.batch
    neuron, synapse = used(case)
    names = {"exp": np.exp, "tanh": np.tanh, "sqrt": np.sqrt, "clip": np.clip, "int": lambda x: np.asarray(x, int)}
    names |= {"constant": CONSTANT, "gain": 1.5, "trial": 1, "n_steps": 1}
    for v in neuron:
        pre, post = (
            state[f"{owner}{number}.{v}"].astype(float).reshape(-1, batch)[first : first + size]
            for owner, first, size in zip("AA" if case.recurrent else "AB", case.starts, case.shape, strict=True)
        )
        names |= {f"{v}_pre": pre[:, None], f"{v}_post": post[None], v: post[None]}
    for v in set(synapse) & set("wvG"):
        names[v] = state[f"S{number}.{v}"].astype(float).reshape(n_pre, n_post, 1)
    names["u"] = 1 + names["w"] ** 2
    names["i"], names["j"] = np.arange(n_pre)[:, None, None], np.arange(n_post)[None, :, None]
    names["feature_post"] = names["j"] + case.starts[1]
    names["copy_pre"] = np.arange(batch)[None, None]
    with np.errstate(divide="ignore"):  # weights are zero where the mask leaves pairs out
        values = np.broadcast_to(eval(case.expression, {}, names), (n_pre, n_post, batch))
    if mask is not None:
        values = np.where(mask[:, :, None], values, 0)
    return values.sum(axis={"pre": 1, "post": 0}.get(case.onto, 2))


@pytest.mark.parametrize("target", ["numpy", "cpp"])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
def test_sums_over_a_batch(target, dtype, tolerance):
    cases = CASES if dtype == "float64" else CASES[::2]
    simulation, masks = network(target, dtype, cases)
    # Two passes: what the first one leaves must not get into the sums of the second.
    before = simulation.run(stop=1).state
    after = simulation.run().state
    for number, (case, mask) in enumerate(zip(cases, masks, strict=True)):
        if case.onto in ("pre", "post"):
            side = "A" if case.onto == "pre" or case.recurrent else "B"
            first, size = (part[case.onto == "post"] for part in (case.starts, case.shape))
            result = after[f"{side}{number}.r"].reshape(-1, case.batch)
            wanted = np.zeros(result.shape)
            wanted[first : first + size] = expected(case, number, before, mask)
        else:
            result = after[f"S{number}.G"].reshape(case.shape)
            wanted = expected(case, number, before, mask)
            kept = {"add": 1, "keep": CONSTANT / 2}.get(case.onto, 0)
            wanted += kept * before[f"S{number}.G"].reshape(case.shape)
        scale = max(1, np.abs(wanted).max())
        np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=str(case))
        assert result.dtype == np.dtype(dtype)


def recurrent(target, batch, x):
    """Two populations that excite and inhibit each other; the inhibitory weights have a mask."""
    start(target, dt=1 * ms)
    rng = np.random.default_rng(1)
    exc = Population(
        6,
        """dx/dt = (-x + tanh(rec + back))/tau : 1
        rec : 1
        back : 1
        rate = x**2 : 1 (constant over dt)""",
        batch=batch, method="euler", order=20, name="exc", namespace={"tau": 10 * ms},
    )  # fmt: skip
    inh = Population(4, "y = tanh(drive) : 1\ndrive : 1", batch=batch, name="inh")
    wee = DenseSynapses(exc, exc, "w : 1\nrec_post = w*x_pre : 1 (summed)", order={"rec_post": 0}, name="wee")
    wei = DenseSynapses(
        exc[1:5], inh,
        """w : 1
        G : 1
        drive_post = w*rate_pre : 1 (summed)
        back_pre = -w*y_post : 1 (summed)""",
        order={"drive_post": 1, "back_pre": 2}, mask=rng.random((4, 4)) < 0.7, name="wei",
    )  # fmt: skip
    wei.accumulate("G", "clip(x_pre, 0, 1)*y_post", order=30, add=True)
    wee.w, wei.w = rng.normal(0, 0.5, 36), rng.normal(0, 0.5, 16)
    exc.x = x.ravel()
    return Simulation(Schedule([Phase("run", [exc, inh, wee, wei], 20)]), name="recurrent")


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_copies_are_networks_of_their_own(target):
    x = np.random.default_rng(2).normal(size=(6, 3))
    together = recurrent(target, 3, x).run().state
    single = recurrent(target, 1, x[:, 0])
    apart = [single.run({"exc.x": x[:, copy]}).state for copy in range(3)]
    for name in ("exc.x", "exc.rec", "exc.back", "inh.drive"):
        wanted = np.stack([state[name] for state in apart], axis=1)
        assert np.abs(wanted).max() > 0.01
        np.testing.assert_allclose(together[name].reshape(wanted.shape), wanted, rtol=1e-12, atol=1e-13)
    gradients = [state["wei.G"] for state in apart]
    np.testing.assert_allclose(together["wei.G"], sum(gradients), rtol=1e-12, atol=1e-13)
    assert not np.allclose(gradients[0], gradients[1])


def test_one_and_two_threads_give_the_same_bytes():
    # Wide enough for products and loops to be split into panels.
    start("cpp", dtype="float32", dt=1 * ms)
    rng = np.random.default_rng(3)
    n_pre, n_post, batch = 784, 1024, 64
    x = Population(n_pre, "x : 1\nback : 1\nnoise : 1", batch=batch, name="x")
    x.run_regularly("noise = x + rand()\nnoise -= int(rand() < 0.2)", when="groups", order=6)
    h = Population(n_post, "h = tanh(u) : 1 (constant over dt)\nu : 1", batch=batch, name="h")
    w = DenseSynapses(
        x, h, "w : 1\nG : 1\nu_post = w*x_pre : 1 (summed)\nback_pre = w*h_post : 1 (summed)", name="w",
        order={"u_post": 0, "back_pre": 3},
    )  # fmt: skip
    w.accumulate("G", "h_post*x_pre", order=2)
    w.run_regularly("w -= 0.001*G", order=4)
    small = DenseSynapses(x[:40], h[:50], "v : 1\nG : 1", name="small")
    small.accumulate("G", "clip(x_pre - h_post, 0, 1)", order=5)
    w.w = rng.normal(0, 0.03, n_pre * n_post)
    x.x = rng.random(n_pre * batch)
    simulation = Simulation(Schedule([Phase("run", [x, h, w, small], 2)]), name="threads")
    one = simulation.run().state
    simulation.threads = 2
    two = simulation.run().state
    assert np.abs(one["w.G"]).max() > 1 and one["small.G"].max() > 1 and one["x.noise"].std() > 0.3
    for name, values in one.items():
        assert values.tobytes() == two[name].tobytes(), name


def plastic(batch=2, equations="w : 1\nG : 1", **kwargs):
    """Populations and synapses of the numpy target, for errors."""
    start("numpy", dt=1 * ms)
    pre = Population(3, "x : 1", batch=batch, name="pre")
    post = Population(2, "y : 1\nr : 1", batch=batch, name="post")
    return DenseSynapses(pre, post, equations, name="syn", **kwargs)


def build(*objects):
    Simulation(Schedule([Event("all", list(objects))]), name="s").build()


@pytest.mark.parametrize(
    "equations, statement, words",
    [
        ("w : 1", "w += 0.1*x_pre", "cannot read x_pre"),
        ("w : 1", "scratch = 2*y_post\nw += scratch", "cannot read y_post"),
        ("w : 1\nz = w*x_pre : 1", "w += z", "cannot read x_pre"),
        ("dp/dt = (x_pre - p)/(10*ms) : 1 (clock-driven)", None, "p = .* cannot read x_pre"),
        ("w : 1\nz = w*y_post : 1 (constant over dt)", None, "cannot read y_post"),
    ],
)
def test_shared_weights_cannot_read_a_copy(equations, statement, words):
    synapses = plastic(equations=equations, method="euler")
    if statement:
        synapses.run_regularly(statement)
    with pytest.raises(InputError, match=f"(?s)syn.*shared by 2 copies.*{words}.*accumulate"):
        build(synapses)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: plastic(equations="w : 1\nr_post = w*x_pre*rand() : 1 (summed)"), r"random numbers .*rand\(\)"),
        (lambda: plastic().accumulate("G", "x_pre*y_post*randn()"), r"random numbers .*randn\(\)"),
        (lambda: plastic().run_regularly("y_post = w"), "writes y_post, which has 2 copies.*summed"),
        (lambda: plastic(equations="w : 1\nr_post = w*r : 1 (summed)"), "the sum into r_post reads r,"),
        (
            lambda: plastic().accumulate("r_post", "x_pre*y_post"),
            "needs a synaptic variable. Got 'r_post'; it has G, w",
        ),
        (lambda: plastic().accumulate("missing", "x_pre"), "Got 'missing'; it has G, w"),
        (lambda: plastic().accumulate("G", "x_pre*y_post", keep="0.9", add=True), "keep='0.9' without add"),
        (lambda: plastic().accumulate("G", "(x_pre - y_post)**2", keep="0.9"), "for products of a presynaptic"),
        (lambda: build(plastic().accumulate("G", "x_pre*y_post", keep="0.5*w")), "reads w, which differs from synapse"),
        (lambda: build(plastic().accumulate("G", "x_pre*y_post", keep="1*second")), "inconsistent units"),
        (
            lambda: build(plastic().accumulate("G", "x_pre*y_post*second")),
            "(?s)'G' and 'x_pre.y_post.second' have different units",
        ),
        (lambda: build(plastic(equations="w : 1\nr_post = w*x_pre*second : 1 (summed)")), "r_post = w.x_pre.second"),
        (lambda: build(plastic().accumulate("G", "x_pre*typo")), "typo"),
    ],
)
def test_what_has_no_meaning_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_batches_of_different_size_are_refused():
    start("numpy", dt=1 * ms)
    pre, post = Population(3, "x : 1", batch=2, name="pre"), Population(3, "y : 1", batch=4, name="post")
    with pytest.raises(InputError, match="same batch size. Got 2 for 'pre' and 4 for 'post'"):
        DenseSynapses(pre, post, "w : 1", name="syn")


def test_over_a_tape_only_products_are_accumulated():
    synapses = plastic()
    tape = Tape(synapses.source, ["x"], 5, "tape")
    with pytest.raises(InputError, match="one product of a presynaptic and a postsynaptic"):
        synapses.accumulate("G", "w*x_pre*y_post", over=tape)
    with pytest.raises(InputError, match="no tape .* holds 'y' of 'post'; they hold pre.x"):
        synapses.accumulate("G", "x_pre*y_post", over=tape)
    # Names without a suffix are the postsynaptic group's, as in Brian2.
    both = tape, Tape(synapses.target, ["y"], 5, "other")
    named, plain = (synapses.accumulate("G", f"x_pre*{y}", over=both, name=y) for y in ("y_post", "y"))
    assert named.access.reads == plain.access.reads


def test_elements_of_a_matrix_are_indexed_by_neuron():
    start("numpy", dt=1 * ms)
    pre = Population(5, "x : 1", batch=2, name="pre")
    synapses = DenseSynapses(pre[2:5], pre[1:3], "w : 1", name="syn")
    synapses.w = np.arange(6)
    assert synapses.w[1, 0] == 2 and list(synapses.w[2, :]) == [4, 5] and list(synapses.w[:, 1]) == [1, 3, 5]
    assert list(synapses.i[:]) == [0, 0, 1, 1, 2, 2] and list(synapses.j[:]) == [0, 1] * 3
    synapses.w = "i + 10*j"
    assert list(synapses.w[:]) == [0, 10, 1, 11, 2, 12]
