"""The node: a process of its own beside the data. It follows the chain and nothing calls into it.

`openJob` on chain is the dispatch. For each job that names this provider the node judges, waits for approval
where the terms say so, runs it in the sandbox, and answers on chain: a receipt, a rejection or a failure.
Every step is in the journal before the next begins, so that a restart goes on where it was. Nothing that a buyer,
an endpoint or a store says ends the node: what fails is tried again, ever more rarely, until the deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from compute.provider.answers import Answers
from compute.provider.background import Background
from compute.provider.journal import WAITS_FOR_OWNER, Entry, Step
from compute.provider.place import Place, rejected
from compute.provider.reporter import Reporter
from compute.provider.runner import Runner
from compute.provider.steps import Steps
from compute.provider.turns import Told, turns
from marketplace.chain.follow import Batch, Follower, Reorganised
from marketplace.core.events import (
    ApprovalAnnounced,
    DisputeLapsed,
    DisputeResolved,
    JobDisputed,
    JobExpired,
    JobFailed,
    JobOpened,
    JobRejected,
    JobSettled,
)
from marketplace.core.job import Ground
from marketplace.errors import SteelyardError
from marketplace.logs import Say, described
from marketplace.lookup import request_of

__all__ = ["Node", "Place"]

_POLL_SECONDS, _REST_SECONDS = 0.1, 0.5
"""Between looks at the chain, while there is something to do and while there is not."""
_LOOK_SECONDS = 0.5
"""How often the node looks for the owner's decision, and at windows that should be over."""
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 30.0
_LONG_SECONDS = 1.0
"""How long the node waits after its chain or its journal failed it."""
_ENDS = JobSettled | JobFailed | JobExpired | JobRejected | DisputeResolved | DisputeLapsed
_END_NAMES: dict[type, str] = {
    JobSettled: "settled",
    JobFailed: "failed",
    JobExpired: "expired",
    JobRejected: "rejected",
    DisputeResolved: "disputed",
    DisputeLapsed: "disputed",
}
_CLOCK_SECONDS = 60.0
_TELL_SECONDS = 1.0
_PATIENT = WAITS_FOR_OWNER | {Step.window, Step.check}
_UNDECIDED = frozenset({Step.judge, Step.approval, Step.review})


@dataclass
class _Pause:
    """When to look at a job again (time.monotonic), and what went wrong, said once."""

    until: float = 0.0
    seconds: float = 0.0
    said: str = ""


