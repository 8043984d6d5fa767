"""The networks that are timed, and what is asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLASSES = 10
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Network:
    """An option of conf/model with its settings, and how it is trained.

    `lr_max` is a rate that it learns from and does not diverge at, so that equal networks show equal losses; `share`
    is what of the convolutions' own speed is asked for, in each precision; `recorded`, whether the default recording
    is to cost at most what is asked from ResNet-20 up; `quick`, whether a quick run has it.
    """

    option: str
    batch: int
    shape: tuple[int, ...] = (32, 32, 3)
    settings: Mapping[str, Any] = field(default_factory=dict)
    normalised: bool = True
    lr_max: float = 0.02
    share: tuple[float, float] | None = None
    recorded: bool = True
    quick: bool = False


_SMALL: Any = {"normalised": False, "recorded": False}
_IMAGE = (96, 96, 3)
NETWORKS = {
    "MLP": Network("mlp", 32, (8,), {"hidden": [16]}, **_SMALL),
    "LeNet-5": Network("lenet5", 32, (28, 28, 1), quick=True, **_SMALL),
    "cnn3": Network("cnn3", 128, quick=True, **_SMALL),
    "ResNet-20": Network("resnet20", 128, share=(0.8, 0.7), quick=True),
    "ResNet-9/32": Network("resnet9", 256, settings={"width": 32}, share=(0.95, 0.9), quick=True),
    "ResNet-9/64": Network("resnet9", 256, settings={"width": 64}, share=(0.95, 0.9)),
    "airbench": Network("airbench", 512, lr_max=0.5),
    "WRN-16-4": Network("wide_resnet", 128),
    "DenseNet-40": Network("densenet40", 64),
    "MobileNetV2, frozen": Network("mobilenet_v2", 64, _IMAGE, {"weights": None}),
    "MobileNetV2": Network("mobilenet_v2", 64, _IMAGE, {"weights": None, "frozen": False}),
}
