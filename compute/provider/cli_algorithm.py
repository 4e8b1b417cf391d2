"""`steelyard algorithm list` and `steelyard model evaluate`: ready-made algorithms and what they made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from compute.algorithms import builtin, bundle_of
from marketplace.cli.output import short, table
from marketplace.cli.session import session
from marketplace.core import bundle


def algorithm_list(context: typer.Context) -> None:
    """The ready-made algorithms and their digests."""
    here = session(context)
    rows: list[dict[str, Any]] = []
    for name in sorted(builtin()):
        data = bundle_of(name)
        manifest = bundle.parse_bundle(data).manifest
        rows.append({"name": name, "digest": bundle.digest(data), "description": manifest.description})
    cells = [(row["name"], short(row["digest"].hex()), row["description"]) for row in rows]
    here.output.result(
        {"algorithms": rows}, [table("Ready-made algorithms", ("name", "SHA-256", "what"), cells)]
    )


def model_evaluate(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="an opened result")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet with rows that the model has not seen")],
    target: Annotated[str, typer.Option(help="the column to predict")],
) -> None:
    """Score a delivered model on rows of your own."""
    here = session(context)
    from compute.algorithms.tabular_classifier.model import evaluate  # numpy only where it is used

    started = time.monotonic()
    scores = evaluate(folder, data, target)
    here.output.result(
        {**scores, "seconds": round(time.monotonic() - started, 3)},
        [
            f"balanced accuracy {scores['balanced_accuracy']:.4f} on {scores['rows']} rows",
            f"always guessing the most frequent class: {scores['majority_baseline']:.4f}",
        ],
    )
