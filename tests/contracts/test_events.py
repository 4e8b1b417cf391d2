"""Events alone rebuild the contracts' whole storage: a trade with every kind of end, replayed from its logs."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest
from eth_utils.crypto import keccak

from tests.contracts.conftest import LIMITS

REASON = bytes(31) + b"\x02"
OPEN, SUBMITTED, SETTLED, REJECTED, FAULTED, FAILED, EXPIRED, DISPUTED, REFUNDED, SPLIT = range(1, 11)
ENDS_OF_RULINGS = ((SETTLED, FAILED), (REFUNDED, REFUNDED), (SPLIT, SPLIT))


class Replay:
    """Storage of the Market as its events tell it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.grants: dict[tuple[bytes, str], list[Any]] = {}
        self.jobs: dict[bytes, list[Any]] = {}
        self.parties: dict[bytes, tuple[bytes, str]] = {}
        self.balances: dict[str, int] = defaultdict(int)
        self.epochs: dict[int, int] = {}
        self.bonds: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.disputes: dict[bytes, list[Any]] = {}
        self.paused = False
        for log in self.logs():
            getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", log["event"]).lower())(log["args"])

    def logs(self) -> list[Any]:
        """The Market's logs in the order of the chain."""
        kinds = [entry["name"] for entry in self.world.market.abi if entry["type"] == "event"]
        events = [getattr(self.world.market.events, kind)() for kind in kinds]
        logs = [log for event in events for log in event.get_logs(from_block=0)]
        return sorted(logs, key=lambda log: (log["blockNumber"], log["logIndex"]))

    def offer_announced(self, event: Any) -> None:
        """Changes no storage."""

    def authority_updated(self, event: Any) -> None:
        assert event["authority"] == self.world.authority.address

    def bond_deposited(self, event: Any) -> None:
        self.bonds[event["provider"]][0] += event["amount"]

    def unbonding_started(self, event: Any) -> None:
        bond = self.bonds[event["provider"]]
        bond[:] = [bond[0] - event["amount"], bond[1] + event["amount"], event["leavesAt"]]

    def bond_released(self, event: Any) -> None:
        self.bonds[event["provider"]][1:] = [0, 0]
        self.balances[event["provider"]] += event["amount"]

    def bond_slashed(self, event: Any) -> None:
        self.bonds[event["provider"]][0] -= event["fromStaked"]
        self.bonds[event["provider"]][1] -= event["fromLeaving"]

    def job_disputed(self, event: Any) -> None:
        self.jobs[event["jobId"]][2:4] = [DISPUTED, event["until"]]
        self.disputes[event["jobId"]] = [self.parties[event["jobId"]][1], event["ground"], event["faulted"]]

    def dispute_resolved(self, event: Any) -> None:
        faulted = self.disputes[event["jobId"]][2]
        self.divide(event, ENDS_OF_RULINGS[event["ruling"]][faulted])
        self.balances[event["judge"]] += event["toJudge"]

    def dispute_lapsed(self, event: Any) -> None:
        _, ground, faulted = self.disputes[event["jobId"]]
        self.divide(event, REFUNDED if ground == 0 else FAILED if faulted else SETTLED)

    def divide(self, event: Any, state: int) -> None:
        """What a dispute's end gives to the parties."""
        job = self.jobs[event["jobId"]]
        job[2] = state
        self.balances[job[0]] += event["toProvider"]
        self.balances[self.parties[event["jobId"]][1]] += event["toBuyer"]

    def access_bought(self, event: Any) -> None:
        grant = self.grants.setdefault((event["offerDigest"], event["buyer"]), ["", 0, 0, 0, 0])
        grant[:2], grant[4] = [event["provider"], event["price"]], event["lastDay"]
        grant[2] += event["uses"]

    def job_opened(self, event: Any) -> None:
        self.parties[event["jobId"]] = event["offerDigest"], event["buyer"]
        self.grants[self.parties[event["jobId"]]][3] += 1
        self.jobs[event["jobId"]] = [event["provider"], event["price"], OPEN, event["until"], bytes(32)]

    def receipt_submitted(self, event: Any) -> None:
        assert event["receipt"]["jobId"] == event["jobId"]
        digest = self.world.digest_receipt(dict(event["receipt"]))
        self.jobs[event["jobId"]][2:] = [SUBMITTED, event["until"], digest]

    def job_settled(self, event: Any) -> None:
        self.jobs[event["jobId"]][2] = SETTLED
        self.balances[event["provider"]] += event["amount"]

    def job_rejected(self, event: Any) -> None:
        self.end(event, REJECTED)

    def job_expired(self, event: Any) -> None:
        self.end(event, EXPIRED)
        self.balances[self.parties[event["jobId"]][1]] += event["penalty"]

    def job_failed(self, event: Any) -> None:
        self.end(event, FAILED)
        self.balances[self.jobs[event["jobId"]][0]] += event["fee"]

    def job_faulted(self, event: Any) -> None:
        job = self.jobs[event["jobId"]]
        job[1:] = [event["fee"], FAULTED, event["until"], event["report"]]
        self.balances[self.parties[event["jobId"]][1]] += event["refund"]
        if event["fault"] == 2:
            self.grants[self.parties[event["jobId"]]][4] = 0

    def unused_claimed(self, event: Any) -> None:
        self.grants[(event["offerDigest"], event["buyer"])][2] -= event["uses"]
        self.balances[event["buyer"]] += event["amount"]

    def withdrawn(self, event: Any) -> None:
        self.balances[event["account"]] -= event["amount"]

    def epoch_raised(self, event: Any) -> None:
        self.epochs[event["assetId"]] = event["epoch"]

    def paused_set(self, event: Any) -> None:
        self.paused = event["paused"]

    def end(self, event: Any, state: int) -> None:
        """An end that gives money back to the buyer."""
        self.jobs[event["jobId"]][2] = state
        self.balances[self.parties[event["jobId"]][1]] += event["refund"]


