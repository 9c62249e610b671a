"""`Recorder` and `SpikeRecorder`: monitors that record a selection, to files."""

from __future__ import annotations

from brian2 import SpikeMonitor, StateMonitor
from brian2.utils.logger import catch_logs

from neuroplast.engine.messages import integer, whole_number
from neuroplast.engine.selection import Selection
from neuroplast.errors import InputError


class Recorder(StateMonitor):
    """A `StateMonitor` that records every so often, within a window of steps, in some of the trials.

    What is selected are arguments of the compiled program: to select something else does not build it anew.

    Parameters
    ----------
    group : Population, Subgroup or DenseSynapses
    variables : str or sequence of str
        Shared ones, such as the schedule's integers ``trial`` and ``k``, are recorded once per record.
    record : bool or sequence of int, optional
        Which elements; all by default.
    every : int, optional
        In a phase, record when ``(k + 1) % every == 0``; in an event, when ``(trial + 1) % every == 0``, and where
        only a loop over epochs encloses it, when ``(epoch + 1) % every == 0``.
    steps : (int, int), optional
        In a phase, record only while ``steps[0] <= k < steps[1]``.
    trials : sequence of int, optional
        Record only these trials; negative ones count from the end of the loop around the node whose counter is
        ``trial``, with the number of passes that it has in the run. In a loop over epochs trials are counted through
        all of them: with 30 in an epoch, the first of the second epoch is trial 30. So it is with `every`.
    epochs : sequence of int, optional
        Record only in these passes of the loop around the node whose counter is ``epoch``.
    when, order : str, int
        Place in the step.
    name : str

    Raises
    ------
    InputError
        For a variable that the group has not got, indices outside it, or a selection of nothing. A simulation refuses
        a selection by trials in a node that no loop over trials encloses, and trials and steps that a run has not got.
    """

    def __init__(
        self, group, variables, *, record=True, every=1, steps=None, trials=None, epochs=None, when="end", order=0, name
    ):  # fmt: skip
        owner = f"Recorder '{name}'"
        variables = _names(owner, variables)
        missing = [n for n in variables if n not in group.variables]
        if not variables:
            raise InputError(f"{owner}: no variables to record; {_there_are(group)}")
        if missing:
            raise InputError(f"{owner}: '{group.name}' has no variable {_listed(missing)}; {_there_are(group)}")
        selection = Selection(owner, *_selection(owner, every, steps, trials, epochs))
        with catch_logs():  # Brian2 warns that shared variables are recorded once per element, which they are not
            try:
                super().__init__(group, variables, record, when=when, order=integer(owner, "order", order), name=name)
            except (IndexError, TypeError, ValueError) as error:
                raise InputError(f"{owner}: {error}.") from error
        self._selection = selection


class SpikeRecorder(SpikeMonitor):
    """A `SpikeMonitor` that records the time, neuron, trial and step of each spike, in some of the trials.

    Parameters
    ----------
    population : Population or Subgroup
        With a ``threshold``.
    variables : str or sequence of str, optional
        Variables of the population to be recorded with each spike.
    steps, trials, epochs
        As in `Recorder`.
    name : str

    Raises
    ------
    InputError
        If the population has no threshold, for a variable that it has not got, or a selection of nothing.

    Notes
    -----
    It records in the slot of the threshold (``thresholds``), one order after it, before a reset. ``t`` is the time at
    which the step began, as in Brian2. In a batch ``i`` counts all copies: neuron ``i // batch``, copy ``i % batch``.
    """

    def __init__(self, population, *, variables=(), steps=None, trials=None, epochs=None, name):
        owner = f"SpikeRecorder '{name}'"
        variables = _names(owner, variables)
        missing = [n for n in variables if n not in population.variables]
        if missing:
            raise InputError(
                f"{owner}: '{population.name}' has no variable {_listed(missing)}; {_there_are(population)}"
            )
        if "spike" not in getattr(population, "events", ()):
            raise InputError(
                f"{owner}: '{population.name}' emits no spikes. Give it a threshold, such as "
                "threshold='rand() < rate*dt', refractory=2*ms."
            )
        selection = Selection(owner, *_selection(owner, 1, steps, trials, epochs))
        super().__init__(population, variables=list(dict.fromkeys((*variables, "trial", "k"))), name=name)
        self._selection = selection


def _names(owner, variables):
    names = [variables] if isinstance(variables, str) else variables
    if not isinstance(names, list | tuple | set) or not all(isinstance(n, str) for n in names):
        raise InputError(f"{owner}: variables should be a name or a list of names. Got {variables!r}.")
    return list(dict.fromkeys(names))


def _listed(names):
    return ", ".join(f"'{n}'" for n in names)


def _there_are(group):
    names = sorted({*group.equations.names, "trial", "k"} & set(group.variables))
    return f"there are {', '.join(names)}."


def _selection(owner, every, steps, trials, epochs):
    """The arguments, checked: (every, first, last, trials or None, epochs or None)."""
    every = whole_number(owner, "every", every, 1)
    first, last = 0, None
    if steps is not None:
        if not isinstance(steps, list | tuple) or len(steps) != 2:
            raise InputError(f"{owner}: steps should be (first, last + 1). Got {steps!r}.")
        first, last = (whole_number(owner, "each of steps", step, 0) for step in steps)
        if first >= last:
            raise InputError(f"{owner}: steps should increase, as in steps=(0, 100). Got {tuple(steps)}.")
    return every, first, last, _numbers(owner, "trials", trials), _numbers(owner, "epochs", epochs)


def _numbers(owner, what, given):
    if given is None:
        return None
    if not isinstance(given, list | tuple | range) or not len(given):
        raise InputError(f"{owner}: {what} should be None, for all, or such as (0, -1). Got {given!r}.")
    return tuple(integer(owner, f"each of {what}", number) for number in given)
