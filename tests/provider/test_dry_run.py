"""A dry run: made-up tables, the real sandbox, and the review that a node would make."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow.parquet
import pytest

from compute.algorithms import bundle_of
from compute.provider.csv_table import read as read_csv
from compute.provider.dry_run import Trial, dry_run
from compute.provider.execution import Failure
from compute.provider.sample import sample
from compute.sandbox import Sandbox
from compute.sandbox.scratch import default_root
from marketplace.core.bundle import parse_bundle
from marketplace.core.cid import Cid
from marketplace.core.dataset import Column, ColumnKind, Creator, Environment, Listing, TableFormat
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.job import Fault
from marketplace.core.policy import CustomAlgorithms, Terms
from marketplace.errors import InputError, RefusedError
from marketplace.jobs import Algorithm
from tests.support.chain import account_named
from tests.support.environments import environments, python_ml
from tests.support.works import COUNT_ROWS, algorithm

OWNER = account_named("the dry run's owner").address
DID = Did(31_337, "0x" + "22" * 20, asset_id(Kind.dataset, OWNER, b"\1" * 32))
COLUMNS = (*(Column(str(kind), kind) for kind in ColumnKind), Column("diagnosis, final", ColumnKind.text))


def listing(form: TableFormat = TableFormat.csv, **changes: Any) -> Listing:
    fields: dict[str, Any] = {"environments": (python_ml().listed,), "columns": COLUMNS}
    return Listing(
        did=DID, slug="cells", name="Cells", description="Of a test.", licence="MIT", creator=Creator("A hospital"),
        version="1.0.0", published=date(2026, 11, 23), header=Cid.raw(bytes(32)), terms=Cid.raw(bytes(32)),
        format=form, rows=569, personal_data=False, **(fields | changes),
    )  # fmt: skip


def tried(
    sandbox: Sandbox,
    data: bytes,
    parameters: Mapping[str, Any] | None = None,
    *,
    about: Listing | None = None,
    terms: Terms | None = None,
    rows: int = 100,
) -> tuple[Trial, list[str]]:
    lines: list[str] = []
    chosen = Algorithm(data, parse_bundle(data), listed=False)
    found = dry_run(
        sandbox, environments(), chosen, about or listing(), terms, parameters or {}, rows=rows,
        on_line=lines.append, on_step=lambda step: None, on_progress=lambda stage, done, of: None,
    )  # fmt: skip
    return found, lines


def failed(trial: Trial) -> Failure:
    assert isinstance(trial.finished.result, Failure)
    return trial.finished.result


@pytest.mark.parametrize("rows", [2, 100])
def test_a_sample_has_the_names_and_kinds_of_the_columns_and_is_the_same_for_everybody(rows: int) -> None:
    data = sample(COLUMNS, rows, TableFormat.csv)
    assert data == sample(COLUMNS, rows, TableFormat.csv)
    profile = read_csv(io.BytesIO(data), len(data), lambda done: None)
    assert profile.rows == rows
    assert [(column.name, column.kind) for column in profile.columns] == [
        (one.name, one.kind) for one in COLUMNS
    ]
    table = pyarrow.parquet.read_table(io.BytesIO(sample(COLUMNS, rows, TableFormat.parquet)))
    assert (table.num_rows, table.column_names) == (rows, [one.name for one in COLUMNS])
    assert [str(one.type) for one in table.schema] == [
        "int64",
        "double",
        "bool",
        "string",
        "date32[day]",
        "string",
    ]


def test_columns_that_a_parameter_names_hold_two_classes_in_equal_parts() -> None:
    names = {one.name for one in COLUMNS} - {"date"}
    rows = list(csv.DictReader(io.StringIO(sample(COLUMNS, 100, TableFormat.csv, classes=names).decode())))
    for name in names:
        values = [row[name] for row in rows]
        assert sorted(map(values.count, set(values))) == [50, 50]


@pytest.mark.slow
@pytest.mark.parametrize("form", list(TableFormat))
def test_the_ready_made_classifier_trains_on_what_was_made_up(sandbox: Sandbox, form: TableFormat) -> None:
    parameters = {"target": "diagnosis, final", "epochs": 2}
    trial, _ = tried(sandbox, bundle_of("tabular-classifier"), parameters, about=listing(form))
    assert not isinstance(trial.finished.result, Failure), trial.finished.result
    assert set(trial.finished.result) == {
        "model.safetensors",
        "preprocessing.json",
        "metrics.json",
        "curve.png",
    }
    assert trial.environment == python_ml()
    assert trial.objections == trial.notes == ()
    assert trial.finished.seconds > 0


@pytest.mark.parametrize(
    ("code", "fault", "told"),
    [
        ("raise SystemExit(3)", Fault.algorithm, "crashed"),
        ("import socket\nsocket.socket(socket.AF_INET)", Fault.policy, "forbidden-call"),
        ("open('/data/outputs/more.txt', 'w').write('x')" + COUNT_ROWS, Fault.policy, "output-refused"),
        ("open('/data/outputs/result.json', 'w').write('{')", Fault.algorithm, "output-refused"),
        ("hold = bytearray(b'x') * (1 << 30)", Fault.algorithm, "out-of-memory"),
        ("import time\ntime.sleep(60)", Fault.algorithm, "out-of-time"),
        ("import web3", Fault.algorithm, "crashed"),
    ],
)
def test_what_a_node_would_punish_is_told_before_it_costs_anything(
    sandbox: Sandbox, code: str, fault: Fault, told: str
) -> None:
    data = algorithm("faulty", code, limits="memory_bytes = 268435456\nwall_seconds = 2")
    trial, _ = tried(sandbox, data)
    failure = failed(trial)
    assert (failure.fault, failure.code) == (fault, told)


def test_the_log_is_the_buyers_own_here(sandbox: Sandbox) -> None:
    trial, lines = tried(sandbox, algorithm("talker", "print('hello')\nraise SystemExit(3)"))
    assert lines == ["hello", "node: exit code 3"]
    assert failed(trial).detail == "the algorithm ended with an error"


def test_what_the_datasets_node_would_reject_is_said_and_run_all_the_same(sandbox: Sandbox) -> None:
    denied = Terms(DID, OWNER, algorithms=(bytes(32),), custom_algorithms=CustomAlgorithms.denied)
    about = listing(environments=(Environment("python-gpu", ("torch==1",)),))
    trial, _ = tried(sandbox, algorithm("count", COUNT_ROWS), about=about, terms=denied)
    assert trial.finished.result == {"result.json": b'{"rows":100}'}
    assert len(trial.objections) == 2
    assert "custom ones may not run" in trial.objections[0]
    assert "expected python-gpu@" in trial.objections[1]


def test_another_list_of_the_same_name_is_noted(sandbox: Sandbox) -> None:
    about = listing(environments=(Environment("python-ml", ("torch==9.9",)),))
    trial, _ = tried(sandbox, algorithm("count", COUNT_ROWS), about=about)
    assert trial.objections == ()
    assert "which has: torch==9.9" in trial.notes[0]


def test_an_opaque_output_passes_where_the_terms_allow_it_and_nowhere_else(sandbox: Sandbox) -> None:
    data = algorithm(
        "pickler", "open('/data/outputs/result.json', 'wb').write(b'\\x80')", output_format="opaque"
    )
    assert "opaque" in failed(tried(sandbox, data)[0]).detail
    terms = Terms(DID, OWNER, custom_algorithms=CustomAlgorithms.approval, opaque_outputs=True)
    assert tried(sandbox, data, terms=terms)[0].finished.result == {"result.json": b"\x80"}


def test_a_parameter_that_does_not_fit_is_refused_before_anything_runs(sandbox: Sandbox) -> None:
    classifier = bundle_of("tabular-classifier")
    for parameters, why in (({}, "`target` is missing"), ({"target": "x"}, "names no column")):
        with pytest.raises(InputError, match=why):
            tried(sandbox, classifier, parameters)


def test_an_environment_that_cannot_be_made_here_is_named(sandbox: Sandbox) -> None:
    for wanted in ("mine", "python-ml@000000000000"):
        with pytest.raises(RefusedError, match=f"not here; got {wanted}"):
            tried(sandbox, algorithm("elsewhere", COUNT_ROWS, environment=wanted))


def test_nothing_of_a_dry_run_is_left_in_the_scratch(sandbox: Sandbox) -> None:
    tried(sandbox, algorithm("count", COUNT_ROWS))
    assert list(default_root().glob(f"run-{os.getpid()}-*/job-*")) == []
