"""Steps of Market: offers, grants, jobs and the money that each of them moves; disputes are elsewhere. Pure."""

from __future__ import annotations

from dataclasses import replace

from eth_utils.crypto import keccak

from marketplace.core.eip712 import ZERO_BYTES32
from marketplace.core.events import (
    AccessBought,
    ApprovalAnnounced,
    EpochRaised,
    JobExpired,
    JobFailed,
    JobFaulted,
    JobOpened,
    JobRejected,
    JobSettled,
    OfferAnnounced,
    ReceiptSubmitted,
    UnusedClaimed,
)
from marketplace.core.ids import Status
from marketplace.core.job import Action, Fault, Grant, Job, Request, State
from marketplace.core.ledger import GrantRecord, History, JobRecord, Ledger
from marketplace.core.steps import finish, known_grant, known_job, move, refuse, same
from marketplace.core.steps_escrow import announced_slash

DAY = 86_400
MAX_FEE_BPS = 2_000
_MAX_UINT16 = (1 << 16) - 1


def on_offer(ledger: Ledger, event: OfferAnnounced) -> None:
    ledger.offers.setdefault(event.offer_digest, []).append(event)


def on_approval(ledger: Ledger, event: ApprovalAnnounced) -> None:
    ledger.approvals.setdefault(event.subject, []).append(event)


def on_epoch(ledger: Ledger, event: EpochRaised) -> None:
    if event.asset_id not in ledger.owners:
        refuse("an epoch is that of a published asset", "a published asset", event.asset_id)
    history = ledger.epochs.get(event.asset_id) or History(0)
    same("an epoch rises by one", history.now() + 1, event.epoch)
    history.put(event.at, event.epoch)
    ledger.epochs[event.asset_id] = history


def on_bought(ledger: Ledger, event: AccessBought) -> None:
    _check_sale(ledger, event)
    terms = (event.asset_id, event.provider, event.price)
    same("an offer has one asset, provider and price", ledger.terms.get(event.offer_digest, terms), terms)
    key = (event.offer_digest, event.buyer)
    record = ledger.grants.get(key)
    grant = record.grant if record else Grant(event.provider, event.price, 0, 0, event.last_day)
    if record and grant.last_day == 0:
        refuse("a grant that a policy fault ended is not renewed", "no purchase", "a purchase")
    paid = grant.jobs_paid + event.uses
    if paid > _MAX_UINT16 or event.last_day < ledger.time_of(event.at) // DAY:
        refuse("a purchase fits its term", f"day {ledger.time_of(event.at) // DAY} or later", event.last_day)
    if record is None:
        record = ledger.grants[key] = GrantRecord(grant, event.asset_id)
    record.grant = replace(grant, jobs_paid=paid, last_day=event.last_day)
    record.purchases.append(event)
    ledger.terms[event.offer_digest] = terms
    ledger.paid_in += event.uses * event.price


def _check_sale(ledger: Ledger, event: AccessBought) -> None:
    """What the contract asks of market, asset and provider; the offer itself is in its document."""
    same("nothing is bought while paused", False, ledger.is_paused(event.contract))
    owner = ledger.owners.get(event.asset_id) or refuse(
        "what is bought was published", "an asset", event.asset_id
    )
    same("what is bought is for sale", Status.active.name, ledger.status_of(event.asset_id).name)
    same("who sells is the asset's owner", owner.now(), event.provider)
    if not ledger.is_bonded(event.provider):
        least, staked = ledger.rules.limits.min_bond, ledger.bond_of(event.provider).staked
        refuse("who sells has a bond", f"at least {least}", staked)
    if event.uses == 0:
        refuse("a purchase has uses", "at least one", 0)


def _may_leave_early(ledger: Ledger, record: GrantRecord) -> bool:
    """Whether the provider does not keep its side, or the market is stopped."""
    provider = record.grant.provider
    owns = ledger.owners[record.asset_id].now() == provider
    kept = owns and ledger.status_of(record.asset_id) is Status.active and ledger.is_bonded(provider)
    return ledger.is_paused(ledger.rules.market) or not kept


def on_unused(ledger: Ledger, event: UnusedClaimed) -> None:
    record = known_grant(ledger, (event.offer_digest, event.buyer))
    grant = record.grant
    if ledger.time_of(event.at) // DAY <= grant.last_day and not _may_leave_early(ledger, record):
        rule = "unused uses come back once the grant has ended, or where asset, owner, bond or market no longer stand"
        refuse(rule, f"after day {grant.last_day}", "earlier")
    if event.uses == 0:
        refuse("a claim has uses", "at least one", 0)
    same("a claim covers all unused uses", grant.unused(), event.uses)
    same("unused uses come back at their price", event.uses * grant.price, event.amount)
    record.grant = replace(grant, jobs_paid=grant.jobs_opened)
    ledger.credit(event.buyer, event.amount)


