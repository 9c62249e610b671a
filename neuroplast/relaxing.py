"""What networks of modules do with a batch: relax in inference, relax anew with the error, learn.

A model gives its populations and projections; `Network` ties them to a schedule. Modules have ``z``, ``z_0`` and the
currents ``I_rec``, ``I_in``, ``I_err``; outputs have ``v``, ``p``, ``target`` and ``err``.

`Network.nodes` is a dict of lists: the name of a node of the schedule, and the objects that it runs. In a batch of the
first task there are ``begin``, for each module ``infer_MODULE`` and ``send_MODULE``, ``judge``, for each module from
the last to the first ``adjoint_MODULE`` and ``tell_MODULE``, ``learn``; other tasks have a prefix, test batches
``test_``. What is in ``run`` and ``test`` is run in each step, what is in ``end`` after the weights have changed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from neuroplast import layered
from neuroplast.engine import Event, Loop, Phase, Schedule, softmax
from neuroplast.errors import InputError

#: Places within a step: what comes in (from there on, one after the other), the recurrent current, the state.
COMES, CURRENT, MOVE = layered.SEND, layered.LAST, layered.LAST + 1
#: Places in events: what an output makes of all that came in; what is remembered, what begins anew after all sums.
JUDGE, REMEMBER, RESET = layered.OUTPUT - 1, layered.PRESENT, layered.LAST


@dataclass(frozen=True)
class Round:
    """A task's batches: names and nodes of the training and the test batch.

    Attributes
    ----------
    prefix : str
    images : Images
        Those that say how many batches there are.
    trial, test : list of (str, int)
        Node and steps, 0 for an event.
    """

    prefix: str
    images: Any
    trial: list
    test: list

    @property
    def sizes(self):
        """Number of training and of test images."""
        return len(self.images.train), len(self.images.test)


class Network:
    """Parts of a network of modules, and the nodes that run them.

    Parameters
    ----------
    parameters
        With ``batch``, ``epe``, ``simultaneous``, ``optimiser``, ``shuffle`` and ``steps(name)``.
    graph : Graph
    parts : dict of str to Population
        Inputs, modules and outputs.
    projections, recurrent, errors : dict of str to DenseSynapses
        By the names of the graph's paths, ``rec_MODULE``, and those of its error paths.
    sample : str
        Statements of an output that take its error.
    """

    def __init__(self, parameters, graph, parts, projections, recurrent, errors, sample):
        self.parameters, self.graph, self.parts, self.sample = parameters, graph, parts, sample
        self.nodes, self.images, self._shown = defaultdict(list), {}, {}
        self.sums = {name: _sum(synapses) for name, synapses in {**projections, **errors}.items()}
        for place, operation in enumerate(self.sums.values(), COMES):
            operation.order = place
        self.settle = {}
        for name in graph.modules:
            current = _sum(recurrent[f"rec_{name}"])
            current.order = CURRENT
            self.settle[name] = [current, parts[name].state_updater]
        places = {"begin": ("z = 0\nI_in = 0", REMEMBER), "forget": ("I_err = 0", layered.MAKE),
                  "keep": ("z_0 = z", REMEMBER), "again": ("z = 0", RESET)}  # fmt: skip
        self.acts = {
            act: {name: self._act(name, text, order, act) for name in graph.modules}
            for act, (text, order) in places.items()
        }

    def _act(self, name, text, order, act):
        return self.parts[name].run_regularly(text, when="groups", order=order, name=f"{name}_{act}")

    def show(self, images, source, output):
        """Present images to an input, and their labels to its output.

        Raises
        ------
        InputError
            If they are not as many as those of the inputs before.
        """
        others = {name: each.rows for name, each in self.images.items()}
        if set(others.values()) - {images.rows}:
            raise InputError(
                f"Inputs that are shown side by side should have as many images. '{source}' has {images.rows}, "
                f"{', '.join(f'{name!r} {rows}' for name, rows in others.items())}. Take images.first(rows)."
            )
        self.images[source] = images
        shown, name = defaultdict(list), "images" if source == "inputs" else source
        place = layered.PRESENT - len(self._shown)  # each says how many images there are: one after the other
        layered.present(images, self.parts[source], self.parts[output], shown, self.parameters.shuffle, name, place)
        self._shown[source] = shown["begin"] + shown["test_begin"]

    def round(self, task, rules, groups, biases):
        """Fill the nodes of a task.

        Parameters
        ----------
        task : tuple of str
            Outputs that are trained together.
        rules : dict of str to Rule
            Of each projection.
        groups, biases : dict
            All projections by name; those of biases besides.

        Returns
        -------
        Round
        """
        prefix = "" if set(task) == set(self.graph.outputs) else "_".join(task) + "_"
        nodes, serving = self.nodes, self.graph.serving(task)
        paths = [path for path in self.graph.paths if path in serving]
        errors = [path for path in self.graph.errors if path in serving]
        trial, test = ([(f"{prefix}{name}begin", 0)] for name in ("", "test_"))
        for phases, kind in ((trial, ""), (test, "test_")):
            self._begin(task, phases[0][0], bool(kind), biases)
            self._infer(paths, phases, prefix + kind, keep=not kind)
        judge, end, trained = f"{prefix}judge", f"{prefix}test_end", f"{prefix}trained"
        for node in (judge, end):
            for name in self.graph.outputs:
                self._judge(name, node, name in task)
        for name in task:
            layered.count(self.parts[name], nodes, judge, test=end, trained=trained)
        nodes[judge] += [self.sums[path.name] for path in errors if path.source in self.graph.outputs]
        if not self.parameters.epe:
            nodes[judge] += [self.acts["again"][name] for name in self.graph.backward_order]
        trial.append((judge, 0))
        test.append((end, 0))
        self._return(errors, trial, prefix)
        learning = {path.name for path in paths} | {name for name in rules if name.startswith(("rec_", "bias_"))}
        learned = defaultdict(list)
        for name in sorted(learning & set(rules), key=list(rules).index):
            layered.learn(groups[name], rules[name], learned, self.parameters.optimiser)
        nodes[f"{prefix}learn"] += learned["learn"]
        trial.append((f"{prefix}learn", 0))
        return Round(prefix, self.images[self.graph.outputs[task[0]]], trial, test)

    def _begin(self, task, node, testing, biases):
        """Present, forget what was before, and send the inputs' activity."""
        shown = {self.graph.outputs[name] for name in task}
        for source, (training, test) in self._shown.items():
            dark = self.parts[source].run_regularly("x = 0", order=layered.PRESENT, name=f"{node}_{source}_dark")
            self.nodes[node].append((test if testing else training) if source in shown else dark)
        for act in ("begin", "forget"):
            self.nodes[node] += self.acts[act].values()
        for name, synapses in biases.items():
            if name != "one":
                operation = _sum(synapses)
                operation.order = COMES
                self.nodes[node].append(operation)
        self.nodes[node] += [self.sums[path.name] for path in self.graph.serving(task) if path.source in self._shown]

    def _infer(self, paths, phases, prefix, keep):
        """Modules relax, one after the other or all at once."""
        nodes, steps, outputs = self.nodes, self.parameters.steps("inference"), self.graph.outputs
        remember = self.acts["keep"] if keep else {}
        if self.parameters.simultaneous:
            between = [path for path in paths if path.source in self.graph.modules and path.target not in outputs]
            nodes[f"{prefix}infer"] += [self.sums[path.name] for path in between]
            nodes[f"{prefix}infer"] += [part for name in self.graph.order for part in self.settle[name]]
            nodes[f"{prefix}settled"] += [self.sums[path.name] for path in paths if path.target in outputs]
            nodes[f"{prefix}settled"] += remember.values()
            phases += [(f"{prefix}infer", steps), (f"{prefix}settled", 0)]
            return
        for name in self.graph.order:
            nodes[f"{prefix}infer_{name}"] += self.settle[name]
            sent = [self.sums[path.name] for path in paths if path.source == name]
            nodes[f"{prefix}send_{name}"] += sent + ([remember[name]] if keep else [])
            phases += [(f"{prefix}infer_{name}", steps), (f"{prefix}send_{name}", 0)]

    def _judge(self, name, node, active):
        """An output's probabilities and its error; none while it is not trained."""
        output = self.parts[name]
        if not active:
            silent = output.run_regularly("err = 0", when="groups", order=layered.ERROR, name=f"{node}_{name}_silent")
            self.nodes[node].append(silent)
            return
        self.nodes[node] += [
            output.subexpression_updater,
            softmax(output, "v", "p", order=layered.OUTPUT, name=f"{node}_{name}_softmax"),
            output.run_regularly(self.sample, when="groups", order=layered.ERROR, name=f"{node}_{name}_sample"),
        ]

    def _return(self, errors, phases, prefix):
        """Modules relax with the error, from the last to the first or all at once."""
        nodes, steps, back = self.nodes, self.parameters.steps("learning"), self.graph.backward_order
        between = [path for path in errors if path.source in self.graph.modules]
        if self.parameters.simultaneous:
            nodes[f"{prefix}adjoint"] += [self.sums[path.name] for path in between]
            nodes[f"{prefix}adjoint"] += [part for name in back for part in self.settle[name]]
            phases.append((f"{prefix}adjoint", steps))
            return
        for name in back:
            nodes[f"{prefix}adjoint_{name}"] += self.settle[name]
            nodes[f"{prefix}tell_{name}"] += [self.sums[path.name] for path in between if path.source == name]
            phases += [(f"{prefix}adjoint_{name}", steps), (f"{prefix}tell_{name}", 0)]

    def schedule(self, rounds, counts):
        """A loop of epochs: of each task all training batches, then all test batches."""
        epoch = []
        for number, each in enumerate(rounds):
            run, test = ("run", "test") if number == 0 else ("", "")
            trials, tests = loops(number)
            epoch += [
                Loop(trials, counts[trials], self._nodes(each.trial, run), "trial"),
                Event(f"{each.prefix}trained", self.nodes[f"{each.prefix}trained"]),
                Loop(tests, counts[tests], self._nodes(each.test, test), "trial"),
            ]
        epoch.append(Event("epoch_end", self.nodes["epoch_end"]))
        return Schedule([Loop("epoch", 1, epoch), Event("final", self.nodes["final"])])

    def _nodes(self, names, record):
        """Phases and events; the steps of all phases count on."""
        found, before = [], None
        for name, steps in names:
            objects = list(self.nodes[name])
            if steps:
                objects += self.nodes[record] if record else []
                found.append(Phase(name, objects, steps, **({"follows": before} if before else {})))
                before = name
            else:
                objects += self.nodes["end"] if name == "learn" else []
                found.append(Event(name, objects))
        return found


def loops(number):
    """Names of the loops over a task's training and test batches."""
    return ("trial", "tests") if number == 0 else (f"trial_{number + 1}", f"tests_{number + 1}")


def passes(batch, sizes, epochs, images=None):
    """Counts of the schedule for a number of epochs; the last batch of an epoch may be partial."""
    found = {"epoch": epochs}
    for number, rows in enumerate(sizes):
        found |= {name: -(-count // batch) for name, count in zip(loops(number), rows, strict=True)}
    return found


def _sum(synapses):
    """The one summed variable of a projection."""
    (operation,) = synapses.summed_updaters.values()
    return operation
