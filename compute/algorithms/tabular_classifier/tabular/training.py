"""From a table and parameters to a trained model and its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .faults import TaskError
from .network import Plan, Share, Trained, forward, train
from .preprocessing import Preprocessing
from .scores import score
from .table import Table, labels

MIN_CLASS_ROWS = 10
MAX_CLASSES = 100


@dataclass(frozen=True)
class Task:
    """What to learn. features: empty for every usable column. validation_share: of the rows of each class."""

    target: str
    features: Sequence[str]
    validation_share: float
    plan: Plan


@dataclass(frozen=True)
class Result:
    """preprocessing and weights apply the model; metrics is a JSON object."""

    preprocessing: Preprocessing
    trained: Trained
    metrics: dict[str, Any]


def run(table: Table, task: Task, progress: Callable[[int], None]) -> Result:
    """Trains on the table. Raises TaskError where table and task do not fit."""
    truth, classes = _target(table, task.target)
    train_rows, stop_rows = split(truth, len(classes), task.validation_share, task.plan.seed)
    preprocessing = Preprocessing.fit(
        table, train_rows, target=task.target, classes=classes, features=task.features
    )
    inputs = preprocessing.apply(table)
    stop_by = Share.of(inputs[stop_rows], truth[stop_rows])
    trained = train(
        Share.of(inputs[train_rows], truth[train_rows]),
        stop_by,
        classes=len(classes),
        plan=task.plan,
        progress=progress,
    )
    if not trained.curve:
        raise TaskError("the loss is not finite after the first epoch; a lower learning rate may help")
    with torch.no_grad():
        predicted = forward(list(trained.weights.values()), stop_by.inputs).argmax(dim=1).numpy()
    counts = {name: int(count) for name, count in zip(classes, np.bincount(truth[truth >= 0]), strict=True)}
    metrics = {
        "format": "tabular-classifier-metrics/1",
        "target": task.target,
        "rows": {
            "train": len(train_rows),
            "validation": len(stop_rows),
            "without_target": int((truth < 0).sum()),
        },
        "classes": counts,
        "features": {"used": preprocessing.width, "ignored_columns": len(preprocessing.ignored)},
        "validation": score(truth[stop_rows], predicted, classes),
        "epochs_run": len(trained.curve),
        "best_epoch": trained.best,
        "loss_curve": [{"train": loss, "validation": stop} for loss, stop in trained.curve],
    }
    return Result(preprocessing, trained, metrics)


def split(
    truth: NDArray[np.int64], classes: int, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the rows to train on and to stop by: of each class the same share, at least one row on each side."""
    random = np.random.default_rng(seed)
    train_rows: list[NDArray[np.int64]] = []
    stop_rows: list[NDArray[np.int64]] = []
    for index in range(classes):
        rows = random.permutation(np.flatnonzero(truth == index))
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        stop_rows.append(rows[:count])
        train_rows.append(rows[count:])
    return np.sort(np.concatenate(train_rows)), np.sort(np.concatenate(stop_rows))


def _target(table: Table, target: str) -> tuple[NDArray[np.int64], list[str]]:
    if target in table.unusable:
        raise TaskError(f"the target `{target}` is neither of numbers, truth values nor texts")
    if target not in table.columns:
        raise TaskError(f"the target `{target}` is not a column of the table")
    truth, classes = labels(table.columns[target])
    if len(classes) < 2:
        raise TaskError(f"the target `{target}` is constant: two classes are needed")
    if len(classes) > MAX_CLASSES:
        raise TaskError(f"the target `{target}` has more than {MAX_CLASSES} different values: not classes")
    if np.bincount(truth[truth >= 0]).min() < MIN_CLASS_ROWS:
        raise TaskError(
            f"a class of the target `{target}` has too few rows: {MIN_CLASS_ROWS} are needed of each"
        )
    return truth, classes
