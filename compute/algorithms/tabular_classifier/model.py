"""The buyer's side of the tabular classifier: opens a delivered model, applies it and scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compute.algorithms.tabular_classifier.tabular.faults import TaskError
from compute.algorithms.tabular_classifier.tabular.preprocessing import Preprocessing
from compute.algorithms.tabular_classifier.tabular.scores import score
from compute.algorithms.tabular_classifier.tabular.table import Table, labels
from compute.formats import Weights, parse_weights
from marketplace.core.canonical import parse_json
from marketplace.errors import InputError

MAX_FILE_BYTES = 64 * 1024 * 1024

TableLike: TypeAlias = Path | Mapping[str, Sequence[Any]] | Table
"""A CSV or Parquet file, columns by name, or a table already read."""


@dataclass(frozen=True)
class Classifier:
    """A model and how to apply it. layers: matrix [out, in] and bias [out] of each layer, float32."""

    preprocessing: Preprocessing
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]]

    def predict(self, table: TableLike) -> list[str]:
        """The class of each row, by its name. Raises InputError where the table lacks a column."""
        classes = self.preprocessing.classes
        return [classes[position] for position in self._positions(_table(table))]

    def _positions(self, table: Table) -> NDArray[np.int64]:
        try:
            value = self.preprocessing.apply(table)
        except TaskError as error:
            raise _input_error(error) from None
        for index, (matrix, bias) in enumerate(self.layers):
            value = (np.maximum(value, 0) if index else value) @ matrix.T + bias
        return np.asarray(value.argmax(axis=1), dtype=np.int64)


def load(folder: Path) -> Classifier:
    """The classifier in a folder of delivered files, each verified before use.

    Raises InputError where a file is missing, or weights and preprocessing do not fit each other exactly.
    """
    document = parse_json(
        _read(folder / "preprocessing.json"), what="preprocessing.json", limit=MAX_FILE_BYTES
    )
    try:
        preprocessing = Preprocessing.from_json(document)
    except TaskError as error:
        raise _input_error(error) from None
    weights = parse_weights(_read(folder / "model.safetensors"))
    return Classifier(preprocessing, _layers(weights, preprocessing.width, len(preprocessing.classes)))


def evaluate(folder: Path, table: TableLike, target: str) -> dict[str, Any]:
    """Scores of the model in `folder` on rows that it has not seen.

    target: the column of true classes; rows where it is missing are left out, a class that the model does not know
    counts as wrong. Returns rows, balanced_accuracy (the mean recall of the classes that occur), majority_baseline
    (the balanced accuracy of always guessing the most frequent class), accuracy, majority_accuracy,
    per_class_recall and confusion. Raises InputError.
    """
    classifier = load(folder)
    rows = _table(table)
    if target not in rows.columns:
        raise InputError(
            "the table has no such target", got=target, expected=", ".join(list(rows.columns)[:20])
        )
    truth, names = labels(rows.columns[target])
    classes = [*classifier.preprocessing.classes]
    classes += [name for name in names if name not in classes]
    places = np.array([classes.index(name) for name in names], dtype=np.int64)
    present = truth >= 0
    if not present.any():
        raise InputError("the target has no values", got=target)
    return score(places[truth[present]], classifier._positions(rows)[present], classes)


def _layers(
    weights: Weights, inputs: int, classes: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The layers in order. Raises InputError unless names, types and shapes are exactly those of one perceptron."""
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    width = inputs
    for index in range(len(weights.tensors) // 2):
        matrix = _array(weights, f"layers.{index}.weight", dimensions=2)
        bias = _array(weights, f"layers.{index}.bias", dimensions=1)
        if matrix.shape != (len(bias), width):
            raise InputError(
                "the weights do not fit each other",
                got=f"layer {index}: {matrix.shape}",
                expected=f"[out, {width}]",
            )
        width = len(bias)
        layers.append((matrix, bias))
    if not layers or len(weights.tensors) % 2 or width != classes:
        raise InputError(
            "the weights do not fit the preprocessing", got=f"{width} outputs", expected=f"{classes}"
        )
    return layers


def _array(weights: Weights, name: str, *, dimensions: int) -> NDArray[np.float32]:
    tensor = weights.tensors.get(name)
    if tensor is None or tensor.dtype != "F32" or len(tensor.shape) != dimensions:
        raise InputError(
            "the weights are not a perceptron's", got=tensor and tensor.shape, expected=f"`{name}`, F32"
        )
    return np.frombuffer(tensor.data, dtype="<f4").reshape(tensor.shape)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError("the file is too large", got=path.name, expected=f"<= {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError:
        raise InputError(
            "the model lacks a file", got=path, do="Name the folder of an opened result"
        ) from None


def _table(table: TableLike) -> Table:
    try:
        if isinstance(table, Table):
            return table
        return Table.read(table) if isinstance(table, Path) else Table.of(table)
    except TaskError as error:
        raise _input_error(error) from None


def _input_error(error: TaskError) -> InputError:
    return InputError(str(error), do="Give a table and a model that fit each other")
