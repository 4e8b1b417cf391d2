"""A legal life of the market: emits what the contracts would, for the tests of replay and audit."""

from __future__ import annotations

from typing import Any

from eth_utils.crypto import keccak
from hypothesis import strategies as st

from marketplace.core import events as ev
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import Receipt, Request, State
from tests.core.registers import ARBITER, LIMITS, PEOPLE, RULES, VERIFIER, Registers, digest


class World(Registers):
    """The trade: offers that are bought, jobs, disputes, and what they pay.

    Every step takes somebody and a number that makes choices, and does nothing where it is not allowed.
    """

    def raise_epoch(self, who: str, number: int) -> None:
        if self.owners:
            token = list(self.owners)[number % len(self.owners)]
            self.epochs[token] = self.epochs.get(token, 0) + 1
            self.market(ev.EpochRaised, token, self.epochs[token])

    def buy(self, who: str, number: int) -> None:
        if not self.owners:
            return
        token = list(self.owners)[number % len(self.owners)]
        price, provider = 1_000 + token % 7, self.owners[token]
        key = (digest("offer", token, provider), who)
        if not self.sells(provider, token):
            return
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
                until = self.now + LIMITS.job_time
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

    def submit(self, who: str, number: int) -> None:
        found = self._pick(number, State.open)
        if found and self.now <= found[1]["until"]:
            name, job = found
            wrapped = b"wrapped" + name
            receipt = Receipt(name, digest("in"), digest("out"), keccak(wrapped), digest("env"), 3, 1, 2)
            job |= {"state": State.submitted, "until": self.now + LIMITS.window}
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
            taken = self.slash(job["provider"], min(LIMITS.expiry_penalty, job["price"]))
            self._refund(name, job, State.expired)
            self._pay(job["request"].buyer, taken)
            self.market(ev.JobExpired, name, job["price"], taken, same=taken > 0)
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
            job |= {"price": fee, "state": State.faulted, "until": self.now + LIMITS.window}
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

    def claim(self, who: str, number: int, paused: bool = False) -> None:
        for key, grant in self.grants.items():
            uses = grant["paid"] - grant["opened"]
            kept = self.sells(grant["provider"], grant["asset"]) and not paused
            if uses and (self.now // 86_400 > grant["last"] or not kept):
                grant["paid"] = grant["opened"]
                self._pay(key[1], uses * grant["price"])
                self.market(ev.UnusedClaimed, *key, uses, uses * grant["price"])
                return

    def stop(self, who: str, number: int) -> None:
        """The market is paused for a moment; somebody may leave meanwhile."""
        self.market(ev.PausedSet, True)
        self.claim(who, number, paused=True)
        self.market(ev.PausedSet, False)

    def dispute(self, who: str, number: int) -> None:
        found = self._pick(number, State.submitted, State.faulted)
        if found and self.now <= found[1]["until"]:
            name, job = found
            faulted = job["state"] is State.faulted
            ground = 2 if faulted else number % 3
            judge = ARBITER if ground == 2 else VERIFIER
            job |= {"state": State.disputed, "until": self.now + LIMITS.dispute_time}
            job["dispute"] = (job["request"].buyer, ground, faulted)
            self.tokens += LIMITS.challenge_bond
            self.market(ev.JobDisputed, name, ground, faulted, judge, digest("evidence"), job["until"])

    def rule(self, who: str, number: int) -> None:
        found = self._pick(number, State.disputed)
        if not found or self.now > found[1]["until"]:
            return
        name, job = found
        _, ground, faulted = job["dispute"]
        judge, price, rest = ARBITER if ground == 2 else VERIFIER, job["price"], 50
        taken = 0
        if number % 3 == 1:
            taken = self.slash(job["provider"], price + LIMITS.judge_fee)
            end, shares = State.refunded, (0, price + rest + taken)
        elif number % 3 == 2 and ground == 2:
            end, shares = State.split, (price // 2, (price + 1) // 2 + rest)
        else:
            end, shares = State.failed if faulted else State.settled, (price + rest, 0)
        ruling = {State.refunded: 1, State.split: 2}.get(end, 0)
        job["state"] = end
        self._pay(job["provider"], shares[0])
        self._pay(job["request"].buyer, shares[1])
        self._pay(judge, 40)
        reasons = digest("reasons")
        self.market(ev.DisputeResolved, name, judge, ruling, *shares, 40, reasons, same=taken > 0)

    def lapse(self, who: str, number: int) -> None:
        found = self._pick(number, State.disputed)
        if found and self.now > found[1]["until"]:
            name, job = found
            buyer, ground, faulted = job["dispute"]
            shares = (0, job["price"] + 90) if ground == 0 else (job["price"], 90)
            job["state"] = State.refunded if ground == 0 else State.failed if faulted else State.settled
            self._pay(job["provider"], shares[0])
            self._pay(buyer, shares[1])
            self.market(ev.DisputeLapsed, name, *shares)

    def withdraw(self, who: str, number: int) -> None:
        who = (who, ARBITER, VERIFIER)[number % 3]
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

    def quarrel(self, who: str, number: int) -> None:
        """A job from its opening to a ruling, or to the end of the judge's time."""
        self.open(who, number)
        (self.fault if number > 3 else self.submit)(who, number)
        self.dispute(who, number)
        late = number % 3 == 0
        self.now += LIMITS.dispute_time + late
        (self.lapse if late else self.rule)(who, number)

    def expire(self, who: str, number: int) -> None:
        self.open(who, number)
        self.now += LIMITS.job_time + 1
        self.end(who, number)

    def wait(self, who: str, number: int) -> None:
        self.now += (1, 60, 120, 200_000)[number % 4]


# What leads on stands twice: long histories are the interesting ones.
STEPS = [
    World.publish, World.transfer, World.set_node, World.raise_epoch, World.set_status, World.trust, World.accredit,
    World.buy, World.buy, World.open, World.open, World.submit, World.submit, World.settle, World.end, World.fault,
    World.finish_fault, World.quarrel, World.quarrel, World.expire, World.dispute, World.rule, World.lapse,
    World.deposit, World.deposit, World.unbond, World.release, World.claim, World.stop, World.withdraw,
    World.register, World.wait,
]  # fmt: skip
steps = st.tuples(st.sampled_from(STEPS), st.sampled_from(PEOPLE), st.integers(0, 5))


def begun() -> World:
    """One dataset with a bonded owner, one purchase of two uses, one open job."""
    world = World()
    world.publish(PEOPLE[0], 0)
    world.deposit(PEOPLE[0], 1)
    world.buy(PEOPLE[1], 1)
    world.open(PEOPLE[1], 0)
    return world


def submitted() -> tuple[World, bytes]:
    world = begun()
    world.submit("", 0)
    return world, next(iter(world.jobs))


def disputed(ground: int = 2, faulted: bool = False) -> tuple[World, bytes]:
    world = begun()
    (world.fault if faulted else world.submit)("", 0)
    world.dispute("", ground)
    return world, next(iter(world.jobs))


def refunded() -> World:
    world, _ = disputed()
    world.rule("", 1)
    return world


@st.composite
def worlds(draw: st.DrawFn, least: int = 0) -> World:
    world = begun()
    for step, who, number in draw(st.lists(steps, min_size=least, max_size=60)):
        step(world, who, number)
    return world
