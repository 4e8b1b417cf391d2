"""The multilayer perceptron, and its training by Adam.

`torch.optim` is not used: its first import brings in a compiler that takes longer than most trainings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Plan:
    """How to train. hidden_layers: their widths. learning_rate, weight_decay: of decoupled Adam, dimensionless."""

    hidden_layers: Sequence[int]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int


@dataclass(frozen=True)
class Share:
    """Rows to learn from or to stop by. inputs: float32 [rows, width]. truth: int64 [rows], positions of classes."""

    inputs: Tensor
    truth: Tensor

    @classmethod
    def of(cls, inputs: NDArray[np.float32], truth: NDArray[np.int64]) -> Share:
        return cls(torch.from_numpy(inputs), torch.from_numpy(truth))


@dataclass(frozen=True)
class Trained:
    """weights: by name, float32. curve: of each epoch the loss on both shares, in nats. best: the epoch, from 1."""

    weights: dict[str, Tensor]
    curve: list[tuple[float, float]]
    best: int


def shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights. widths: inputs, hidden layers, classes."""
    result: dict[str, tuple[int, ...]] = {}
    for index, (before, after) in enumerate(pairwise(widths)):
        result[f"layers.{index}.weight"] = (after, before)
        result[f"layers.{index}.bias"] = (after,)
    return result


def forward(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Scores of the classes before softmax, [rows, classes]. weights: matrix and bias of each layer in turn."""
    value = torch.addmm(weights[1], inputs, weights[0].T)
    for index in range(2, len(weights), 2):
        value = torch.addmm(weights[index + 1], torch.relu(value), weights[index].T)
    return value


def train(
    train_on: Share, stop_by: Share, *, classes: int, plan: Plan, progress: Callable[[int], None]
) -> Trained:
    """Minimises the cross entropy, each class weighted by its rarity; keeps the weights of the best epoch.

    progress: called after each epoch with its number. The same shares and plan give the same weights on one machine.
    """
    torch.set_num_threads(1)  # batches are small: threads would only wait for each other
    order = torch.Generator().manual_seed(plan.seed)
    names = shapes([train_on.inputs.shape[1], *plan.hidden_layers, classes])
    flat, weights = _initial(list(names.values()), order)
    class_weights = _rarity(train_on.truth, classes)
    adam = _Adam(flat, plan.learning_rate, plan.weight_decay)
    curve: list[tuple[float, float]] = []
    best, best_flat = 0, flat.clone()
    for epoch in range(1, plan.epochs + 1):
        loss = _epoch(weights, adam, train_on, class_weights, plan.batch_size, order)
        with torch.no_grad():
            stop_loss = cross_entropy(forward(weights, stop_by.inputs), stop_by.truth, class_weights).item()
        if not (math.isfinite(loss) and math.isfinite(stop_loss)):
            break
        curve.append((loss, stop_loss))
        progress(epoch)
        if stop_loss <= min(stop for _, stop in curve):
            best, best_flat = epoch, flat.clone()
        elif epoch - best >= plan.patience:
            break
    flat.copy_(best_flat)
    return Trained(dict(zip(names, (weight.detach() for weight in weights), strict=True)), curve, best)


def _initial(sizes: list[tuple[int, ...]], order: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """One vector of all weights, and the layers' own leaves as views of it."""
    flat = torch.zeros(sum(math.prod(size) for size in sizes))
    weights: list[Tensor] = []
    start = 0
    for size in sizes:
        view = flat[start : start + math.prod(size)].view(size)
        if len(size) == 2:
            view.normal_(std=math.sqrt(2 / size[1]), generator=order)
        weights.append(view.detach().requires_grad_())
        start += math.prod(size)
    return flat, weights


def _rarity(truth: Tensor, classes: int) -> Tensor:
    counts = torch.bincount(truth, minlength=classes).float()
    return len(truth) / (classes * counts)


def _epoch(
    weights: list[Tensor],
    adam: _Adam,
    share: Share,
    class_weights: Tensor,
    batch_size: int,
    order: torch.Generator,
) -> float:
    """One pass in random order; the mean loss of its batches."""
    rows = torch.randperm(len(share.truth), generator=order)
    inputs, truth = share.inputs[rows], share.truth[rows]
    total, steps = torch.zeros(()), 0
    for part, expected in zip(torch.split(inputs, batch_size), torch.split(truth, batch_size), strict=True):
        loss = cross_entropy(forward(weights, part), expected, class_weights)
        adam.step(torch.cat([gradient.reshape(-1) for gradient in torch.autograd.grad(loss, weights)]))
        total += loss.detach()
        steps += 1
    return total.item() / steps


class _Adam:
    """AdamW on one flat vector. Source: Loshchilov and Hutter 2019, algorithm 2."""

    def __init__(self, flat: Tensor, learning_rate: float, weight_decay: float) -> None:
        self.flat, self.rate, self.decay = flat, learning_rate, weight_decay
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = 0

    def step(self, gradient: Tensor) -> None:
        self.steps += 1
        self.mean.lerp_(gradient, 1 - _BETA1)
        self.square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        scale = math.sqrt(1 - _BETA2**self.steps)
        self.flat.mul_(1 - self.rate * self.decay)
        size = -self.rate * scale / (1 - _BETA1**self.steps)
        self.flat.addcdiv_(self.mean, self.square.sqrt().add_(_TINY * scale), value=size)
