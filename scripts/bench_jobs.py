"""What the sandbox and the node add to an algorithm's own time."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from river.datasets import Shuttle

from compute.algorithms import bundle_of
from compute.environments import Environments
from compute.sandbox import Limits, Sandbox, Task
from marketplace.core.bundle import parse_bundle
from scripts.bench_node import running_node, timed_job

_PAIRS = 5
_PARAMETERS = {"target": "anomaly", "epochs": 30, "patience": 30}


def training_ratio(folder: Path) -> float:
    """Median over pairs of the wall seconds of training Shuttle in the sandbox / the same files run bare."""
    bundle = parse_bundle(bundle_of("tabular-classifier"))
    parameters = json.dumps(bundle.manifest.check_parameters(_PARAMETERS)).encode()
    table = gzip.decompress(Path(Shuttle().path).read_bytes())
    bare = _lay_out(folder / "bare", table, parameters)
    environments = Environments(folder / "environments")
    environment = environments.build_ready("python-ml", lambda step: None)
    task = Task(
        inputs={"bench/0": table, "algoCustomData.json": parameters},
        transformations=dict(bundle.files),
        entrypoint=bundle.manifest.entrypoint,
        packages=environment.packages,
        limits=Limits(),
    )
    ratios = []
    with Sandbox() as sandbox:
        sandbox.probe()
        for pair in range(_PAIRS + 1):
            inside, outside = _inside(sandbox, task), _outside(bare)
            if pair:  # the first pair warms the page cache
                ratios.append(inside / outside)
    return statistics.median(ratios)


def _lay_out(root: Path, table: bytes, parameters: bytes) -> Path:
    files = {
        "inputs/bench/0": table,
        "inputs/algoCustomData.json": parameters,
        **{
            f"transformations/{name}": data
            for name, data in parse_bundle(bundle_of("tabular-classifier")).files.items()
        },
    }
    for name, data in files.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "data" / "outputs").mkdir()
    return root


def _inside(sandbox: Sandbox, task: Task) -> float:
    started = time.perf_counter()
    with sandbox.run(task, lambda line: None) as outcome:
        if outcome.exit_code != 0:
            raise RuntimeError(f"the algorithm failed in the sandbox: {outcome.log_tail}")
        return time.perf_counter() - started


def _outside(root: Path) -> float:
    threads = str(len(os.sched_getaffinity(0)))
    environment = {
        **os.environ,
        "DIDS": json.dumps(["bench"]),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": threads,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "data/transformations/algorithm.py"],
        cwd=root,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def first_line_seconds(folder: Path) -> tuple[float, float]:
    """Seconds from the confirmed JobOpened to the algorithm's first line, less Python's start; and that start."""
    stop = threading.Event()
    with running_node(folder / "node", megabytes=50, stop=stop) as place:
        seconds = statistics.median(timed_job(place) for _ in range(3))
    start = statistics.median(_python_start() for _ in range(5))
    return max(0.0, seconds - start), start


def _python_start() -> float:
    code = "import time; print(time.time())"
    started = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout) - started
