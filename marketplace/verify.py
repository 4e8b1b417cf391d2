"""An audit: everything on chain and in the shared store held against each other, line by line.

Reads an RPC endpoint and the shared store, never a hub and never anyone's home. What is wrong becomes a line that
names it and stops nothing; only an endpoint that gives no answer ends the audit.
Not covered: an endpoint that lies consistently about logs and storage; what receipts claim (shown as `claimed`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from marketplace.chain.client import Chain
from marketplace.chain.deployment import check_deployment
from marketplace.core import approvals, audit, evidence, outputs
from marketplace.core.audit import Check
from marketplace.core.cid import Cid
from marketplace.core.dataset import Listing
from marketplace.core.events import Event
from marketplace.core.ids import Kind, kind_of
from marketplace.core.ledger import GrantKey, Ledger
from marketplace.core.replay import replay
from marketplace.core.scope import Scope, Subject, View, subject_text, views
from marketplace.core.terms import Terms
from marketplace.core.timeline import Entry, entry, timeline
from marketplace.errors import NotFoundError, SteelyardError, UnavailableError
from marketplace.storage import ContentStore

OnCheck = Callable[[Check], None]
_CACHE_BYTES = 64 * 1024 * 1024
_GIVE_UP_AFTER = 3


@dataclass(frozen=True)
class Report:
    """What an audit found. ok: every proved line holds. block, block_hash: the state that was audited."""

    ok: bool
    subject: str
    deployment: bytes
    block: int
    block_hash: bytes
    checks: tuple[Check, ...]

    def failures(self) -> list[Check]:
        """The proved lines that do not hold, or could not be judged."""
        return [check for check in self.checks if check.kind == "proved" and check.ok is not True]

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "subject": self.subject,
            "deployment": self.deployment.hex(),
            "block": self.block,
            "block_hash": "0x" + self.block_hash.hex(),
            "checks": [check.to_json() for check in self.checks],
        }


def verify(chain: Chain, store: ContentStore, subject: Subject, on_check: OnCheck | None = None) -> Report:
    """Audits everything, one asset or one job at the last confirmed block.

    subject: None, an asset's id, or a job's id (32 bytes). on_check: gets each line as it comes.
    Raises NotFoundError where the chain knows no such asset or job, UnavailableError where the endpoint gives no answer
    or its chain was reorganised meanwhile, RefusedError for a deployment file of another chain.
    """
    number = chain.confirmed_head()
    head = chain.block(number)
    checks: list[Check] = []
    for check in _Audit(chain, store, number).checks(subject):
        checks.append(check)
        if on_check is not None:
            on_check(check)
    if chain.block(number).hash != head.hash:
        raise UnavailableError("the chain was reorganised during the audit", got=number, do="Run it again.")
    ok = all(check.ok is True for check in checks if check.kind == "proved")
    return Report(ok, subject_text(subject), chain.deployment.digest, number, head.hash, tuple(checks))


def trace(chain: Chain, subject: Subject) -> list[Entry]:
    """What happened to an asset or a job, oldest first. Raises NotFoundError where nothing did."""
    events = timeline(chain.logs(), subject)
    if not events:
        raise NotFoundError("nothing on chain is about it", got=subject_text(subject))
    times = {number: chain.block_time(number) for number in {event.at.block for event in events}}
    return [entry(event, times) for event in events]


class _Audit:
    """One audit at one block."""

    def __init__(self, chain: Chain, store: ContentStore, block: int) -> None:
        self._chain = chain
        self._block = block
        self._get = _Blocks(store).get
        self._listings: dict[int, Listing | None] = {}
        self._receipts: dict[bytes, Any] = {}  # what storage holds, by job

    def checks(self, subject: Subject) -> Iterator[Check]:
        """Every line, in the order in which one rests on another."""
        yield from self._deployment()
        events: list[Event] = self._chain.logs(last=self._block)
        times, blocks = self._times(events)
        yield blocks
        ledger = replay(events, rules=self._chain.deployment.rules, times=times)
        ledger.contracts = self._chain.accepts
        scope = Scope.of(ledger, subject)
        yield from audit.step_checks(ledger, len(events))
        yield from audit.invariant_checks(ledger)
        yield audit.solvency_check(ledger, self._chain.token_balance(ledger.rules.market, block=self._block))
        yield from self._views(ledger, scope)
        for asset in scope.assets:
            yield from self._asset(ledger, asset)
        jobs: dict[GrantKey, list[bytes]] = {key: [] for key in scope.grants}
        for job_id in scope.jobs:
            jobs[ledger.jobs[job_id].grant_key].append(job_id)
        for key in scope.grants:
            yield from self._grant(ledger, key, jobs[key])

    def _deployment(self) -> Iterator[Check]:
        for line in check_deployment(self._chain.rpc, self._chain.deployment):
            yield audit.equal(
                "deployment", line.name, "the chain against the deployment file", line.expected, line.got
            )

    def _times(self, events: Iterable[Event]) -> tuple[dict[int, int], Check]:
        """The time of every block that holds an event; and whether the logs are of the blocks that stand."""
        times: dict[int, int] = {}
        odd = []
        for event in events:
            if event.at.block in times:
                continue
            found = self._chain.block(event.at.block)
            times[event.at.block] = found.time
            if found.hash != event.at.block_hash:
                odd.append(event.at.block)
        return times, audit.held(
            "blocks",
            f"chain {self._chain.deployment.chain_id}",
            "the block hash in the logs against the blocks themselves",
            not odd,
            expected="no difference",
            got=f"{len(times)} blocks" if not odd else f"other hashes in blocks {odd[:10]}",
        )

    def _views(self, ledger: Ledger, scope: Scope) -> Iterator[Check]:
        for view in views(ledger, scope):
            got = self._read(view)
            if view.function == "jobOf":
                self._receipts[view.arguments[0]] = got[-1]
            yield audit.equal(
                "storage",
                view.subject,
                f"{view.contract}.{view.function} at block {self._block} against the replayed logs",
                view.value,
                got,
            )

    def _read(self, view: View) -> Any:
        """What the chain says; an error's text where that is no value of the view."""
        try:
            return self._chain.call(view.contract, view.function, *view.arguments, block=self._block)
        except UnavailableError:
            raise
        except SteelyardError as error:
            return (str(error),)

    # Documents

    def _asset(self, ledger: Ledger, asset: int) -> Iterator[Check]:
        """The document of an asset; a model's also against its job."""
        kind = kind_of(asset)
        if kind is Kind.dataset:
            self._listings[asset], checks = evidence.listing_of(ledger, asset, self._get)
            yield from checks
        elif kind is Kind.model and asset in ledger.models:
            yield audit.credit_check(ledger, asset)
            yield from outputs.model_checks(ledger, asset, self._get)
        else:
            yield evidence.document_check(ledger, asset, self._get)

    def _grant(self, ledger: Ledger, key: GrantKey, jobs: list[bytes]) -> Iterator[Check]:
        """The offer and the terms of a grant, and each of its jobs against them."""
        listing = self._listings.get(ledger.grants[key].asset_id)
        offer, checks = evidence.offer_of(ledger, key, self._get)
        yield from checks
        terms = None
        if offer is not None:
            terms, checks = evidence.terms_of(ledger, key, offer, self._get)
            yield from checks
        for job_id in jobs:
            yield audit.money_check(job_id, ledger.jobs[job_id])
            if offer is not None:
                yield from evidence.fee_checks(ledger, job_id, offer)
                yield from evidence.judge_checks(ledger, job_id, offer)
            yield from self._job(ledger, job_id, terms, listing)

    def _job(
        self, ledger: Ledger, job_id: bytes, terms: Terms | None, listing: Listing | None
    ) -> Iterator[Check]:
        yield from outputs.receipt_checks(ledger, job_id, self._receipts[job_id], listing)
        if terms is not None:
            yield from approvals.algorithm_checks(ledger, job_id, terms, self._get)
        yield from outputs.content_checks(ledger, job_id, listing, self._get)
        yield from outputs.job_claims(ledger, job_id, listing)


class _Blocks:
    """The store as an audit uses it: blocks are kept for a while, and a store that is down is not asked for ever."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._kept: OrderedDict[Cid, bytes] = OrderedDict()
        self._bytes = 0
        self._silences = 0

    def get(self, cid: Cid) -> bytes:
        """As `ContentStore.get`; UnavailableError at once where the store gave no answer several times in a row."""
        if cid in self._kept:
            return self._kept[cid]
        if self._silences >= _GIVE_UP_AFTER:
            raise UnavailableError("the store stopped answering", got=f"{self._silences} times in a row")
        try:
            block = self._store.get(cid)
        except UnavailableError:
            self._silences += 1
            raise
        except SteelyardError:
            self._silences = 0
            raise
        self._silences = 0
        self._keep(cid, block)
        return block

    def _keep(self, cid: Cid, block: bytes) -> None:
        self._kept[cid] = block
        self._bytes += len(block)
        while self._bytes > _CACHE_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])
