"""The node's answers on chain: receipt, rejection, failure; the end of windows and of deadlines.

A step returns the entry at its next step, or None to wait. Each asks the chain first: an answer that went out
before the node was killed stands there already, and must not be sent again.
"""

from __future__ import annotations

from compute.provider.execution import failure_json, node_failure
from compute.provider.journal import Entry, Step
from compute.provider.place import Place, Say
from compute.provider.reporter import Reporter
from marketplace.core import envelope, unixfs
from marketplace.core.cid import Cid
from marketplace.core.job import END_STATES, Fault, Receipt, State
from marketplace.core.policy import reason_bytes32
from marketplace.core.spec import FailureReport
from marketplace.errors import InputError, IntegrityError, NotFoundError
from marketplace.keys import sign_digest
from marketplace.lookup import offer_of
from marketplace.storage import put_block

_RETRY_SECONDS = 2
_MOST_AT_ONCE = 100
"""Jobs in one finalise: some 30,000 gas each."""


class Answers:
    """What one node says on chain."""

    def __init__(self, place: Place, reporter: Reporter, say: Say) -> None:
        self._place, self._reporter, self._say = place, reporter, say

    def submit(self, entry: Entry) -> Entry:
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
        if place.now() > entry.until - place.margin() / 2:
            # A receipt that comes too late is refused, and its key stands in the block all the same.
            late = node_failure("deadline", "the output was stored too late to be handed over in time")
            return entry.to(Step.fail, failure=failure_json(entry.job_id, late))
        signature = sign_digest(place.account, receipt.digest(place.chain.domain))
        wrapped = bytes.fromhex(entry.data["wrapped_key"])
        place.chain.send("Market", "submit", (receipt.to_tuple(), signature, wrapped), place.account)
        return self._on_chain(entry, "submitted")

    def _output_blocks(self, receipt: Receipt) -> list[Cid]:
        """All blocks of the output, the header last: who sees it finds everything. Each was read and checked."""
        outputs = self._place.outputs
        header = envelope.Header.parse(outputs.get(Cid.raw(receipt.output_digest)))
        blocks = [*unixfs.blocks(header.body, outputs.get), header.cid]
        for cid in blocks:
            outputs.get(cid)
        return blocks

    def reject(self, entry: Entry) -> Entry:
        place, code = self._place, entry.data["code"]
        if standing := self.standing(entry):
            return standing
        arguments = (entry.request.to_tuple(), reason_bytes32(code))
        place.chain.send("Market", "reject", arguments, place.account)
        self._say(f"job 0x{entry.job_id.hex()} rejected: {code}: {entry.data['detail']}")
        self._reporter.report(entry.job_id, "rejected")
        return entry.to(Step.check)

    def fail(self, entry: Entry) -> Entry:
        place = self._place
        if standing := self.standing(entry):
            return standing
        report = FailureReport.of(entry.data["failure"])
        block = put_block(place.store, report.to_bytes())
        offer = offer_of(place.chain, place.store, entry.request.offer_digest).offer
        arguments = (entry.request.to_tuple(), offer.to_tuple(), int(Fault[report.fault]), block.digest)
        place.chain.send("Market", "fail", arguments, place.account)
        self._say(f"job 0x{entry.job_id.hex()} failed by {report.fault}: {report.code}: {report.detail}")
        return self._on_chain(entry, "failed")

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

    def _on_chain(self, entry: Entry, stage: str) -> Entry:
        self._reporter.report(entry.job_id, stage)
        self._say(f"job 0x{entry.job_id.hex()} {stage}")
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
        place, now = self._place, self._place.now()
        waiting = [other for other in place.journal.entries() if other.step is Step.window]
        matured = [other for other in waiting if now > other.until + 1][:_MOST_AT_ONCE]
        if entry.job_id not in [other.job_id for other in matured]:
            return None  # it was in the batch of another one, or its window is not over
        place.chain.send("Market", "finalise", ([other.job_id for other in matured],), place.account)
        for other in matured:
            place.journal.put(self._after_finalise(other, int(now)))
        return None

    def _after_finalise(self, entry: Entry, now: int) -> Entry:
        """Waits for the event; or again in a while, where the chain skipped it."""
        standing = self.standing(entry)
        if standing is None:
            return entry.to(Step.check)
        return standing if standing.step is Step.check else entry.to(Step.window, until=now + _RETRY_SECONDS)

    def expire(self, entry: Entry) -> Entry:
        """The deadline is over without an answer: the buyer gets everything back."""
        if standing := self.standing(entry):
            return standing
        self._place.chain.send("Market", "expire", (entry.request.to_tuple(),), self._place.account)
        self._say(f"job 0x{entry.job_id.hex()} expired; the buyer is refunded")
        return entry.to(Step.check)
