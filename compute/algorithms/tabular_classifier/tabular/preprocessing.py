"""How rows of a table become the model's input: fitted on the training rows, applied anywhere from its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .faults import TaskError
from .table import Numbers, Table, Words

FORMAT = "tabular-classifier/1"
CLIP = 10.0
MAX_CATEGORIES = 32
MIN_CATEGORY_ROWS = 20
"""A text that fewer training rows hold is never named in the output: it could be a person's."""


@dataclass(frozen=True)
class NumericColumn:
    """median replaces what is missing; mean and std standardise. All in the column's own unit."""

    name: str
    median: float
    mean: float
    std: float


@dataclass(frozen=True)
class CategoricalColumn:
    """categories: each becomes one input of 0 or 1; every other text, and a missing one, is all zeros."""

    name: str
    categories: list[str]


@dataclass(frozen=True)
class Preprocessing:
    """What turns a table into the model's input [rows, width] and the model's answer into a class."""

    target: str
    classes: list[str]
    numeric: list[NumericColumn]
    categorical: list[CategoricalColumn]
    ignored: list[str]

    @property
    def width(self) -> int:
        """Inputs of the model."""
        return len(self.numeric) + sum(len(column.categories) for column in self.categorical)

    @classmethod
    def fit(
        cls,
        table: Table,
        train: NDArray[np.int64],
        *,
        target: str,
        classes: Sequence[str],
        features: Sequence[str],
    ) -> Preprocessing:
        """Statistics of the rows `train` (positions). features: empty for every usable column but the target.

        Raises TaskError where a feature is missing or none is usable.
        """
        names = list(dict.fromkeys(features)) or [name for name in table.columns if name != target]
        numeric: list[NumericColumn] = []
        categorical: list[CategoricalColumn] = []
        ignored = [] if features else list(table.unusable)
        for name in names:
            fitted = _fit_column(name, _feature(table, name, target), train)
            if isinstance(fitted, NumericColumn):
                numeric.append(fitted)
            elif isinstance(fitted, CategoricalColumn):
                categorical.append(fitted)
            else:
                ignored.append(name)
        if not numeric and not categorical:
            raise TaskError(
                "no column is usable as a feature: numbers, truth values or repeated categories are needed"
            )
        return cls(target, list(classes), numeric, categorical, ignored)

    def apply(self, table: Table) -> NDArray[np.float32]:
        """The model's input, float32 [rows, width]. Raises TaskError where a column is missing or of another type."""
        inputs = np.zeros((table.rows, self.width), dtype=np.float32)
        for index, numeric in enumerate(self.numeric):
            values = _column_of(table, numeric.name)
            if isinstance(values, Words):
                raise TaskError(f"column `{numeric.name}` holds texts, numbers are expected")
            filled = np.where(np.isnan(values), numeric.median, values)
            inputs[:, index] = np.clip((filled - numeric.mean) / numeric.std, -CLIP, CLIP)
        start = len(self.numeric)
        for categorical in self.categorical:
            words = _as_words(_column_of(table, categorical.name))
            for offset, category in enumerate(categorical.categories):
                if category in words.values:
                    inputs[:, start + offset] = words.codes == words.values.index(category)
            start += len(categorical.categories)
        return inputs

    def to_json(self) -> dict[str, Any]:
        """A JSON object, read back by `from_json`."""
        return {
            "format": FORMAT,
            "inputs": "numeric columns in order, then one input for each category in order",
            "numeric_rule": f"missing becomes the median; (value - mean) / std; clipped to +-{CLIP:g}",
            "categorical_rule": "1 where the text equals the category, else 0",
            **asdict(self),
        }

    @classmethod
    def from_json(cls, value: Any) -> Preprocessing:
        """The reverse of `to_json`. Raises TaskError for every other value."""
        try:
            if value["format"] != FORMAT:
                raise TaskError(f"the preprocessing is not of format {FORMAT}")
            if len(set(_texts(value["classes"]))) < max(2, len(value["classes"])):
                raise TaskError("the preprocessing needs two classes or more, each named once")
            return cls(
                target=_text(value["target"]),
                classes=_texts(value["classes"]),
                numeric=[_numeric(item) for item in value["numeric"]],
                categorical=[
                    CategoricalColumn(_text(item["name"]), _texts(item["categories"]))
                    for item in value["categorical"]
                ],
                ignored=_texts(value["ignored"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise TaskError("the preprocessing lacks a field or holds one of a wrong type") from None


def _feature(table: Table, name: str, target: str) -> Numbers | Words:
    if name == target:
        raise TaskError(f"the target `{target}` is also a feature")
    return _column_of(table, name)


def _column_of(table: Table, name: str) -> Numbers | Words:
    if name in table.unusable:
        raise TaskError(f"column `{name}` is neither of numbers, truth values nor texts")
    if name not in table.columns:
        raise TaskError(f"column `{name}` is not in the table")
    return table.columns[name]


def _fit_column(
    name: str, column: Numbers | Words, train: NDArray[np.int64]
) -> NumericColumn | CategoricalColumn | None:
    if isinstance(column, Words):
        codes = column.codes[train]
        counts = np.bincount(codes[codes >= 0], minlength=len(column.values))
        order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
        categories = [column.values[code] for code in order if counts[code] >= MIN_CATEGORY_ROWS]
        return CategoricalColumn(name, sorted(categories)) if categories else None
    values = column[train]
    present = values[~np.isnan(values)]
    if not present.size:
        return None
    median = float(np.median(present))
    filled = np.where(np.isnan(values), median, values)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(filled.mean()), float(filled.std())
    if not np.isfinite(mean) or not np.isfinite(std):
        return None
    return NumericColumn(name, median, mean, std if std > 0 else 1.0)


def _as_words(column: Numbers | Words) -> Words:
    """Categories that look like numbers are read as numbers from a file that holds no other."""
    if isinstance(column, Words):
        return column
    from .table import labels

    codes, names = labels(column)
    return Words(codes.astype(np.int32), names)


def _numeric(item: Mapping[str, Any]) -> NumericColumn:
    values = [float(item[key]) for key in ("median", "mean", "std")]
    if not np.all(np.isfinite(values)) or values[2] <= 0:
        raise ValueError
    return NumericColumn(_text(item["name"]), *values)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_text(item) for item in value]
