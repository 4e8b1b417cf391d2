"""New keys for a node: a hot key, a sealing key, and every dataset's key wrapped anew by its owner.

Each step can be repeated: whatever it was interrupted at, the same call goes on from there. The new keys wait beside
the old ones until the chain names them; the old ones are put aside, never deleted, since logs were sealed to them.
Covered: a key that was stolen answers nothing from the block on in which the new one is registered. Not covered: what
a thief had opened before; jobs that are open, whose orders only the old sealing key opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from compute.provider.vault import Vault
from marketplace.chain.client import Chain, Sent
from marketplace.core.events import JobOpened
from marketplace.core.job import State
from marketplace.errors import IntegrityError, NotFoundError
from marketplace.keys import NEXT_NODE_WALLET, NEXT_SEALING_KEY, NODE_WALLET, SEALING_KEY, Keyring, SealingKey


@dataclass(frozen=True)
class Rotation:
    """What came of it. wrapped: datasets that the new key opens; left: those that no key of this home opens."""

    node: str
    sealing: bytes
    wrapped: list[int]
    left: list[int]
    sent: Sent | None


def open_jobs(chain: Chain, owner: str) -> list[bytes]:
    """Jobs of a provider that wait for its node's answer: their orders are sealed to its present key."""
    opened = (event.job_id for event in chain.logs(types=(JobOpened,), provider=owner))
    return [job_id for job_id in opened if chain.job(job_id).state is State.open]


def rotate(chain: Chain, vault: Vault, keyring: Keyring, owner: LocalAccount, isolation: int) -> Rotation:
    """Makes, registers and takes new keys. No node may run in the home meanwhile.

    Raises NotFoundError for a home without a node; RefusedError, UnavailableError as chain and key files do.
    """
    _require_node(keyring)
    if NEXT_NODE_WALLET not in keyring.wallets():
        keyring.new_wallet(NEXT_NODE_WALLET)
    if NEXT_SEALING_KEY not in keyring.sealing_keys():
        keyring.new_sealing_key(NEXT_SEALING_KEY)
    node, new = keyring.wallets()[NEXT_NODE_WALLET], keyring.sealing_key(NEXT_SEALING_KEY)
    wrapped, left = _wrap_all(chain, vault, owner, [keyring.sealing_key(SEALING_KEY), new], new.public)
    sent = None
    if chain.sealing_key_of(owner.address) != new.public or chain.node_of(owner.address) != node:
        sent = chain.send("ParticipantRegistry", "setNode", (node, new.public, isolation), owner)
    keyring.replace_sealing_key(SEALING_KEY, NEXT_SEALING_KEY)
    keyring.replace_wallet(NODE_WALLET, NEXT_NODE_WALLET)
    return Rotation(node, new.public, wrapped, left, sent)


def _require_node(keyring: Keyring) -> None:
    if NODE_WALLET not in keyring.wallets() or SEALING_KEY not in keyring.sealing_keys():
        raise NotFoundError("this home has no node yet", do="Make one: steelyard node init")


def _wrap_all(
    chain: Chain, vault: Vault, owner: LocalAccount, keys: Sequence[SealingKey], to: bytes
) -> tuple[list[int], list[int]]:
    """Tokens of the datasets that were wrapped to `to`, and of those that none of `keys` opens."""
    wrapped, left = [], []
    for token in vault.tokens():
        for key in keys:
            try:
                vault.rewrap(token, key.private, to, owner=owner, domain=chain.domain)
            except IntegrityError:
                continue
            wrapped.append(token)
            break
        else:
            left.append(token)
    return wrapped, left
