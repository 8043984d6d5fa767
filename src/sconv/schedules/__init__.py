"""Learning-rate and momentum policies as pure functions of training progress: numbers only, no TensorFlow.

Which policy for which job, and who says so:

======================================================  ======================  ========================================
a few epochs, of any network; the peak from a test      `onecycle_fastai`       fastai; PyTorch's OneCycleLR
super-convergence as in the papers                      `onecycle`              Smith 1803.09820; Gugger 2018
the same as his logs have it, to repeat his numbers     `onecycle_smith`        github.com/lnsmith54/hyperParam1
what to beat: steps down, tuned as hard                 `baseline`              Smith and Topin 1708.07120, Fig. 1a
a long run from scratch; large batches with a warm-up   `cosine`                SGDR 1608.03983; Goyal 1706.02677
good at several times of a run, or a model of each      `sgdr`                  SGDR 1608.03983; Huang 1704.00109
the right rate is not known, only its range             `cyclic`                Smith 1506.01186
length not known beforehand, to be gone on with         `warmup_stable_decay`   MiniCPM 2404.06395; Hägele 2405.18392
fine-tuning: the head first, then all of it             `fine_tune`             fastai, Learner.fine_tune
fine-tuning: a straight line down                       `polynomial`            BERT 1810.04805 (after a warm-up)
optimizers that are slow to turn, such as Ranger        `flat_cosine`           fastai, fit_flat_cos
recipes of Caffe, and of early Keras and TensorFlow     `inverse, exponential`  Caffe's LeNet; Keras
looking for the rate                                    `range_test`            Smith 1506.01186, section 3.3
one rate throughout; anything else                      `constant, phases`      yours
======================================================  ======================  ========================================
"""

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
from sconv.schedules.one_cycle import fine_tune, onecycle, onecycle_fastai, onecycle_smith
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
    "fine_tune",
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
