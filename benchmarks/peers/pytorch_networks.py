"""The same networks in PyTorch, parameter by parameter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from benchmarks.networks import CLASSES, NETWORKS


def build(name: str, **settings: Any) -> nn.Module:
    """The network of that name, for raw images [batch, channels, height, width]; gives logits.

    `settings` are those of its option in conf/model, and `shape`, in place of what the benchmark has.
    """
    network = NETWORKS[name]
    return _BUILDERS[network.option](**{"shape": network.shape, **network.settings, **settings})


def count(model: nn.Module) -> int:
    """Parameters, and what batch normalisation averages, as Keras counts them."""
    counted = [*model.parameters(), *(one for one in model.buffers() if one.is_floating_point())]
    return sum(one.numel() for one in counted)


def load_weights(model: nn.Module, path: str) -> None:
    """Begin with the weights of the network in Keras: of each kind of layer the first is the first, and so on."""
    with np.load(path) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in sorted(file)}
    kinds: dict[str, tuple[type, ...]] = {"convolution": (nn.Conv2d,), "dense": (nn.Linear,), "norm": (nn.BatchNorm2d,)}
    with torch.no_grad():
        for kind, types in kinds.items():
            names = [name for name in arrays if f"-{kind}-" in name]
            own = [tensor for layer in model.modules() if isinstance(layer, types) for tensor in _weights(layer)]
            for name, tensor in zip(names, own, strict=True):
                tensor.copy_(_as_here(arrays[name], tensor.shape))


def _weights(layer: Any) -> list[torch.Tensor]:
    averages = [layer.running_mean, layer.running_var] if isinstance(layer, nn.BatchNorm2d) else []
    return [one for one in (layer.weight, layer.bias, *averages) if one is not None]


def _as_here(array: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Kernels [height, width, in, out] as [out, in, height, width]; depthwise ones are [height, width, out, 1]."""
    if array.ndim == 4:
        depthwise = shape[1] == 1 and array.shape[3] == 1
        array = array.permute(2, 3, 0, 1) if depthwise else array.permute(3, 2, 0, 1)
    elif array.ndim == 2:
        array = array.T
    if array.shape != shape:
        raise ValueError(f"weights of shape {tuple(array.shape)}, expected {tuple(shape)}")
    return array


class Scaled(nn.Module):
    """Raw values times `scale`, plus `offset`."""

    def __init__(self, scale: float = 1 / 255, offset: float = 0.0):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset if self.offset else x * self.scale


class Flat(nn.Module):
    """Flattened as Keras does it, channels last, which here costs nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class Mean(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Maximum(nn.Module):
    """The maximum over all pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax((2, 3))


