"""A legal life of the market: emits what the contracts would, for the tests of replay and audit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import strategies as st

from marketplace.core import events as ev
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import Receipt, Request, State
from marketplace.core.ledger import Rules


def address(number: int) -> str:
    return to_checksum_address(f"0x{number:040x}")


RULES = Rules(31337, address(0xA1), address(0xA2), address(0xA3), address(0xA4), window=50, job_time=100)
PEOPLE = [address(0x100 + number) for number in range(4)]
START = 1_790_000_000


def digest(*parts: object) -> bytes:
    return keccak(text=repr(parts))


@dataclass
class World:
    """Emits what the contracts would, and keeps their state in its own plain way, as the test's second opinion."""

    events: list[ev.Event] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    now: int = START
    block: int = 10
    owners: dict[int, str] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    nodes: dict[str, tuple[str, bytes, int]] = field(default_factory=dict)
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

    def market(self, kind: type[ev.Event], *values: Any) -> None:
        self.emit(kind, RULES.market, *values)

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

    def set_node(self, who: str, number: int) -> None:
        _, key, epoch = self.nodes.get(who, ("", bytes(32), 0))
        new = digest("key", number % 2)
        entry = (PEOPLE[number % 4], new, epoch + (new != key))
        self.nodes[who] = entry
        self.emit(ev.NodeSet, RULES.participants, who, *entry)

    def raise_epoch(self, who: str, number: int) -> None:
        if self.owners:
            token = list(self.owners)[number % len(self.owners)]
            self.epochs[token] = self.epochs.get(token, 0) + 1
            self.market(ev.EpochRaised, token, self.epochs[token])

    def buy(self, who: str, number: int) -> None:
        if not self.owners:
            return
        token = list(self.owners)[number % len(self.owners)]
        key = (digest("offer", token), who)
        price, provider = 1_000 + token % 7, PEOPLE[token % 4]
        grant = self.grants.setdefault(
            key, {"provider": provider, "price": price, "paid": 0, "opened": 0, "last": None, "asset": token}
        )
        if grant["last"] == 0:
            return
        uses = number % 3 + 1
        grant["paid"] += uses
        grant["last"] = self.now // 86_400 + number % 2
        self.tokens += uses * price
        self.market(ev.AccessBought, *key, provider, token, price, uses, grant["last"])

    def open(self, who: str, number: int) -> None:
        for key, grant in self.grants.items():
            if grant["opened"] < grant["paid"] and self.now // 86_400 <= grant["last"]:
                request = Request(*key, grant["opened"], digest("algorithm"), digest("spec", number))
                grant["opened"] += 1
                until = self.now + RULES.job_time
                self.jobs[request.job_id] = {
                    "request": request, "price": grant["price"], "state": State.open, "until": until,
                    "provider": grant["provider"], "receipt": bytes(32),
                }  # fmt: skip
                self.market(
                    ev.JobOpened, request.job_id, grant["provider"], key[1], key[0], request.index,
                    request.algorithm, request.spec, grant["price"], until,
                )  # fmt: skip
                return

    def _pick(self, number: int, *states: State) -> tuple[bytes, dict[str, Any]] | None:
        fits = [(name, job) for name, job in self.jobs.items() if job["state"] in states]
        return fits[number % len(fits)] if fits else None

    def _pay(self, who: str, amount: int) -> None:
        self.balances[who] = self.balances.get(who, 0) + amount

    def submit(self, who: str, number: int) -> None:
        found = self._pick(number, State.open)
        if found and self.now <= found[1]["until"]:
            name, job = found
            wrapped = b"wrapped" + name
            receipt = Receipt(name, digest("in"), digest("out"), keccak(wrapped), digest("env"), 3, 1, 2)
            job |= {"state": State.submitted, "until": self.now + RULES.window}
            job["receipt"] = receipt.digest(RULES.domain)
            self.market(ev.ReceiptSubmitted, name, receipt, bytes(65), wrapped, job["until"])

    def settle(self, who: str, number: int) -> None:
        if found := self._pick(number, State.submitted):
            name, job = found
            job["state"] = State.settled
            self._pay(job["provider"], job["price"])
            self.market(ev.JobSettled, name, job["provider"], job["price"])

    def _refund(self, name: bytes, job: dict[str, Any], state: State) -> None:
        job["state"] = state
        self._pay(job["request"].buyer, job["price"])

    def end(self, who: str, number: int) -> None:
        """Rejects, fails by the node, or lets the job expire."""
        found = self._pick(number, State.open)
        if not found:
            return
        name, job = found
        if self.now > job["until"]:
            self._refund(name, job, State.expired)
            self.market(ev.JobExpired, name, job["price"])
        elif number % 2:
            self._refund(name, job, State.rejected)
            self.market(ev.JobRejected, name, digest("reason"), job["price"])
        else:
            self._refund(name, job, State.failed)
            self.market(ev.JobFailed, name, 0, job["price"], digest("report"))

    def fault(self, who: str, number: int) -> None:
        found = self._pick(number, State.open)
        if found and self.now <= found[1]["until"]:
            name, job = found
            fee = job["price"] // 10
            refund = job["price"] - fee
            self._pay(job["request"].buyer, refund)
            job |= {"price": fee, "state": State.faulted, "until": self.now + RULES.window}
            job["receipt"] = digest("report", name)
            fault = number % 2 + 1
            if fault == 2:
                self.grants[job["request"].offer_digest, job["request"].buyer]["last"] = 0
            self.market(ev.JobFaulted, name, fault, fee, refund, job["receipt"], job["until"])

    def finish_fault(self, who: str, number: int) -> None:
        found = self._pick(number, State.faulted)
        if found and self.now > found[1]["until"]:
            name, job = found
            job["state"] = State.failed
            self._pay(job["provider"], job["price"])
            self.market(ev.JobFailed, name, job["price"], 0, job["receipt"])

    def claim(self, who: str, number: int) -> None:
        for key, grant in self.grants.items():
            uses = grant["paid"] - grant["opened"]
            if uses and self.now // 86_400 > grant["last"]:
                grant["paid"] = grant["opened"]
                self._pay(key[1], uses * grant["price"])
                self.market(ev.UnusedClaimed, *key, uses, uses * grant["price"])
                return

    def withdraw(self, who: str, number: int) -> None:
        if amount := self.balances.get(who, 0):
            self.balances[who] = 0
            self.tokens -= amount
            self.market(ev.Withdrawn, who, who, amount)

    def register(self, who: str, number: int) -> None:
        found = self._pick(number, State.settled)
        if found and asset_id(Kind.model, found[1]["request"].buyer, found[0]) not in self.models:
            name, job = found
            buyer = job["request"].buyer
            token = asset_id(Kind.model, buyer, name)
            self.models[token] = job["provider"]
            self.owners[token] = buyer
            self.emit(ev.Transfer, RULES.registry, ZERO_ADDRESS, buyer, token)
            self.emit(ev.AssetPublished, RULES.registry, token, buyer, digest("card"), same=True)
            self.emit(ev.CreditsMinted, RULES.credits, token, name, job["provider"], 1_000_000, same=True)

    def wait(self, who: str, number: int) -> None:
        self.now += (1, 60, 120, 200_000)[number % 4]


# Buying, opening and submitting stand twice: long histories are the interesting ones.
STEPS = [
    World.publish, World.transfer, World.set_node, World.raise_epoch, World.buy, World.buy, World.open, World.open,
    World.submit, World.submit, World.settle, World.end, World.fault, World.finish_fault, World.claim,
    World.withdraw, World.register, World.wait,
]  # fmt: skip
steps = st.tuples(st.sampled_from(STEPS), st.sampled_from(PEOPLE), st.integers(0, 5))


@st.composite
def worlds(draw: st.DrawFn, least: int = 0) -> World:
    world = World()
    world.publish(PEOPLE[0], 0)
    world.buy(PEOPLE[1], 1)
    world.open(PEOPLE[1], 0)
    for step, who, number in draw(st.lists(steps, min_size=least, max_size=40)):
        step(world, who, number)
    return world
