"""A buyer opens what came back: the output of a job, or the report of why there is none."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from marketplace.chain.client import Chain
from marketplace.core import bundle, envelope
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.events import (
    Event,
    JobExpired,
    JobFailed,
    JobFaulted,
    JobOpened,
    JobRejected,
    JobSettled,
    ReceiptSubmitted,
)
from marketplace.core.job import Job, Receipt, Request
from marketplace.core.policy import reason_code
from marketplace.core.spec import FailureReport, ModelCard, Spec
from marketplace.core.wrapping import message_recipients
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError, SteelyardError
from marketplace.keys import Keyring, SealingKey
from marketplace.lookup import did_of, job_opened, no_such_job, offer_of, request_of
from marketplace.storage import ContentStore, get_document
from marketplace.storage.disk import disk_error


@dataclass(frozen=True)
class Result:
    """An opened output. files: content by name, as the algorithm declared them."""

    job_id: bytes
    receipt: Receipt
    spec: Spec
    files: dict[str, bytes]


@dataclass(frozen=True)
class Status:
    """A job as the chain tells it: history, oldest first, of which the first event opened it.

    note: a rejection's reason, or a failure's fault, code and detail.
    """

    request: Request
    job: Job
    history: tuple[Event, ...]
    note: str


def open_spec(store: ContentStore, keyring: Keyring, digest: bytes) -> tuple[Spec, SealingKey]:
    """A job's spec and the result key that opens it. Raises NotFoundError where this home has no such key."""
    block = get_document(store, digest)
    recipients = message_recipients(block)
    for name, public in keyring.sealing_keys().items():
        if sha256(public) in recipients:
            key = keyring.sealing_key(name)
            return Spec.parse(envelope.open_message(block, key.private)), key
    raise NotFoundError("this home holds no key for the job", do="Open it on the machine that started it.")


def status(chain: Chain, store: ContentStore, job_id: bytes) -> Status:
    """Where a job stands at the newest confirmed block, how it came there, and why."""
    block = chain.confirmed_head()
    history = tuple(chain.logs(last=block, types=_JOB_EVENTS, job_id=job_id))
    if not history or not isinstance(history[0], JobOpened):
        raise no_such_job(job_id)
    return Status(request_of(history[0]), chain.job(job_id, block=block), history, _note(store, history))


_JOB_EVENTS: tuple[type[Event], ...] = (
    JobOpened,
    ReceiptSubmitted,
    JobSettled,
    JobRejected,
    JobFaulted,
    JobFailed,
    JobExpired,
)


def _note(store: ContentStore, history: tuple[Event, ...]) -> str:
    for event in history:
        if isinstance(event, JobRejected):
            return reason_code(event.reason)
        if isinstance(event, JobFaulted | JobFailed):
            return describe_report(store, event.report)
    return ""


def describe_report(store: ContentStore, digest: bytes) -> str:
    """A failure report in one line; says so where it cannot be read."""
    try:
        report = FailureReport.parse(get_document(store, digest))
    except SteelyardError as error:
        return f"the report cannot be read: {error.what}"
    return f"fault of the {report.fault}: {report.code}: {report.detail}"


def open_result(chain: Chain, store: ContentStore, keyring: Keyring, job_id: bytes) -> Result:
    """The output of a job whose receipt is on chain, every digest on the way checked.

    Raises RefusedError where there is no receipt, IntegrityError where anything does not fit it.
    """
    request = request_of(job_opened(chain, job_id))
    event = receipt_of(chain, store, job_id)
    name = "0x" + job_id.hex()
    _expect("the wrapped key", keccak(event.wrapped_key), event.receipt.key_digest)
    spec, key = open_spec(store, keyring, request.spec)
    header = _header(store, event.receipt.output_digest)
    if header.id != name:
        raise IntegrityError("the output belongs to another job", got=header.id, expected=name)
    secret = envelope.unwrap(event.wrapped_key, key.private, envelope.wrap_info("buyer", header.body, name))
    if header.size > bundle.MAX_ARCHIVE_BYTES:
        raise IntegrityError(
            "the output is larger than any release", got=header.size, expected=bundle.MAX_ARCHIVE_BYTES
        )
    data = b"".join(envelope.open_sealed(header, secret, store.get))
    try:
        files = bundle.unpack(data)
    except InputError as error:
        raise IntegrityError(f"the output is no archive that a node writes: {error}") from error
    return Result(job_id, event.receipt, spec, files)


def _header(store: ContentStore, digest: bytes) -> envelope.Header:
    block = store.get(Cid.raw(digest))
    try:
        return envelope.Header.parse(block)
    except InputError as error:
        raise IntegrityError(f"the output's header does not parse: {error}") from error


def receipt_of(chain: Chain, store: ContentStore, job_id: bytes) -> ReceiptSubmitted:
    """The receipt as the chain has it. Raises RefusedError that says why there is none."""
    for event in chain.logs(types=(ReceiptSubmitted,), job_id=job_id):
        return event
    found = status(chain, store, job_id)
    note = f" ({found.note})" if found.note else ""
    raise RefusedError(
        "the job has no result", got=found.job.state.name + note, expected="submitted or settled"
    )


def model_card(
    chain: Chain,
    store: ContentStore,
    keyring: Keyring,
    request: Request,
    name: str,
    metrics: Mapping[str, Any],
) -> ModelCard:
    """What is published of a job's model: names and digests as chain and spec have them, and the metrics.

    metrics: numbers and texts by name; one level of groups is flattened to `group.name`, anything deeper left out.
    Raises RefusedError where the job has no receipt, NotFoundError where this home has no key of it.
    """
    spec, _ = open_spec(store, keyring, request.spec)
    receipt = receipt_of(chain, store, request.job_id).receipt
    return ModelCard.of(
        {
            "name": name,
            "job": "0x" + request.job_id.hex(),
            "dataset": str(did_of(chain, offer_of(chain, store, request.offer_digest).offer.asset_id)),
            "algorithm": "0x" + request.algorithm.hex(),
            "algorithm_name": spec.algorithm.name,
            "output": "0x" + receipt.output_digest.hex(),
            "purpose": spec.purpose,
            "metrics": _flat(metrics),
        }
    )


def _flat(metrics: Mapping[str, Any]) -> dict[str, int | float | str]:
    flat = dict(metrics)
    for name, inner in metrics.items():
        if isinstance(inner, dict):
            flat |= {f"{name}.{key}": value for key, value in inner.items()}
    return {name: value for name, value in flat.items() if isinstance(value, int | float | str)}


def _expect(what: str, got: bytes, expected: bytes) -> None:
    if got != expected:
        raise IntegrityError(f"{what} is not the one in the receipt", got=got.hex(), expected=expected.hex())


def write_files(files: dict[str, bytes], folder: Path) -> list[Path]:
    """Writes an opened output into a folder that must be new or empty; all of it or nothing.

    Raises InputError for any other folder, UnavailableError where the disk is full or closed to us.
    """
    partial = folder.parent / f".{secrets.token_hex(8)}.partial"
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise InputError("the folder is not empty", got=folder, do="Name a new one with --to.")
        for name, data in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        partial.rename(folder)  # over an empty folder as well
    except OSError as error:
        raise disk_error(f"{folder} cannot be written", error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in files]
