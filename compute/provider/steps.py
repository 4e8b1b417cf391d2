"""What the node does about a job before it can answer: judge, wait for the owner, run, wait for the review.

A step returns the entry at its next step, or None to wait. It raises UnavailableError and NotFoundError for what may
come yet, RefusedError where this node may not act now; the node tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from compute.provider.answers import Answers
from compute.provider.decisions import REFUSED_ALGORITHM, REFUSED_OUTPUT
from compute.provider.execution import Failure, asks_for_too_much, failure_json, node_failure
from compute.provider.journal import Entry, Step
from compute.provider.judge import Refusal, Verdict, judge
from compute.provider.place import Place, Say, rejected
from compute.provider.reporter import Reporter
from compute.provider.requests import is_released, valid_approval
from compute.provider.runner import Runner, Success
from marketplace.core import envelope
from marketplace.core.job import Fault
from marketplace.errors import NotFoundError, UnavailableError
from marketplace.storage import get_document


class Steps:
    """One node's judgement and its sandbox.

    One job runs at a time, in the order of the chain. The next is judged again only once the one before is answered:
    a breach of policy ends the grant of the jobs behind it.
    """

    def __init__(self, place: Place, runner: Runner, reporter: Reporter, answers: Answers, say: Say) -> None:
        self._place, self._runner, self._reporter = place, runner, reporter
        self._answers, self._say = answers, say
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._running: dict[bytes, Future[Success | Failure]] = {}
        self._stop = threading.Event()

    def close(self) -> None:
        """Ends the job in the sandbox, which runs again after a restart."""
        self._stop.set()
        self._pool.shutdown(wait=True)

    def keep_only(self, jobs: Iterable[bytes]) -> None:
        """Forgets what came of jobs that are not among these any more."""
        for job_id in set(self._running) - set(jobs):
            if self._running[job_id].done():
                del self._running[job_id]

    def judge(self, entry: Entry) -> Entry | None:
        place = self._place
        if standing := self._answers.standing(entry):
            return standing
        place.check_key()
        if place.is_late(entry):
            return rejected(entry, "deadline", "the deadline came before the job could run")
        try:
            verdict = self._verdict(entry)
        except NotFoundError as error:
            return self._without_content(entry, error)
        if isinstance(verdict, Refusal):
            return rejected(entry, verdict.code, verdict.detail)
        self._reporter.report(entry.job_id, "accepted")
        placed = entry.on(verdict.order.offer.asset_id)
        if verdict.permit.needs_approval:
            self._ask(entry, "your approval", "waiting for the owner's approval")
            return placed.to(Step.approval)
        return placed.to(Step.run, review=verdict.permit.review_output)

    def _without_content(self, entry: Entry, error: NotFoundError) -> Entry:
        """What is missing may still come, for a while. Raises the error again until then."""
        place = self._place
        if not place.is_ours(entry):
            self._say(f"job 0x{entry.job_id.hex()} is on no dataset of this vault: left to expire")
            return entry.to(Step.done)
        opened = place.chain.block_time(entry.block)
        if place.now() - opened < place.patience:
            raise error
        return rejected(entry, "content-missing", str(error))

    def _verdict(self, entry: Entry) -> Verdict | Refusal:
        place = self._place
        at = place.chain.block_time(entry.block)
        verdict = judge(
            place.chain, place.store, place.vault, place.environments, entry.request, place.private_key, at=at
        )
        if isinstance(verdict, Verdict) and (why := asks_for_too_much(verdict.order.algorithm.manifest)):
            return Refusal("needs-too-much-memory", why)
        return verdict

    def _ask(self, entry: Entry, what: str, stage: str) -> None:
        name = f"0x{entry.job_id.hex()}"
        self._say(f"job {name} waits for {what}: steelyard request show {name}")
        self._reporter.report(entry.job_id, stage)

    def approval(self, entry: Entry) -> Entry | None:
        place = self._place
        if place.journal.is_refused(entry.job_id):
            return rejected(entry, REFUSED_ALGORITHM, "the owner refused the algorithm")
        if place.is_late(entry):
            return rejected(entry, "not-approved-in-time", "the owner did not decide before the deadline")
        documents = place.journal.approvals(entry.request.algorithm)
        now = int(place.now())
        approval = valid_approval(place.chain, place.store, documents, entry, place.owner, at=now)
        if approval is None:
            return None
        verdict = self._verdict(entry)
        if isinstance(verdict, Refusal):
            return rejected(entry, verdict.code, verdict.detail)
        return entry.to(Step.run, review=approval.review_output or verdict.permit.review_output)

    def run(self, entry: Entry) -> Entry | None:
        future = self._running.get(entry.job_id)
        if future is None:
            return self._start(entry)
        if not future.done():
            return None
        del self._running[entry.job_id]
        try:
            ended = future.result()
        except UnavailableError:
            raise  # no room in memory or on the disk: once more in a while
        except Exception as error:  # whatever it is, it is the node's own trouble
            self._say(f"job 0x{entry.job_id.hex()}: {type(error).__name__}: {error}")
            ended = node_failure("node-error", type(error).__name__)
        if isinstance(ended, Failure):
            if ended.fault is not Fault.node:
                name = f"0x{entry.job_id.hex()}"
                self._say(f"job {name} went wrong; what it wrote, for you alone: steelyard node log {name}")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, ended))
        return self._succeeded(entry, ended)

    def _start(self, entry: Entry) -> Entry | None:
        if self._place.is_late(entry):
            late = node_failure("deadline", "the deadline came before the job could run")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, late))
        if self._running:
            return None  # its turn comes
        self._place.check_key()
        verdict = self._verdict(entry)
        if isinstance(verdict, Refusal):
            return rejected(entry, verdict.code, verdict.detail)
        self._running[entry.job_id] = self._pool.submit(self._in_sandbox, entry, verdict)
        return None

    def _succeeded(self, entry: Entry, success: Success) -> Entry:
        moved = entry.to(
            Step.submit,
            receipt=success.receipt.to_json(),
            wrapped_key=success.wrapped_key.hex(),
            own_wrap=success.own_wrap.hex(),
            files=list(success.names),
        )
        if not entry.data["review"]:
            return moved
        self._ask(entry, "your review", "waiting for the owner's review of the output")
        return moved.to(Step.review)

    def _in_sandbox(self, entry: Entry, verdict: Verdict) -> Success | Failure:
        """In the pool's thread."""
        place = self._place
        asset = verdict.order.offer.asset_id
        with place.vault.logs.writing(entry.job_id, envelope.public_key(place.private_key)) as log:
            return self._runner.run(
                entry.job_id,
                verdict,
                place.vault.record(asset),
                get_document(place.store, place.chain.metadata(asset)),
                seconds=max(1, place.seconds_left(entry)),
                fair_seconds=place.chain.deployment.limits.job_time // 2,
                on_line=log,
                on_progress=lambda stage, done, of: self._reporter.report(entry.job_id, stage, done, of),
                stop=self._stop,
            )

    def review(self, entry: Entry) -> Entry | None:
        place = self._place
        if place.journal.is_refused(entry.job_id):
            return rejected(entry, REFUSED_OUTPUT, "the owner refused to release the output")
        if place.is_late(entry):
            return rejected(entry, "not-released-in-time", "the owner did not release the output in time")
        documents = place.journal.approvals(entry.job_id)
        if not is_released(place.chain, place.store, documents, entry, place.owner):
            return None
        return entry.to(Step.submit)
