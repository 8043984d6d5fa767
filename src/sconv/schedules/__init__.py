"""Learning-rate and momentum policies as pure functions of training progress: numbers only, no TensorFlow."""

from sconv.schedules.curves import SHAPES, Phase, Schedule
from sconv.schedules.policies import baseline, constant, cosine, onecycle, onecycle_fastai

__all__ = ["SHAPES", "Phase", "Schedule", "baseline", "constant", "cosine", "onecycle", "onecycle_fastai"]
