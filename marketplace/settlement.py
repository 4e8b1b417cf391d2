"""Ending a job and moving its money: accept, finalise, expire, withdraw; registering the model."""

from __future__ import annotations

from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain, Sent
from marketplace.core.events import CreditsMinted, JobSettled, Withdrawn
from marketplace.core.job import Request, State
from marketplace.core.spec import ModelCard
from marketplace.errors import RefusedError
from marketplace.storage import ContentStore, put_block


def accept(chain: Chain, account: LocalAccount, request: Request) -> Sent:
    """The buyer ends the window early: the provider is credited."""
    return chain.send("Market", "accept", (request.to_tuple(),), account)


def finalise(chain: Chain, account: LocalAccount, job_ids: list[bytes]) -> Sent:
    """Settles every job whose window is over; the others are skipped."""
    return chain.send("Market", "finalise", (job_ids,), account)


def expire(chain: Chain, account: LocalAccount, request: Request) -> Sent:
    """After the deadline: the buyer is credited in full."""
    return chain.send("Market", "expire", (request.to_tuple(),), account)


def withdraw(chain: Chain, account: LocalAccount, to: str) -> tuple[Sent, int]:
    """Pays out everything owed to the account; returns the amount in token units."""
    if chain.balance(account.address) == 0:
        raise RefusedError(
            "nothing is owed to this wallet", got="0", do="`steelyard earnings show` tells what is."
        )
    sent = chain.send("Market", "withdraw", (to,), account)
    return sent, sum(event.amount for event in sent.events if isinstance(event, Withdrawn))


def register_model(
    chain: Chain, store: ContentStore, account: LocalAccount, request: Request, card: ModelCard
) -> tuple[Sent, int]:
    """Publishes the model of a settled job and mints its provider's credit; returns the model's token id."""
    job = chain.job(request.job_id)
    if job.state is not State.settled:
        raise RefusedError(
            "only a settled job can register its model",
            got=job.state.name,
            do="Accept it, or wait for the window.",
        )
    put_block(store, card.to_bytes())
    sent = chain.send("ContributionCredits", "registerModel", (request.to_tuple(), card.sha256), account)
    return sent, next(event.model_id for event in sent.events if isinstance(event, CreditsMinted))


def settled_amount(sent: Sent) -> int:
    """Token units that a transaction credited to providers."""
    return sum(event.amount for event in sent.events if isinstance(event, JobSettled))
