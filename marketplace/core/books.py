"""Every movement of money on the market, told from its events, and what it leaves in each account's pots. Pure.

A flow goes from one account's pot into another's, so nothing is made or lost between two accounts. Events are believed:
whether they could have happened is `marketplace.core.replay`'s to say. Amounts are units of the Market's token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from marketplace.core import events as ev
from marketplace.core.job import Fault, Ruling, State
from marketplace.core.limits import Limits


class Pot(StrEnum):
    """Where money of an account is. balance: owed by the Market. escrow: paid for jobs and disputes to come."""

    wallet = "wallet"
    balance = "balance"
    bond = "bond"
    escrow = "escrow"


class Kind(StrEnum):
    """Why money moved. deposit: uses that were paid for. fee: kept of a job whose algorithm failed.

    penalty: from a provider's bond to a buyer. stake: put into a dispute, or back; forfeit: what its loser pays of it.
    """

    deposit = "deposit"
    sale = "sale"
    fee = "failure fee"
    refund = "refund"
    penalty = "penalty"
    bond = "bond"
    stake = "stake"
    forfeit = "forfeited stake"
    judge_fee = "judge's fee"
    withdrawal = "withdrawal"


class Role(StrEnum):
    """As what an account took part."""

    provider = "provider"
    buyer = "buyer"
    judge = "judge"
    anyone = "anyone"


ROLES: Mapping[Kind, tuple[Role, Role]] = {
    Kind.deposit: (Role.buyer, Role.buyer),
    Kind.sale: (Role.buyer, Role.provider),
    Kind.fee: (Role.buyer, Role.provider),
    Kind.refund: (Role.buyer, Role.buyer),
    Kind.penalty: (Role.provider, Role.buyer),
    Kind.bond: (Role.provider, Role.provider),
    Kind.stake: (Role.buyer, Role.buyer),
    Kind.forfeit: (Role.buyer, Role.provider),
    Kind.judge_fee: (Role.buyer, Role.judge),
    Kind.withdrawal: (Role.anyone, Role.anyone),
}
"""Who pays and who gets, by kind."""

Place = tuple[str, Pot]
"""An account's pot."""


@dataclass(frozen=True)
class Flow:
    """`amount` > 0 went from `source` to `target`, at a log. about: the other party, where both are of one account."""

    at: ev.Position
    kind: Kind
    amount: int
    source: Place
    target: Place
    about: str = ""
    asset: int | None = None
    job: bytes | None = None

    def names(self, account: str) -> bool:
        return account in (self.source[0], self.target[0])


@dataclass
class JobLine:
    """A job as far as money goes. held: its price, or its fee once it is faulted. until: Unix seconds."""

    job_id: bytes
    provider: str
    buyer: str
    asset: int | None
    held: int
    until: int
    state: State = State.open
    faulted: bool = False
    staked: int = 0


