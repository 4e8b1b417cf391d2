"""Gas of a trade's calls, from receipts on Anvil, and sizes of the deployed code, against a committed snapshot.

Keys and times are fixed, so a fresh measurement equals `gas.json` exactly. After a change of the contracts write it
anew, and let the difference be read: STEELYARD_WRITE_SNAPSHOT=1 pytest tests/contracts/test_gas.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).with_name("gas.json")
ARTIFACTS = Path(__file__).resolve().parents[2] / "marketplace/chain/artifacts"
DIGESTS = {name: bytes([number]) * 32 for number, name in enumerate(("a", "b", "listing"), 1)}


def first_purchase(world: Any, salt: bytes) -> int:
    """Gas of a buyer's first purchase, five uses with its permit, in one transaction."""
    offer = world.offer(world.publish("bought"), salt=salt)
    world.send("buyer", world.euro.functions.mint(world.at("buyer"), 10**12))
    permit = world.sign_permit("buyer", 5 * offer["price"], world.now() + 600)
    call = world.market.functions.buyWithPermit(
        tuple(offer.values()), world.sign_offer("owner", offer), 5, permit
    )
    return int(world.send("buyer", call)["gasUsed"])


def ten_jobs(world: Any, name: str) -> tuple[list[int], list[int], list[bytes]]:
    """Gas of ten `openJob` and ten `submit`, and the jobs' ids."""
    agreement = world.buy(world.offer(world.publish(name)), uses=10)
    opened, jobs = [], []
    for index in range(10):
        request = world.request(agreement, index)
        call = world.market.functions.openJob(agreement, index, request[3], request[4])
        opened.append(int(world.send("buyer", call)["gasUsed"]))
        jobs.append(bytes(world.market.functions.jobIdOf(request).call()))
    submitted = [int(world.send("node", world.submit_call(job))["gasUsed"]) for job in jobs]
    return opened, submitted, jobs


def one_job(world: Any, name: str) -> dict[str, int]:
    """Highest gas of an open and a submit, gas of a batch finalise of ten, and of one job's share in all three."""
    opened, submitted, jobs = ten_jobs(world, name)
    world.warp(world.now() + 3_601)
    batch = int(world.send("stranger", world.market.functions.finalise(jobs))["gasUsed"])
    gas = {"openJob": max(opened), "submit": max(submitted), "finalise_of_10": batch}
    return gas | {"job": gas["openJob"] + gas["submit"] + -(-batch // 10)}


def single_calls(world: Any) -> dict[str, int]:
    """Gas of what happens outside a job, and of the other ends of one."""
    publish, market = world.registry.functions.publish, world.market.functions
    gas = {}
    gas["publish_first"] = world.send("owner", publish(1, DIGESTS["a"], DIGESTS["listing"]))
    gas["publish_second"] = world.send("owner", publish(1, DIGESTS["b"], DIGESTS["listing"]))
    with world.sandbox():
        gas["buy_with_permit_first_in_the_market"] = first_purchase(world, DIGESTS["a"])
    agreement = world.buy(world.offer(world.publish("other")), uses=4, name="stranger")
    gas["buy_with_permit"] = first_purchase(world, DIGESTS["b"])
    jobs = [world.open(agreement, index, "stranger") for index in range(3)]
    requests = [world.request(agreement, index, "stranger") for index in range(3)]
    offer = tuple(world.offer(world.assets["other"]).values())
    gas["fail"] = world.send("node", market.fail(requests[0], offer, 1, DIGESTS["a"]))
    gas["reject"] = world.send("node", market.reject(requests[1], DIGESTS["a"]))
    world.send("node", world.submit_call(jobs[2]))
    gas["accept"] = world.send("stranger", market.accept(requests[2]))
    gas["withdraw"] = world.send("provider", market.withdraw(world.at("provider")))
    gas["registerModel"] = world.send(
        "stranger", world.credits.functions.registerModel(requests[2], DIGESTS["a"])
    )
    return {name: used if isinstance(used, int) else int(used["gasUsed"]) for name, used in gas.items()}


@pytest.fixture(scope="module")
def measured(chain: Any) -> dict[str, dict[str, int]]:
    """A fresh measurement in the snapshot's form."""
    with chain.sandbox():
        chain.register_node()
        gas = single_calls(chain)
    with chain.sandbox():
        chain.register_node()
        gas |= one_job(chain, "trade")
    sizes = {}
    for path in sorted(ARTIFACTS.glob("*.json")):
        sizes[path.stem] = len(json.loads(path.read_text())["deployedBytecode"]) // 2 - 1
    return {"bytes": sizes, "gas": dict(sorted(gas.items()))}


def test_gas_and_code_sizes_equal_the_committed_snapshot(measured: dict[str, dict[str, int]]) -> None:
    if os.environ.get("STEELYARD_WRITE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(measured, indent=2) + "\n")
    assert measured == json.loads(SNAPSHOT.read_text())


@pytest.mark.parametrize(
    ("call", "goal"), [("publish_second", 85_000), ("buy_with_permit", 130_000), ("job", 145_000)]
)
def test_gas_is_within_its_goal(measured: dict[str, dict[str, int]], call: str, goal: int) -> None:
    assert measured["gas"][call] <= goal


def test_a_job_costs_the_same_with_200_others_open(world: Any) -> None:
    with world.sandbox():
        alone = one_job(world, "trade")
    agreement = world.buy(world.offer(world.publish("busy")), uses=200, name="stranger")
    for index in range(200):
        request = world.request(agreement, index, "stranger")
        call = world.market.functions.openJob(agreement, index, request[3], request[4])
        call.transact({"from": world.at("stranger"), "gas": 200_000})
    assert world.market.functions.grantOf(agreement, world.at("stranger")).call()[3] == 200
    crowded = one_job(world, "trade")
    assert abs(crowded["job"] - alone["job"]) <= 0.02 * alone["job"]


def test_every_contract_fits_the_code_size_limit(measured: dict[str, dict[str, int]]) -> None:
    assert max(measured["bytes"].values()) <= 24_576
