"""Networks of modules as data: how many neurons each has, and which of them hear and tell whom.

A `Graph` names modules, inputs and outputs. A `Path` takes activity from some neurons to others in inference; an
`ErrorPath` takes the error from an output, or the displacement of some neurons of a module, to neurons of another one.
Neurons are a slice, so that the same ones may have any number of roles. `chain` makes the usual row of modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroplast.errors import InputError

#: Blocks of neurons that have each of the four roles, by how roles are merged.
MERGED = {
    "none": {"RI": 0, "SI": 1, "RE": 2, "SE": 3},  # every role has neurons of its own
    "all": {"RI": 0, "SI": 0, "RE": 0, "SE": 0},  # no constraint: all neurons have all roles
    "receivers/senders of a kind": {"RI": 0, "SI": 0, "RE": 1, "SE": 1},
    "crossed": {"RI": 0, "SI": 1, "RE": 1, "SE": 0},
}


@dataclass(frozen=True)
class Roles:
    """Which neurons of a module receive and send, in inference (RI, SI) and of errors (RE, SE).

    Parameters
    ----------
    block : int
        Neurons of a block.
    merged : {"none", "all", "receivers/senders of a kind", "crossed"}
        Which roles share a block: none, all, {RI=SI}{RE=SE}, or {RI=SE}{SI=RE}.
    sizes : dict of str to int, optional
        How many neurons of its block, the first ones, have a role; by default all. 0 for RE or SE: no error comes in,
        or goes on.

    Raises
    ------
    InputError
        For an unknown role, or a size that is larger than the block.
    """

    block: int = 256
    merged: str = "none"
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if self.block < 1:
            raise InputError(f"Roles: block should be a positive number of neurons. Got {self.block}.")
        if self.merged not in MERGED:
            raise InputError(f"Roles: merged should be one of {', '.join(map(repr, MERGED))}. Got {self.merged!r}.")
        for role, size in self.sizes.items():
            if role not in ("RI", "SI", "RE", "SE"):
                raise InputError(f"Roles: sizes should name RI, SI, RE or SE. Got {role!r}.")
            least = 1 if role in ("RI", "SI") else 0
            if not least <= size <= self.block:
                raise InputError(
                    f"Roles: from {least} to {self.block} neurons of a block of {self.block} can be {role}. Got {size}."
                )

    @property
    def neurons(self) -> int:
        """Neurons of the module."""
        return self.block * (1 + max(MERGED[self.merged].values()))

    def place(self, role: str) -> slice:
        """The neurons that have a role."""
        first = self.block * MERGED[self.merged][role]
        return slice(first, first + self.sizes.get(role, self.block))


@dataclass(frozen=True)
class Path:
    """Activity from neurons of one part to neurons of another.

    Parameters
    ----------
    name : str
        Of the projection.
    source, target : str
        Names of an input, a module or an output.
    sends, hears : slice, optional
        Neurons of source and target; all by default.
    learns : bool
    scale : float, optional
        Bound of the initial weights, which are uniform; 1/sqrt(number that sends) by default.
    normal : float, optional
        Standard deviation of normal initial weights instead.
    """

    name: str
    source: str
    target: str
    sends: slice = field(default_factory=lambda: slice(None))
    hears: slice = field(default_factory=lambda: slice(None))
    learns: bool = True
    scale: float | None = None
    normal: float | None = None


@dataclass(frozen=True)
class ErrorPath:
    """An output's error, or the displacement of a module's neurons, to neurons of a module; does not learn.

    Parameters are those of `Path`; without `scale` or `normal`, weights from a module are uniform between -1 and 1 and
    those from an output between plus and minus 1/sqrt(number of outputs).
    """

    name: str
    source: str
    target: str
    sends: slice = field(default_factory=lambda: slice(None))
    hears: slice = field(default_factory=lambda: slice(None))
    scale: float | None = None
    normal: float | None = None


@dataclass(frozen=True)
class Graph:
    """Modules and what connects them.

    Parameters
    ----------
    modules : dict of str to int
        Neurons of each.
    paths : tuple of Path
        From the input ``"inputs"`` through modules to ``"outputs"``.
    errors : tuple of ErrorPath
        Empty for a reservoir.
    reservoirs : tuple of str
        Modules that are meant to get no error.

    Raises
    ------
    InputError
        For a path from or to what there is not, names that come twice, a cycle, a module that inference does not
        reach, or one without an error that is not among `reservoirs`.
    """

    modules: Mapping[str, int]
    paths: tuple[Path, ...]
    errors: tuple[ErrorPath, ...] = ()
    reservoirs: tuple[str, ...] = ()

    def __post_init__(self):
        known = {"inputs", *self.modules, "outputs"}
        names = [path.name for path in (*self.paths, *self.errors)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"Graph: paths should have names of their own. Got twice: {', '.join(twice)}.")
        for path in (*self.paths, *self.errors):
            for end, banned in ((path.source, "outputs"), (path.target, "inputs")):
                if end not in known or (isinstance(path, Path) and end == banned):
                    raise InputError(
                        f"Graph: path '{path.name}' goes from '{path.source}' to '{path.target}'; there are "
                        f"{', '.join(sorted(known))}, inference goes from inputs to outputs, errors back."
                    )
        order, heard = self.order, {*self.backward_order, *self.reservoirs}  # either refuses what cannot be
        lost = [module for module in order if module not in heard]
        if lost:
            raise InputError(
                f"Graph: no error comes to {', '.join(lost)}. Add an ErrorPath, or name them in reservoirs=, if "
                "that is meant: what leads to them does not learn then."
            )

    @property
    def order(self) -> list[str]:
        """Modules in the order of inference: each after all that it hears."""
        return _sorted("inference", list(self.modules), [(p.source, p.target) for p in self.paths], "inputs")

    @property
    def backward_order(self) -> list[str]:
        """Modules that get an error, in the order in which it comes."""
        found = _sorted(
            "errors", list(self.modules), [(p.source, p.target) for p in self.errors], "outputs", all_of=False
        )
        return found

    def learning(self) -> list[Path]:
        """Paths that learn: those whose target gets an error."""
        reached = {*self.backward_order, "outputs"}
        return [path for path in self.paths if path.learns and path.target in reached]


def chain(modules: int, roles: Roles) -> Graph:
    """Modules in a row, as in Liu et al. (2026), figure 1: inference up, errors down.

    Parameters
    ----------
    modules : int
    roles : Roles
        Of each module.
    """
    if modules < 1:
        raise InputError(f"chain: modules should be a positive number. Got {modules}.")
    names = [f"module{i}" for i in range(1, modules + 1)]
    RI, SI, RE, SE = (roles.place(role) for role in ("RI", "SI", "RE", "SE"))
    paths = [Path("w_in", "inputs", names[0], hears=RI)]
    paths += [Path(f"w{i}", a, b, SI, RI) for i, (a, b) in enumerate(zip(names, names[1:], strict=False), 1)]
    paths.append(Path("w_out", names[-1], "outputs", SI))
    errors = []
    if roles.sizes.get("RE", 1):
        errors.append(ErrorPath("e_out", "outputs", names[-1], hears=RE))
        if roles.sizes.get("SE", 1):
            pairs = enumerate(zip(names[1:], names, strict=False), 1)
            errors += [ErrorPath(f"e{i}", above, below, SE, RE) for i, (above, below) in pairs]
    reached = {path.target for path in errors}
    return Graph(
        dict.fromkeys(names, roles.neurons), tuple(paths), tuple(errors), tuple(n for n in names if n not in reached)
    )


def _sorted(what, modules, arrows, start, all_of=True):
    """Modules after all that lead to them; those that nothing leads to from `start` are left out, or refused."""
    reached, grown = {start}, True
    while grown:
        new = {b for a, b in arrows if a in reached} - reached
        reached |= new
        grown = bool(new)
    missing = [module for module in modules if module not in reached]
    if missing and all_of:
        raise InputError(f"Graph: {what} does not reach {', '.join(missing)}. Add a path to them, or leave them out.")
    wanted, found = [m for m in modules if m in reached], []
    while len(found) < len(wanted):
        ready = [
            m for m in wanted if m not in found
            and all(a == start or a in found or a not in wanted for a, b in arrows if b == m)
        ]  # fmt: skip
        if not ready:
            rest = ", ".join(m for m in wanted if m not in found)
            raise InputError(f"Graph: {what} would go in a circle through {rest}. Remove one of its paths.")
        found += ready
    return found
