"""One run of one algorithm over data that lies open: what it sees, what ended it, and what of its outputs may leave.

A node's jobs and a buyer's dry runs both come through here, so that what passes in one passes in the other.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.provider.lines import Lines, OnProgress
from compute.provider.release import ReleaseRefused, review
from compute.sandbox import Ending, Limits, Outcome, Sandbox, Task, most_memory
from marketplace.core.bundle import Bundle
from marketplace.core.canonical import canonical
from marketplace.core.ids import Did
from marketplace.core.job import Fault
from marketplace.core.manifest import Manifest
from marketplace.core.policy import Permit

_MIB = 1024 * 1024
_BLAME_ALGORITHM = {
    Ending.memory: "out-of-memory",
    Ending.processes: "too-many-processes",
    Ending.wall_time: "out-of-time",
    Ending.cpu_time: "out-of-cpu-time",
    Ending.output: "output-too-large",
}


@dataclass(frozen=True)
class Failure:
    """Why a job failed. code: at most 32 characters.

    It is published, so detail holds nothing that code which the owner did not list could choose: no number of its own,
    no word of its log. A listed algorithm's exit code and `::error` line may stand in it (see `lines`).
    """

    fault: Fault
    code: str
    detail: str
    started_at: int
    finished_at: int


def node_failure(code: str, detail: str) -> Failure:
    """A failure that only the node is to blame for: the buyer gets everything back."""
    now = int(time.time())
    return Failure(Fault.node, code, detail, now, now)


def failure_json(job_id: bytes, failure: Failure) -> dict[str, Any]:
    """A failure as core.spec.FailureReport says it."""
    return {
        "version": 1,
        "job": "0x" + job_id.hex(),
        "fault": failure.fault.name,
        "code": failure.code,
        "detail": failure.detail[:500],
        "started_at": failure.started_at,
        "finished_at": failure.finished_at,
    }


@dataclass(frozen=True)
class Run:
    """What is run, and as what.

    digest: of the bundle, 0x and hex. parameters: with the defaults filled in. did: of the data, which the algorithm
    finds under its folder and as `filename`. listing: the document that it may read. packages: what it imports from.
    """

    algorithm: Bundle
    digest: str
    parameters: Mapping[str, Any]
    permit: Permit
    did: Did
    filename: str
    listing: bytes
    packages: Path


@dataclass(frozen=True)
class Finished:
    """What came of it. result: the released files by name, or why there are none. Times: Unix seconds.

    seconds, peak_bytes: what it took; the algorithm chose them, so they are for nobody but whose data it is.
    """

    result: Mapping[str, bytes] | Failure
    started_at: int
    finished_at: int
    seconds: float
    peak_bytes: int | None


def execute(
    sandbox: Sandbox,
    run: Run,
    data: Path,
    *,
    seconds: int,
    fair_seconds: int,
    on_line: Callable[[str], None],
    on_progress: OnProgress,
    stop: threading.Event,
) -> Finished:
    """Runs an algorithm over one file.

    seconds: that there are at most. fair_seconds: what any algorithm may count on; one that had them (or its own limit,
    where that is less) and is not done has itself to blame, else whoever runs it has.
    on_line: the log's lines, for the data's owner alone; the last one, `node: ...`, has what a failure's detail leaves
    out. What lines mean to the node is in `lines`.
    Raises SteelyardErrors only for what is the machine's own trouble.
    """
    listed = not run.permit.needs_approval
    lines = Lines(on_line, on_progress, listed=listed)
    on_progress("running", 0, 0)
    with sandbox.run(_task(run, data, seconds), lines, stop) as outcome:
        enough = seconds >= min(run.algorithm.manifest.limits.wall_seconds, fair_seconds)
        if outcome.exact:
            on_line(f"node: {outcome.exact}")
        failure = _failure(outcome, enough, _crash(outcome, lines.error, listed=listed))
        result = failure or _release(run, outcome, on_line)
    return Finished(result, outcome.started_at, outcome.finished_at, outcome.seconds, outcome.peak_bytes)


def asks_for_too_much(manifest: Manifest) -> str:
    """Why this machine cannot run it, or empty: too much memory would end other jobs, or the node, with it."""
    asked, most = manifest.limits.memory_bytes, most_memory()
    if asked <= most:
        return ""
    return f"the algorithm asks for {asked} bytes of memory; this node gives a job {most} at most"


def _release(run: Run, outcome: Outcome, on_line: Callable[[str], None]) -> Mapping[str, bytes] | Failure:
    try:
        manifest, opaque = run.algorithm.manifest, run.permit.opaque_outputs
        return review(outcome.outputs, manifest, opaque_allowed=opaque).files
    except ReleaseRefused as refused:
        if refused.detail != refused.reason:
            on_line(f"node: {refused.detail}")
        times = (outcome.started_at, outcome.finished_at)
        return Failure(Fault[refused.fault], "output-refused", refused.reason, *times)


def _task(run: Run, data: Path, seconds: int) -> Task:
    manifest, folder = run.algorithm.manifest, run.did.folder
    limits = manifest.limits
    wall_seconds = max(1, min(limits.wall_seconds, seconds))
    largest = sum(output.max_bytes for output in manifest.outputs)
    return Task(
        inputs={
            run.filename: data,
            f"{folder}/0": data,
            "algoCustomData.json": canonical(run.parameters),
        },
        transformations=dict(run.algorithm.files),
        entrypoint=manifest.entrypoint,
        ddos={folder: run.listing},
        packages=run.packages,
        environment={"TRANSFORMATION_DID": run.digest},
        limits=Limits(
            memory_bytes=limits.memory_bytes,
            processes=limits.processes,
            wall_seconds=wall_seconds,
            cpu_seconds=wall_seconds * (os.cpu_count() or 1),
            output_bytes=largest + 16 * _MIB,
            log_bytes=limits.log_bytes,
        ),
    )


def _crash(outcome: Outcome, error: str, *, listed: bool) -> str:
    """An end with an error in words. error: what a listed algorithm said of itself, or empty."""
    if not listed:  # an exit code of code that nobody listed could be eight bits of the data
        return "the algorithm ended with an error"
    return error or f"the algorithm ended with exit code {outcome.exit_code}"


def _failure(outcome: Outcome, enough: bool, crash: str) -> Failure | None:
    """Whose fault an outcome is, None where it has outputs to review.

    enough: it had the time that it may take. crash: the words for an end with an error.
    """
    times = (outcome.started_at, outcome.finished_at)
    if outcome.ending is Ending.forbidden_call:
        return Failure(Fault.policy, "forbidden-call", outcome.detail, *times)
    if outcome.ending is Ending.stopped:
        return Failure(Fault.node, "node-stopped", "the node was stopped while the job ran", *times)
    if outcome.ending is Ending.wall_time and not enough:
        return Failure(Fault.node, "deadline", "the node had less time left than the job may take", *times)
    if outcome.ending in _BLAME_ALGORITHM:
        return Failure(Fault.algorithm, _BLAME_ALGORITHM[outcome.ending], outcome.detail, *times)
    if outcome.exit_code != 0:
        return Failure(Fault.algorithm, "crashed", crash, *times)
    if outcome.refused:
        return Failure(Fault.policy, "output-refused", "some of its outputs were refused", *times)
    return None
