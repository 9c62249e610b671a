"""The engine: Brian2 equations on dense matrices, schedules, and the two targets."""

from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.operations import NativeOperation
from neuroplast.engine.population import Population
from neuroplast.engine.schedule import Event, Loop, Phase, Schedule
from neuroplast.engine.simulation import Result, Simulation
from neuroplast.engine.tape import Tape
from neuroplast.engine.targets import have_compiler, start

__all__ = [
    "DenseSynapses", "Event", "Loop", "NativeOperation", "Phase", "Population", "Result", "Schedule", "Simulation",
    "Tape", "have_compiler", "start",
]  # fmt: skip
