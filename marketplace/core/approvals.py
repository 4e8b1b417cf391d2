"""The lines of an audit about what was allowed to run, and what was let out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from marketplace.core.announced import expect, first_good, sorted_by_trust
from marketplace.core.audit import Check, Found, Get, Missing, failed, held
from marketplace.core.events import ApprovalAnnounced, Position
from marketplace.core.ledger import JobRecord, Ledger, job_text, show
from marketplace.core.offer import Approval, Release, Signed
from marketplace.core.terms import CustomAlgorithms, Terms


def algorithm_checks(ledger: Ledger, job_id: bytes, terms: Terms, get: Get) -> Iterator[Check]:
    """Whether the job's algorithm was allowed: listed in the terms, or approved by the owner in time.

    In time: announced before the job's receipt or fault stood on chain, and valid when job and announcement both
    stood there, and when the receipt says that it started. With a review, the Release as well.
    """
    record, subject = ledger.jobs[job_id], job_text(job_id)
    algorithm = record.request.algorithm
    if record.receipt is None and record.fault is None:
        return  # by what the chain says, it never ran
    if algorithm in terms.algorithms:
        compared = "the job's algorithm against those that the terms list"
        yield held("algorithm", subject, compared, True, expected="a listed one", got=algorithm)
        return
    compared = "the job's algorithm against the terms and the owner's approvals"
    if terms.custom_algorithms is CustomAlgorithms.denied:
        yield held("algorithm", subject, compared, False, expected="a listed one", got=algorithm)
        return
    found = _approval(ledger, record, algorithm, get)
    if isinstance(found, Missing):
        yield failed(
            "algorithm", subject, compared, found, expected=f"a signed Approval of {show(algorithm)}"
        )
        return
    yield held("algorithm", subject, compared, True, expected="a listed or approved one", got=str(found.cid))
    approval = found.value.struct
    if isinstance(approval, Approval) and approval.review_output and record.receipt:
        yield _release_check(ledger, job_id, record, get)


def _approval(ledger: Ledger, record: JobRecord, algorithm: bytes, get: Get) -> Found[Signed] | Missing:
    started = record.receipt.receipt.started_at if record.receipt else 0

    def parse(block: bytes, event: ApprovalAnnounced) -> Signed:
        signed = _of_owner(ledger, record, event, block)
        approval = signed.struct
        expect(isinstance(approval, Approval), "an Approval", type(approval).__name__)
        wanted = (record.asset_id, record.request.buyer, algorithm)
        got = (
            getattr(approval, "asset_id", 0),
            getattr(approval, "buyer", ""),
            getattr(approval, "algorithm", b""),
        )
        expect(got == wanted, "asset, buyer and algorithm of the job", "others")
        from_then = max(ledger.time_of(record.opened), ledger.time_of(event.at), started)
        until = getattr(approval, "valid_until", 0)
        expect(until >= from_then, f"valid at {from_then}", f"valid until {until}")
        return signed

    return _first_approval(ledger, record, algorithm, parse, get)


def _release_check(ledger: Ledger, job_id: bytes, record: JobRecord, get: Get) -> Check:
    output = record.receipt.receipt.output_digest if record.receipt else b""
    compared = "the owner's release against the output of the receipt"

    def parse(block: bytes, event: ApprovalAnnounced) -> Signed:
        signed = _of_owner(ledger, record, event, block)
        expect(signed.struct == Release(job_id, output), "a Release of this output", show(signed.struct))
        return signed

    found = _first_approval(ledger, record, job_id, parse, get)
    if isinstance(found, Missing):
        return failed(
            "release", job_text(job_id), compared, found, expected=f"a signed Release of {show(output)}"
        )
    return held("release", job_text(job_id), compared, True, expected=output, got=str(found.cid))


def _of_owner(ledger: Ledger, record: JobRecord, event: ApprovalAnnounced, block: bytes) -> Signed:
    signed = Signed.parse(block)
    signed.expect(
        ledger.rules.domain, ledger.owner_at(record.asset_id, event.at), ledger.accepts_at(event.at)
    )
    return signed


def _first_approval(
    ledger: Ledger,
    record: JobRecord,
    subject: bytes,
    parse: Callable[[bytes, ApprovalAnnounced], Signed],
    get: Get,
) -> Found[Signed] | Missing:
    end = record.receipt or record.fault
    announced = [
        event
        for event in ledger.approvals.get(subject, [])
        if event.asset_id == record.asset_id and end and _before(event.at, end.at)
    ]
    trusted = sorted_by_trust(ledger, announced, record.asset_id, record.job.provider)
    return first_good(trusted, parse, get, "none was announced in time")


def _before(one: Position, other: Position) -> bool:
    return (one.block, one.index) < (other.block, other.index)