def on_opened(ledger: Ledger, event: JobOpened) -> None:
    same("no job opens while paused", False, ledger.is_paused(event.contract))
    record = known_grant(ledger, (event.offer_digest, event.buyer))
    grant = record.grant
    request = Request(event.offer_digest, event.buyer, event.index, event.algorithm, event.spec)
    same("a job's id is the hash of its request", request.job_id, event.job_id)
    same("jobs of a grant are numbered without gaps", grant.jobs_opened, event.index)
    if grant.unused() == 0 or ledger.time_of(event.at) // DAY > grant.last_day:
        refuse("a job uses a paid use of a grant that runs", "a use left", f"{grant}")
    same("a job pays the grant's provider", grant.provider, event.provider)
    same("a job costs the grant's price", grant.price, event.price)
    same("a job has its time", ledger.time_of(event.at) + ledger.rules.limits.job_time, event.until)
    record.grant = replace(grant, jobs_opened=event.index + 1)
    job = Job(event.provider, event.price, State.open, event.until, ZERO_BYTES32)
    ledger.jobs[event.job_id] = JobRecord(job, request, record.asset_id, event.at, event.price)


def _window(ledger: Ledger, event: ReceiptSubmitted | JobFaulted) -> None:
    same("the window is the market's", ledger.time_of(event.at) + ledger.rules.limits.window, event.until)


def on_receipt(ledger: Ledger, event: ReceiptSubmitted) -> None:
    record = known_job(ledger, event.job_id)
    to = move(ledger, event, record, Action.submit)
    same("a receipt names its job", event.job_id, event.receipt.job_id)
    same("the key that was delivered is the receipt's", event.receipt.key_digest, keccak(event.wrapped_key))
    _window(ledger, event)
    digest = event.receipt.digest(ledger.rules.domain)
    record.job = replace(record.job, state=to, until=event.until, receipt=digest)
    record.receipt = event


def on_settled(ledger: Ledger, event: JobSettled) -> None:
    record = known_job(ledger, event.job_id)
    late = ledger.time_of(event.at) > record.job.until
    same("a job whose receipt came is what is settled", State.submitted.name, record.job.state.name)
    to = move(ledger, event, record, Action.finalise if late else Action.accept)
    same("a settled job pays its provider", record.job.provider, event.provider)
    same("a settled job pays its price", record.job.price, event.amount)
    finish(ledger, record, to, to_provider=event.amount)


def on_rejected(ledger: Ledger, event: JobRejected) -> None:
    _refund(ledger, event, Action.reject, event.refund)


def on_expired(ledger: Ledger, event: JobExpired) -> None:
    record = known_job(ledger, event.job_id)
    to = move(ledger, event, record, Action.expire)
    price, penalty = record.job.price, ledger.rules.limits.expiry_penalty
    same("the buyer gets the whole price back", price, event.refund)
    slashed = announced_slash(ledger, record.job.provider, min(penalty, price))
    same("the penalty is what was slashed", slashed, event.penalty)
    finish(ledger, record, to, to_buyer=price + slashed, slashed=slashed)


def _refund(ledger: Ledger, event: JobRejected | JobFailed, action: Action, refund: int) -> None:
    record = known_job(ledger, event.job_id)
    to = move(ledger, event, record, action)
    same("the buyer gets the whole price back", record.job.price, refund)
    finish(ledger, record, to, to_buyer=refund)


def on_faulted(ledger: Ledger, event: JobFaulted) -> None:
    record = known_job(ledger, event.job_id)
    if event.fault not in (Fault.algorithm, Fault.policy):
        refuse("a fault with a fee is of the algorithm or the policy", "1 or 2", event.fault)
    policy = event.fault == Fault.policy
    to = move(ledger, event, record, Action.fail_policy if policy else Action.fail_algorithm)
    same("fee and refund make up the price", record.job.price, event.fee + event.refund)
    if event.fee * 10_000 > record.job.price * MAX_FEE_BPS:
        refuse("a failure fee is at most a fifth", record.job.price * MAX_FEE_BPS // 10_000, event.fee)
    _window(ledger, event)
    record.job = replace(record.job, price=event.fee, state=to, until=event.until, receipt=event.report)
    record.fault, record.to_buyer = event, event.refund
    ledger.credit(record.request.buyer, event.refund)
    if policy:
        grant = ledger.grants[record.grant_key]
        grant.grant = replace(grant.grant, last_day=0)


def on_failed(ledger: Ledger, event: JobFailed) -> None:
    record = known_job(ledger, event.job_id)
    if record.job.state is not State.faulted:
        same("a fault of the node earns no fee", 0, event.fee)
        _refund(ledger, event, Action.fail_node, event.refund)
        record.failed = event
        return
    to = move(ledger, event, record, Action.finalise)
    same("the fee is the one of the fault", record.job.price, event.fee)
    same("the refund was paid with the fault", 0, event.refund)
    same("the report is the one of the fault", record.job.receipt, event.report)
    finish(ledger, record, to, to_provider=event.fee)
    record.failed = event
