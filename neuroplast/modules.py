"""Networks of modules as data: how many neurons each has, and which of them hear and tell whom.

A `Graph` names modules, inputs and outputs, usually one of each of the latter. A `Path` takes activity from some
neurons to others in inference; an `ErrorPath` takes the error of an output, or the displacement of some neurons of a
module, to neurons of another one. Neurons are a slice, so that the same ones may have any number of roles. `chain`
makes the usual row of modules, `shared` those of two tasks.
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
    task : str
        The output that it serves: it is silent, and does not learn, while that is not trained. By default all.
    """

    name: str
    source: str
    target: str
    sends: slice = field(default_factory=lambda: slice(None))
    hears: slice = field(default_factory=lambda: slice(None))
    learns: bool = True
    scale: float | None = None
    normal: float | None = None
    task: str = ""


@dataclass(frozen=True)
class ErrorPath:
    """An output's error, or the displacement of a module's neurons, to neurons of a module; does not learn.

    Parameters are those of `Path`, learning aside; without `scale` or `normal`, weights from a module are uniform
    between -1 and 1, and those from an output between plus and minus 1/sqrt(number of outputs).
    """

    name: str
    source: str
    target: str
    sends: slice = field(default_factory=lambda: slice(None))
    hears: slice = field(default_factory=lambda: slice(None))
    scale: float | None = None
    normal: float | None = None
    task: str = ""


