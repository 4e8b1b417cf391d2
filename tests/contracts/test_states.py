"""Walks tests/vectors/states.json on the compiled contracts: the same rows as StateTable.t.sol."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from web3.exceptions import ContractCustomError

ROWS = json.loads((Path(__file__).resolve().parents[1] / "vectors/states.json").read_text())
STATES = ("None", "Open", "Submitted", "Settled", "Rejected", "Faulted", "Failed", "Expired")
ACTIONS = ("submit", "accept", "finalise", "reject", "fail_node", "fail_algorithm", "fail_policy", "expire")
ROLES = ("buyer", "node", "provider", "stranger")
FAULTS = {"fail_node": 0, "fail_algorithm": 1, "fail_policy": 2}
PRICE, FEE = 20_000_001, 2_000_000
AMOUNTS = {"none": 0, "price": PRICE, "fee": FEE, "price-fee": PRICE - FEE}
REASON = bytes(31) + b"\x01"


class Trade:
    """A grant of one use, and the job that the rows speak of."""

    def __init__(self, world: Any) -> None:
        self.world, self.market = world, world.market.functions
        self.offer = world.offer(world.publish(), price=PRICE)
        self.agreement = world.buy(self.offer, uses=1)
        self.request = world.request(self.agreement, 0)
        self.job = bytes(self.market.jobIdOf(self.request).call())

    def call(self, action: str) -> Any:
        """The call of an action, not yet sent."""
        if action == "submit":
            return self.world.submit_call(self.job)
        if action == "finalise":
            return self.market.finalise([self.job])
        if action == "reject":
            return self.market.reject(self.request, REASON)
        if action in FAULTS:
            return self.market.fail(self.request, tuple(self.offer.values()), FAULTS[action], REASON)
        return getattr(self.market, action)(self.request)

    def reach(self, state: str) -> None:
        """Brings the job from nothing to a state."""
        if state == "None":
            return
        self.world.open(self.agreement, 0)
        if state in ("Submitted", "Settled"):
            self.world.send("node", self.call("submit"))
        if state == "Settled":
            self.world.send("buyer", self.call("accept"))
        if state == "Expired":
            self.world.warp(self.until() + 1)
            self.world.send("stranger", self.call("expire"))
        ends = {"Rejected": "reject", "Faulted": "fail_algorithm", "Failed": "fail_node"}
        if state in ends:
            self.world.send("node", self.call(ends[state]))

    def state(self) -> str:
        """The job's state, by name."""
        return STATES[self.market.jobOf(self.job).call()[2]]

    def until(self) -> int:
        """The job's deadline or end of window, in seconds."""
        return int(self.market.jobOf(self.job).call()[3])

    def owed(self) -> tuple[int, int]:
        """What buyer and provider are owed."""
        people = self.world.at("buyer"), self.world.at("provider")
        buyer, provider = (int(self.market.balanceOf(person).call()) for person in people)
        return buyer, provider

    def act(self, action: str, role: str) -> str:
        """The state after the action, or the name of the error that it reverts with."""
        call = self.call(action)
        try:
            call.call({"from": self.world.at(role)})
        except ContractCustomError:
            return str(self.world.error(role, call))
        self.world.send(role, call)
        return self.state()


def test_the_table_has_one_row_for_every_state_action_role_and_lateness() -> None:
    keys = [(row["state"], row["action"], row["role"], row["late"]) for row in ROWS]
    assert keys == list(itertools.product(STATES, ACTIONS, ROLES, (False, True)))


def test_no_row_pays_more_than_the_price_or_leaves_an_end() -> None:
    ends = {"Settled", "Rejected", "Failed", "Expired"}
    for row in ROWS:
        paid = AMOUNTS[row["buyer"]] + AMOUNTS[row["provider"]]
        expected = {"Faulted": PRICE - FEE, "Failed": FEE if row["state"] == "Faulted" else PRICE}
        moved = row["result"] not in ("revert", row["state"])
        assert paid == (expected.get(row["result"], PRICE) if moved and row["result"] != "Submitted" else 0)
        assert row["state"] not in ends or not moved


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_the_compiled_contracts_do_what_the_table_says(world: Any, state: str, late: bool) -> None:
    trade = Trade(world)
    trade.reach(state)
    assert trade.state() == state
    if late and state != "None":
        world.warp(max(trade.until(), world.now()) + 1)
    rows = [row for row in ROWS if (row["state"], row["late"]) == (state, late)]
    assert len(rows) == len(ACTIONS) * len(ROLES)
    for row in rows:
        with world.sandbox():
            before = trade.owed()
            outcome = trade.act(row["action"], row["role"])
            paid = tuple(after - had for after, had in zip(trade.owed(), before, strict=True))
            assert outcome == (row["error"] if row["result"] == "revert" else row["result"]), row
            assert paid == (AMOUNTS[row["buyer"]], AMOUNTS[row["provider"]]), row
            last_day = world.market.functions.grantOf(trade.agreement, world.at("buyer")).call()[4]
            assert (last_day == 0) == (row["grant"] == "ended"), row
