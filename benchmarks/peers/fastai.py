"""fastai's Learner with `fit_one_cycle`, on the same batches as PyTorch's loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from fastai.basics import Callback, DataLoaders, Learner
from fastai.callback import progress, schedule  # noqa: F401  give the Learner fit_one_cycle and no_bar
from fastai.optimizer import SGD

from benchmarks.peers import MOMENTUM, pytorch_networks
from benchmarks.peers.pytorch import as_batch, prepared
from benchmarks.worker import Task, Turns


class Batches:
    """Gathered from tensors, which is far faster than a DataLoader of single examples."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, task: Task):
        self._arrays, self._task, self.bs = (images, labels), task, task.batch
        self.dataset = images

    def __len__(self) -> int:
        return self._task.steps

    def __iter__(self) -> Iterator[Any]:
        images, labels = self._arrays
        for rows in torch.randperm(len(images)).split(self._task.batch):
            yield as_batch(images[rows], half=False), labels[rows]


class InTurn(Callback):
    """Waits for its turn before every epoch; has the forward pass in bfloat16 where that is asked for."""

    order = -100

    def __init__(self, turns: Turns, half: bool):
        self._turns, self._cast = turns, torch.autocast("cpu", torch.bfloat16, enabled=half)

    def before_epoch(self) -> None:
        self._turns.begin()
        self._losses: list[torch.Tensor] = []

    def before_batch(self) -> None:
        self._cast.__enter__()

    def after_pred(self) -> None:
        self._cast.__exit__(None, None, None)
        self.learn.pred = self.learn.pred.float()

    def after_loss(self) -> None:
        self._losses.append(self.learn.loss.detach())

    def after_epoch(self) -> None:
        self._turns.end(torch.stack(self._losses).mean())


def train(task: Task, turns: Turns) -> None:
    """Train the task."""
    model, images, labels = prepared(task)
    batches = Batches(images, labels, task)
    half = task.precision == "mixed_bfloat16"
    learner = Learner(
        DataLoaders(batches, []),
        model,
        torch.nn.CrossEntropyLoss(),
        opt_func=partial(SGD, mom=MOMENTUM),
        cbs=[InTurn(turns, half)],
    )
    turns.ready(pytorch_networks.count(model))
    with learner.no_logging(), learner.no_bar():
        learner.fit_one_cycle(task.epochs, task.lr_max)