@pytest.fixture
def traded(world: Any) -> Any:
    """A chain on which every call of the Market succeeded at least once."""
    market, offer = world.market.functions, world.offer(world.publish())
    agreement, values = world.buy(offer, uses=15), tuple(offer.values())
    world.buy(offer, uses=1)
    jobs = [world.open(agreement, index) for index in range(14)]
    requests = [world.request(agreement, index) for index in range(14)]
    for index in (0, 1, 8, 9, 10, 11, 12):
        world.send("stranger", world.submit_call(jobs[index]))
    world.send("node", market.fail(requests[13], values, 1, REASON))
    world.fund("buyer", 6 * LIMITS[5])
    for index, ground in ((8, 2), (9, 0), (10, 1), (11, 2), (12, 0), (13, 2)):
        world.send("buyer", market.dispute(requests[index], values, ground, REASON))
    for index, judge, ruling in ((8, "arbiter", 2), (9, "verifier", 1), (13, "arbiter", 0)):
        world.send(judge, market.resolve(requests[index], values, ruling, REASON))
    world.send("owner", market.startUnbonding(LIMITS[3] // 2))
    world.send("buyer", market.accept(requests[0]))
    world.send("node", market.reject(requests[2], REASON))
    for index, fault in ((3, 0), (4, 1), (5, 2)):
        world.send("node", market.fail(requests[index], values, fault, REASON))
    world.send("stranger", market.claimUnused(agreement, world.at("buyer")))
    world.warp(world.now() + 3_601)
    world.send("stranger", market.finalise([jobs[1], jobs[4], jobs[4], jobs[6]]))
    world.warp(world.now() + 10_801)
    world.send("stranger", market.expire(requests[6]))
    world.send("stranger", market.finalise(jobs[10:13]))
    world.warp(world.now() + 2 * sum(LIMITS[:3]))
    world.send("stranger", market.releaseBond(world.at("owner")))
    world.send("owner", world.registry.functions.retire(offer["assetId"]))
    world.send("provider", market.withdraw(world.at("stranger")))
    world.send("stranger", market.announceOffer(offer["assetId"], agreement, REASON))
    world.send("owner", market.raiseEpoch(offer["assetId"]))
    world.send("pauser", market.setPaused(True))
    return world


def test_the_market_is_rebuilt_from_its_events(traded: Any) -> None:
    replay, market = Replay(traded), traded.market.functions
    assert sorted(job[2] for job in replay.jobs.values()) == [
        OPEN, SETTLED, SETTLED, SETTLED, SETTLED, REJECTED, FAULTED, FAILED, FAILED, FAILED, EXPIRED,
        REFUNDED, REFUNDED, SPLIT,
    ]  # fmt: skip
    for job_id, job in replay.jobs.items():
        assert list(market.jobOf(job_id).call()) == job
    for (agreement, buyer), grant in replay.grants.items():
        assert list(market.grantOf(agreement, buyer).call()) == grant
    for name in traded.people:
        assert market.balanceOf(traded.at(name)).call() == replay.balances[traded.at(name)]
    for job_id, dispute in replay.disputes.items():
        assert list(market.disputeOf(job_id).call()) == dispute
    for provider, bond in replay.bonds.items():
        assert list(market.bondOf(provider).call()) == bond
        assert bond[0] > 0
    for asset, epoch in replay.epochs.items():
        assert market.epochOf(asset).call() == epoch == 1
    assert market.paused().call() is replay.paused is True


def test_a_job_id_is_the_hash_of_what_its_event_says(traded: Any) -> None:
    for log in traded.market.events.JobOpened().get_logs(from_block=0):
        event = log["args"]
        request = (event["offerDigest"], event["buyer"], event["index"], event["algorithm"], event["spec"])
        encoded = traded.w3.codec.encode(["bytes32", "address", "uint16", "bytes32", "bytes32"], request)
        assert event["jobId"] == keccak(encoded)


def test_registries_are_rebuilt_from_their_events(traded: Any) -> None:
    published = traded.registry.events.AssetPublished().get_logs(from_block=0)
    assert published
    for log in published:
        event = log["args"]
        assert traded.registry.functions.metadataOf(event["assetId"]).call() == event["metadata"]
    nodes = [log["args"] for log in traded.participants.events.NodeSet().get_logs(from_block=0)]
    last = {event["participant"]: event for event in nodes}[traded.at("provider")]
    functions = traded.participants.functions
    assert functions.nodeOf(traded.at("provider")).call() == last["node"] == traded.at("node")
    assert functions.sealingKeyOf(traded.at("provider")).call() == last["sealingKey"]
    assert functions.epochOf(traded.at("provider")).call() == last["epoch"] == 1
    assert functions.isolationOf(traded.at("provider")).call() == last["isolation"] == 31


def test_statuses_successors_and_accreditations_are_rebuilt_from_their_events(traded: Any) -> None:
    registry, participants = traded.registry, traded.participants
    role, until = bytes(31) + b"\x07", traded.now() + 1_000
    traded.send("governor", registry.functions.announceSuccessor(traded.at("stranger")))
    traded.send("governor", participants.functions.setIssuer(role, traded.at("issuer"), True))
    traded.send("issuer", participants.functions.accredit(traded.at("buyer"), role, until))
    for log in registry.events.StatusSet().get_logs(from_block=0):
        assert registry.functions.statusOf(log["args"]["assetId"]).call() == log["args"]["status"] == 2
    (announced,) = (log["args"] for log in registry.events.SuccessorAnnounced().get_logs(from_block=0))
    assert registry.functions.successor().call() == announced["successor"]
    (trusted,) = (log["args"] for log in participants.events.IssuerSet().get_logs(from_block=0))
    assert (
        participants.functions.isIssuer(trusted["role"], trusted["issuer"]).call()
        is trusted["trusted"]
        is True
    )
    (given,) = (log["args"] for log in participants.events.AccreditationSet().get_logs(from_block=0))
    stored = list(participants.functions.accreditationOf(given["account"], given["role"]).call())
    assert stored == [given["issuer"], given["validUntil"]] == [traded.at("issuer"), until]
    assert participants.functions.isAccredited(traded.at("buyer"), role).call()


def test_credits_are_rebuilt_from_their_events(traded: Any) -> None:
    agreement = next(iter(Replay(traded).grants))[0]
    register = traded.credits.functions.registerModel(traded.request(agreement, 0), REASON)
    traded.send("buyer", register)
    (minted,) = (log["args"] for log in traded.credits.events.CreditsMinted().get_logs(from_block=0))
    assert minted["account"] == traded.at("provider")
    units = traded.credits.functions.unitsOf(minted["modelId"], minted["account"]).call()
    assert (
        units == minted["units"] == traded.credits.functions.totalUnits(minted["modelId"]).call() == 1_000_000
    )
