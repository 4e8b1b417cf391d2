"""One job of a node: open the data, run the algorithm over it, seal what may leave to the buyer's result key.

Plaintext of the dataset exists only in the scratch folder (memory) and only while this runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from eth_utils.crypto import keccak

from compute.provider.execution import Failure, Finished, Run, execute
from compute.provider.judge import Verdict
from compute.provider.lines import OnProgress
from compute.provider.vault import Vault, VaultRecord
from compute.sandbox import Sandbox
from marketplace.core import bundle, envelope
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.core.job import Receipt
from marketplace.errors import UnavailableError
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
        Raises SteelyardErrors only for what is the node's own trouble.
        """
        on_progress("opening data", 0, 0)
        order = verdict.order
        run = Run(
            order.algorithm,
            order.spec.algorithm.digest,
            order.parameters,
            verdict.permit,
            Did.parse(record.did),
            record.filename,
            listing,
            verdict.environment.packages,
        )
        with self._plaintext(record, order.offer.provider) as data:
            finished = execute(
                self._sandbox,
                run,
                data,
                seconds=seconds,
                fair_seconds=fair_seconds,
                on_line=on_line,
                on_progress=on_progress,
                stop=stop,
            )
        if isinstance(finished.result, Failure):
            return finished.result
        return self._seal(job_id, verdict, record, finished, finished.result)

    @contextmanager
    def _plaintext(self, record: VaultRecord, owner: str) -> Iterator[Path]:
        """The dataset as one read-only file in memory, gone afterwards."""
        pieces = self._vault.open(record, self._keys.private, domain=self._domain, owner=owner)
        with self._sandbox.folder() as folder:
            path = folder / "0"
            try:
                with path.open("xb") as file:
                    for piece in pieces:
                        file.write(piece)
            except OSError as error:
                raise UnavailableError(
                    "the data does not fit into the scratch memory",
                    got=error.strerror,
                    do="Give the node more memory.",
                ) from error
            path.chmod(0o444)  # the folder lets nobody in; the sandbox binds the file alone
            yield path

    def _seal(
        self,
        job_id: bytes,
        verdict: Verdict,
        record: VaultRecord,
        finished: Finished,
        files: Mapping[str, bytes],
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
            int(self._sandbox.probe()),
            finished.started_at,
            finished.finished_at,
        )
        return Success(receipt, wrapped, own, tuple(files))
