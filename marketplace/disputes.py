"""Disputing a receipt or a fault before the judge that the offer names, and judging."""

from __future__ import annotations

from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from marketplace.bonds import allow, require_funds
from marketplace.chain.client import Chain, Sent
from marketplace.core.canonical import canonical
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.job import Action, Ground, Request, Ruling
from marketplace.core.offer import Offer
from marketplace.errors import RefusedError
from marketplace.lookup import job_opened, offer_of, request_of
from marketplace.settlement import require_move
from marketplace.storage import ContentStore, put_block

_WORDS_MOST = 4_000
"""Characters of a statement."""


@dataclass(frozen=True)
class Case:
    """A job, and the offer that names who judges it."""

    request: Request
    offer: Offer

    def judge(self, ground: Ground) -> str:
        """Raises RefusedError where the offer names nobody for this ground."""
        judge = self.offer.arbiter if ground is Ground.other else self.offer.verifier
        if judge == ZERO_ADDRESS:
            raise RefusedError(
                "the offer names nobody who judges that",
                got=ground.name,
                do="Disputes can be had only where the offer that was bought names a judge.",
            )
        return judge


def case_of(chain: Chain, store: ContentStore, job_id: bytes) -> Case:
    """A job's case. Raises NotFoundError where there is no such job, or its offer cannot be found."""
    request = request_of(job_opened(chain, job_id))
    return Case(request, offer_of(chain, store, request.offer_digest).offer)


def dispute(
    chain: Chain, store: ContentStore, account: LocalAccount, case: Case, ground: Ground, words: str
) -> Sent:
    """The buyer stakes the challenger's bond and names a ground. words: the statement, a block of the shared store.

    Raises RefusedError where nothing can be disputed now, before anything is sent.
    """
    case.judge(ground)
    require_move(chain, case.request, Action.dispute, "disputed")
    stake = chain.deployment.limits.challenge_bond
    require_funds(chain, account.address, stake)
    statement = _put_statement(store, words)
    allow(chain, account, stake)
    arguments = (case.request.to_tuple(), case.offer.to_tuple(), int(ground), statement)
    return chain.send("Market", "dispute", arguments, account)


def resolve(
    chain: Chain, store: ContentStore, account: LocalAccount, case: Case, ruling: Ruling, words: str
) -> Sent:
    """The judge rules. words: the reasons. Raises RefusedError unless the account is the judge of a running dispute."""
    require_move(chain, case.request, Action[f"resolve_{ruling.name}"], "judged")
    judge = case.judge(chain.dispute(case.request.job_id).ground)
    if judge != account.address:
        raise RefusedError("another one judges this job", got=account.address, expected=judge)
    reasons = _put_statement(store, words)
    arguments = (case.request.to_tuple(), case.offer.to_tuple(), int(ruling), reasons)
    return chain.send("Market", "resolve", arguments, account)


def _put_statement(store: ContentStore, words: str) -> bytes:
    """The digest of what was said; 32 zero bytes where nothing was."""
    if not words:
        return bytes(32)
    if len(words) > _WORDS_MOST:
        raise RefusedError(
            "the statement is too long", got=len(words), expected=f"<= {_WORDS_MOST} characters"
        )
    return put_block(store, canonical({"version": 1, "statement": words})).digest
