"""What augmentation costs: python -m benchmarks.augment

Times epochs of ResNet-20 on made-up 32x32 images under each option of `augment`, in turn, round after round, and prints
the time on the clock and the time of the processor as ratios to `none` in the same round; on a machine that does other
things as well only the second one holds. Writes benchmarks/results/augment.json.
"""

from __future__ import annotations

import functools

import keras
import numpy as np

from benchmarks import harness
from sconv.datasets import synthetic
from sconv.datasets.pipeline import augmentation
from sconv.datasets.pipeline.batches import TrainingStream
from sconv.models import resnet
from sconv.runner.devices import setup

BATCH, IMAGES, CLASSES = 128, 1280, 10
WAYS = {
    "none": augmentation.none(),
    "flip": augmentation.flip(),
    "standard": augmentation.standard(),
    "standard_cutout": augmentation.standard_cutout(),
    "mixup": augmentation.mixup(),
}


def main() -> None:
    """Print and write the ratios."""
    rounds = harness.arguments(__doc__, rounds=7).parse_args().rounds
    device = setup.set_up("cpu")
    split = synthetic.load((32, 32, 3), classes=CLASSES, train_size=IMAGES, test_size=CLASSES).train
    model = resnet.build((32, 32, 3), CLASSES, depth=20)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.CategoricalCrossentropy())
    streams = {name: TrainingStream(split, BATCH, 0, augment, CLASSES) for name, augment in WAYS.items()}
    epoch = functools.partial(model.fit, verbose=0, shuffle=False)
    ways = {name: functools.partial(epoch, stream.batches) for name, stream in streams.items()}
    taken = harness.alternate(ways, rounds)
    ratios = {name: np.median(times / taken["none"], axis=0) for name, times in taken.items()}
    rows = harness.rounded(
        {
            name: {"seconds": np.median(times[:, 0]), "ratio": ratios[name][0], "processor_ratio": ratios[name][1]}
            for name, times in taken.items()
        }
    )
    harness.show("augment", rows)
    harness.write("augment", rounds, device, ways=rows)


if __name__ == "__main__":
    main()
