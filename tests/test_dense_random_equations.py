"""Dense synapses against Brian2's own: equations drawn at random, many models in one binary."""

import pytest
from engine_models import Dense, Native, assert_same
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

MODELS = 20
STEPS = 4

POPULATION = """
dh/dt = (-h + tanh(I + 0.3*J))/tau : 1
f = tanh(h + x) : 1
x : 1
I : 1
J : 1
v : 1
"""
SYNAPTIC = ["w", "p", "q", "s"]
NEURAL = [f"{name}_{side}" for name in ("h", "x", "f", "v") for side in ("pre", "post")]
CONSTANTS = ["gain", "0.5", "2", "N_pre", "i", "j", "dt/tau"]


def combined(parts):
    """Larger expressions of smaller ones; none of them can leave the finite numbers."""
    return st.one_of(
        st.tuples(parts, st.sampled_from(["+", "-", "*"]), parts).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        parts.map(lambda a: f"tanh({a})"),
        parts.map(lambda a: f"exp(-abs({a}))"),
        parts.map(lambda a: f"clip({a}, -0.8, 0.7)"),
        parts.map(lambda a: f"({a})**2"),
        st.tuples(parts, parts).map(lambda t: f"{t[0]}/(1 + abs({t[1]}))"),
        st.tuples(st.sampled_from(NEURAL), parts).map(lambda t: f"int({t[0]} > 0.05)*{t[1]}"),
    )


expressions = st.recursive(st.sampled_from(SYNAPTIC + NEURAL + CONSTANTS), combined, max_leaves=5)
# Brian2's numpy cannot run statements whose result depends on the order of the synapses.
without_v = expressions.filter(lambda text: "v_" not in text)
sides = st.sampled_from(["pre", "post"])
sizes = st.integers(1, 7)


@st.composite
def models(draw):
    """Sizes, subgroups, equations, statements and an order of everything."""
    size = {side: draw(sizes) for side in ("pre", "post")}
    part = {side: draw(st.booleans()) for side in size}
    method = draw(st.sampled_from(["euler", "exponential_euler", "rk2"]))
    decay = "p" if method != "euler" else draw(st.sampled_from(["p", "p**3", "p*w"]))
    lines = ["w : 1", "q : 1 (constant)", "s : 1 (shared)", f"u = {draw(expressions)} : 1"]
    lines.append(f"dp/dt = (tanh({draw(expressions)}) - {decay})/tau : 1 (clock-driven)")
    sums = {}
    for variable in draw(st.lists(st.sampled_from(["I", "J"]), min_size=1, unique=True)):
        side, value = draw(sides), draw(expressions)
        sums[f"{variable}_{side}"] = f"{variable}_{side} = {value} + 0.1*u : 1 (summed)"
    lines += sums.values()
    statements = [f"w = 0.9*w + 0.1*tanh({draw(expressions)})"]
    if draw(st.booleans()):
        statements = [f"a = {draw(expressions)}", f"w += 0.1*tanh(a*{draw(expressions)})"]
    if draw(st.booleans()):
        statements.insert(0, "s *= 0.9")
    if draw(st.integers(0, 4)) == 0:
        statements = [f"v_{draw(sides)} += 0.1*tanh({draw(without_v)})"]
    places = draw(st.permutations(["update", "statements", "population", *sums]))
    return {
        "size": size,
        "part": part,
        "method": method,
        "equations": "\n".join(lines),
        "statements": "\n".join(statements),
        "order": {name: place for place, name in enumerate(places)},
    }


def drawn(number):
    """Models as hypothesis draws them."""
    found = []

    @settings(max_examples=number, phases=[Stage.generate])
    @given(models())
    def collect(model):
        if model not in found:
            found.append(model)

    collect()
    return found


def build(model):
    """The function of a kit that makes a drawn model."""

    def make(kit):
        order = dict(model["order"])
        at, statements_at = order.pop("population"), order.pop("statements")
        groups = []
        for place, side in ((at, "pre"), (at + 100, "post")):
            size = model["size"][side]
            group = kit.population(side, size + 3 * model["part"][side], POPULATION, order=place)
            kit.fill(group, "h", "x", "I", "J")
            groups.append(group[2 : 2 + size] if model["part"][side] else group)
        S = kit.synapses("S", *groups, model["equations"], order, method=model["method"])
        kit.regularly(S, model["statements"], statements_at)
        kit.fill(S, "w", "p", "q")
        kit.set(S, "s", 0.4)

    return make


DRAWN = {f"m{number}": model for number, model in enumerate(drawn(MODELS))}


@pytest.fixture(scope="module")
def truth():
    return Native().build({name: build(model) for name, model in DRAWN.items()}).run(STEPS)


@pytest.fixture(scope="module", params=["numpy", "cpp"])
def found(request):
    return Dense(request.param).build({name: build(model) for name, model in DRAWN.items()}).run(STEPS)


@pytest.mark.parametrize("name", DRAWN)
def test_equals_native_synapses(name, found, truth):
    try:
        assert_same(name, found, truth)
    except AssertionError as error:
        raise AssertionError(f"{DRAWN[name]}\n{error}") from None