class Float(nn.Linear):
    """A last layer in float32 whatever the rest computes in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def _convolution(inside: int, outside: int, size: int = 3, stride: int = 1, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride, size // 2, bias=False, **how)


def _norm(channels: int, momentum: float = 0.1, eps: float = 1e-3) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps, momentum)


def _mlp(shape: tuple[int, ...], hidden: list[int]) -> nn.Module:
    widths = [int(np.prod(shape)), *hidden]
    pairs = [(nn.Linear(a, b), nn.ReLU(inplace=True)) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(Scaled(), *(one for pair in pairs for one in pair), Float(widths[-1], CLASSES))


def _lenet5(shape: tuple[int, ...]) -> nn.Module:
    side = (shape[0] // 2 - 2) // 2
    return nn.Sequential(
        Scaled(), nn.Conv2d(shape[-1], 6, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 3), nn.ReLU(inplace=True), nn.AvgPool2d(2), Flat(),
        nn.Linear(16 * side * side, 120), nn.ReLU(inplace=True),
        nn.Linear(120, 84), nn.ReLU(inplace=True), Float(84, CLASSES),
    )  # fmt: skip


def _cnn3(shape: tuple[int, ...]) -> nn.Module:
    def convolution(inside: int, outside: int) -> nn.Module:
        return nn.Conv2d(inside, outside, 5, padding=2)

    def average() -> nn.Module:
        return nn.AvgPool2d(3, 2, ceil_mode=True)

    side = shape[0] // 8
    return nn.Sequential(
        Scaled(), convolution(shape[-1], 32), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(inplace=True),
        convolution(32, 32), nn.ReLU(inplace=True), average(),
        convolution(32, 64), nn.ReLU(inplace=True), average(),
        Flat(), Float(64 * side * side, CLASSES),
    )  # fmt: skip


class Residual(nn.Module):
    """What goes in plus what `inside` makes of it; of two strides or more channels, every second pixel and zeros."""

    def __init__(self, inside: nn.Module, new: int = 0, stride: int = 1, last: nn.Module | None = None):
        super().__init__()
        self.inside, self.new, self.stride, self.last = inside, new, stride, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added = self.inside(x)
        x = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        x = pad(x, (0, 0, 0, 0, 0, self.new)) if self.new else x
        return self.last(x + added) if self.last is not None else x + added


def _resnet20(shape: tuple[int, ...]) -> nn.Module:
    layers = [Scaled(), _convolution(shape[-1], 16), _norm(16), nn.ReLU(inplace=True)]
    inside = 16
    for stage in range(3):
        for block in range(3):
            outside, stride = 16 * 2**stage, 2 if stage and not block else 1
            body = nn.Sequential(
                _convolution(inside, outside, 3, stride), _norm(outside), nn.ReLU(inplace=True),
                _convolution(outside, outside), _norm(outside),
            )  # fmt: skip
            layers.append(Residual(body, outside - inside, stride, nn.ReLU(inplace=True)))
            inside = outside
    return nn.Sequential(*layers, Mean(), Float(64, CLASSES))


def _resnet9(shape: tuple[int, ...], width: int) -> nn.Module:
    def unit(inside: int, outside: int) -> list[nn.Module]:
        return [_convolution(inside, outside), _norm(outside, eps=1e-5), nn.ReLU(inplace=True)]

    def pair(channels: int) -> nn.Module:
        return Residual(nn.Sequential(*unit(channels, channels), *unit(channels, channels)))

    last = Float(8 * width, CLASSES, bias=False)
    return nn.Sequential(
        Scaled(), *unit(shape[-1], width),
        *unit(width, 2 * width), nn.MaxPool2d(2), pair(2 * width),
        *unit(2 * width, 4 * width), nn.MaxPool2d(2),
        *unit(4 * width, 8 * width), nn.MaxPool2d(2), pair(8 * width),
        Maximum(), last, Scaled(0.125),
    )  # fmt: skip


class Shifted(nn.BatchNorm2d):
    """Batch normalisation without a scale of its own."""

    def __init__(self, channels: int, momentum: float):
        super().__init__(channels, 1e-5, momentum)
        self.weight = None


def _airbench(shape: tuple[int, ...], widths: Sequence[int] = (64, 128, 128)) -> nn.Module:
    whitening = nn.Conv2d(shape[-1], 8 * shape[-1], 2).requires_grad_(False)
    layers, inside = [Scaled(), whitening, nn.ReLU(inplace=True)], 8 * shape[-1]
    for outside in widths:
        layers += [_convolution(inside, outside), nn.MaxPool2d(2), Shifted(outside, 0.4), nn.ReLU(inplace=True)]
        layers += [_convolution(outside, outside), Shifted(outside, 0.4), nn.ReLU(inplace=True)]
        inside = outside
    return nn.Sequential(*layers, Maximum(), Float(inside, CLASSES, bias=False), Scaled(1 / 9))


class PreActivated(nn.Module):
    """A block of a wide residual network; its layers stand in the order in which Keras lists them."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.first = nn.Sequential(_norm(inside), nn.ReLU(inplace=True))
        self.body = nn.Sequential(_convolution(inside, outside, 3, stride), _norm(outside), nn.ReLU(inplace=True))
        same = inside == outside and stride == 1
        self.shortcut = None if same else _convolution(inside, outside, 1, stride)
        self.last = _convolution(outside, outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = self.first(x)
        return self.last(self.body(active)) + (x if self.shortcut is None else self.shortcut(active))


def _wide_resnet(shape: tuple[int, ...], depth: int = 16, widen_factor: int = 4) -> nn.Module:
    layers, inside = [Scaled(), _convolution(shape[-1], 16)], 16
    for stage in range(3):
        for block in range((depth - 4) // 6):
            outside = 16 * widen_factor * 2**stage
            layers.append(PreActivated(inside, outside, 2 if stage and not block else 1))
            inside = outside
    return nn.Sequential(*layers, _norm(inside), nn.ReLU(inplace=True), Mean(), Float(inside, CLASSES))


class Dense(nn.Module):
    """Adds channels to all that were before."""

    def __init__(self, inside: int, growth: int):
        super().__init__()
        self.new = nn.Sequential(_norm(inside), nn.ReLU(inplace=True), _convolution(inside, growth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.new(x)], 1)


def _densenet40(shape: tuple[int, ...]) -> nn.Module:
    layers, channels = [Scaled(), _convolution(shape[-1], 16)], 16
    for block in range(3):
        if block:
            narrow = _convolution(channels, channels, 1)
            layers += [_norm(channels), nn.ReLU(inplace=True), narrow, nn.AvgPool2d(2)]
        for _ in range(12):
            layers.append(Dense(channels, 12))
            channels += 12
    return nn.Sequential(*layers, _norm(channels), nn.ReLU(inplace=True), Mean(), Float(channels, CLASSES))


class Transferred(nn.Module):
    """A backbone, frozen or not, under a new head."""

    def __init__(self, body: nn.Module, channels: int, frozen: bool):
        super().__init__()
        self.body, self.head, self.frozen = body, nn.Sequential(Mean(), Float(channels, CLASSES)), frozen
        self.body.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Transferred:
        super().train(mode)
        self.body.train(mode and not self.frozen)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(not self.frozen):
            features = self.body(x)
        return self.head(features)


def _mobilenet_v2(shape: tuple[int, ...], weights: None = None, frozen: bool = True) -> nn.Module:
    def unit(inside: int, outside: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        convolution = _convolution(inside, outside, size, stride, groups=groups)
        return [convolution, _norm(outside, 0.001), nn.ReLU6(inplace=True)]

    layers, inside = [Scaled(1 / 127.5, -1.0), *unit(shape[-1], 32, 3, 2)], 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outside, blocks, first in stages:
        for block in range(blocks):
            stride, wide = first if not block else 1, expansion * inside
            widened = unit(inside, wide, 1) if expansion > 1 else []
            narrow = [_convolution(wide, outside, 1), _norm(outside, 0.001)]
            body = nn.Sequential(*widened, *unit(wide, wide, 3, stride, groups=wide), *narrow)
            layers.append(Residual(body) if stride == 1 and inside == outside else body)
            inside = outside
    return Transferred(nn.Sequential(*layers, *unit(inside, 1280, 1)), 1280, frozen)


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": _mlp,
    "lenet5": _lenet5,
    "cnn3": _cnn3,
    "resnet20": _resnet20,
    "resnet9": _resnet9,
    "airbench": _airbench,
    "wide_resnet": _wide_resnet,
    "densenet40": _densenet40,
    "mobilenet_v2": _mobilenet_v2,
}