@dataclass(frozen=True)
class Graph:
    """Modules and what connects them.

    Parameters
    ----------
    modules : dict of str to int
        Neurons of each.
    paths : tuple of Path
        From inputs through modules to outputs.
    errors : tuple of ErrorPath
        Empty for a reservoir.
    reservoirs : tuple of str
        Modules that are meant to get no error.
    outputs : dict of str to str
        Of each output, the input whose labels it should give.

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
    outputs: Mapping[str, str] = field(default_factory=lambda: {"outputs": "inputs"})

    def __post_init__(self):
        inputs, outputs = set(self.outputs.values()), set(self.outputs)
        if len(inputs) < len(outputs):
            raise InputError(f"Graph: each output should have an input of its own. Got {dict(self.outputs)}.")
        names = [path.name for path in (*self.paths, *self.errors)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"Graph: paths should have names of their own. Got twice: {', '.join(twice)}.")
        ends = [(path, inputs, outputs) for path in self.paths] + [(path, outputs, set()) for path in self.errors]
        for path, sources, targets in ends:
            for what, end, allowed in (("from", path.source, sources), ("to", path.target, targets)):
                if end not in {*allowed, *self.modules}:
                    known = ", ".join(sorted({*allowed, *self.modules}))
                    raise InputError(f"Graph: path '{path.name}' may go {what} {known}. Got '{end}'.")
        for path in (*self.paths, *self.errors):
            if path.task and path.task not in outputs:
                allowed = ", ".join(sorted(outputs))
                raise InputError(f"Graph: path '{path.name}' should serve one of {allowed}. Got task='{path.task}'.")
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
        arrows = [(path.source, path.target) for path in self.paths]
        return _sorted("inference", list(self.modules), arrows, set(self.outputs.values()))

    @property
    def backward_order(self) -> list[str]:
        """Modules that get an error, in the order in which it comes."""
        arrows = [(path.source, path.target) for path in self.errors]
        return _sorted("errors", list(self.modules), arrows, set(self.outputs), all_of=False)

    def learning(self) -> list[Path]:
        """Paths that learn: those whose target gets an error."""
        reached = {*self.backward_order, *self.outputs}
        return [path for path in self.paths if path.learns and path.target in reached]

    def serving(self, task) -> list[Path]:
        """Paths, of inference and of errors, that are not silent while the outputs in `task` are trained."""
        return [path for path in (*self.paths, *self.errors) if not path.task or path.task in task]


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


def shared(configuration: str, block: int = 256) -> Graph:
    """Modules that two tasks share, as in Liu et al. (2026), figure 5; the first task is ``y1`` of ``x1``.

    Parameters
    ----------
    configuration : {"a", "b", "c"}
        "a": two modules, in which both tasks have roles, inputs and outputs of their own (roles of the second task are
        ours: the authors published no code). "b": two modules for each task; the first task's error goes through those
        of the second one, too. "c": besides, the first task hears those of the second one, through fixed weights.
    block : int
        Neurons of a block; a module has six.

    Returns
    -------
    Graph
        With the weights' initial scales of the authors' code.

    Raises
    ------
    InputError
        For another configuration.
    """
    b = [slice(i * block, (i + 1) * block) for i in range(6)]

    def path(name, source, target, sends=None, hears=None, **more):
        return Path(name, source, target, _all(sends), _all(hears), normal=0.1, **more)

    def error(name, source, target, sends, hears, task=""):
        return ErrorPath(name, source, target, _all(sends), _all(hears), normal=0.5, task=task)

    outputs = {"y1": "x1", "y2": "x2"}
    if configuration == "a":
        paths, errors = [], []
        for i, (RI, SI, RE, SE) in enumerate(((b[0], b[2], b[3], b[5]), (b[4], b[1], b[2], b[3])), 1):
            task = f"y{i}"
            paths += [
                path(f"w_in{i}", f"x{i}", "L1", hears=RI, task=task),
                path(f"w{i}", "L1", "L2", SI, RI, task=task),
                path(f"w_out{i}", "L2", task, SI, task=task),
            ]
            errors += [error(f"f{i}", task, "L2", None, RE, task), error(f"e{i}", "L2", "L1", SE, RE, task)]
        return Graph(dict.fromkeys(("L1", "L2"), 6 * block), tuple(paths), tuple(errors), outputs=outputs)
    if configuration not in ("b", "c"):
        raise InputError(f"shared: configuration should be 'a', 'b' or 'c'. Got {configuration!r}.")
    paths = [
        path("w_in1", "x1", "L1", hears=b[0], task="y1"),
        path("w1", "L1", "L2", b[2], b[0], task="y1"),
        path("w_out1", "L2", "y1", b[2], task="y1"),
        path("w_in2", "x2", "L3", hears=b[4], task="y2"),
        path("w3", "L3", "L4", b[1], b[0], task="y2"),
        path("w_out2", "L4", "y2", b[2], task="y2"),
    ]
    errors = [
        error("f1", "y1", "L2", None, b[3]),
        error("f2", "y2", "L4", None, b[3]),
        error("f3", "y1", "L4", None, b[4]),
        error("e3", "L4", "L3", b[5], b[2]),
        error("e2", "L3", "L1", b[3], b[5]),
    ]
    if configuration == "c":
        paths.append(path("w2", "L1", "L3", b[3], b[0], learns=False))
        paths.append(path("w_out3", "L4", "y1", b[1], learns=False))
    modules = dict.fromkeys(("L1", "L2", "L3", "L4"), 6 * block)
    return Graph(modules, tuple(paths), tuple(errors), outputs=outputs)


def _all(neurons):
    return slice(None) if neurons is None else neurons


def _sorted(what, modules, arrows, starts, all_of=True):
    """Modules after all that lead to them; those that nothing leads to from `starts` are left out, or refused."""
    reached, grown = set(starts), True
    while grown:
        new = {b for a, b in arrows if a in reached} - reached
        reached |= new
        grown = bool(new)
    missing = [module for module in modules if module not in reached]
    if missing and all_of:
        raise InputError(f"Graph: {what} does not reach {', '.join(missing)}. Add a path to them, or leave them out.")
    wanted, found = [m for m in modules if m in reached], []
    while len(found) < len(wanted):
        waiting = [m for m in wanted if m not in found]
        ready = [m for m in waiting if not {a for a, b in arrows if b == m} & set(waiting)]
        if not ready:
            raise InputError(f"Graph: {what} would go in a circle through {', '.join(waiting)}. Remove a path.")
        found += ready
    return found
