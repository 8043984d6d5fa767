"""PyTorch at its best on a processor: channels last, autocast, updates of many tensors at a time, images in memory."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers import MOMENTUM, pytorch_networks
from benchmarks.worker import Task, Turns, images_and_labels


def prepared(task: Task) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network with the task's weights, images [count, height, width, channels] and labels."""
    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    model = pytorch_networks.build(task.network).to(memory_format=torch.channels_last)
    pytorch_networks.load_weights(model, task.weights)
    images, labels = images_and_labels(task)
    return model.train(), torch.from_numpy(images), torch.from_numpy(labels)


def as_batch(images: torch.Tensor, half: bool) -> torch.Tensor:
    """Gathered images as the network takes them: floating, channels first by name and last in memory."""
    images = images.to(torch.bfloat16 if half else torch.float32)
    return images.permute(0, 3, 1, 2) if images.ndim == 4 else images


def train(task: Task, turns: Turns, compiled: bool = False) -> None:
    """Train the task; `compiled` by torch.compile."""
    model, images, labels = prepared(task)
    half = task.precision == "mixed_bfloat16"
    learned = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(learned, task.lr_max, momentum=MOMENTUM, foreach=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.lr_max, total_steps=task.epochs * task.steps + 1)
    forward = torch.compile(model) if compiled else model
    turns.ready(pytorch_networks.count(model))
    for _ in range(task.epochs):
        turns.begin()
        losses = torch.empty(task.steps)
        for number, rows in enumerate(torch.randperm(len(images)).split(task.batch)):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                outputs = forward(as_batch(images[rows], half))
            loss = cross_entropy(outputs.float(), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses[number] = loss.detach()
        turns.end(losses.mean())
