"""One job of a node: open the data, run the algorithm over it, seal what may leave to the buyer's result key."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

from eth_utils.crypto import keccak

from compute.provider.execution import Failure, Finished, Run, execute, node_failure
from compute.provider.in_place import NotAsCommittedError
from compute.provider.judge import Verdict
from compute.provider.lines import OnProgress
from compute.provider.opened import opened, too_large
from compute.provider.vault import Vault, VaultRecord
from compute.sandbox import Isolation, Sandbox
from marketplace.core import bundle, envelope
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.core.job import Receipt
from marketplace.storage import ContentStore


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
        order, begun = verdict.order, time.monotonic()
        run = Run(
            order.algorithm,
            order.spec.algorithm.digest,
            order.parameters,
            verdict.permit,
            Did.parse(record.did),
            listing,
            verdict.environment.packages,
        )
        try:
            with opened(
                self._sandbox,
                self._vault,
                record,
                self._keys.private,
                domain=self._domain,
                owner=order.offer.provider,
                on_progress=on_progress,
                stop=stop,
            ) as data:
                finished = execute(
                    self._sandbox,
                    run,
                    data,
                    seconds=max(1, seconds - int(time.monotonic() - begun)),
                    fair_seconds=fair_seconds,
                    on_line=on_line,
                    on_progress=on_progress,
                    stop=stop,
                )
        except NotAsCommittedError as error:
            on_line(f"node: {error}")  # with its paths, for the owner alone
            return node_failure("data-changed", "the data in place is not, or no more, what was listed")
        if isinstance(finished.result, Failure):
            return finished.result
        return self._seal(job_id, verdict, record, finished, finished.result, in_memory=data.in_memory)

    def too_large(self, token: int) -> str | None:
        """Why a dataset cannot be opened on this machine; None where it can."""
        return too_large(self._sandbox, self._vault, token)

    def _isolation(self, *, in_memory: bool) -> Isolation:
        """What the sandbox reached for a job: data that was too large for memory was decrypted to a disk."""
        reached = self._sandbox.probe()
        return reached if in_memory else reached & ~Isolation.SCRATCH_IN_MEMORY

    def _seal(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        finished: Finished,
        files: Mapping[str, bytes],
        *,
        in_memory: bool,
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
            verdict.environment.digest,
            int(self._isolation(in_memory=in_memory)),
            finished.started_at,
            finished.finished_at,
        )
        return Success(receipt, wrapped, own, tuple(files))
