"""The engine: Brian2 equations on dense matrices, schedules, and the two targets."""

from neuroplast.engine.build import have_compiler
from neuroplast.engine.conv import ConvSynapses
from neuroplast.engine.dataset import Dataset
from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.fields import ReceptiveField
from neuroplast.engine.operations import NativeOperation
from neuroplast.engine.pooling import MaxPooling
from neuroplast.engine.population import Population
from neuroplast.engine.ranges import check_range
from neuroplast.engine.readout import count_correct, cross_entropy, softmax
from neuroplast.engine.recording import Recorder, SpikeRecorder
from neuroplast.engine.result import Result
from neuroplast.engine.schedule import Event, Loop, Phase, Schedule
from neuroplast.engine.simulation import Simulation
from neuroplast.engine.tape import Tape
from neuroplast.engine.targets import start

__all__ = [
    "ConvSynapses", "Dataset", "DenseSynapses", "Event", "Loop", "MaxPooling", "NativeOperation", "Phase",
    "Population", "ReceptiveField", "Recorder", "Result", "Schedule", "Simulation", "SpikeRecorder", "Tape",
    "check_range", "count_correct", "cross_entropy", "have_compiler", "softmax", "start",
]  # fmt: skip
