"""One job in the sandbox: open the data, run, review what came out, seal it to the buyer's result key."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from eth_utils.crypto import keccak

from compute.provider.in_place import NotAsCommittedError
from compute.provider.judge import Verdict
from compute.provider.lines import Lines, OnProgress
from compute.provider.opened import Opened, opened, too_large
from compute.provider.release import ReleaseRefused, review
from compute.provider.vault import Vault, VaultRecord
from compute.sandbox import Ending, Isolation, Limits, Outcome, Sandbox, Task, environment_digest
from marketplace.core import bundle, envelope
from marketplace.core.canonical import canonical
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.core.job import Fault, Receipt
from marketplace.storage import ContentStore

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
class Success:
    """A sealed output. wrapped_key: for the buyer; own_wrap: for the provider's review. names: released files."""

    receipt: Receipt
    wrapped_key: bytes
    own_wrap: bytes
    names: tuple[str, ...]


@dataclass(frozen=True)
class Keys:
    """The node's X25519 sealing key pair, 32 bytes each."""

    public: bytes
    private: bytes


class Runner:
    """Runs jobs, one at a time, for one node."""

    def __init__(
        self, sandbox: Sandbox, vault: Vault, outputs: ContentStore, keys: Keys, domain: Domain
    ) -> None:
        self._sandbox, self._vault, self._outputs = sandbox, vault, outputs
        self._keys, self._domain = keys, domain

    def run(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        listing: bytes,
        *,
        seconds: int,
        fair_seconds: int,
        on_line: Callable[[str], None],
        on_progress: OnProgress,
        stop: threading.Event,
    ) -> Success | Failure:
        """Runs a judged job.

        seconds: left until the node must have an answer. fair_seconds: what any algorithm may count on; one that
        had them (or its own limit, where that is less) and is not done has itself to blame, else the node has.
        on_line: the log's lines, for the owner alone; the last one, `node: ...`, has the numbers that a failure's
        detail leaves out. What lines mean to the node is in `lines`.
        Data in place that is not what was listed is the node's fault: a Failure. Raises SteelyardErrors only for what
        is the node's own trouble.
        """
        on_progress("opening data", 0, 0)
        begun = time.monotonic()
        owner = verdict.order.offer.provider
        try:
            with opened(
                self._sandbox, self._vault, record, self._keys.private,
                domain=self._domain, owner=owner, on_progress=on_progress, stop=stop,
            ) as data:  # fmt: skip
                seconds = max(1, seconds - int(time.monotonic() - begun))
                task = _task(verdict, data, Did.parse(record.did).folder, listing, seconds)
                lines = Lines(on_line, on_progress, listed=not verdict.permit.needs_approval)
                on_progress("running", 0, 0)
                with self._sandbox.run(task, lines, stop) as outcome:
                    data.check()
                    enough = seconds >= min(
                        verdict.order.algorithm.manifest.limits.wall_seconds, fair_seconds
                    )
                    return self._ended(job_id, verdict, record, outcome, data, lines, enough=enough)
        except NotAsCommittedError as error:
            on_line(f"node: {error}")  # with its paths, for the owner alone
            return node_failure("data-changed", "the data in place is not, or no more, what was listed")

    def too_large(self, token: int) -> str | None:
        """Why a dataset cannot be opened on this machine; None where it can."""
        return too_large(self._sandbox, self._vault, token)

    def _ended(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        outcome: Outcome,
        data: Opened,
        lines: Lines,
        *,
        enough: bool,
    ) -> Success | Failure:
        if outcome.exact:
            lines.on_line(f"node: {outcome.exact}")
        crash = _crash(outcome, lines.error, listed=not verdict.permit.needs_approval)
        failure = _failure(outcome, enough, crash)
        return failure or self._release(job_id, verdict, record, outcome, self._isolation(data))

    def _isolation(self, data: Opened) -> Isolation:
        """What the sandbox reached for this job: data that was too large for memory was decrypted to a disk."""
        reached = self._sandbox.probe()
        return reached if data.in_memory else reached & ~Isolation.SCRATCH_IN_MEMORY

    def _release(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        outcome: Outcome,
        isolation: Isolation,
    ) -> Success | Failure:
        try:
            released = review(
                outcome.outputs,
                verdict.order.algorithm.manifest,
                opaque_allowed=verdict.permit.opaque_outputs,
            )
        except ReleaseRefused as refused:
            return Failure(
                Fault[refused.fault],
                "output-refused",
                refused.reason,
                outcome.started_at,
                outcome.finished_at,
            )
        return self._seal(job_id, verdict, record, outcome, isolation, released.files)

    def _seal(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        outcome: Outcome,
        isolation: Isolation,
        files: dict[str, bytes],
    ) -> Success:
        key, prefix, name = os.urandom(32), os.urandom(7), "0x" + job_id.hex()
        header = envelope.seal(
            BytesIO(bundle.pack(files)), id=name, key=key, prefix=prefix, put=self._outputs.put
        )
        result_key = bytes.fromhex(verdict.order.spec.result_key[2:])
        wrapped = envelope.wrap(key, result_key, envelope.wrap_info("buyer", header.body, name))
        own = envelope.wrap(key, self._keys.public, envelope.wrap_info("node", header.body, name))
        receipt = Receipt(
            job_id,
            bytes.fromhex(record.header[2:]),
            header.digest,
            keccak(wrapped),
            environment_digest(),
            int(isolation),
            outcome.started_at,
            outcome.finished_at,
        )
        return Success(receipt, wrapped, own, tuple(files))


def _task(verdict: Verdict, data: Opened, folder: str, listing: bytes, seconds: int) -> Task:
    order = verdict.order
    limits = order.algorithm.manifest.limits
    wall_seconds = max(1, min(limits.wall_seconds, seconds))
    largest = sum(output.max_bytes for output in order.algorithm.manifest.outputs)
    return Task(
        inputs={**data.inputs, "algoCustomData.json": canonical(order.parameters)},
        trees=data.trees,
        transformations=dict(order.algorithm.files),
        entrypoint=order.algorithm.manifest.entrypoint,
        ddos={folder: listing},
        environment={"TRANSFORMATION_DID": order.spec.algorithm.digest},
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