class Node:
    """One provider's node."""

    def __init__(self, place: Place, runner: Runner, reporter: Reporter, say: Say) -> None:
        self._place, self._reporter, self._say = place, reporter, say
        self._background = Background()
        self._answers = answers = Answers(place, reporter, self._background, say)
        self._steps = Steps(place, runner, reporter, answers, self._background, say)
        self._expire = answers.expire
        self._moves: dict[Step, Callable[[Entry], Entry | None]] = {
            Step.judge: self._steps.judge,
            Step.approval: self._steps.approval,
            Step.run: self._steps.run,
            Step.review: self._steps.review,
            Step.submit: answers.submit,
            Step.reject: answers.reject,
            Step.fail: answers.fail,
            Step.window: answers.settle,
            Step.check: answers.check,
        }
        self._pauses: dict[bytes, _Pause] = {}
        self._told, self._told_at = Told(), 0.0

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop` is set; a service that does not answer, or answers nonsense, is waited for."""
        try:
            while not stop.is_set():
                try:
                    self._serve(stop)
                except SteelyardError as error:
                    self._say(f"waiting: {error}")
                except Exception as error:  # a defect must not end what others' money waits for
                    self._say(f"this should not happen ({described(error)}); please report it")
                stop.wait(_LONG_SECONDS)
        finally:
            self._steps.close()
            self._background.close()

    def _serve(self, stop: threading.Event) -> None:
        chain, journal = self._place.chain, self._place.journal
        self._compare_clocks()
        follower = Follower(chain, chain.deployment.first_block, known=journal.known())
        while not stop.is_set():
            step = follower.poll()
            self._place.facts.looked()
            if isinstance(step, Reorganised):
                self._say(
                    f"the chain reorganised down to block {step.to_block}; judging again what comes after"
                )
                journal.roll_back(step.to_block)
                self._pauses.clear()
            elif step:
                self._record(step)
            self._background.wake.clear()
            busy = self._advance_all()
            if step is None:
                self._background.wake.wait(_POLL_SECONDS if busy else _REST_SECONDS)

    def _compare_clocks(self) -> None:
        off = time.time() - self._place.now()
        if abs(off) > _CLOCK_SECONDS:
            way = "ahead of" if off > 0 else "behind"
            self._say(f"this machine's clock is {abs(off):.0f} s {way} the chain's; the chain's counts")

    def _record(self, batch: Batch) -> None:
        place = self._place
        for event in batch.events:
            if isinstance(event, JobOpened) and event.provider == place.owner:
                self._take(event)
            elif isinstance(event, ApprovalAnnounced) and event.by == place.owner:
                # Announcing is open to everyone, and each document costs a fetch: only the owner's own count.
                place.journal.note_approval(event.subject, event.document, event.at.block)
                self._pauses.clear()
            elif isinstance(event, JobDisputed):
                self._dispute(event)
            elif isinstance(event, _ENDS):
                if place.journal.knows(event.job_id):
                    place.facts.ends[_END_NAMES[type(event)]] += 1
                place.journal.end(event.job_id, event.at.block)
        place.journal.note_block(batch.last, batch.last_hash)
        place.facts.looked(batch.last)

    def _take(self, event: JobOpened) -> None:
        if self._place.journal.knows(event.job_id):
            return
        self._say(f"opened by {event.buyer}", job=event.job_id, transaction=event.at.transaction)
        entry = Entry(event.job_id, event.at.block, Step.judge, 0, event.until, request_of(event), {})
        self._place.journal.put(entry)
        self._reporter.report(event.job_id, "queued")

    def _dispute(self, event: JobDisputed) -> None:
        """The judge has until `event.until`; whoever finalises after that gets the job to its end."""
        journal = self._place.journal
        if not journal.knows(event.job_id):
            return
        self._say(f"is disputed ({Ground(event.ground).name}); {event.judge} judges", job=event.job_id)
        journal.put(journal.get(event.job_id).to(Step.window, until=event.until))

    def _advance_all(self) -> bool:
        """Moves every job as far as it goes; whether one is there that does not wait for people or the clock."""
        entries = self._place.journal.entries()
        active = {entry.job_id for entry in entries}
        self._steps.keep_only(active)
        self._background.keep_only(active)
        self._pauses = {job_id: pause for job_id, pause in self._pauses.items() if job_id in active}
        for entry in entries:
            if self._is_due(entry):
                self._advance_safely(entry)
        self._tell_turns(entries)
        return any(entry.step not in _PATIENT for entry in entries)

    def _tell_turns(self, entries: list[Entry]) -> None:
        """Buyers hear where their jobs are in the queue, once in a while."""
        if time.monotonic() - self._told_at < _TELL_SECONDS or not any(e.step is Step.run for e in entries):
            return
        self._told_at = time.monotonic()
        found = turns(entries, self._place.journal.durations(), self._steps.running())
        for job_id, turn in self._told.news(found).items():
            self._reporter.report_turn(job_id, position=turn.position, seconds=turn.seconds)

    def _advance_safely(self, entry: Entry) -> None:
        try:
            at = self._advance(entry)
        except SteelyardError as error:
            self._back_off(entry, str(error))
        except Exception as error:  # a defect: the buyer gets the money back, the others go on
            self._back_off(entry, f"this should not happen ({described(error)})")
            if (now := self._place.journal.get(entry.job_id)).step in _UNDECIDED:
                self._place.journal.put(rejected(now, "node-error", type(error).__name__))
        else:
            if self._answers.holds(entry):
                return
            look = _LOOK_SECONDS if at in _PATIENT else 0.0
            self._pauses[entry.job_id] = _Pause(time.monotonic() + look)

    def _advance(self, entry: Entry) -> Step:
        """Moves a job as far as it goes now; returns where it waits."""
        while entry.step in self._moves:
            move = self._expire if self._place.is_past(entry) else self._moves[entry.step]
            moved = move(entry)
            if moved is None:
                break
            self._place.journal.put(moved)
            entry = moved
        return entry.step

    def _is_due(self, entry: Entry) -> bool:
        if entry.step is Step.window and self._place.now() <= entry.until + 1:
            return False
        pause = self._pauses.get(entry.job_id)
        return pause is None or time.monotonic() >= pause.until

    def _back_off(self, entry: Entry, what: str) -> None:
        """Tries again later and later, but not past the moment in which the node must answer."""
        pause = self._pauses.get(entry.job_id, _Pause())
        seconds = min(max(_FIRST_PAUSE, 2 * pause.seconds), _LAST_PAUSE)
        moments = (entry.until - self._place.margin(), entry.until + 2)
        now = self._place.now()
        ahead = [moment - now for moment in moments if moment > now]
        wait = min([seconds, *(max(_FIRST_PAUSE, moment) for moment in ahead)])
        if what != pause.said:
            self._say(f"waits: {what}", job=entry.job_id)
        self._pauses[entry.job_id] = _Pause(time.monotonic() + wait, seconds, what)
