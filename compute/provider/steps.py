"""What the node does about a job before it can answer: judge, wait for the owner, run, wait for the review.

A step returns the entry at its next step, or None to wait. It raises UnavailableError and NotFoundError for what may
come yet, RefusedError where this node may not act now; the node tries again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from compute.provider.answers import Answers
from compute.provider.background import Background
from compute.provider.decisions import REFUSED_ALGORITHM, REFUSED_OUTPUT
from compute.provider.execution import Failure, asks_for_too_much, failure_json, node_failure
from compute.provider.journal import Entry, Step
from compute.provider.judge import Refusal, Verdict, judge
from compute.provider.place import Place, rejected
from compute.provider.reporter import Reporter
from compute.provider.requests import is_released, valid_approval
from compute.provider.runner import Runner, Success
from compute.provider.turns import rounded_up, seconds_with_those_ahead
from marketplace.core import envelope
from marketplace.core.job import Fault, Grant
from marketplace.errors import NotFoundError, UnavailableError
from marketplace.logs import Say, described
from marketplace.storage import get_document


@dataclass(frozen=True)
class _Judged:
    """grant: as it was before the judgement began."""

    grant: Grant
    verdict: Verdict | Refusal


class Steps:
    """One node's judgement and its sandbox.

    One job runs at a time, in the order of the chain. The next is judged again meanwhile, and once more where its grant
    has changed since; a job behind a breach of policy only once that breach is confirmed: it ends the grant of the jobs
    behind it.
    """

    def __init__(
        self,
        place: Place,
        runner: Runner,
        reporter: Reporter,
        answers: Answers,
        background: Background,
        say: Say,
    ) -> None:
        self._place, self._runner, self._reporter = place, runner, reporter
        self._answers, self._background, self._say = answers, background, say
        self._next: tuple[Entry, Future[_Judged]] | None = None
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
        """Whether the job may run; in the background."""
        return self._background.move(entry, self._judge)

    def _judge(self, entry: Entry) -> Entry:
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
        return self._to_run(placed, review=verdict.permit.review_output)

    def _to_run(self, entry: Entry, *, review: bool) -> Entry:
        """Into the queue, or back at once with all money where its turn would come too late."""
        journal = self._place.journal
        needed = seconds_with_those_ahead(entry, journal.entries(), journal.durations())
        if needed > self._place.seconds_left(entry):
            detail = f"with the jobs before it, it would take {rounded_up(needed)} s; its deadline is earlier"
            return rejected(entry, "no-capacity", detail)
        return entry.to(Step.run, review=review)

    def _without_content(self, entry: Entry, error: NotFoundError) -> Entry:
        """What is missing may still come, for a while. Raises the error again until then."""
        place = self._place
        if not place.is_ours(entry):
            self._say("is on no dataset of this vault: left to expire", job=entry.job_id)
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
        if isinstance(verdict, Refusal):
            return verdict
        if why := asks_for_too_much(verdict.order.algorithm.manifest):
            return Refusal("needs-too-much-memory", why)
        if large := self._runner.too_large(verdict.order.offer.asset_id):
            return Refusal("data-does-not-fit", large)
        return verdict

    def _ask(self, entry: Entry, what: str, stage: str) -> None:
        name = f"0x{entry.job_id.hex()}"
        self._say(f"waits for {what}: steelyard request show {name}", job=entry.job_id)
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
        return self._to_run(entry, review=approval.review_output or verdict.permit.review_output)

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
            self._say(f"could not be run: {described(error)}", job=entry.job_id)
            ended = node_failure("node-error", type(error).__name__)
        if isinstance(ended, Failure):
            name = f"0x{entry.job_id.hex()}"
            if ended.fault is Fault.node:
                self._say(
                    f"failed by this node: {ended.detail}; more: steelyard node log {name}", job=entry.job_id
                )
            else:
                self._say(
                    f"went wrong; what it wrote, for you alone: steelyard node log {name}", job=entry.job_id
                )
            return entry.to(Step.fail, failure=failure_json(entry.job_id, ended))
        return self._succeeded(entry, ended)

    def _start(self, entry: Entry) -> Entry | None:
        if self._place.is_late(entry):
            late = node_failure("deadline", "the deadline came before the job could run")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, late))
        if self._running or self._waits_for_others(entry):
            self._prepare(entry)
            return None  # its turn comes
        self._place.check_key()
        verdict = self._latest_verdict(entry)
        if isinstance(verdict, Refusal):
            return rejected(entry, verdict.code, verdict.detail)
        future = self._pool.submit(self._in_sandbox, entry, verdict)
        future.add_done_callback(self._is_over)
        self._running[entry.job_id] = future
        return None

    def _prepare(self, entry: Entry) -> None:
        """Judges the next job while the one before it runs."""
        if self._next is None:
            self._next = (entry, self._background.begin(lambda: self._judged(entry)))

    def _judged(self, entry: Entry) -> _Judged:
        request = entry.request
        grant = self._place.chain.grant(request.offer_digest, request.buyer)
        return _Judged(grant, self._verdict(entry))

    def _latest_verdict(self, entry: Entry) -> Verdict | Refusal:
        """The prepared one where nothing that it rests on has changed: all but the grant is named by digest."""
        prepared, self._next = self._next, None
        if prepared is not None and prepared[0] == entry:
            judged = prepared[1].result()
            request = entry.request
            if judged.grant == self._place.chain.grant(request.offer_digest, request.buyer):
                return judged.verdict
        return self._verdict(entry)

    def _waits_for_others(self, entry: Entry) -> bool:
        """Whether a job that was opened earlier is being judged: the chain's order is the order of turns. Or whether
        one of the same grant broke policy, and the chain does not say so yet.
        """
        earlier = True
        for other in self._place.journal.entries():
            earlier = earlier and other.job_id != entry.job_id
            if earlier and other.step is Step.judge and self._background.holds(other.job_id):
                return True
            if _broke_policy(other) and _grant(other) == _grant(entry):
                return True
        return False

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
        asset, started = verdict.order.offer.asset_id, time.monotonic()
        place.facts.running_since = started
        with place.vault.logs.writing(entry.job_id, envelope.public_key(place.private_key)) as log:
            ended = self._runner.run(
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
        if isinstance(ended, Success) and not verdict.permit.needs_approval:
            place.journal.note_run(entry, time.monotonic() - started)
        return ended

    def _is_over(self, _: object) -> None:
        self._place.facts.running_since = None
        self._background.wake.set()

    def running(self) -> list[bytes]:
        """Jobs in the sandbox: one, or none."""
        return [job_id for job_id, future in self._running.items() if not future.done()]

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


def _broke_policy(entry: Entry) -> bool:
    return entry.step is Step.fail and entry.data["failure"]["fault"] == Fault.policy.name


def _grant(entry: Entry) -> tuple[bytes, str]:
    return entry.request.offer_digest, entry.request.buyer
