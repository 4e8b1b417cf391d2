"""Walks tests/vectors/states.json on the compiled contracts: the same rows as StateTable.t.sol."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

ROWS = json.loads((Path(__file__).resolve().parents[1] / "vectors/states.json").read_text())
ON_CHAIN = (
    "None", "Open", "Submitted", "Settled", "Rejected", "Faulted", "Failed", "Expired", "Disputed", "Refunded", "Split"
)  # fmt: skip
STATES = (*ON_CHAIN[:9], "DisputedFault", *ON_CHAIN[9:])
RULINGS = {"resolve_pay": 0, "resolve_refund": 1, "resolve_split": 2}
FAULTS = {"fail_node": 0, "fail_algorithm": 1, "fail_policy": 2}
ACTIONS = ("submit", "accept", "finalise", "reject", *FAULTS, "expire", "dispute", *RULINGS)
ROLES = ("buyer", "node", "provider", "stranger", "judge")
PRICE, FEE = 20_000_001, 2_000_000
BOND, JUDGE_FEE, PENALTY, OTHER = 10_000_000, 4_000_000, 1_000_000, 2
STAKE = BOND - JUDGE_FEE
AMOUNTS = {
    "none": 0, "price": PRICE, "fee": FEE, "price-fee": PRICE - FEE, "price+penalty": PRICE + PENALTY,
    "challenge-bond": BOND, "judge-fee": JUDGE_FEE, "price+stake": PRICE + STAKE, "fee+stake": FEE + STAKE,
    "2*price+challenge-bond": 2 * PRICE + BOND, "2*fee+challenge-bond": 2 * FEE + BOND, "price/2": PRICE // 2,
    "fee/2": FEE // 2,
    "price-half+stake": PRICE - PRICE // 2 + STAKE, "fee-half+stake": FEE - FEE // 2 + STAKE,
}  # fmt: skip
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
        elif action == "dispute":
            arguments = [self.request, tuple(self.offer.values()), OTHER, REASON]
        elif action in RULINGS:
            name, arguments = "resolve", [self.request, tuple(self.offer.values()), RULINGS[action], REASON]
        elif action in FAULTS:
            name, arguments = "fail", [self.request, tuple(self.offer.values()), FAULTS[action], REASON]
        return str(self.world.market.encode_abi(name, arguments))

    def reach(self, state: str) -> None:
        """Brings the job from nothing to a state."""
        if state == "None":
            return
        self.world.open(self.agreement, 0)
        if state in ("Submitted", "Settled", "Disputed", "Refunded", "Split"):
            self.world.send_raw("node", self.data["submit"])
        if state == "Settled":
            self.world.send_raw("buyer", self.data["accept"])
        if state == "Expired":
            self.world.warp(self.until() + 1)
            self.world.send_raw("stranger", self.data["expire"])
        ends = {
            "Rejected": "reject", "Faulted": "fail_algorithm", "DisputedFault": "fail_algorithm", "Failed": "fail_node"
        }  # fmt: skip
        if state in ends:
            self.world.send_raw("node", self.data[ends[state]])
        if state in ("Disputed", "DisputedFault", "Refunded", "Split"):
            self.world.send_raw("buyer", self.data["dispute"])
        if state in ("Refunded", "Split"):
            self.world.send_raw(
                "arbiter", self.data["resolve_refund" if state == "Refunded" else "resolve_split"]
            )

    def state(self) -> str:
        """The job's state, by name; a dispute about a fault's fee has one of its own in the table."""
        state = ON_CHAIN[self.market.jobOf(self.job).call()[2]]
        about_fault = state == "Disputed" and self.market.disputeOf(self.job).call()[2]
        return "DisputedFault" if about_fault else state

    def until(self) -> int:
        """The job's deadline or end of window, in seconds."""
        return int(self.market.jobOf(self.job).call()[3])

    def owed(self) -> tuple[int, ...]:
        """What buyer, provider and arbiter are owed."""
        people = (self.world.at(name) for name in ("buyer", "provider", "arbiter"))
        return tuple(int(self.market.balanceOf(person).call()) for person in people)

    def check(self, row: dict[str, Any]) -> None:
        """Does what a row says and compares what came of it."""
        who = "arbiter" if row["role"] == "judge" else row["role"]
        error = self.world.attempt(who, self.data[row["action"]])
        assert (error or "none") == row["error"], row
        assert (error is not None) == (row["result"] == "revert"), row
        if error:
            return
        with self.world.sandbox():
            before = self.owed()
            self.world.send_raw(who, self.data[row["action"]])
            paid = tuple(after - had for after, had in zip(self.owed(), before, strict=True))
            assert self.state() == row["result"], row
            assert paid == tuple(AMOUNTS[row[name]] for name in ("buyer", "provider", "judge")), row
            last_day = self.market.grantOf(self.agreement, self.world.at("buyer")).call()[4]
            assert (last_day == 0) == (row["grant"] == "ended"), row


def test_the_table_has_one_row_for_every_state_action_role_and_lateness() -> None:
    keys = [(row["state"], row["action"], row["role"], row["late"]) for row in ROWS]
    assert keys == list(itertools.product(STATES, ACTIONS, ROLES, (False, True)))


ENDS = {"Settled", "Rejected", "Failed", "Expired", "Refunded", "Split"}


def paid_at_most(row: dict[str, Any]) -> int:
    """What a step has to give away: what was held for the job, the stake on its dispute, and what it slashes."""
    faulted = row["state"] in ("Faulted", "DisputedFault")
    held = FEE if faulted else PRICE
    if row["state"] in ("Disputed", "DisputedFault"):
        return held + BOND + (held + JUDGE_FEE if row["action"] == "resolve_refund" else 0)
    if row["result"] == "Faulted":
        return PRICE - FEE
    return held + (PENALTY if row["action"] == "expire" else 0)


def test_a_step_into_an_end_pays_exactly_what_is_held_and_no_step_leaves_one() -> None:
    for row in ROWS:
        paid = sum(AMOUNTS[row[name]] for name in ("buyer", "provider", "judge"))
        moved = row["result"] not in ("revert", row["state"])
        pays = moved and (row["result"] in ENDS or row["result"] == "Faulted")
        assert paid == (paid_at_most(row) if pays else 0), row
        assert row["state"] not in ENDS or not moved


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_the_compiled_contracts_do_what_the_table_says(world: Any, state: str, late: bool) -> None:
    trade = Trade(world)
    world.fund("buyer", 2 * BOND)  # for those who dispute
    trade.reach(state)
    assert trade.state() == state
    if late and state != "None":
        world.warp(max(trade.until(), world.now()) + 1)
    rows = [row for row in ROWS if (row["state"], row["late"]) == (state, late)]
    assert len(rows) == len(ACTIONS) * len(ROLES)
    for row in rows:
        trade.check(row)
