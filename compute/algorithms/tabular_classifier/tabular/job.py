"""One run inside the sandbox: where inputs lie, what is written, how progress and faults are told.

Paths are relative to the working directory, which is `/` in the sandbox: `data/inputs/<id>/0` is the table, or its
first part, with 1, 2... beside it; the id comes from the environment variable DIDS (a JSON list);
`data/inputs/algoCustomData.json` holds the parameters.
Exit codes: 0 done, 2 the table or the parameters do not fit, with the reason in a line `::error "text"` on stdout,
which a node hands on to the buyer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tomllib
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import TaskError

if TYPE_CHECKING:
    from .training import Result

DATA = Path("data")
MAX_ERROR = 300
MANIFEST = Path(__file__).parent.parent / "algorithm.toml"


def main() -> int:
    """Runs the job; returns the exit code."""
    try:
        _run()
    except TaskError as error:
        sys.stdout.write(f"::error {json.dumps(str(error)[:MAX_ERROR])}\n")
        return 2
    return 0


def _run() -> None:
    parameters = _parameters()
    epochs = parameters["epochs"]
    _progress(0, epochs)
    # Imported late: torch takes seconds, and the line above tells that the job has begun.
    from .network import Plan
    from .table import Table
    from .training import Task, run

    plan_fields = ("hidden_layers", "batch_size", "learning_rate", "weight_decay", "patience", "seed")
    task = Task(
        target=parameters["target"],
        features=parameters.get("features", []),
        validation_share=parameters["validation_share"],
        plan=Plan(epochs=epochs, **{name: parameters[name] for name in plan_fields}),
    )
    result = run(Table.read(*_inputs()), task, lambda done: _progress(done, epochs))
    _write(result, DATA / "outputs")


def _progress(done: int, of: int) -> None:
    sys.stdout.write(f"::progress {json.dumps({'done': done, 'of': of})}\n")
    sys.stdout.flush()


def _parameters() -> dict[str, Any]:
    """Those given over the manifest's defaults; the node has checked them against the manifest's schema."""
    schema = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["parameters"]["properties"]
    defaults = {name: entry["default"] for name, entry in schema.items() if "default" in entry}
    path = DATA / "inputs" / "algoCustomData.json"
    try:
        given = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError:
        raise TaskError("algoCustomData.json is not JSON") from None
    if not isinstance(given, dict) or not isinstance(given.get("target"), str):
        raise TaskError("the parameter `target` is missing: name the column to predict")
    return {**defaults, **given}


def _inputs() -> list[Path]:
    """The table, or its parts in their order."""
    try:
        (name,) = json.loads(os.environ.get("DIDS", "[]"))
    except ValueError:
        raise TaskError("DIDS must be a JSON list of one dataset") from None
    inputs = DATA / "inputs"
    folders = (inputs / str(name), inputs / hashlib.sha256(str(name).encode()).hexdigest())
    for folder in folders:
        if (folder / "0").is_file():
            return list(takewhile(Path.is_file, (folder / str(number) for number in count())))
    raise TaskError("the dataset of DIDS is not among the inputs")


def _write(result: Result, outputs: Path) -> None:
    from safetensors.torch import save

    from .curve import draw

    (outputs / "model.safetensors").write_bytes(save(result.trained.weights))
    for name, value in (("preprocessing", result.preprocessing.to_json()), ("metrics", result.metrics)):
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
        (outputs / f"{name}.json").write_text(text, encoding="utf-8")
    (outputs / "curve.png").write_bytes(draw(result.trained.curve, result.trained.best))
