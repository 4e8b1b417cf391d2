"""Steps of disputes: who may judge what, and where price, stake and slash go. Pure."""

from __future__ import annotations

from dataclasses import replace

from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import DisputeLapsed, DisputeResolved, JobDisputed
from marketplace.core.job import Action, Dispute, Ground, Ruling, State
from marketplace.core.ledger import JobRecord, Ledger
from marketplace.core.steps import finish, known_job, member, move, refuse, same
from marketplace.core.steps_escrow import announced_slash


def on_disputed(ledger: Ledger, event: JobDisputed) -> None:
    record = known_job(ledger, event.job_id)
    to = move(ledger, event, record, Action.dispute)
    ground = member(Ground, event.ground, "a dispute is on a known ground")
    same("a dispute says whether it is about a fault", record.job.state is State.faulted, event.faulted)
    if event.faulted:
        same("a fault is disputed on other grounds only", Ground.other.name, ground.name)
    judge = _judge_key(record, ground)
    _check_judge(ledger, record, judge, event.judge)
    limits = ledger.rules.limits
    until = ledger.time_of(event.at) + limits.dispute_time
    same("a judge has its time", until, event.until)
    record.job = replace(record.job, state=to, until=until)
    record.disputed, record.staked = event, limits.challenge_bond
    ledger.judges[judge] = event.judge
    ledger.paid_in += limits.challenge_bond


def _judge_key(record: JobRecord, ground: Ground) -> tuple[bytes, bool]:
    return record.request.offer_digest, ground is Ground.other


def _check_judge(ledger: Ledger, record: JobRecord, key: tuple[bytes, bool], judge: str) -> None:
    """The offer, which names the judge, is in its document; the contract never lets a party judge."""
    if judge in (ZERO_ADDRESS, record.job.provider, record.request.buyer):
        refuse("nobody judges its own case", "an account that is no party", judge)
    same("an offer has one arbiter and one verifier", ledger.judges.get(key, judge), judge)


def on_resolved(ledger: Ledger, event: DisputeResolved) -> None:
    record = known_job(ledger, event.job_id)
    ruling = member(Ruling, event.ruling, "a judge rules pay, refund or split")
    to = move(ledger, event, record, Action.of_ruling(ruling))
    dispute = _dispute(record)
    same("the judge of the dispute rules", ledger.judges[_judge_key(record, dispute.ground)], event.judge)
    if ruling is Ruling.split:
        same("only an arbiter splits", Ground.other.name, dispute.ground.name)
    fee = ledger.rules.limits.judge_fee
    most = record.job.price + fee if ruling is Ruling.refund else 0
    slashed = announced_slash(ledger, record.job.provider, most)
    shares = _shares(ruling, record.job.price, record.staked - fee, slashed)
    same("a ruling divides price, stake and slash as it must", (*shares, fee), _said(event))
    finish(ledger, record, to, to_provider=shares[0], to_buyer=shares[1], slashed=slashed)
    record.resolved, record.to_judge = event, fee
    ledger.credit(event.judge, fee)


def _shares(ruling: Ruling, price: int, stake: int, slashed: int) -> tuple[int, int]:
    """What provider and buyer get. stake: what is left of it once the judge is paid."""
    if ruling is Ruling.pay:
        return price + stake, 0
    half = price // 2 if ruling is Ruling.split else 0
    return half, price - half + stake + slashed


def _said(event: DisputeResolved) -> tuple[int, int, int]:
    return event.to_provider, event.to_buyer, event.to_judge


def on_lapsed(ledger: Ledger, event: DisputeLapsed) -> None:
    record = known_job(ledger, event.job_id)
    same("what lapses is a dispute", State.disputed.name, record.job.state.name)
    to = move(ledger, event, record, Action.finalise)
    price = record.job.price
    to_provider = 0 if to is State.refunded else price
    shares = (to_provider, price - to_provider + record.staked)
    same(
        "what nobody judged goes as its ground says, and the stake returns",
        shares,
        (event.to_provider, event.to_buyer),
    )
    finish(ledger, record, to, to_provider=event.to_provider, to_buyer=event.to_buyer)


def _dispute(record: JobRecord) -> Dispute:
    return record.dispute or refuse("a disputed job has a dispute", "a dispute", "none")
