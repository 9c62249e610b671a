"""Parameters: described with their units, set from text, and wrong ones refused in words."""

from dataclasses import FrozenInstanceError, dataclass

import pytest
from brian2 import Hz, Quantity, ms, mV, nS, second
from hypothesis import given
from hypothesis import strategies as st

from neuroplast.errors import InputError
from neuroplast.parameters import describe, parameter, with_overrides, with_settings


@dataclass(frozen=True)
class Parameters:
    tau: Quantity = parameter(10 * ms, "time constant")
    N: int = parameter(30, "units")
    eta: float = parameter(0.03)
    periods: tuple = parameter((200 * ms, 400 * ms), "periods")
    rule: str = parameter("rflo", choices=("rflo", "bptt"))
    rules: tuple = parameter(("rflo", "bptt"), choices=("rflo", "bptt"))
    noise: bool = parameter(False)
    g: Quantity = parameter(3 * mV / nS)
    limit: object = parameter(None)
    etas: tuple = parameter((), like=0.03)

    def __post_init__(self):
        if self.N < 1:
            raise ValueError(f"N should be at least 1. Got {self.N} instead.")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("tau=20*ms", "tau", 0.02),
        ("tau = 2e1 * ms", "tau", 0.02),
        ("tau=second/50", "tau", 0.02),
        ("tau=-4*ms**2/ms", "tau", -0.004),
        ("tau=1/(50*Hz)", "tau", 0.02),
        ("N=1e3", "N", 1000),
        ("eta=1", "eta", 1.0),
        ("periods=200*ms,1*second", "periods", (0.2, 1.0)),
        ("periods=(1*ms, 2*ms)", "periods", (0.001, 0.002)),
        ("periods=5*ms", "periods", (0.005,)),
        ("period=5*ms", "periods", (0.005,)),
        ("rules=(bptt, rflo)", "rules", ("bptt", "rflo")),
        ("etas=0.1", "etas", (0.1,)),
        ("eta=0.1", "eta", 0.1),
        ("rule=bptt", "rule", "bptt"),
        ("rules=bptt", "rules", ("bptt",)),
        ("rules=bptt, rflo", "rules", ("bptt", "rflo")),
        ("noise=true", "noise", True),
        ("noise=False", "noise", False),
        ("g=1*mV/nS", "g", 1e6),
        ("limit=3*Hz", "limit", 3.0),
        ("limit=5", "limit", 5),
    ],
)
def test_a_text_sets_a_value(text, name, value):
    changed = getattr(with_settings(Parameters(), [text]), name)
    if isinstance(value, tuple) and not isinstance(value[0], str):
        assert [float(item) for item in changed] == pytest.approx(value)
    elif isinstance(value, float):
        assert float(changed) == pytest.approx(value, rel=1e-15)
    else:
        assert changed == value
    default = getattr(Parameters(), name)
    assert default is None or type(changed) is type(default) or isinstance(default, Quantity)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tau=20", ["tau", "units of s", "10*ms", "20"]),
        ("tau=3*mV", ["tau", "units of s", "3*mV"]),
        ("tau=20 ms", ["tau=20 ms", "20*ms"]),
        ("tau=1*ms,2*ms", ["tau", "Got 1*ms,2*ms"]),
        ("N=3.5", ["N", "whole number", "3.5"]),
        ("N=2*ms", ["N", "whole number", "2*ms"]),
        ("N=true", ["N", "whole number", "true"]),
        ("N=0", ["N should be at least 1", "0"]),
        ("eta=fast", ["eta", "fast", "unit"]),
        ("eta=1e999", ["eta", "finite"]),
        ("eta=(-2)**0.5", ["eta", "finite"]),
        ("eta=1/0", ["eta", "division by zero"]),
        ("eta=9**9**9", ["eta", "power"]),
        ("eta=2**ms", ["eta", "power"]),
        ("eta=2*'a'", ["eta", "'a' is no number"]),
        ("eta=", ["eta", "0.03"]),
        ("eta=" + "9" * 2000, ["eta", "longer than"]),
        ("eta=" + "(" * 400 + "1" + ")" * 400, ["eta"]),
        ("eta=" + "9" * 400, ["eta", "too large"]),
        ("period=1*ms,2*ms", ["period should be one value; several are periods=1*ms,2*ms"]),
        ("period=2", ["periods", "units of s", "Got 2"]),
        ("etas=0.1,'fast'", ["etas should be a number", "Got fast"]),
        ("etas=0.1,2*ms", ["etas should be a number", "Got 2*ms"]),
        ("periods=1*ms,2", ["periods", "units of s", "Got 2"]),
        ("rules=", ["rules", "at least one"]),
        ("rule=bptd", ["rule", "rflo, bptt", "bptd"]),
        ("rules=rflo,x", ["rules", "rflo, bptt", "Got x"]),
        ("noise=1", ["noise", "true or false", "Got 1"]),
        ("teu=3", ["'teu'", "did you mean tau?", "periods=200*ms,400*ms"]),
        ("TAU=3*ms", ["'TAU'", "did you mean tau?"]),
        ("zzz=3", ["'zzz'", "Allowed", "N=30"]),
        ("tau", ["tau", "key=value", "tau=10*ms"]),
        ("=3", ["key=value"]),
    ],
)
def test_a_wrong_text_is_refused_in_words(text, words):
    with pytest.raises(InputError) as caught:
        with_settings(Parameters(), [text])
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('true')",
        "open('x')",
        "(1).__class__",
        "[1 for _ in '1']",
        "1 if 1 else 2",
        "1+1",
    ],
)
def test_text_is_never_evaluated(code):
    with pytest.raises(InputError, match="eta="):
        with_settings(Parameters(), [f"eta={code}"])


