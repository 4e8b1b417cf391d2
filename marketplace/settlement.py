"""Ending a job and moving its money: accept, finalise, expire, withdraw; registering the model."""

from __future__ import annotations

from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain, Sent
from marketplace.core.events import CreditsMinted, Withdrawn
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import TRANSITIONS, Action, Request, State
from marketplace.core.readable import instant
from marketplace.core.spec import ModelCard
from marketplace.errors import NotFoundError, RefusedError
from marketplace.lookup import did_of
from marketplace.storage import ContentStore, put_block


def accept(chain: Chain, account: LocalAccount, request: Request) -> Sent:
    """The buyer ends the window early: the provider is credited. Raises RefusedError unless it is submitted."""
    require_move(chain, request, Action.accept, "accepted")
    return chain.send("Market", "accept", (request.to_tuple(),), account)


def finalise(chain: Chain, account: LocalAccount, job_ids: list[bytes]) -> Sent:
    """Settles every job whose window is over; the others are skipped."""
    return chain.send("Market", "finalise", (job_ids,), account)


def expire(chain: Chain, account: LocalAccount, request: Request) -> Sent:
    """After the deadline: the buyer is credited in full. Raises RefusedError before it, and unless it is open."""
    require_move(chain, request, Action.expire, "expired")
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
    """Publishes the model of a settled job and mints its provider's credit; returns the model's token id.

    Raises RefusedError for a job that is not settled or whose model is registered already.
    """
    job = chain.job(request.job_id)
    if job.state is not State.settled:
        raise RefusedError(
            "only a settled job can register its model",
            got=job.state.name,
            do="Accept it, or wait for the window.",
        )
    known = registered_model(chain, request)
    if known is not None:
        raise RefusedError(
            "the job's model is registered already",
            got=f"model {did_of(chain, known)}",
            do="A job has one model; that one stands.",
        )
    put_block(store, card.to_bytes())
    sent = chain.send("ContributionCredits", "registerModel", (request.to_tuple(), card.sha256), account)
    return sent, next(event.model_id for event in sent.events if isinstance(event, CreditsMinted))


def registered_model(chain: Chain, request: Request) -> int | None:
    """The token id of the job's model; None where nobody registered it."""
    model = asset_id(Kind.model, request.buyer, request.job_id)
    try:
        chain.owner_of(model)
    except NotFoundError:
        return None
    return model


def require_move(chain: Chain, request: Request, action: Action, done: str) -> None:
    """Tells before a transaction what the contract would say after it."""
    job, name = chain.job(request.job_id), "0x" + request.job_id.hex()
    move = TRANSITIONS.get((job.state, action))
    if move is None:
        fitting = " or ".join(state.name for state, known in TRANSITIONS if known is action)
        raise RefusedError(
            f"the job cannot be {done}",
            got=f"a job that is {job.state.name}",
            expected=f"one that is {fitting}",
            do=f"`steelyard job status {name}` tells more.",
        )
    now = chain.block_time()
    if move.late is False and now > job.until:
        raise RefusedError(
            f"the job cannot be {done} any more",
            got=instant(now),
            expected=f"a time until {instant(job.until)}",
        )
    if move.late and now <= job.until:
        raise RefusedError(
            f"the job cannot be {done} yet",
            got=instant(now),
            expected=f"a time after its deadline, {instant(job.until)}",
            do=f"Until then its node may answer: `steelyard job watch {name}`.",
        )
