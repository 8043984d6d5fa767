"""Learning-rate and momentum policies as pure functions of training progress: numbers only, no TensorFlow."""

from sconv.schedules.custom import phases
from sconv.schedules.cycles import cyclic, sgdr
from sconv.schedules.decays import (
    baseline,
    constant,
    cosine,
    exponential,
    flat_cosine,
    inverse,
    polynomial,
    warmup_stable_decay,
)
from sconv.schedules.one_cycle import onecycle, onecycle_fastai, onecycle_smith
from sconv.schedules.ranges import range_test
from sconv.schedules.schedule import Phase, Schedule
from sconv.schedules.shapes import SHAPES

__all__ = [
    "SHAPES",
    "Phase",
    "Schedule",
    "baseline",
    "constant",
    "cosine",
    "cyclic",
    "exponential",
    "flat_cosine",
    "inverse",
    "onecycle",
    "onecycle_fastai",
    "onecycle_smith",
    "phases",
    "polynomial",
    "range_test",
    "sgdr",
    "warmup_stable_decay",
]
