"""Runs the classifier's bundle as the sandbox lays it out, without the sandbox."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute.algorithms import bundle_of
from marketplace.core.bundle import parse_bundle


@dataclass(frozen=True)
class Run:
    """outputs: the folder that the algorithm wrote. parameters of the run are checked by the manifest first."""

    exit_code: int
    stdout: str
    stderr: str
    outputs: Path

    def json(self, name: str) -> Any:
        return json.loads((self.outputs / name).read_text())


Runner = Callable[..., Run]


def lay_out(root: Path, table: bytes | list[bytes], parameters: Mapping[str, Any]) -> Path:
    """Inputs, code and an empty folder of outputs below `root`; returns the outputs. table: or its parts."""
    parts = [table] if isinstance(table, bytes) else table
    bundle = parse_bundle(bundle_of("tabular-classifier"))
    inputs = {
        **{f"ab12/{number}": part for number, part in enumerate(parts)},
        "algoCustomData.json": json.dumps(bundle.manifest.check_parameters(parameters)).encode(),
    }
    code = {**bundle.files, "algorithm": bundle.files[bundle.manifest.entrypoint]}
    for folder, files in (("inputs", inputs), ("transformations", code), ("outputs", {})):
        (root / "data" / folder).mkdir(parents=True)
        for name, content in files.items():
            path = root / "data" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return root / "data" / "outputs"


@pytest.fixture
def run_bundle(tmp_path: Path) -> Runner:
    """Runs the bundle in a process of its own, as the sandbox starts it."""

    def run(table: bytes, parameters: Mapping[str, Any], *, entry: str = "algorithm") -> Run:
        root = tmp_path / f"bundle{len(list(tmp_path.iterdir()))}"
        outputs = lay_out(root, table, parameters)
        environment = {"DIDS": '["ab12"]', "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, f"data/transformations/{entry}"]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        return Run(done.returncode, done.stdout, done.stderr, outputs)

    return run


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Runs the same code in this process, where torch is imported once for all tests."""
    from compute.algorithms.tabular_classifier.tabular.job import main

    def run(table: bytes, parameters: Mapping[str, Any]) -> Run:
        root = tmp_path / f"here{len(list(tmp_path.iterdir()))}"
        outputs = lay_out(root, table, parameters)
        monkeypatch.chdir(root)
        monkeypatch.setenv("DIDS", '["ab12"]')
        capsys.readouterr()
        exit_code = main()
        said = capsys.readouterr()
        return Run(exit_code, said.out, said.err, outputs)

    return run


@dataclass(frozen=True)
class Shuttle:
    """river's Shuttle as two CSV files: a stratified fifth held out, and the rest."""

    train: bytes
    held_out: bytes


@pytest.fixture(scope="session")
def shuttle() -> Shuttle:
    river = find_spec("river")
    assert river is not None and river.origin is not None
    data = Path(river.origin).parent / "datasets" / "shuttle.csv.gz"
    header, *lines = gzip.decompress(data.read_bytes()).decode().splitlines()
    truth = np.array([line.rsplit(",", 1)[1] for line in lines])
    random = np.random.default_rng(7)
    held = np.zeros(len(lines), dtype=bool)
    for name in np.unique(truth):
        rows = random.permutation(np.flatnonzero(truth == name))
        held[rows[: round(len(rows) / 5)]] = True

    def table(keep: np.ndarray[Any, np.dtype[np.bool_]]) -> bytes:
        kept = [line for line, wanted in zip(lines, keep, strict=True) if wanted]
        return "\n".join([header, *kept, ""]).encode()

    return Shuttle(table(~held), table(held))
