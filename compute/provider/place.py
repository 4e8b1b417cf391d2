"""What a node works with, and how its time is counted: by the chain's clock, never by this machine's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from eth_account.signers.local import LocalAccount

from compute.environments import Environments
from compute.provider.clock import Clock
from compute.provider.journal import Entry, Journal, Step
from compute.provider.vault import Vault
from marketplace.chain.client import Chain
from marketplace.core.events import AccessBought
from marketplace.errors import NotFoundError, RefusedError
from marketplace.storage import ContentStore

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """One node's surroundings.

    owner: the provider's address, account: the node's hot key, private_key: its X25519 sealing key.
    environments: what algorithms may import.
    patience: seconds that the node waits for content that a request names, before it rejects.
    """

    chain: Chain
    store: ContentStore
    outputs: ContentStore
    vault: Vault
    journal: Journal
    owner: str
    account: LocalAccount
    private_key: bytes
    environments: Environments
    patience: float = 60.0

    @cached_property
    def clock(self) -> Clock:
        return Clock(self.chain)

    def now(self) -> float:
        """The chain's time, Unix seconds."""
        return self.clock.now()

    def margin(self) -> float:
        """Seconds before a deadline at which the node stops waiting and answers."""
        return max(2.0, self.chain.deployment.limits.job_time * 0.05)

    def seconds_left(self, entry: Entry) -> int:
        """Whole seconds until the node must have an answer."""
        return int(entry.until - self.now() - self.margin())

    def is_late(self, entry: Entry) -> bool:
        return self.now() > entry.until - self.margin()

    def is_past(self, entry: Entry) -> bool:
        """Whether only an expiry is left; one more second, for blocks have whole ones."""
        return entry.step not in (Step.window, Step.check) and self.now() > entry.until + 1.5

    def check_key(self) -> None:
        """Raises RefusedError unless this node's key is the one that the provider registered: others cannot answer."""
        check_key(self.chain, self.owner, self.account.address)

    def is_ours(self, entry: Entry) -> bool:
        """Whether the job was bought on a dataset of this vault.

        Whoever owns any asset can sign an offer that names this provider, and open jobs on it for nothing; those
        are not worth the gas of an answer.
        """
        digest, buyer = entry.request.offer_digest, entry.request.buyer
        bought = self.chain.logs(types=(AccessBought,), offer_digest=digest, buyer=buyer)
        return any(event.asset_id in self.vault.tokens() for event in bought)


def registered_key(chain: Chain, owner: str) -> str | None:
    """Address of the node that the provider registered, if there is one."""
    try:
        return chain.node_of(owner)
    except NotFoundError:
        return None


def check_key(chain: Chain, owner: str, address: str) -> None:
    """Raises RefusedError unless `address` is the node that the provider `owner` registered."""
    registered = registered_key(chain, owner)
    if registered != address:
        raise RefusedError(
            "this node's key is not the registered one: it answers nothing",
            got=address,
            expected=registered or f"a node that {owner} registered; there is none",
            do="Register it by `steelyard node init`, or run the node from the home that holds the registered key.",
        )


def rejected(entry: Entry, code: str, detail: str) -> Entry:
    """The entry on its way to a rejection. code: at most 32 ASCII characters, stands on chain."""
    return entry.to(Step.reject, code=code[:32], detail=detail[:500])
