"""Scores of predicted classes against the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def score(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Scores as a JSON object.

    truth, predicted: [rows], positions in `classes`. balanced_accuracy: the mean recall of the classes that occur.
    majority_baseline: the balanced accuracy of always guessing the most frequent class, 1 / classes that occur;
    majority_accuracy: its plain accuracy. confusion: rows are true classes, columns predicted ones.
    """
    size = len(classes)
    confusion = np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size)
    counts = confusion.sum(axis=1)
    occur = np.flatnonzero(counts)
    recall = confusion[occur, occur] / counts[occur]
    return {
        "rows": int(counts.sum()),
        "balanced_accuracy": float(recall.mean()),
        "majority_baseline": 1.0 / len(occur),
        "accuracy": float(np.trace(confusion) / counts.sum()),
        "majority_accuracy": float(counts.max() / counts.sum()),
        "per_class_recall": {
            classes[index]: float(value) for index, value in zip(occur.tolist(), recall, strict=True)
        },
        "confusion": {"classes": list(classes), "counts": confusion.tolist()},
    }
