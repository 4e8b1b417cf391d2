"""A provider's bond: paying it in, announcing that it leaves, taking it out."""

from __future__ import annotations

from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain, Sent
from marketplace.core.readable import euros, instant
from marketplace.errors import RefusedError


def require_funds(chain: Chain, account: str, units: int) -> None:
    """Raises RefusedError where the account holds less than `units` of the token."""
    held = chain.token_balance(account)
    if held < units:
        raise RefusedError(
            "the wallet holds too little", got=euros(held), expected=euros(units), do="Fund it, or take less."
        )


def allow(chain: Chain, account: LocalAccount, units: int) -> None:
    """Lets the Market take `units` of the account's tokens."""
    chain.send("TestEuro", "approve", (chain.deployment.market, units), account)


def deposit(chain: Chain, account: LocalAccount, units: int) -> Sent:
    """Adds to the account's bond: an approval, then the deposit."""
    require_funds(chain, account.address, units)
    allow(chain, account, units)
    return chain.send("Market", "depositBond", (units,), account)


def missing(chain: Chain, provider: str) -> int:
    """Token units that the provider must still pledge to sell."""
    return max(0, chain.deployment.limits.min_bond - chain.bond(provider).staked)


def start_unbonding(chain: Chain, account: LocalAccount, units: int) -> Sent:
    """Announces that `units` of the bond shall leave. Raises RefusedError where less is staked."""
    staked = chain.bond(account.address).staked
    if not 0 < units <= staked:
        raise RefusedError("that much is not staked", got=euros(units), expected=f"up to {euros(staked)}")
    return chain.send("Market", "startUnbonding", (units,), account)


def release(chain: Chain, account: LocalAccount, provider: str) -> tuple[Sent, int]:
    """Credits what of a provider's bond has left; returns it in token units. Raises RefusedError before its time."""
    bond = chain.bond(provider)
    if bond.leaving == 0:
        raise RefusedError("nothing of the bond leaves", got=provider, do="Announce it: steelyard bond leave")
    if chain.block_time() <= bond.leaves_at:
        raise RefusedError(
            "the bond leaves later", got=euros(bond.leaving), expected=f"after {instant(bond.leaves_at)}"
        )
    return chain.send("Market", "releaseBond", (provider,), account), bond.leaving
