"""Dense synapses against Brian2's own: hand-written models, on both targets."""

import numpy as np
import pytest
from brian2 import TimedArray, ms, mV, nA
from engine_models import Dense, Native, assert_same, numbers

STEPS = 6


def rflo(kit):
    """Traces and learning as in RFLO, with a subexpression that is taken once per step."""
    R = kit.population(
        "R",
        7,
        """dh/dt = (-h + tanh(I))/tau : 1
        slope = 1 - tanh(I)**2 : 1 (constant over dt)
        I : 1
        v : 1
        h_last : 1""",
    )
    Y = kit.population("Y", 2, "y : 1\nerr = sin(2*pi*t/(7*ms)) - y : 1")
    W = kit.synapses(
        "W",
        R,
        R,
        """w : 1
        dp/dt = (-p + slope_post*h_last_pre)/tau : 1 (clock-driven)
        I_post = w*h_pre : 1 (summed)""",
        order={"I_post": 0, "update": 30},
    )
    out = kit.synapses("O", R, Y, "w : 1\ny_post = w*h_pre : 1 (summed)", order={"y_post": 20})
    back = kit.synapses("B", Y, R, "b : 1\nv_post = b*err_pre : 1 (summed)", order={"v_post": 25})
    kit.regularly(R, "h_last = h", 5)
    kit.regularly(W, "w += eta*v_post*p", 40)
    kit.regularly(out, "w += eta*err_post*h_pre", 41)
    kit.fill(R, "h")
    kit.fill(W, "w", "p")
    kit.fill(out, "w")
    kit.fill(back, "b")
    kit.monitor("M", W, ["w", "p"])
    kit.monitor("N", Y, ["y", "err"])


def pair(kit, equations, order=None, pre=5, post=6, **kwds):
    """Two populations with all that the small models read, and synapses between them."""
    text = "x : 1\ny : 1\nI : 1\nJ : 1\nf = tanh(2*x) - y : 1"
    A, B = kit.population("A", pre, text), kit.population("B", post, text)
    S = kit.synapses("S", A, B, equations, order, **kwds)
    for group in (A, B):
        kit.fill(group, "x", "y", "I", "J")
    return A, B, S


def exponential_euler(kit):
    A = kit.population("A", 5, "dx/dt = (gain - x)/tau + y*x/tau : 1\ny : 1", method="exponential_euler")
    S = kit.synapses(
        "S",
        A,
        A,
        "dp/dt = (-p*(1 + x_pre**2) + y_post)/tau : 1 (clock-driven)",
        {"update": 3},
        method="exponential_euler",
    )
    kit.fill(A, "x", "y")
    kit.fill(S, "p")


def exact(kit):
    A = kit.population("A", 5, "da/dt = (b - a)/tau : 1\ndb/dt = (gain - b)/(3*tau) : 1", method="exact")
    S = kit.synapses(
        "S",
        A,
        A,
        """dp/dt = (q - p)/tau : 1 (clock-driven)
        dq/dt = (a_pre - q)/(2*tau) : 1 (clock-driven)""",
        {"update": 3},
        method="exact",
    )
    T = kit.synapses("T", A, A, "dp/dt = -p/tau : 1 (clock-driven)", {"update": 4}, method="linear")
    kit.fill(A, "a", "b")
    kit.fill(S, "p", "q")
    kit.fill(T, "p")


def runge_kutta(kit):
    A = kit.population("A", 4, "dx/dt = -sin(x)/tau : 1", method="rk4")
    S = kit.synapses("S", A, A, "dp/dt = (x_pre - p**3)/tau : 1 (clock-driven)", {"update": 3}, method="rk4")
    T = kit.synapses("T", A, A, "dp/dt = (x_pre - p**3)/tau : 1 (clock-driven)", {"update": 4}, method="rk2")
    kit.fill(A, "x")
    kit.fill(S, "p")
    kit.fill(T, "p")


def subexpressions(kit):
    """Of the synapses, of both populations, and one within another."""
    _, _, S = pair(
        kit,
        """w : 1
        u = w*f_pre + gain : 1
        q = u**2 - f_post : 1
        c = w + x_pre : 1 (constant over dt)
        dp/dt = (q - p)/tau : 1 (clock-driven)
        I_post = q*p + c : 1 (summed)""",
        {"I_post": 2, "update": 5},
    )
    kit.fill(S, "w", "p")
    kit.monitor("M", S, ["c", "p"])


