"""The node's answers on chain: receipt, rejection, failure; the end of windows and of deadlines.

A step returns the entry at its next step, or None to wait: what is sent is confirmed in the background, while the
node goes on. Each asks the chain first: an answer that went out before the node was killed stands there already, and
must not be sent again.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from compute.provider.background import Background
from compute.provider.clock import BLOCK_SECOND
from compute.provider.execution import failure_json, node_failure
from compute.provider.journal import Entry, Step
from compute.provider.place import Place
from compute.provider.reporter import Reporter
from marketplace.chain.client import Sent
from marketplace.core import envelope, unixfs
from marketplace.core.cid import Cid
from marketplace.core.job import END_STATES, Fault, Receipt, State
from marketplace.core.policy import reason_bytes32
from marketplace.core.spec import FailureReport
from marketplace.errors import InputError, IntegrityError, NotFoundError
from marketplace.keys import sign_digest
from marketplace.logs import Say
from marketplace.lookup import offer_of
from marketplace.storage import put_block

_RETRY_SECONDS = 2
_MOST_AT_ONCE = 100
"""Jobs in one finalise: some 30,000 gas each."""


class Answers:
    """What one node says on chain."""

    def __init__(self, place: Place, reporter: Reporter, background: Background, say: Say) -> None:
        self._place, self._reporter, self._say = place, reporter, say
        self._background = background
        self._finalising: Future[list[Entry]] | None = None

    def submit(self, entry: Entry) -> Entry | None:
        """The receipt, with the key of the output."""
        return self._background.move(entry, self._submit)

    def reject(self, entry: Entry) -> Entry | None:
        """That the job does not run; all money back."""
        return self._background.move(entry, self._reject)

    def fail(self, entry: Entry) -> Entry | None:
        """That it went wrong, and by whose fault."""
        return self._background.move(entry, self._fail)

    def expire(self, entry: Entry) -> Entry | None:
        """That the deadline is over without an answer."""
        return self._background.move(entry, self._expire)

    def _submit(self, entry: Entry) -> Entry:
        """Stores the sealed output where the buyer finds it, then sends the receipt with the wrapped key."""
        place = self._place
        if standing := self.standing(entry):
            return standing
        receipt = Receipt.from_json(entry.data["receipt"])
        self._reporter.report(entry.job_id, "storing the sealed output")
        try:
            blocks = self._output_blocks(receipt)
        except (InputError, IntegrityError) as error:
            failure = node_failure("output-lost", f"the sealed output is damaged here: {error.what}")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, failure))
        for cid in blocks:
            place.store.put(cid, place.outputs.get(cid))
        if place.now() + BLOCK_SECOND > entry.until - place.margin() / 2:
            # A receipt that comes too late is refused, and its key stands in the block all the same.
            late = node_failure("deadline", "the output was stored too late to be handed over in time")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, late))
        signature = sign_digest(place.account, receipt.digest(place.chain.domain))
        wrapped = bytes.fromhex(entry.data["wrapped_key"])
        sent = place.chain.send("Market", "submit", (receipt.to_tuple(), signature, wrapped), place.account)
        return self._on_chain(entry, "submitted", sent)

    def _output_blocks(self, receipt: Receipt) -> list[Cid]:
        """All blocks of the output, the header last: who sees it finds everything. Each was read and checked."""
        outputs = self._place.outputs
        header = envelope.Header.parse(outputs.get(Cid.raw(receipt.output_digest)))
        blocks = [*unixfs.blocks(header.body, outputs.get), header.cid]
        for cid in blocks:
            outputs.get(cid)
        return blocks

    def _reject(self, entry: Entry) -> Entry:
        place, code = self._place, entry.data["code"]
        if standing := self.standing(entry):
            return standing
        arguments = (entry.request.to_tuple(), reason_bytes32(code))
        sent = place.chain.send("Market", "reject", arguments, place.account)
        self._say(f"rejected: {code}: {entry.data['detail']}", job=entry.job_id, **self._spent(sent))
        self._reporter.report(entry.job_id, "rejected")
        return entry.to(Step.check)

    def _fail(self, entry: Entry) -> Entry:
        place = self._place
        if standing := self.standing(entry):
            return standing
        report = FailureReport.of(entry.data["failure"])
        block = put_block(place.store, report.to_bytes())
        offer = offer_of(place.chain, place.store, entry.request.offer_digest).offer
        arguments = (entry.request.to_tuple(), offer.to_tuple(), int(Fault[report.fault]), block.digest)
        sent = place.chain.send("Market", "fail", arguments, place.account)
        self._say(f"failed by {report.fault}: {report.code}: {report.detail}", job=entry.job_id)
        return self._on_chain(entry, "failed", sent)

    def standing(self, entry: Entry) -> Entry | None:
        """Where the chain has the job, if it is answered there; None where it is open.

        Never done: that comes with the confirmed event alone, which is taken back with its block. What is seen here may
        be in a block that the node has not followed to yet, and nobody would tell of its going.
        Raises NotFoundError for a job that the chain does not have: a reorganisation that will be told soon.
        """
        job = self._place.chain.job(entry.job_id)
        if job.state is State.open:
            return None
        if job.state is State.none:
            raise NotFoundError("the chain does not have this job now", got="0x" + entry.job_id.hex())
        if job.state in END_STATES:
            return entry.to(Step.check)
        return entry.to(Step.window, until=job.until)

    def _on_chain(self, entry: Entry, stage: str, sent: Sent) -> Entry:
        self._reporter.report(entry.job_id, stage)
        self._say(stage, job=entry.job_id, **self._spent(sent))
        return self.standing(entry) or entry

    def check(self, entry: Entry) -> Entry | None:
        """Waits for the event of the end; where a reorganisation has taken the answer back, gives it again."""
        if standing := self.standing(entry):
            return None if standing.step is Step.check else standing
        known = (("failure", Step.fail), ("code", Step.reject), ("receipt", Step.submit))
        again = next((step for key, step in known if key in entry.data), Step.judge)
        if again is Step.submit and entry.data["review"]:
            again = Step.review  # which goes on by itself where the Release is there
        job = self._place.chain.job(entry.job_id)
        return entry.to(again, until=job.until)

    def settle(self, entry: Entry) -> Entry | None:
        """Finalises every job whose window is over in one transaction; ends are learned from events."""
        if self._finalising is None:
            self._finalising = self._begin_to_finalise(entry)
        elif self._finalising.done():
            finalised, self._finalising = self._finalising, None
            waiting = self._waiting()
            for moved in finalised.result():
                if moved.job_id in waiting:  # else the event of its end came first
                    self._place.journal.put(moved)
        return None

    def holds(self, entry: Entry) -> bool:
        """Whether it is not known yet what came of the last step."""
        finalising = entry.step is Step.window and self._finalising is not None
        return finalising or self._background.holds(entry.job_id)

    def _waiting(self) -> dict[bytes, Entry]:
        """Jobs whose windows run or are over."""
        entries = self._place.journal.entries()
        return {entry.job_id: entry for entry in entries if entry.step is Step.window}

    def _begin_to_finalise(self, entry: Entry) -> Future[list[Entry]] | None:
        now = self._place.now()
        matured = [other for other in self._waiting().values() if now > other.until + 1][:_MOST_AT_ONCE]
        if entry.job_id not in [other.job_id for other in matured]:
            return None  # it was in the batch of another one, or its window is not over
        return self._background.begin(lambda: self._finalise(matured, int(now)))

    def _finalise(self, matured: list[Entry], now: int) -> list[Entry]:
        place = self._place
        sent = place.chain.send("Market", "finalise", ([other.job_id for other in matured],), place.account)
        self._say(f"finalised {len(matured)} jobs whose windows are over", **self._spent(sent))
        return [self._after_finalise(other, now) for other in matured]

    def _after_finalise(self, entry: Entry, now: int) -> Entry:
        """Waits for the event; or again in a while, where the chain skipped it."""
        standing = self.standing(entry)
        if standing is None:
            return entry.to(Step.check)
        return standing if standing.step is Step.check else entry.to(Step.window, until=now + _RETRY_SECONDS)

    def _expire(self, entry: Entry) -> Entry:
        """The buyer gets everything back."""
        if standing := self.standing(entry):
            return standing
        sent = self._place.chain.send("Market", "expire", (entry.request.to_tuple(),), self._place.account)
        self._say("expired; the buyer is refunded", job=entry.job_id, **self._spent(sent))
        return entry.to(Step.check)

    def _spent(self, sent: Sent) -> dict[str, Any]:
        """Counts a transaction's gas; what the log has of it."""
        self._place.facts.spent(sent.gas_used)
        return {"transaction": sent.transaction, "gas": sent.gas_used}
