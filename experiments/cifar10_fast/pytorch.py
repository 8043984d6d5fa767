"""Jordan's recipe in PyTorch on the CPU, at its best settings: whom `experiment=cifar10_fast` is measured against.

    python -m experiments.cifar10_fast.pytorch --cifar10 FOLDER    # a row a seed into pytorch.csv

The network, its whitening and dirac initialisation, batch, rate, schedule, weight decay, label smoothing, crops and
alternating flips are those of the installed experiment, images always whole and in memory, channels last, all updates
in one `foreach`; in bfloat16 where the processor has it. Needs sconv[bench].
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy, pad

from benchmarks import harness
from benchmarks.peers import pytorch_networks
from benchmarks.peers.keras_models import save_weights
from experiments.cifar10_fast.measure import ARGUMENTS, HERE, SEEDS, installed
from experiments.table import Table
from sconv.datasets import Dataset, image_folder
from sconv.models import airbench

COLUMNS = ("seed", "epochs", "updates", "accuracy", "mirrored", "precision", "threads", "processor", "seconds")
WHOLE = 500  # images of a batch of the evaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--threads", type=int, default=harness.cores())
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table(arguments.into / "pytorch.csv", COLUMNS)
    data = image_folder.load(arguments.cifar10)
    processor = harness.processor()
    half = bool(processor["half"])
    of_machine = {"threads": arguments.threads, "processor": processor["processor"]}
    for seed in arguments.seeds:
        key = {"seed": seed, "epochs": arguments.epochs}
        if not table.find(**key):
            found = Training(installed(ARGUMENTS), data, seed, half).run(arguments.epochs)
            precision = "bfloat16" if half else "float32"
            print(*table.add(**key, **found, precision=precision, **of_machine).values(), flush=True)


class Training:
    """One training and what it ends at."""

    def __init__(self, recipe: DictConfig, data: Dataset, seed: int, half: bool):
        torch.manual_seed(seed)
        self._recipe, self._half = recipe, half
        self._model = network(recipe, data, seed)
        self._images, self._test = (torch.from_numpy(part.images) for part in (data.train, data.test))
        self._labels, self._truth = (torch.from_numpy(part.labels).long() for part in (data.train, data.test))
        self._mirrored_first = torch.rand(len(self._images)) < 0.5

    def run(self, epochs: int) -> dict[str, Any]:
        """Train for so many epochs, and test; the seconds are of both, but for the mirrored images."""
        began, recipe = time.perf_counter(), self._recipe
        batches = -(-len(self._images) // recipe.batch_size)
        rates, _ = instantiate(recipe.schedule, _convert_="all").sample(epochs * batches)
        optimizer = self._optimizer()
        for step, (images, labels) in enumerate(self._batches(epochs)):
            for group in optimizer.param_groups:
                group["lr"] = rates[step] * group["factor"]
            with self._precision():
                outputs = self._model(as_input(images, self._half))
            loss = cross_entropy(outputs.float(), labels, label_smoothing=recipe.loss.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        alone = self._shares(self._test)
        accuracy = self._accuracy(alone)
        seconds = time.perf_counter() - began
        both = self._accuracy(alone + self._shares(self._test.flip(2)))
        told = {"updates": epochs * batches, "accuracy": f"{accuracy:.4f}", "mirrored": f"{both:.4f}"}
        return {**told, "seconds": f"{seconds:.1f}"}

    def _optimizer(self) -> torch.optim.Optimizer:
        """Weight decay for kernels alone, and the norms' shifts at a rate of their own."""
        own = self._recipe.optimizer
        kernels = [one for one in self._model.parameters() if one.requires_grad and one.ndim > 1]
        shifts = [one for one in self._model.parameters() if one.requires_grad and one.ndim == 1]
        groups = [
            {"params": kernels, "factor": 1.0, "weight_decay": self._recipe.l2},
            {"params": shifts, "factor": self._recipe.lr_factors["norm*"], "weight_decay": 0.0},
        ]
        return torch.optim.SGD(groups, 1.0, own.momentum, nesterov=own.nesterov, foreach=True)

    def _batches(self, epochs: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        padding = self._recipe.augment.get("padding")
        for epoch in range(epochs):
            for rows in torch.randperm(len(self._images)).split(self._recipe.batch_size):
                images = self._images[rows]
                if padding is not None:
                    images = cropped(images, self._mirrored_first[rows] ^ (epoch % 2 == 1), padding)
                yield images, self._labels[rows]

    def _shares(self, images: torch.Tensor) -> torch.Tensor:
        """What it takes the images for: shares [count, classes]."""
        self._model.eval()
        with torch.no_grad(), self._precision():
            each = [self._model(as_input(some, self._half)).float().softmax(1) for some in images.split(WHOLE)]
        return torch.cat(each)

    def _accuracy(self, shares: torch.Tensor) -> float:
        return float((shares.argmax(1) == self._truth).float().mean())

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._half)


def network(recipe: DictConfig, data: Dataset, seed: int) -> torch.nn.Module:
    """The network with the weights that Keras's begins with."""
    keras.utils.set_random_seed(seed)
    settings = {name: value for name, value in recipe.model.items() if name != "_target_"}
    stock = airbench.build(data.input_shape, data.classes, **settings, training_images=data.train.images)
    model = pytorch_networks.build("airbench", shape=data.input_shape, widths=recipe.model.widths)
    model = model.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        save_weights(stock, f"{folder}/weights.npz")
        pytorch_networks.load_weights(model, f"{folder}/weights.npz")
    return model.train()


def as_input(images: torch.Tensor, half: bool) -> torch.Tensor:
    """Images [batch, height, width, channels] as the network takes them: channels first by name, last in memory."""
    return images.to(torch.bfloat16 if half else torch.float32).permute(0, 3, 1, 2)


def cropped(images: torch.Tensor, mirrored: torch.Tensor, padding: int) -> torch.Tensor:
    """Padded by reflection, cropped back at a random place, those that are `mirrored` turned left to right."""
    count, height, width, _ = images.shape
    wide = pad(images.permute(0, 3, 1, 2).float(), (padding,) * 4, mode="reflect").permute(0, 2, 3, 1).to(images.dtype)
    rows, columns = (torch.randint(2 * padding + 1, (count, 1)) + torch.arange(side) for side in (height, width))
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    return wide[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]


if __name__ == "__main__":
    main()
