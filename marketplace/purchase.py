"""Buying access, and getting money back for what was not used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eth_account.signers.local import LocalAccount

from marketplace import bonds
from marketplace.chain.client import Chain, Sent
from marketplace.core.events import AccessBought, UnusedClaimed
from marketplace.core.ids import Status
from marketplace.core.job import Grant
from marketplace.core.offer import Offer
from marketplace.core.readable import euros
from marketplace.errors import InputError, RefusedError
from marketplace.lookup import AnnouncedOffer

_PERMIT_SECONDS = 1_800


@dataclass(frozen=True)
class Access:
    """A buyer's grant on an offer."""

    offer_digest: bytes
    asset_id: int
    grant: Grant


def buy(
    chain: Chain,
    account: LocalAccount,
    announced: AnnouncedOffer,
    uses: int,
    *,
    pay: Literal["permit", "approve"],
    most: int | None = None,
) -> Sent:
    """Buys `uses` uses: with a permit in one transaction, or with an approval before it.

    most: token units that a use may cost. Raises InputError for uses out of bounds, RefusedError where a use costs
    more, or where money or the contract says no.
    """
    offer = announced.offer
    if most is not None and offer.price > most:
        raise RefusedError(
            "a use costs more than you would pay; nothing was bought",
            got=euros(offer.price),
            expected=f"at most {euros(most)}",
        )
    if not 1 <= uses <= offer.max_uses:
        raise InputError("that many uses are not on offer", got=uses, expected=f"1 to {offer.max_uses}")
    cost = uses * offer.price
    bonds.require_funds(chain, account.address, cost)
    if pay == "permit":
        permit = chain.permit(account, cost, chain.block_time() + _PERMIT_SECONDS)
        arguments = (offer.to_tuple(), announced.signature, uses, permit)
        return chain.send("Market", "buyWithPermit", arguments, account)
    bonds.allow(chain, account, cost)
    return chain.send("Market", "buy", (offer.to_tuple(), announced.signature, uses), account)


def accesses(chain: Chain, buyer: str) -> list[Access]:
    """All grants of a buyer, oldest first, as they stand now."""
    bought: dict[bytes, int] = {}
    for event in chain.logs(types=(AccessBought,), buyer=buyer):
        bought.setdefault(event.offer_digest, event.asset_id)
    return [Access(digest, asset, chain.grant(digest, buyer)) for digest, asset in bought.items()]


def has_ended(grant: Grant, now: int) -> bool:
    """Whether no more jobs can be opened on a grant at `now` (Unix seconds)."""
    return now // 86_400 > grant.last_day


def usable_access(chain: Chain, buyer: str, token: int) -> Access:
    """A grant on an asset with a use left. Raises RefusedError that says what to buy."""
    now = chain.block_time()
    mine = [access for access in accesses(chain, buyer) if access.asset_id == token]
    for access in mine:
        if access.grant.unused() and not has_ended(access.grant, now):
            return access
    why = "every use is spent or ended" if mine else "none was bought"
    raise RefusedError(
        f"you hold no usable access to this dataset: {why}", do="Run `steelyard access buy` first."
    )


def reason_to_leave(chain: Chain, offer: Offer) -> str:
    """Why a buyer may take unused uses back before the term's end; empty where there is no reason."""
    status = chain.status(offer.asset_id)
    if status is not Status.active:
        return f"the dataset is {status.name}"
    if chain.owner_of(offer.asset_id) != offer.provider:
        return "the dataset changed hands"
    if bonds.missing(chain, offer.provider):
        return "the provider's bond is short"
    return "the market is paused" if chain.call("Market", "paused") else ""


def claim_unused(chain: Chain, account: LocalAccount, access: Access, offer: Offer) -> tuple[Sent, int]:
    """Credits the account for the unused uses of its grant; returns the amount in token units.

    Raises RefusedError where the grant lasts and the provider keeps its side.
    """
    if not has_ended(access.grant, chain.block_time()) and reason_to_leave(chain, offer):
        sent = chain.send("Market", "claimUnusedEarly", (offer.to_tuple(),), account)
    else:
        sent = chain.send("Market", "claimUnused", (access.offer_digest, account.address), account)
    amounts = [event.amount for event in sent.events if isinstance(event, UnusedClaimed)]
    return sent, sum(amounts)
