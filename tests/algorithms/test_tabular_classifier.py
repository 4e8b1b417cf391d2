"""The tabular classifier, from its bundle to a scored model."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from compute.algorithms import builtin, bundle_of
from compute.algorithms.tabular_classifier.model import evaluate, load
from compute.formats import parse_weights, write_weights
from compute.provider.release import review
from marketplace.core.bundle import digest, parse_bundle
from marketplace.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from tests.algorithms.conftest import Run, Runner, Shuttle

ALLOWED = {"torch", "numpy", "pandas", "pyarrow", "safetensors", "matplotlib", "tabular"}


def table(rows: int = 400, seed: int = 0) -> dict[str, list[Any]]:
    """A table that can be learnt from numbers, truth values and categories, with gaps."""
    random = np.random.default_rng(seed)
    x, flag = random.normal(size=rows), random.random(rows) < 0.5
    colour = random.choice(["red", "green", "blue"], rows)
    fault = (x + flag + (colour == "red")) > 1
    gaps = random.random(rows) < 0.1
    return {
        "x": [None if gap else float(value) for value, gap in zip(x, gaps, strict=True)],
        "flag": [bool(value) for value in flag],
        "colour": [str(value) for value in colour],
        "name": [f"person {number}" for number in range(rows)],
        "day": [f"2026-01-{1 + number % 28:02}" for number in range(rows)],
        "fault": ["broken" if value else "whole" for value in fault],
    }


def csv_of(columns: dict[str, list[Any]]) -> bytes:
    text = {None: "", True: "true", False: "false"}
    rows = zip(*columns.values(), strict=True)
    lines = [
        ",".join(str(text.get(cell, cell)) if cell in (None, True, False) else str(cell) for cell in row)
        for row in rows
    ]
    return "\n".join([",".join(columns), *lines, ""]).encode()


def parquet_of(columns: dict[str, list[Any]], folder: Path) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), folder / "table.parquet")
    return (folder / "table.parquet").read_bytes()


def progress(run: Run) -> list[dict[str, int]]:
    lines = [
        line.removeprefix("::progress ") for line in run.stdout.splitlines() if line.startswith("::progress ")
    ]
    return [json.loads(line) for line in lines]


def test_the_bundle_holds_what_travels_and_nothing_else() -> None:
    bundle = parse_bundle(bundle_of("tabular-classifier"))
    assert {"algorithm.toml", "algorithm.py", "tabular/__init__.py", "tabular/job.py"} <= set(bundle.files)
    assert not [name for name in bundle.files if "model" in name or "cache" in name]
    assert digest(bundle_of("tabular-classifier")) == digest(bundle_of("tabular-classifier"))


def test_the_bundle_imports_only_what_the_sandbox_has() -> None:
    for name, content in parse_bundle(bundle_of("tabular-classifier")).files.items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for imported in names:
                assert imported.split(".")[0] in ALLOWED | sys.stdlib_module_names, (name, imported)


def test_an_unknown_algorithm_is_not_found() -> None:
    assert list(builtin()) == ["tabular-classifier"]
    with pytest.raises(NotFoundError):
        bundle_of("nothing")


@pytest.mark.slow
def test_a_trained_model_passes_the_release_and_scores_well(run_bundle: Runner, tmp_path: Path) -> None:
    run = run_bundle(
        csv_of(table()), {"target": "fault", "epochs": 40, "batch_size": 32, "hidden_layers": [16]}
    )
    assert (run.exit_code, run.stderr) == (0, "")
    manifest = parse_bundle(bundle_of("tabular-classifier")).manifest
    released = review(run.outputs, manifest, opaque_allowed=False)
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    for name, content in released.files.items():
        (delivered / name).write_bytes(content)
    unseen = table(300, seed=1)
    scores = evaluate(delivered, unseen, "fault")
    assert scores["balanced_accuracy"] > 0.85
    assert scores["rows"] == 300
    assert scores["majority_baseline"] == 0.5
    assert set(scores["per_class_recall"]) == {"broken", "whole"}
    predicted = load(delivered).predict(unseen)
    agree = np.array(predicted) == np.array(unseen["fault"])
    assert agree.mean() == pytest.approx(scores["accuracy"])


def test_the_outputs_say_what_was_done(run_here: Runner) -> None:
    run = run_here(csv_of(table()), {"target": "fault", "epochs": 3, "patience": 3})
    preprocessing, metrics = run.json("preprocessing.json"), run.json("metrics.json")
    assert [column["name"] for column in preprocessing["numeric"]] == ["x", "flag"]
    assert preprocessing["categorical"] == [{"name": "colour", "categories": ["blue", "green", "red"]}]
    assert preprocessing["classes"] == ["broken", "whole"]
    assert set(preprocessing["ignored"]) == {"name", "day"}
    assert metrics["rows"] == {"train": 320, "validation": 80, "without_target": 0}
    assert metrics["epochs_run"] == len(metrics["loss_curve"]) == 3
    assert sum(map(sum, metrics["validation"]["confusion"]["counts"])) == 80


def test_the_entrypoint_runs_under_its_own_name_too(run_bundle: Runner) -> None:
    run = run_bundle(csv_of(table()), {"target": "price"}, entry="algorithm.py")
    assert (run.exit_code, run.stdout.splitlines()[0]) == (2, '::progress {"done": 0, "of": 20}')


def test_a_text_that_few_rows_hold_is_never_written_out(run_here: Runner) -> None:
    run = run_here(csv_of(table()), {"target": "fault", "features": ["x", "name"], "epochs": 1})
    assert run.exit_code == 0
    assert not [path.name for path in run.outputs.iterdir() if b"person 1" in path.read_bytes()]


def test_progress_counts_epochs_from_zero_in_whole_numbers(run_here: Runner) -> None:
    run = run_here(csv_of(table()), {"target": "fault", "epochs": 3, "patience": 3})
    assert run.stdout.splitlines()[0] == '::progress {"done": 0, "of": 3}'
    assert progress(run) == [{"done": done, "of": 3} for done in range(4)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(run_here: Runner) -> None:
    data = csv_of(table())
    first, again, other = (
        run_here(data, {"target": "fault", "epochs": 2, "seed": seed}) for seed in (1, 1, 2)
    )
    for name in ("model.safetensors", "preprocessing.json", "metrics.json", "curve.png"):
        assert (first.outputs / name).read_bytes() == (again.outputs / name).read_bytes()
    assert (first.outputs / "model.safetensors").read_bytes() != (
        other.outputs / "model.safetensors"
    ).read_bytes()


def test_parquet_is_read_and_gives_the_same_classes(run_here: Runner, tmp_path: Path) -> None:
    columns = table()
    del columns["day"]  # a date in CSV, a text in this Parquet file
    one = run_here(csv_of(columns), {"target": "fault", "epochs": 1})
    two = run_here(parquet_of(columns, tmp_path), {"target": "fault", "epochs": 1})
    assert two.exit_code == 0, two.stderr
    assert one.json("preprocessing.json") == two.json("preprocessing.json")
    assert evaluate(two.outputs, tmp_path / "table.parquet", "fault")["rows"] == 400


def test_rows_without_a_target_are_left_out_and_counted(run_here: Runner) -> None:
    columns = table()
    columns["fault"][:7] = [None] * 7
    run = run_here(csv_of(columns), {"target": "fault", "epochs": 1})
    assert run.json("metrics.json")["rows"]["without_target"] == 7


def test_training_stops_early_and_keeps_the_best_epoch(run_here: Runner) -> None:
    columns = table(120)
    random = np.random.default_rng(3)
    columns["fault"] = [str(value) for value in random.choice(["a", "b"], 120)]
    run = run_here(csv_of(columns), {"target": "fault", "epochs": 500, "patience": 3, "learning_rate": 0.05})
    metrics = run.json("metrics.json")
    losses = [point["validation"] for point in metrics["loss_curve"]]
    assert metrics["epochs_run"] < 500
    assert metrics["epochs_run"] == metrics["best_epoch"] + 3
    assert min(losses) == losses[metrics["best_epoch"] - 1]


def changed(**columns: Any) -> dict[str, list[Any]]:
    return {**table(), **columns}


FAULTS = [
    (csv_of(table()), {"target": "price"}, "`price` is not a column"),
    (csv_of(changed(fault=["same"] * 400)), {"target": "fault"}, "constant"),
    (csv_of(changed(fault=[""] * 400)), {"target": "fault"}, "neither of numbers"),
    (csv_of(changed(fault=["rare"] * 3 + ["often"] * 397)), {"target": "fault"}, "too few rows"),
    (csv_of(table()), {"target": "name"}, "more than 100"),
    (csv_of(table()), {"target": "day"}, "neither of numbers"),
    (csv_of(table()), {"target": "fault", "features": ["fault"]}, "also a feature"),
    (csv_of(table()), {"target": "fault", "features": ["y"]}, "`y` is not in the table"),
    (csv_of(table()), {"target": "fault", "features": ["day"]}, "`day` is neither"),
    (csv_of(table()), {"target": "fault", "features": ["name"]}, "no column is usable"),
    (csv_of({"fault": table()["fault"]}), {"target": "fault"}, "no column is usable"),
    (b"", {"target": "fault"}, "empty"),
    (b"x,fault\n", {"target": "fault"}, "no rows"),
    (b"x,x,fault\n1,2,3\n", {"target": "fault"}, "same name"),
    (b"x,fault\n1,a\nsecret 4711\n", {"target": "fault"}, "neither CSV"),
    (b"PAR1 and then nothing of the kind", {"target": "fault"}, "neither CSV"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "parameters", "words"), FAULTS, ids=[words for _, _, words in FAULTS])
def test_a_table_that_does_not_fit_ends_with_code_2_and_one_line(
    run_here: Runner, data: bytes, parameters: dict[str, Any], words: str
) -> None:
    run = run_here(data, {**parameters, "epochs": 1})
    assert run.exit_code == 2
    assert run.stderr == ""
    said = [line for line in run.stdout.splitlines() if not line.startswith("::progress ")]
    assert len(said) == 1
    assert re.search(words, json.loads(said[0].removeprefix("::error ")))
    assert "4711" not in run.stdout
    assert not list(run.outputs.iterdir())


@pytest.fixture
def model(run_here: Runner) -> Path:
    return run_here(csv_of(table()), {"target": "fault", "epochs": 1}).outputs


def tamper_weights(folder: Path, change: str) -> None:
    path = folder / "model.safetensors"
    weights = parse_weights(path.read_bytes())
    tensors = dict(weights.tensors)
    if change == "missing":
        del tensors["layers.0.bias"]
    elif change == "renamed":
        tensors["layers.9.bias"] = tensors.pop("layers.0.bias")
    else:
        tensors["extra"] = tensors["layers.0.bias"]
    path.write_bytes(write_weights(type(weights)(tensors, weights.framework)))


@pytest.mark.parametrize("change", ["missing", "renamed", "extra"])
def test_loading_refuses_weights_of_other_names(model: Path, change: str) -> None:
    tamper_weights(model, change)
    with pytest.raises(InputError):
        load(model)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "other/1"), ("classes", ["one"]), ("classes", ["a", "a"]), ("classes", ["a", "b", "c"]),
        ("numeric", []),
        ("numeric", [{"name": "x", "median": 0, "mean": 0, "std": 0}]), ("numeric", 5), ("categorical", [{"name": 1}]),
        ("target", None),
    ],
)  # fmt: skip
def test_loading_refuses_preprocessing_that_does_not_fit(model: Path, field: str, value: object) -> None:
    path = model / "preprocessing.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(InputError):
        load(model)


def test_loading_names_a_missing_file(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match="lacks a file"):
        load(model)


def test_predicting_names_a_missing_column(model: Path) -> None:
    columns = table(10)
    del columns["x"]
    with pytest.raises(InputError, match="`x`"):
        load(model).predict(columns)
    with pytest.raises(InputError, match="no such target"):
        evaluate(model, columns, "y")


def test_a_class_that_the_model_does_not_know_counts_as_wrong(model: Path) -> None:
    columns = table(100)
    columns["fault"][:50] = ["melted"] * 50
    scores = evaluate(model, columns, "fault")
    assert scores["per_class_recall"]["melted"] == 0.0
    assert scores["majority_baseline"] == pytest.approx(1 / 3)


def test_shuttle_is_learnt_to_a_balanced_accuracy_of_95_percent(
    run_here: Runner, shuttle: Shuttle, tmp_path: Path
) -> None:
    run = run_here(shuttle.train, {"target": "anomaly"})
    held_out = tmp_path / "held.csv"
    held_out.write_bytes(shuttle.held_out)
    scores = evaluate(run.outputs, held_out, "anomaly")
    assert scores["rows"] == 9819
    assert scores["balanced_accuracy"] >= 0.95
    assert scores["majority_baseline"] == 0.5


def test_a_table_in_parts_trains_as_the_whole_table_does(run_here: Runner) -> None:
    header, *rows = csv_of(table()).splitlines(keepends=True)
    parts = [header + b"".join(rows[:150]), header + b"".join(rows[150:])]
    whole, joined = (
        run_here(data, {"target": "fault", "epochs": 1}) for data in (header + b"".join(rows), parts)
    )
    assert joined.exit_code == 0, joined.stdout
    assert whole.json("metrics.json") == joined.json("metrics.json")


def test_parts_whose_columns_look_different_are_read_as_what_fits_all() -> None:
    read = _table_of(b"a,b,c\n1,2,\n", b"a,b,c\n1.5,x,7\n")
    assert list(read.columns["a"]) == [1.0, 1.5]
    assert read.columns["b"].values == ["2", "x"]
    assert np.isnan(read.columns["c"][0]) and read.columns["c"][1] == 7


def test_parts_with_other_columns_are_refused() -> None:
    with pytest.raises(Exception, match="different columns"):
        _table_of(b"a,b\n1,2\n", b"a,c\n1,2\n")


def _table_of(*parts: bytes) -> Any:
    from compute.algorithms.tabular_classifier.tabular.table import Table

    with TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
        return Table.read(*paths)
