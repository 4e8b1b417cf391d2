"""The registries and the bonds of a market that lives in memory; the trade on it is in `tests.core.world`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from marketplace.core import events as ev
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.ledger import Rules
from marketplace.core.limits import Limits


def address(number: int) -> str:
    return to_checksum_address(f"0x{number:040x}")


LIMITS = Limits(
    window=50,
    job_time=100,
    dispute_time=70,
    min_bond=1_000,
    expiry_penalty=200,
    challenge_bond=90,
    judge_fee=40,
)
RULES = Rules(31337, address(0xA1), address(0xA2), address(0xA3), address(0xA4), LIMITS)
ARBITER, VERIFIER, REGISTRAR = address(0xB1), address(0xB2), address(0xB3)
PEOPLE = [address(0x100 + number) for number in range(4)]
PROVIDER, BUYER = PEOPLE[:2]
START = 1_790_000_000


def digest(*parts: object) -> bytes:
    return keccak(text=repr(parts))


@dataclass
class Registers:
    """Emits what the contracts would, and keeps their state in its own plain way, as the test's second opinion."""

    events: list[ev.Event] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    now: int = START
    block: int = 10
    owners: dict[int, str] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    nodes: dict[str, tuple[str, bytes, int, int]] = field(default_factory=dict)
    issuers: dict[tuple[bytes, str], bool] = field(default_factory=dict)
    accreditations: dict[tuple[str, bytes], tuple[str, int]] = field(default_factory=dict)
    bonds: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    grants: dict[tuple[bytes, str], dict[str, Any]] = field(default_factory=dict)
    jobs: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    models: dict[int, str] = field(default_factory=dict)

    def emit(self, kind: type[ev.Event], contract: str, *values: Any, same: bool = False) -> None:
        if not same:
            self.block += 1
            self.times[self.block] = self.now
        index = self.events[-1].at.index + 1 if same else 0
        at = ev.Position(self.block, index, digest("block", self.block), digest("transaction", self.block))
        self.events.append(kind(at, contract, *values))

    def market(self, kind: type[ev.Event], *values: Any, same: bool = False) -> None:
        self.emit(kind, RULES.market, *values, same=same)

    def _pay(self, who: str, amount: int) -> None:
        self.balances[who] = self.balances.get(who, 0) + amount

    def publish(self, who: str, number: int) -> None:
        token = asset_id(Kind.dataset, who, digest("salt", number, len(self.owners)))
        self.emit(ev.Transfer, RULES.registry, ZERO_ADDRESS, who, token)
        self.emit(ev.AssetPublished, RULES.registry, token, who, digest("listing", token), same=True)
        self.owners[token] = who

    def transfer(self, who: str, number: int) -> None:
        if self.owners:
            token = list(self.owners)[number % len(self.owners)]
            self.emit(ev.Transfer, RULES.registry, self.owners[token], who, token)
            self.owners[token] = who

    def set_status(self, who: str, number: int) -> None:
        token = list(self.owners)[number % len(self.owners)]
        status = (1, 0, 1, 0, 2, 0)[number]
        if self.statuses.get(token, 0) not in (2, status):
            self.statuses[token] = status
            self.emit(ev.StatusSet, RULES.registry, token, status)

    def set_node(self, who: str, number: int) -> None:
        _, key, epoch, _ = self.nodes.get(who, ("", bytes(32), 0, 0))
        new = digest("key", number % 2)
        entry = (PEOPLE[number % 4], new, epoch + (new != key), number)
        self.nodes[who] = entry
        self.emit(ev.NodeSet, RULES.participants, who, *entry)

    def trust(self, who: str, number: int) -> None:
        key = digest("role", number % 2), who
        self.issuers[key] = not self.issuers.get(key)
        self.emit(ev.IssuerSet, RULES.participants, *key, self.issuers[key])

    def accredit(self, who: str, number: int) -> None:
        for (role, issuer), trusted in self.issuers.items():
            if trusted:
                self.accreditations[who, role] = (issuer, self.now + number)
                self.emit(ev.AccreditationSet, RULES.participants, who, role, issuer, self.now + number)
                return

    def deposit(self, who: str, number: int) -> None:
        amount = (1_000, 1_500, 300)[number % 3]
        staked, leaving, at = self.bonds.get(who, (0, 0, 0))
        self.bonds[who] = (staked + amount, leaving, at)
        self.tokens += amount
        self.market(ev.BondDeposited, who, amount)

    def unbond(self, who: str, number: int) -> None:
        staked, leaving, _ = self.bonds.get(who, (0, 0, 0))
        if amount := staked // (number % 2 + 1):
            self.bonds[who] = (staked - amount, leaving + amount, self.now + 440)
            self.market(ev.UnbondingStarted, who, amount, self.now + 440)

    def release(self, who: str, number: int) -> None:
        staked, leaving, at = self.bonds.get(who, (0, 0, 0))
        if leaving and self.now > at:
            self.bonds[who] = (staked, 0, 0)
            self._pay(who, leaving)
            self.market(ev.BondReleased, who, leaving)

    def slash(self, who: str, most: int) -> int:
        """Takes up to `most` of a bond, what is staked first; returns what it took."""
        staked, leaving, at = self.bonds.get(who, (0, 0, 0))
        taken = min(most, staked + leaving)
        if taken:
            self.bonds[who] = (max(staked - taken, 0), leaving - max(taken - staked, 0), at)
            self.market(ev.BondSlashed, who, min(taken, staked), max(taken - staked, 0))
        return taken

    def sells(self, provider: str, token: int) -> bool:
        bonded = self.bonds.get(provider, (0,))[0] >= LIMITS.min_bond
        return bonded and self.owners[token] == provider and self.statuses.get(token, 0) == 0