def test_the_last_of_two_settings_wins():
    assert with_settings(Parameters(), ["N=1", "N=2"]).N == 2


def test_values_are_checked_like_texts():
    assert with_overrides(Parameters(), {"tau": 5 * ms, "rules": ["bptt"]}).rules == ("bptt",)
    with pytest.raises(InputError, match="tau should be a quantity in units of s"):
        with_overrides(Parameters(), {"tau": 5})
    with pytest.raises(InputError, match="eta should be a number"):
        with_overrides(Parameters(), {"eta": float("nan")})


def test_description_holds_value_unit_and_meaning():
    table = describe(Parameters())
    assert table["tau"] == {"value": "10*ms", "si": 0.01, "unit": "s", "doc": "time constant"}
    assert table["periods"] == {
        "value": "200*ms,400*ms",
        "si": [0.2, 0.4],
        "unit": "s",
        "doc": "periods",
    }
    assert table["g"]["unit"] == "m^4 kg^2 s^-6 A^-3"
    assert table["rules"]["si"] == ["rflo", "bptt"]
    assert table["noise"] == {"value": "false", "si": False, "unit": "", "doc": ""}


@given(st.floats(-1e6, 1e6), st.sampled_from([ms, second]), st.integers(1, 10**9))
def test_a_described_value_can_be_set_again(number, unit, N):
    before = with_overrides(Parameters(), {"tau": number * unit, "N": N, "eta": number})
    texts = [f"{name}={entry['value']}" for name, entry in describe(before).items() if name != "limit"]
    after = with_settings(Parameters(), texts)
    assert float(after.tau) == pytest.approx(float(before.tau), rel=1e-14)
    assert (after.N, after.eta) == (before.N, pytest.approx(before.eta, rel=1e-14))
    assert float(after.g) == pytest.approx(float(before.g), rel=1e-14)


def test_defaults_are_not_shared():
    first = Parameters()
    object.__getattribute__(first, "tau").fill(0)
    assert Parameters().tau == 10 * ms
    with pytest.raises(FrozenInstanceError):
        first.N = 3


def test_several_values_are_a_tuple():
    with pytest.raises(InputError, match="tuple"):
        parameter([1, 2] * Hz)


@dataclass(frozen=True)
class Bounded:
    nets: int = parameter(9, least=1)
    delays: tuple = parameter((20 * ms, 30 * ms), least=10 * ms)


def test_values_below_the_least_are_refused():
    assert with_settings(Bounded(), ["nets=1", "delays=10*ms,11*ms"]).delays == (10 * ms, 11 * ms)
    with pytest.raises(InputError, match="nets should be at least 1. Got 0 instead"):
        with_settings(Bounded(), ["nets=0"])
    with pytest.raises(InputError, match=r"delays should be at least 10\*ms. Got 5\*ms instead"):
        with_overrides(Bounded(), {"delays": (10 * ms, 5 * ms)})


def test_no_values_can_be_a_default():
    assert with_settings(Parameters(etas=(0.1,)), ["etas=0.2,0.3"]).etas == (0.2, 0.3)
    assert with_settings(Parameters(), ["etas="]).etas == ()
    assert describe(Parameters())["etas"] == {"value": "", "si": [], "unit": "", "doc": ""}


def test_the_singular_sets_one_value():
    assert with_overrides(Parameters(), {"period": 3 * ms}).periods == (3 * ms,)
    with pytest.raises(InputError, match=r"period should be one value; several are periods=1\*ms,2\*ms"):
        with_overrides(Parameters(), {"period": (1 * ms, 2 * ms)})