@dataclass
class Books:
    """All flows, oldest first, and every job. limits: of the Market whose events they are."""

    limits: Limits
    flows: list[Flow] = field(default_factory=list)
    jobs: dict[bytes, JobLine] = field(default_factory=dict)
    _assets: dict[bytes, int] = field(default_factory=dict)
    _providers: dict[bytes, str] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[ev.Event], limits: Limits) -> Books:
        """What these events leave, in the order of the chain; some of them may move no money."""
        books = cls(limits)
        for event in events:
            handler = _HANDLERS.get(type(event))
            if handler:
                books.flows += [flow for flow in handler(books, event) if flow.amount]
        return books

    def pots(self, account: str) -> dict[Pot, int]:
        """What each pot of an account gained; of the wallet, only what went to and came from the Market."""
        held = dict.fromkeys(Pot, 0)
        for flow in self.flows:
            if flow.source[0] == account:
                held[flow.source[1]] -= flow.amount
            if flow.target[0] == account:
                held[flow.target[1]] += flow.amount
        return held

    def pending(self, provider: str) -> list[JobLine]:
        """Answered jobs of a provider whose window or dispute is not over, oldest first."""
        waiting = (State.submitted, State.faulted, State.disputed)
        return [job for job in self.jobs.values() if job.provider == provider and job.state in waiting]

    # What events move

    def _bought(self, event: ev.AccessBought) -> Iterator[Flow]:
        self._assets[event.offer_digest] = event.asset_id
        self._providers[event.offer_digest] = event.provider
        source, target = (event.buyer, Pot.wallet), (event.buyer, Pot.escrow)
        amount = event.uses * event.price
        yield Flow(event.at, Kind.deposit, amount, source, target, event.provider, event.asset_id)

    def _unused(self, event: ev.UnusedClaimed) -> Iterator[Flow]:
        source, target = (event.buyer, Pot.escrow), (event.buyer, Pot.balance)
        provider = self._providers.get(event.offer_digest, "")
        asset = self._assets.get(event.offer_digest)
        yield Flow(event.at, Kind.refund, event.amount, source, target, provider, asset)

    def _opened(self, event: ev.JobOpened) -> Iterator[Flow]:
        asset = self._assets.get(event.offer_digest)
        self.jobs[event.job_id] = JobLine(
            event.job_id, event.provider, event.buyer, asset, event.price, event.until
        )
        yield from ()

    def _submitted(self, event: ev.ReceiptSubmitted) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        job.state, job.until = State.submitted, event.until
        yield from ()

    def _settled(self, event: ev.JobSettled) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        yield self._paid(event, job, event.amount)
        job.state = State.settled

    def _ended(self, event: ev.JobRejected | ev.JobFailed | ev.JobExpired) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        yield self._back(event, job, event.refund)
        if isinstance(event, ev.JobFailed):
            yield self._paid(event, job, event.fee)
        if isinstance(event, ev.JobExpired):
            yield self._penalty(event, job, event.penalty)
        ends = {ev.JobRejected: State.rejected, ev.JobFailed: State.failed, ev.JobExpired: State.expired}
        job.state = ends[type(event)]

    def _faulted(self, event: ev.JobFaulted) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        yield self._back(event, job, event.refund)
        job.held, job.faulted = event.fee, event.fault != Fault.node
        job.state, job.until = State.faulted, event.until

    def _disputed(self, event: ev.JobDisputed) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        job.state, job.until, job.staked = State.disputed, event.until, self.limits.challenge_bond
        source, target = (job.buyer, Pot.wallet), (job.buyer, Pot.escrow)
        yield Flow(event.at, Kind.stake, job.staked, source, target, event.judge, job.asset, job.job_id)

    def _resolved(self, event: ev.DisputeResolved) -> Iterator[Flow]:
        """Who wins gets the stake back, less the judge's fee, which a provider who loses makes good by its bond."""
        job = self.jobs[event.job_id]
        source, rest = (job.buyer, Pot.escrow), job.staked - event.to_judge
        target = (event.judge, Pot.balance)
        yield Flow(event.at, Kind.judge_fee, event.to_judge, source, target, "", job.asset, job.job_id)
        if event.ruling == Ruling.pay:
            yield self._paid(event, job, event.to_provider - rest)
            target = (job.provider, Pot.balance)
            yield Flow(event.at, Kind.forfeit, rest, source, target, "", job.asset, job.job_id)
        else:
            back = job.held - event.to_provider
            yield self._paid(event, job, event.to_provider)
            yield self._back(event, job, back)
            yield self._unstaked(event, job, rest)
            yield self._penalty(event, job, event.to_buyer - back - rest)
        end = State.failed if job.faulted else State.settled
        job.state = {Ruling.refund: State.refunded, Ruling.split: State.split}.get(Ruling(event.ruling), end)

    def _lapsed(self, event: ev.DisputeLapsed) -> Iterator[Flow]:
        job = self.jobs[event.job_id]
        yield self._paid(event, job, event.to_provider)
        yield self._back(event, job, job.held - event.to_provider)
        yield self._unstaked(event, job, job.staked)
        paid = State.failed if job.faulted else State.settled
        job.state = paid if event.to_provider else State.refunded

    def _withdrawn(self, event: ev.Withdrawn) -> Iterator[Flow]:
        source, target = (event.account, Pot.balance), (event.account, Pot.wallet)
        yield Flow(event.at, Kind.withdrawal, event.amount, source, target, event.to)

    def _bonded(self, event: ev.BondDeposited) -> Iterator[Flow]:
        source, target = (event.provider, Pot.wallet), (event.provider, Pot.bond)
        yield Flow(event.at, Kind.bond, event.amount, source, target)

    def _released(self, event: ev.BondReleased) -> Iterator[Flow]:
        source, target = (event.provider, Pot.bond), (event.provider, Pot.balance)
        yield Flow(event.at, Kind.bond, event.amount, source, target)

    def _paid(self, event: ev.Event, job: JobLine, amount: int) -> Flow:
        kind = Kind.fee if job.faulted else Kind.sale
        source, target = (job.buyer, Pot.escrow), (job.provider, Pot.balance)
        return Flow(event.at, kind, amount, source, target, "", job.asset, job.job_id)

    def _back(self, event: ev.Event, job: JobLine, amount: int) -> Flow:
        return self._returns(event, job, Kind.refund, amount)

    def _unstaked(self, event: ev.Event, job: JobLine, amount: int) -> Flow:
        return self._returns(event, job, Kind.stake, amount)

    def _returns(self, event: ev.Event, job: JobLine, kind: Kind, amount: int) -> Flow:
        source, target = (job.buyer, Pot.escrow), (job.buyer, Pot.balance)
        return Flow(event.at, kind, amount, source, target, job.provider, job.asset, job.job_id)

    def _penalty(self, event: ev.Event, job: JobLine, amount: int) -> Flow:
        source, target = (job.provider, Pot.bond), (job.buyer, Pot.balance)
        return Flow(event.at, Kind.penalty, amount, source, target, "", job.asset, job.job_id)


_HANDLERS: Mapping[type[ev.Event], Callable[[Books, Any], Iterator[Flow]]] = {
    ev.AccessBought: Books._bought,
    ev.UnusedClaimed: Books._unused,
    ev.JobOpened: Books._opened,
    ev.ReceiptSubmitted: Books._submitted,
    ev.JobSettled: Books._settled,
    ev.JobRejected: Books._ended,
    ev.JobFailed: Books._ended,
    ev.JobExpired: Books._ended,
    ev.JobFaulted: Books._faulted,
    ev.JobDisputed: Books._disputed,
    ev.DisputeResolved: Books._resolved,
    ev.DisputeLapsed: Books._lapsed,
    ev.Withdrawn: Books._withdrawn,
    ev.BondDeposited: Books._bonded,
    ev.BondReleased: Books._released,
}
