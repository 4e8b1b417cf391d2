"""A provider whose node is a real process behind gates, so that it can be stopped at an exact moment and killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compute.provider.journal import Step
from compute.sandbox import Sandbox, Wall
from marketplace.core.events import (
    JobExpired,
    JobFailed,
    JobFaulted,
    JobRejected,
    JobSettled,
    ReceiptSubmitted,
)
from marketplace.core.job import Request, State
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.gate import Gate, Held, Matches, Where, gate
from tests.support.homes import Home
from tests.support.node_process import NodeProcess, node_process
from tests.support.works import Dataset, Works, wait_until

SECRET = b"the reading of one single valve"
TABLE = b"name,fault\n" + b"".join(b"%d %s,%d\n" % (n, SECRET, n % 2) for n in range(200))


@dataclass
class Stage:
    """One provider with one dataset, one buyer with one job."""

    town: Town
    home: Home
    works: Works
    rpc: Gate
    gateway: Gate
    dataset: Dataset
    buyer: Buyer
    request: Request
    killed: list[NodeProcess] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.town.market.chain.job(self.request.job_id).state

    @property
    def log(self) -> Path:
        """Written anew by each run of the algorithm."""
        return self.works.vault.logs.path_of(self.request.job_id)

    def step(self) -> Step | None:
        journal = self.works.journal
        return journal.get(self.request.job_id).step if journal.knows(self.request.job_id) else None

    def count(self, kind: type) -> int:
        return len(self.town.market.chain.logs(types=(kind,), job_id=self.request.job_id))

    def check_settled_once(self) -> None:
        """One answer, one payment, and nothing left of any node that was killed or of the data."""
        chain = self.town.market.chain
        ends = {kind: self.count(kind) for kind in (ReceiptSubmitted, JobSettled, JobFailed, JobRejected)}
        assert ends == {ReceiptSubmitted: 1, JobSettled: 1, JobFailed: 0, JobRejected: 0}
        assert chain.balance(self.works.owner.address) == self.dataset.offer.price
        assert self.buyer.result(self.request)["result.json"]
        self.check_nothing_left()

    def check_faulted_once(self) -> None:
        chain, price = self.town.market.chain, self.dataset.offer.price
        ends = {kind: self.count(kind) for kind in (JobFaulted, JobFailed, ReceiptSubmitted, JobSettled)}
        assert ends == {JobFaulted: 1, JobFailed: 1, ReceiptSubmitted: 0, JobSettled: 0}
        fee = price // 10
        assert chain.balance(self.works.owner.address) == fee
        assert chain.balance(self.buyer.account.address) == price - fee
        self.check_nothing_left()

    def check_refunded_once(self, kind: type) -> None:
        chain = self.town.market.chain
        assert [self.count(kind), self.count(ReceiptSubmitted), self.count(JobSettled)] == [1, 0, 0]
        assert chain.balance(self.works.owner.address) == 0
        penalty = chain.deployment.limits.expiry_penalty if kind is JobExpired else 0
        assert chain.balance(self.buyer.account.address) == self.dataset.offer.price + penalty
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        for node in self.killed:
            assert node.left() == []
        for path in self.home.path.rglob("*"):
            assert not path.is_file() or SECRET not in path.read_bytes(), path


Reached = Callable[[Stage, NodeProcess], object]


@dataclass(frozen=True)
class Stop:
    """A moment in a node's work: a question to a service is on its way, or something can be seen from outside.

    With both, what is seen is the moment, and the question goes no further meanwhile.
    """

    name: str
    matches: Matches | None = None
    where: Where = "question"
    reached: Reached = lambda stage, node: False
    gateway: bool = False

    @contextlib.contextmanager
    def held(self, stage: Stage) -> Iterator[Held | None]:
        if self.matches is None:
            yield None
            return
        with (stage.gateway if self.gateway else stage.rpc).hold(self.matches, self.where) as held:
            yield held


def seen(name: str, reached: Reached) -> Stop:
    """A moment that can be seen from outside."""
    return Stop(name, reached=reached)


def at_step(step: Step) -> Stop:
    return seen(f"at step {step}", lambda stage, _: stage.step() is step)


def kill_at(stage: Stage, stop: Stop, *, seconds: float = 60) -> Held | None:
    """Starts a node and kills it at that moment."""
    with stop.held(stage) as held, node_process(stage.home) as node:

        def there() -> object:
            assert node.process.poll() is None, node.lines
            return stop.reached(stage, node) or (held and held.reached.is_set())

        wait_until(there, stop.name, seconds=seconds)
        node.kill()
        stage.killed.append(node)
        return held


def finish(stage: Stage, *states: State) -> None:
    """A last node, which is left alone until the job has ended and everything is in its journal."""
    with node_process(stage.home) as node:
        for killed in stage.killed:
            assert killed.left() == []  # gone at the start, before anything else
        await_state(stage.town, stage.request, *states)
        wait_until(lambda: stage.step() is Step.done, "the end in the journal")
        assert node.end() == 0
    stage.killed.append(node)
    assert not any("Traceback" in line or "should not happen" in line for line in node.lines), node.lines


@contextlib.contextmanager
def staged(
    town: Town,
    sandbox: Sandbox,
    folder: Path,
    name: str,
    bundle: bytes,
    *,
    listed: bytes | None = None,
    wall: Wall = Wall.bubblewrap,
    **choice: object,
) -> Iterator[Stage]:
    """A job of `bundle` on a dataset that lists it, or `listed`; no node runs yet. wall: that nodes will have."""
    with gate(town.market.embedded.url) as rpc, gate(town.gateway) as gateway:
        home = Home(
            folder / "home",
            town,
            {"RPC": rpc.url, "GATEWAY": gateway.url, "TIMEOUT": "5", "WALL": wall.value},
        )
        owner = home.keyring.import_wallet("works", bytes(town.market.account(f"{name} works").key))
        hot = home.keyring.import_wallet("node", bytes(town.market.account(f"{name} node").key))
        home.keyring.new_sealing_key("sealing")
        private = home.keyring.sealing_key("sealing").private
        works = Works(town, sandbox, home.path, owner, hot, private=private)
        works.register()
        dataset = works.publish(listed or bundle, table=TABLE, **choice)  # type: ignore[arg-type]
        (home.path / "valves.csv").unlink()  # the provider's own file
        buyer = new_buyer(town, name)
        buyer.buy(dataset)
        request = buyer.order(works, dataset, bundle, sealed=listed is not None)
        yield Stage(town, home, works, rpc, gateway, dataset, buyer, request)
