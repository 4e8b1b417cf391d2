"""The lines of an audit about a job's receipt, what it delivered, and the model that came of it. Pure.

Covered: every block of a sealed output hashes to its name, up to the receipt's digest.
Not covered: what is inside. Only the buyer's key opens an output, and only an attested enclave proves what made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from eth_utils.crypto import keccak

from marketplace.core import unixfs
from marketplace.core.audit import (
    Check,
    Get,
    Missing,
    claimed,
    equal,
    failed,
    fetch,
    held,
    problem_of,
)
from marketplace.core.bundle import MAX_ARCHIVE_BYTES
from marketplace.core.cid import Cid
from marketplace.core.dataset import Listing
from marketplace.core.eip712 import ZERO_BYTES32
from marketplace.core.envelope import Header, sealed_size
from marketplace.core.events import ReceiptSubmitted
from marketplace.core.evidence import did_text, signer_text
from marketplace.core.job import Fault
from marketplace.core.ledger import JobRecord, Ledger, asset_text, job_text
from marketplace.core.spec import FailureReport, ModelCard
from marketplace.errors import SteelyardError


def receipt_checks(ledger: Ledger, job_id: bytes, stored: object, listing: Listing | None) -> Iterator[Check]:
    """The receipt that the node submitted. stored: Market.jobOf(job).receipt, as read from the chain."""
    record, subject = ledger.jobs[job_id], job_text(job_id)
    event = record.receipt
    if event is None:
        return
    receipt, domain = event.receipt, ledger.rules.domain
    compared = "the receipt's EIP-712 digest against the job's on chain"
    yield equal("receipt digest", subject, compared, stored, receipt.digest(domain))
    node = ledger.node_at(record.job.provider, event.at).account
    compared = f"the receipt's signer against the provider's node in block {event.at.block}"
    signer = signer_text(ledger, receipt.digest(domain), event.signature, node, event.at)
    yield equal("receipt signature", subject, compared, node, signer)
    compared = "keccak256 of the delivered key against the receipt's keyDigest"
    yield equal("wrapped key", subject, compared, receipt.key_digest, keccak(event.wrapped_key))
    if listing is not None:
        compared = "the receipt's inputRoot against the sealed data that the listing names"
        yield equal("input", subject, compared, listing.header_digest, receipt.input_root)


def content_checks(ledger: Ledger, job_id: bytes, listing: Listing | None, get: Get) -> Iterator[Check]:
    """What the shared store must hold for a job that the node took up: spec, bundle, output or report."""
    record, subject = ledger.jobs[job_id], job_text(job_id)
    if record.receipt is None and record.fault is None and record.failed is None:
        return
    yield _block_check(
        "spec", subject, record.request.spec, "the sealed spec against the request's digest", get
    )
    yield bundle_check(record, subject, listing, get)
    if record.receipt is not None:
        yield from _output_checks(record.receipt, subject, get)
    else:
        yield from _report_checks(record, job_id, get)


def _block_check(name: str, subject: str, digest: bytes, compared: str, get: Get) -> Check:
    found = fetch(get, Cid.raw(digest), lambda block: block)
    if isinstance(found, Missing):
        return failed(name, subject, compared, found, expected=digest)
    return held(name, subject, compared, True, expected=digest, got=str(found.cid))


def bundle_check(record: JobRecord, subject: str, listing: Listing | None, get: Get) -> Check:
    """The algorithm's bundle where it is listed; a custom one is sealed to the node and only claimed."""
    algorithm = record.request.algorithm
    listed = [entry for entry in (listing.algorithms if listing else ()) if entry.digest == algorithm]
    if not listed:
        return claimed("bundle", subject, "the bundle is sealed to the node; its digest is", got=algorithm)
    compared = f"SHA-256 of the listed bundle {listed[0].name} against the request's algorithm"
    reading = read_file(listed[0].cid, get, limit=MAX_ARCHIVE_BYTES)
    if reading.problems:
        return failed("bundle", subject, compared, reading.problems[0], expected=algorithm)
    return equal("bundle", subject, compared, algorithm, reading.sha256)


def _output_checks(event: ReceiptSubmitted, subject: str, get: Get) -> Iterator[Check]:
    digest, job = event.receipt.output_digest, "0x" + event.job_id.hex()
    compared = "the header of the sealed output against the receipt's outputDigest"
    found = fetch(get, Cid.raw(digest), Header.parse)
    if isinstance(found, Missing):
        yield failed("output header", subject, compared, found, expected=digest)
        return
    header = found.value
    yield held("output header", subject, compared, True, expected=digest, got=str(found.cid))
    yield equal("output job", subject, "the id in the output's header against the job", job, header.id)
    if header.id == job:
        yield from _body_checks(header, subject, get)


def _body_checks(header: Header, subject: str, get: Get) -> Iterator[Check]:
    compared = f"every block of the sealed output {header.body} against its name"
    limit = sealed_size(MAX_ARCHIVE_BYTES)
    reading = read_file(header.body, get, limit=limit)
    for problem in reading.problems:
        yield failed("output block", subject, compared, problem)
    if reading.problems:
        return
    yield held(
        "output blocks",
        subject,
        compared,
        reading.size == sealed_size(header.size),
        expected=f"{sealed_size(header.size)} bytes",
        got=f"{reading.size} bytes in {reading.blocks} blocks",
    )


