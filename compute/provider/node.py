"""The node: a process of its own beside the data. It follows the chain and nothing calls into it.

`openJob` on chain is the dispatch. For each job that names this provider the node judges, waits for approval
where the terms say so, runs it in the sandbox, and answers on chain: a receipt, a rejection or a failure.
Every step is in the journal before the next begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from compute.provider.journal import Entry, Journal, Step
from compute.provider.judge import Refusal, Verdict, judge
from compute.provider.reporter import Reporter
from compute.provider.requests import is_released, valid_approval
from compute.provider.runner import Failure, Runner, Success
from compute.provider.vault import Vault
from marketplace.chain.client import Chain
from marketplace.chain.events import Batch, Follower, Reorganised
from marketplace.core import envelope, unixfs
from marketplace.core.cid import Cid
from marketplace.core.events import (
    ApprovalAnnounced,
    JobExpired,
    JobFailed,
    JobOpened,
    JobRejected,
    JobSettled,
)
from marketplace.core.job import END_STATES, Fault, Receipt, State
from marketplace.core.policy import reason_bytes32
from marketplace.core.spec import FailureReport
from marketplace.errors import NotFoundError, SteelyardError, UnavailableError
from marketplace.keys import sign_digest
from marketplace.lookup import offer_of, request_of
from marketplace.storage import ContentStore, get_document, put_block

POLL_SECONDS = 0.1
_RETRY_SECONDS = 2
_CONTENT_PATIENCE = 60
"""Seconds that the node waits for content which a request names, before it rejects."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """What a node works with. owner: the provider's address, account: the node's hot key."""

    chain: Chain
    store: ContentStore
    outputs: ContentStore
    vault: Vault
    journal: Journal
    owner: str
    account: LocalAccount
    private_key: bytes


class Node:
    """One provider's node."""

    def __init__(self, place: Place, runner: Runner, reporter: Reporter, say: Say) -> None:
        self._place, self._runner, self._reporter, self._say = place, runner, reporter, say
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._running: dict[bytes, Future[Success | Failure]] = {}
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop` is set; a service that does not answer is waited for, never fatal."""
        while not stop.is_set():
            try:
                self._serve(stop)
            except UnavailableError as error:
                self._say(f"waiting: {error}")
                stop.wait(2.0)
        self._stop.set()
        self._pool.shutdown(wait=True)

    def _serve(self, stop: threading.Event) -> None:
        chain, journal = self._place.chain, self._place.journal
        follower = Follower(chain, chain.deployment.first_block, known=journal.known())
        while not stop.is_set():
            step = follower.poll()
            if isinstance(step, Reorganised):
                self._say(
                    f"the chain reorganised down to block {step.to_block}; judging again what comes after"
                )
                journal.roll_back(step.to_block)
            elif step:
                self._record(step)
            self._advance_all()
            if step is None:
                stop.wait(POLL_SECONDS)

    def _record(self, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, JobOpened) and event.provider == self._place.owner:
                self._take(event)
            elif isinstance(event, ApprovalAnnounced):
                self._place.journal.note_approval(event.subject, event.document, event.at.block)
            elif isinstance(event, JobSettled | JobFailed | JobExpired | JobRejected):
                self._end(event.job_id)
        self._place.journal.note_block(batch.last, batch.last_hash)

    def _take(self, event: JobOpened) -> None:
        if self._place.journal.knows(event.job_id):
            return
        self._say(f"job 0x{event.job_id.hex()} opened by {event.buyer}")
        entry = Entry(event.job_id, event.at.block, Step.judge, 0, event.until, request_of(event), {})
        self._place.journal.put(entry)
        self._reporter.report(event.job_id, "queued")

    def _end(self, job_id: bytes) -> None:
        if self._place.journal.knows(job_id):
            self._place.journal.put(self._place.journal.get(job_id).to(Step.done))

    def _advance_all(self) -> None:
        for entry in self._place.journal.entries():
            try:
                self._advance(entry)
            except (UnavailableError, NotFoundError) as error:
                self._say(f"job 0x{entry.job_id.hex()[:8]} waits: {error}")
            except SteelyardError as error:
                self._say(f"job 0x{entry.job_id.hex()[:8]}: {error}")
                self._give_up(entry, error)

    def _advance(self, entry: Entry) -> None:
        steps: dict[Step, Callable[[Entry], Entry | None]] = {
            Step.judge: self._judge,
            Step.approval: self._await_approval,
            Step.run: self._run,
            Step.review: self._await_review,
            Step.submit: self._submit,
            Step.reject: self._reject,
            Step.fail: self._fail,
            Step.window: self._settle,
        }
        while entry.step in steps:
            moved = self._expire(entry) if self._is_past(entry) else steps[entry.step](entry)
            if moved is None:
                return
            self._place.journal.put(moved)
            entry = moved

    # Steps: each returns the entry at its next step, or None to wait.

    def _judge(self, entry: Entry) -> Entry | None:
        if self._place.chain.job(entry.job_id).state is not State.open:
            return entry.to(Step.done)
        if self._is_late(entry):
            return _rejected(entry, "deadline", "the deadline came before the job could run")
        try:
            verdict = self._verdict(entry)
        except NotFoundError as error:
            opened = self._place.chain.block_time(entry.block)
            if (
                self._place.chain.block_time() - opened < _CONTENT_PATIENCE
                and time.time() - opened < _CONTENT_PATIENCE
            ):
                raise
            return _rejected(entry, "content-missing", str(error))
        if isinstance(verdict, Refusal):
            return _rejected(entry, verdict.code, verdict.detail)
        self._reporter.report(entry.job_id, "accepted")
        asset = verdict.order.offer.asset_id
        placed = Entry(entry.job_id, entry.block, entry.step, asset, entry.until, entry.request, entry.data)
        if verdict.permit.needs_approval:
            self._say(
                f"job 0x{entry.job_id.hex()} waits for your approval: steelyard request show 0x{entry.job_id.hex()}"
            )
            self._reporter.report(entry.job_id, "waiting for the owner's approval")
            return placed.to(Step.approval)
        return placed.to(Step.run, review=verdict.permit.review_output)

    def _verdict(self, entry: Entry) -> Verdict | Refusal:
        place = self._place
        at = place.chain.block_time(entry.block)
        return judge(place.chain, place.store, place.vault, entry.request, place.private_key, at=at)

    def _await_approval(self, entry: Entry) -> Entry | None:
        place = self._place
        if place.journal.is_refused(entry.job_id):
            return _rejected(entry, "refused-by-owner", "the owner refused the algorithm")
        if self._is_late(entry):
            return _rejected(entry, "not-approved-in-time", "the owner did not decide before the deadline")
        documents = place.journal.approvals(entry.request.algorithm)
        now = int(time.time())
        approval = valid_approval(place.chain, place.store, documents, entry, place.owner, at=now)
        if approval is None:
            return None
        verdict = self._verdict(entry)
        if isinstance(verdict, Refusal):
            return _rejected(entry, verdict.code, verdict.detail)
        return entry.to(Step.run, review=approval.review_output or verdict.permit.review_output)

    def _run(self, entry: Entry) -> Entry | None:
        future = self._running.get(entry.job_id)
        if future is None:
            verdict = self._verdict(entry)
            if isinstance(verdict, Refusal):
                return _rejected(entry, verdict.code, verdict.detail)
            self._running[entry.job_id] = self._pool.submit(self._in_sandbox, entry, verdict)
            return None
        if not future.done():
            return None
        del self._running[entry.job_id]
        ended = future.result()
        if isinstance(ended, Failure):
            return entry.to(Step.fail, failure=_failure_json(entry, ended))
        data: dict[str, Any] = {
            "receipt": ended.receipt.to_json(),
            "wrapped_key": ended.wrapped_key.hex(),
            "own_wrap": ended.own_wrap.hex(),
            "files": list(ended.names),
        }
        if entry.data["review"]:
            self._say(
                f"job 0x{entry.job_id.hex()} waits for your review: steelyard request show 0x{entry.job_id.hex()}"
            )
            self._reporter.report(entry.job_id, "waiting for the owner's review of the output")
            return entry.to(Step.review, **data)
        return entry.to(Step.submit, **data)

    def _in_sandbox(self, entry: Entry, verdict: Verdict) -> Success | Failure:
        place = self._place
        record = place.vault.record(verdict.order.offer.asset_id)
        listing = get_document(place.store, place.chain.metadata(verdict.order.offer.asset_id))
        return self._runner.run(
            entry.job_id,
            verdict,
            record,
            listing,
            seconds=max(1, int(entry.until - time.time() - self._margin())),
            on_line=lambda line: None,
            on_progress=lambda stage, done, of: self._reporter.report(entry.job_id, stage, done, of),
            stop=self._stop,
        )

    def _await_review(self, entry: Entry) -> Entry | None:
        place = self._place
        if place.journal.is_refused(entry.job_id):
            return _rejected(entry, "output-refused-by-owner", "the owner refused to release the output")
        if self._is_late(entry):
            return _rejected(entry, "not-released-in-time", "the owner did not release the output in time")
        documents = place.journal.approvals(entry.job_id)
        if not is_released(place.chain, place.store, documents, entry, place.owner):
            return None
        return entry.to(Step.submit)

    def _submit(self, entry: Entry) -> Entry:
        place = self._place
        receipt = Receipt.from_json(entry.data["receipt"])
        self._reporter.report(entry.job_id, "storing the sealed output")
        header = envelope.Header.parse(place.outputs.get(Cid.raw(receipt.output_digest)))
        for cid in unixfs.blocks(header.body, place.outputs.get):
            place.store.put(cid, place.outputs.get(cid))
        place.store.put(header.cid, header.to_bytes())
        signature = sign_digest(place.account, receipt.digest(place.chain.domain))
        wrapped = bytes.fromhex(entry.data["wrapped_key"])
        place.chain.send("Market", "submit", (receipt.to_tuple(), signature, wrapped), place.account)
        return self._on_chain(entry, "submitted")

    def _reject(self, entry: Entry) -> Entry:
        place, code = self._place, entry.data["code"]
        arguments = (entry.request.to_tuple(), reason_bytes32(code))
        place.chain.send("Market", "reject", arguments, place.account)
        self._say(f"job 0x{entry.job_id.hex()} rejected: {code}: {entry.data['detail']}")
        self._reporter.report(entry.job_id, "rejected")
        return entry.to(Step.done)

    def _fail(self, entry: Entry) -> Entry:
        place = self._place
        report = FailureReport.of(entry.data["failure"])
        block = put_block(place.store, report.to_bytes())
        offer = offer_of(place.chain, place.store, entry.request.offer_digest).offer
        arguments = (entry.request.to_tuple(), offer.to_tuple(), int(Fault[report.fault]), block.digest)
        place.chain.send("Market", "fail", arguments, place.account)
        self._say(f"job 0x{entry.job_id.hex()} failed by {report.fault}: {report.code}: {report.detail}")
        return self._on_chain(entry, "failed")

    def _on_chain(self, entry: Entry, stage: str) -> Entry:
        job = self._place.chain.job(entry.job_id)
        self._reporter.report(entry.job_id, stage)
        self._say(f"job 0x{entry.job_id.hex()} {stage}")
        if job.state in END_STATES:
            return entry.to(Step.done)
        return entry.to(Step.window, until=job.until)

    def _settle(self, entry: Entry) -> Entry | None:
        """Finalises every job whose window is over in one transaction; ends are learned from events."""
        place, now = self._place, time.time()
        if now <= entry.until:
            return None
        matured = [
            other for other in place.journal.entries() if other.step is Step.window and now > other.until
        ]
        place.chain.send("Market", "finalise", ([other.job_id for other in matured],), place.account)
        for other in matured:  # where the chain's clock lags, the job was skipped: again in a while
            place.journal.put(other.to(Step.window, until=int(now) + _RETRY_SECONDS))
        return None

    def _expire(self, entry: Entry) -> Entry:
        """The deadline is over without an answer: the buyer gets everything back."""
        if self._place.chain.job(entry.job_id).state is State.open:
            self._place.chain.send("Market", "expire", (entry.request.to_tuple(),), self._place.account)
            self._say(f"job 0x{entry.job_id.hex()} expired; the buyer is refunded")
        return entry.to(Step.done)

    def _is_past(self, entry: Entry) -> bool:
        """Whether only an expiry is left; one more second, for the chain's clock is not ours."""
        return entry.step is not Step.window and time.time() > entry.until + 1.5

    # What goes wrong

    def _give_up(self, entry: Entry, error: SteelyardError) -> None:
        """An answer that the chain or the machine refuses: the buyer gets the money back, or already has it."""
        job = self._place.chain.job(entry.job_id)
        if job.state is not State.open or entry.step is Step.reject or isinstance(error, UnavailableError):
            if job.state in END_STATES:
                self._place.journal.put(entry.to(Step.done))
            return
        now = int(time.time())
        failure = Failure(Fault.node, "node-error", type(error).__name__, now, now)
        if entry.step is not Step.fail:
            self._place.journal.put(entry.to(Step.fail, failure=_failure_json(entry, failure)))

    def _margin(self) -> float:
        """Seconds before a deadline at which the node stops waiting and answers."""
        return max(2.0, self._place.chain.deployment.job_time * 0.05)

    def _is_late(self, entry: Entry) -> bool:
        return time.time() > entry.until - self._margin()


def _rejected(entry: Entry, code: str, detail: str) -> Entry:
    return entry.to(Step.reject, code=code[:32], detail=detail[:500])


def _failure_json(entry: Entry, failure: Failure) -> dict[str, Any]:
    return {
        "version": 1,
        "job": "0x" + entry.job_id.hex(),
        "fault": failure.fault.name,
        "code": failure.code,
        "detail": failure.detail[:500],
        "started_at": failure.started_at,
        "finished_at": failure.finished_at,
    }
