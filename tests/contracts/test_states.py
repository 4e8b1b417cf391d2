"""Walks tests/vectors/states.json on the compiled contracts: the same rows as StateTable.t.sol."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

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
        self.data = {action: self.encode(action) for action in ACTIONS}

    def encode(self, action: str) -> str:
        """The calldata of an action."""
        if action == "submit":
            return str(self.world.submit_call(self.job)._encode_transaction_data())
        name, arguments = action, [self.request]
        if action == "finalise":
            arguments = [[self.job]]
        elif action == "reject":
            arguments += [REASON]
        elif action in FAULTS:
            name, arguments = "fail", [self.request, tuple(self.offer.values()), FAULTS[action], REASON]
        return str(self.world.market.encode_abi(name, arguments))

    def reach(self, state: str) -> None:
        """Brings the job from nothing to a state."""
        if state == "None":
            return
        self.world.open(self.agreement, 0)
        if state in ("Submitted", "Settled"):
            self.world.send_raw("node", self.data["submit"])
        if state == "Settled":
            self.world.send_raw("buyer", self.data["accept"])
        if state == "Expired":
            self.world.warp(self.until() + 1)
            self.world.send_raw("stranger", self.data["expire"])
        ends = {"Rejected": "reject", "Faulted": "fail_algorithm", "Failed": "fail_node"}
        if state in ends:
            self.world.send_raw("node", self.data[ends[state]])

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

    def check(self, row: dict[str, Any]) -> None:
        """Does what a row says and compares what came of it."""
        error = self.world.attempt(row["role"], self.data[row["action"]])
        assert (error or "none") == row["error"], row
        assert (error is not None) == (row["result"] == "revert"), row
        if error:
            return
        with self.world.sandbox():
            before = self.owed()
            self.world.send_raw(row["role"], self.data[row["action"]])
            paid = tuple(after - had for after, had in zip(self.owed(), before, strict=True))
            assert self.state() == row["result"], row
            assert paid == (AMOUNTS[row["buyer"]], AMOUNTS[row["provider"]]), row
            last_day = self.market.grantOf(self.agreement, self.world.at("buyer")).call()[4]
            assert (last_day == 0) == (row["grant"] == "ended"), row


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
        trade.check(row)