def _report_checks(record: JobRecord, job_id: bytes, get: Get) -> Iterator[Check]:
    subject, event = job_text(job_id), record.fault or record.failed
    if event is None or event.report == ZERO_BYTES32:
        return
    compared = "the node's report against the digest on chain"
    found = fetch(get, Cid.raw(event.report), FailureReport.parse)
    if isinstance(found, Missing):
        yield failed("report", subject, compared, found, expected=event.report)
        return
    report, fault = found.value, Fault(record.fault.fault if record.fault else Fault.node).name
    yield held("report", subject, compared, True, expected=event.report, got=str(found.cid))
    wanted = ("0x" + job_id.hex(), fault)
    yield equal("report subject", subject, "job and fault in the report", wanted, (report.job, report.fault))
    yield claimed(
        "fault", subject, f"the node says that the {fault} failed", got=f"{report.code}: {report.detail}"
    )


@dataclass(frozen=True)
class Reading:
    """A file of the store, block by block. sha256: of its content, empty where problems kept it from being read."""

    blocks: int
    size: int
    sha256: bytes
    problems: tuple[Missing, ...]


def read_file(root: Cid, get: Get, *, limit: int) -> Reading:
    """Fetches every block of a file once and checks it; a bad leaf does not hide the others.

    limit: most bytes; a longer file is not read. Holds the file's blocks in memory meanwhile.
    """
    reader = _Reader(get)
    try:
        size = unixfs.size(root, reader.get)
        if size > limit:
            return Reading(0, size, b"", (Missing("differs", f"file {root} has {size} bytes, over {limit}"),))
        for cid in unixfs.blocks(root, reader.get):
            reader.try_get(cid)
        if reader.bad:
            return Reading(len(reader.good), size, b"", tuple(reader.bad.values()))
        content = hashlib.sha256()
        for piece in unixfs.read(root, reader.get):
            content.update(piece)
    except SteelyardError as error:
        return Reading(len(reader.good), 0, b"", reader.problems(error, root))
    return Reading(len(reader.good), size, content.digest(), ())


class _Reader:
    """Blocks of one file: the good ones kept, the bad ones with the reason."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self.good: dict[Cid, bytes] = {}
        self.bad: dict[Cid, Missing] = {}

    def get(self, cid: Cid) -> bytes:
        if cid not in self.good:
            try:
                self.good[cid] = cid.check(self._get(cid))
            except SteelyardError as error:
                self.bad[cid] = problem_of(error, cid)
                raise
        return self.good[cid]

    def try_get(self, cid: Cid) -> None:
        try:
            self.get(cid)
        except SteelyardError:
            return  # kept in `bad`

    def problems(self, error: SteelyardError, root: Cid) -> tuple[Missing, ...]:
        """What went wrong; blocks that hash but do not make a file are the error's own matter."""
        return tuple(self.bad.values()) or (Missing("differs", f"file {root}: {error}"[:500]),)


# Models and claims


def model_checks(ledger: Ledger, model: int, get: Get) -> Iterator[Check]:
    """A registered model: its card against digest, job, output, algorithm and dataset."""
    subject, record = asset_text(model), ledger.jobs[ledger.models[model]]
    metadata, compared = (
        ledger.published[model].metadata,
        "the model's card against the metadata digest on chain",
    )
    found = fetch(get, Cid.raw(metadata), ModelCard.parse)
    if isinstance(found, Missing):
        yield failed("model", subject, compared, found, expected=metadata)
        return
    card, receipt = found.value, record.receipt
    yield held("model", subject, compared, True, expected=metadata, got=str(found.cid))
    output = receipt.receipt.output_digest if receipt else ZERO_BYTES32
    wanted = [f"0x{part.hex()}" for part in (record.request.job_id, output, record.request.algorithm)]
    got = [card.job, card.output, card.algorithm, card.dataset]
    compared = "job, output, algorithm and dataset in the model's card against the chain"
    yield equal("model origin", subject, compared, [*wanted, did_text(ledger, record.asset_id)], got)
    yield claimed("metrics", subject, "the buyer says that the model scored", got=card.metrics)
    yield claimed("purpose", subject, "the buyer says that the model is for", got=card.purpose)


def job_claims(ledger: Ledger, job_id: bytes, listing: Listing | None) -> Iterator[Check]:
    """What the node signed in the receipt and nobody can check from here."""
    record, subject = ledger.jobs[job_id], job_text(job_id)
    if record.receipt is None:
        return
    receipt = record.receipt.receipt
    yield claimed("key", subject, "the delivered key opens the output, as only the buyer can tell")
    yield claimed(
        "run",
        subject,
        "the node ran the algorithm on the input and got this output",
        got=receipt.output_digest,
    )
    yield claimed("purpose", subject, "the buyer's purpose is in the sealed spec", got=record.request.spec)
    yield _environment_claim(subject, receipt.environment_digest, listing)
    yield claimed("isolation", subject, "what the sandbox reached, in bits", got=f"{receipt.isolation:#010b}")
    opened, submitted = ledger.time_of(record.opened), ledger.time_of(record.receipt.at)
    yield claimed(
        "times",
        subject,
        "start and finish; expected is between the job's opening and its receipt",
        expected=f"{opened} to {submitted}",
        got=f"{receipt.started_at} to {receipt.finished_at}",
    )


def _environment_claim(subject: str, ran: bytes, listing: Listing | None) -> Check:
    """Which list of packages the node says that it ran: one that the listing offered, or one that it built since."""
    offered = listing.environments if listing else ()
    name = next((one.name for one in offered if one.digest == ran), None)
    says = f"it is the listed {name}" if name else "it is none of the listing's: built since, or another one"
    digests = ", ".join("0x" + one.digest.hex() for one in offered)
    return claimed(
        "environment", subject, f"digest of the packages that the node ran; {says}", expected=digests, got=ran
    )