def sums_both_ways(kit):
    _, _, S = pair(
        kit,
        """w : 1
        v : 1
        I_post = w*x_pre : 1 (summed)
        J_pre = v*tanh(y_post) : 1 (summed)
        J_post = w*v : 1 (summed)
        I_pre = w*x_pre*y_post - v : 1 (summed)""",
        {"I_post": 1, "J_pre": 2, "J_post": 3, "I_pre": 4},
    )
    kit.fill(S, "w", "v")


def shared_and_constant(kit):
    _, _, S = pair(
        kit,
        """w : 1
        g : 1 (constant)
        rate : 1 (shared)
        scale : 1 (shared, constant)
        half = rate/2 : 1 (shared)
        dp/dt = (half*scale - p)/tau : 1 (clock-driven)""",
        {"update": 5},
    )
    kit.regularly(S, "rate *= 0.9\nw += rate*g + half*x_post", 7)
    kit.fill(S, "w", "g", "p")
    kit.set(S, "rate", 0.3)
    kit.set(S, "scale", 1.7)


def statements(kit):
    """Several statements with names of their own, read again after they have been written."""
    _, _, S = pair(kit, "w : 1\np : 1")
    kit.regularly(
        S,
        """step = eta*(f_pre - w*f_post**2)
        w = clip(w + step, -0.6, 0.6)
        p += step*w
        p *= 0.9
        later = p - w
        w -= 0.1*later""",
        3,
    )
    kit.fill(S, "w", "p")


def functions(kit):
    _, _, S = pair(kit, "w : 1\np : 1\nq : 1\nm : integer\non : boolean")
    kit.regularly(
        S,
        """r = exp(-abs(w))*sin(x_pre) + log(2 + y_post)/sqrt(1.5 + cos(x_post)) + exprel(w*y_pre)
        p = tanh(2**w + abs(w)**0.3 + r**3 + (1 + w**2)**(-2)) + sign(x_pre)*floor(3*w) + ceil(x_post) + arctan(r)
        m = (m + 1) % 3
        on = r > 1 or not on
        q = int(on)*x_pre + int(x_pre > y_post and p < 1)*y_post + 7.5 % (1.1 + w**2)
        q += m//2 + m/(m + 2) + clip(m, 0.5, 1.5)""",
        3,
    )
    kit.fill(S, "w")
    kit.set(S, "m", np.arange(30).reshape(5, 6) % 3)
    kit.monitor("M", S, ["m", "on"])


def subgroups(kit):
    """Parts of populations, which do not begin at zero, and the indices within them."""
    text = "dx/dt = -x/tau : 1\n" + "\n".join(f"{name} : 1" for name in ("IS", "JS", "IT", "JT", "IU", "JU"))
    A, B = kit.population("A", 9, text), kit.population("B", 8, text)
    sums = "I{0}_post = w*x_pre : 1 (summed)\nJ{0}_pre = (w + i - 2*j)*x_post : 1 (summed)"
    parts = [("S", A[2:7], B[3:6]), ("T", A[4:9], A[0:4]), ("U", B[1:2], A[8:])]
    for place, (name, source, target) in enumerate(parts):
        order = {f"I{name}_post": 2 * place, f"J{name}_pre": 2 * place + 1}
        S = kit.synapses(name, source, target, "w : 1\n" + sums.format(name), order)
        kit.regularly(S, "w += eta*(x_pre*x_post + (i + 10*j)/(N_pre + 2*N_post))", 20)
        kit.fill(S, "w")
    kit.fill(A, "x")
    kit.fill(B, "x")


def shape(pre, post):
    """Equations that sum, integrate and learn, for edges of the loops over rows and columns."""

    def model(kit):
        _, _, S = pair(
            kit,
            """w : 1
            dp/dt = (x_pre*y_post - p)/tau : 1 (clock-driven)
            I_post = w*x_pre : 1 (summed)
            J_pre = p*y_post : 1 (summed)""",
            {"I_post": 1, "J_pre": 2, "update": 4},
            pre=pre,
            post=post,
        )
        kit.regularly(S, "w += eta*p*f_pre*f_post", 6)
        kit.fill(S, "w", "p")

    return model


def units(kit):
    A = kit.population("A", 4, "dv/dt = (-v + R*I)/tau : volt\nI : amp\nR : ohm (shared)")
    S = kit.synapses(
        "S",
        A,
        A,
        """g : siemens
        dp/dt = -p/tau + v_pre*I_post/(tau*mV*nA) : 1 (clock-driven)
        I_post = g*(v_pre - v_post) : amp (summed)""",
        {"I_post": 1, "update": 12},
    )
    kit.set(A, "R", 1e6)
    kit.fill(A, "v", low=-float(5 * mV), high=float(5 * mV))
    kit.fill(A, "I", high=float(nA))
    kit.fill(S, "g", low=0, high=1e-6)


def timed_arrays(kit):
    drive = TimedArray(numbers("drive", (STEPS, 5)), dt=1 * ms, name=f"{kit.prefix}drive")
    level = TimedArray(numbers("level", STEPS), dt=1 * ms, name=f"{kit.prefix}level")
    A = kit.population("A", 5, "dx/dt = (drive(t, i) - x)/tau : 1\nI : 1", namespace={"drive": drive})
    S = kit.synapses("S", A, A, "w : 1\nI_post = w*x_pre : 1 (summed)", {"I_post": 1})
    S.namespace.update(drive=drive, level=level)
    kit.regularly(S, "w += level(t)*drive(t, j)*x_pre", 3)
    kit.fill(S, "w")


def writes_to_neurons(kit):
    """Statements that write pre- and postsynaptic variables, which many synapses share."""
    _, _, S = pair(kit, "w : 1")
    kit.regularly(S, "I_post += w*x_pre", 3)
    kit.regularly(S, "I_pre -= w*y_post\nw *= 0.9", 4)
    kit.fill(S, "w")
    A, _, T = kit.groups[f"{kit.prefix}A"], None, kit.synapses("T", *[kit.groups[f"{kit.prefix}A"]] * 2, "w : 1")
    kit.regularly(T, "J_post += 0.1*w*x_pre", 6)
    kit.fill(T, "w")
    kit.monitor("M", A, ["I", "J"])


def spikes(kit):
    """Neurons that spike and are refractory: their synapses read what a reset has written."""
    A = kit.population(
        "A",
        6,
        "dv/dt = (3 - v)/tau : 1 (unless refractory)\nn : 1\nI : 1",
        method="exact",
        threshold="v > 1",
        reset="v = 0.1*n\nn += 1",
        refractory=2 * ms,
    )
    S = kit.synapses("S", A, A, "w : 1\nI_post = w*n_pre*v_post : 1 (summed)", {"I_post": 1})
    kit.fill(A, "v")
    kit.fill(S, "w")


def recordings(kit):
    """Of some synapses, of subexpressions, of a shared variable, of neurons of a subgroup."""
    A, B, S = pair(kit, "w : 1\nc : 1 (shared)\nq = w*c : 1\nI_post = q*x_pre : 1 (summed)", {"I_post": 1})
    kit.regularly(S, "c += 1\nw *= 0.9", 3)
    kit.fill(S, "w")
    kit.monitor("M", S, ["w", "q"], record=[3, 17, 4])
    kit.monitor("N", S, "c", record=[0])
    kit.monitor("P", B[2:5], ["I", "f"])
    kit.monitor("Q", A, "x", record=[1, 3])


MODELS = {
    "rflo": rflo,
    "expeuler": exponential_euler,
    "exact": exact,
    "rungekutta": runge_kutta,
    "subexpressions": subexpressions,
    "sums": sums_both_ways,
    "shared": shared_and_constant,
    "statements": statements,
    "functions": functions,
    "subgroups": subgroups,
    **{f"shape{pre}x{post}": shape(pre, post) for pre, post in [(1, 1), (1, 9), (9, 1), (6, 17), (13, 8)]},
    "units": units,
    "timed": timed_arrays,
    "writes": writes_to_neurons,
    "spikes": spikes,
    "recordings": recordings,
}


@pytest.fixture(scope="module")
def truth():
    return Native().build(MODELS).run(STEPS)


@pytest.fixture(scope="module", params=["numpy", "cpp"])
def found(request):
    return Dense(request.param).build(MODELS).run(STEPS)


@pytest.mark.parametrize("name", MODELS)
def test_equals_native_synapses(name, found, truth):
    assert_same(name, found, truth)
