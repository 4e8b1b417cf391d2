"""Jobs: one id for a request, and the same table of states as the contracts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.bond import Bond
from marketplace.core.ids import Status
from marketplace.core.job import (
    END_STATES,
    TRANSITIONS,
    Action,
    Dispute,
    Fault,
    Grant,
    Ground,
    Job,
    Request,
    Role,
    Ruling,
    State,
)
from marketplace.errors import IntegrityError

VECTORS = Path(__file__).parents[1] / "vectors" / "states.json"
ROWS: list[dict[str, Any]] = json.loads(VECTORS.read_text())
ROLES = {
    "buyer": Role.buyer,
    "node": Role.node,
    "provider": Role.anyone,
    "stranger": Role.anyone,
    "judge": Role.judge,
}
SITUATIONS = {state.name.capitalize(): (state, False) for state in State} | {
    "DisputedFault": (State.disputed, True)
}
"""The states of the vectors: a dispute about a fault is a row of its own. With whether it is one."""
ACTIONS = {action.name: action for action in Action}

digests = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
requests = st.builds(Request, digests, addresses, st.integers(0, 65_535), digests, digests)


@settings(deadline=None)
@given(requests)
def test_a_job_id_is_the_hash_of_the_five_words(request: Request) -> None:
    words = [
        request.offer_digest,
        bytes(12) + bytes.fromhex(request.buyer[2:]),
        request.index.to_bytes(32),
        request.algorithm,
        request.spec,
    ]
    assert request.job_id == keccak(b"".join(words))


@settings(deadline=None)
@given(requests, requests)
def test_different_requests_have_different_ids(one: Request, other: Request) -> None:
    assert (one.job_id == other.job_id) == (one == other)
    swapped = replace(one, algorithm=one.spec, spec=one.algorithm)
    assert (swapped.job_id == one.job_id) == (one.spec == one.algorithm)


def expected(row: dict[str, Any]) -> str:
    """What the table says of a row of the vectors; `finalise` skips where it may not act."""
    state, of_fault = SITUATIONS[row["state"]]
    move = TRANSITIONS.get((state, ACTIONS[row["action"]]))
    may = move is not None and ROLES[row["role"]] in move.roles and move.late in (None, row["late"])
    if move is not None and may:
        disputes_fault = (state, move.to) == (State.faulted, State.disputed)
        dispute = Dispute("0x", Ground.other, of_fault) if state is State.disputed else None
        return "DisputedFault" if disputes_fault else move.end(dispute).name.capitalize()
    return row["state"] if row["action"] == "finalise" else "revert"


def test_the_table_says_what_the_contracts_do() -> None:
    differing = [row for row in ROWS if expected(row) != row["result"]]
    assert differing == []


def test_the_vectors_walk_every_state_action_role_and_lateness() -> None:
    walked = {(row["state"], row["action"], row["role"], row["late"]) for row in ROWS}
    actions = [action.name for action in Action if action is not Action.open_job]
    assert len(walked) == len(ROWS) == len(SITUATIONS) * len(actions) * len(ROLES) * 2


def test_only_a_policy_fault_ends_the_grant() -> None:
    ending = {row["action"] for row in ROWS if row["grant"] == "ended"}
    assert ending == {"fail_policy"}


def test_a_judge_gets_the_same_fee_whatever_it_rules() -> None:
    for row in ROWS:
        rules = row["action"].startswith("resolve") and row["result"] != "revert"
        assert row["judge"] == ("judge-fee" if rules else "none"), row


def test_what_nobody_could_fetch_is_not_paid_where_nobody_judges() -> None:
    lapse = TRANSITIONS[State.disputed, Action.finalise]
    ends = {ground: lapse.end(Dispute("0x", ground, False)) for ground in Ground}
    assert ends == {
        Ground.unavailable: State.refunded, Ground.malformed: State.settled, Ground.other: State.settled
    }  # fmt: skip


def test_money_moves_exactly_where_a_job_ends_or_a_fault_is_stated() -> None:
    for row in ROWS:
        moved = (row["buyer"], row["provider"], row["judge"]) != ("none", "none", "none")
        reached = row["result"] not in ("revert", row["state"])
        ends = reached and (SITUATIONS[row["result"]][0] in END_STATES or row["result"] == "Faulted")
        assert moved == ends, row


def test_no_step_leads_out_of_an_end_state() -> None:
    assert [step for step in TRANSITIONS if step[0] in END_STATES] == []
    reachable = {move.to for move in TRANSITIONS.values()}
    assert {move.of_fault for move in TRANSITIONS.values()} <= {None, State.failed}
    assert reachable == set(State) - {State.none}


def test_numbers_are_those_of_the_contract() -> None:
    interfaces = Path(__file__).parents[2] / "contracts/interfaces"
    kinds = (
        ("IMarket", State), ("IMarket", Fault), ("IDisputes", Ground), ("IDisputes", Ruling),
        ("IAssetRegistry", Status),
    )  # fmt: skip
    for file, kind in kinds:
        contract, name = (interfaces / f"{file}.sol").read_text(), kind.__name__
        members = contract.split(f"enum {name} {{")[1].split("}")[0].replace(",", " ").split()
        assert [member.lower() for member in members] == [member.name for member in kind]


def test_a_job_in_no_known_state_is_refused() -> None:
    with pytest.raises(IntegrityError, match="no known state"):
        Job.from_tuple(("0x" + "a" * 40, 1, 11, 2, bytes(32)))
    assert Job.from_tuple(("0x" + "a" * 40, 1, 7, 2, bytes(32))).state is State.expired


def test_a_dispute_on_no_known_ground_is_refused() -> None:
    with pytest.raises(IntegrityError, match="no known ground"):
        Dispute.from_tuple(("0x" + "a" * 40, 3, False))
    assert Dispute.from_tuple(("0x" + "a" * 40, 1, True)).ground is Ground.malformed


@given(st.integers(0, 1 << 48), st.integers(0, 1 << 48), st.integers(0, 1 << 48))
def test_a_slash_takes_what_is_staked_first_and_never_more_than_there_is(
    staked: int, leaving: int, amount: int
) -> None:
    bond = Bond.from_tuple((staked, leaving, 7))
    from_staked, from_leaving = bond.slash_up_to(amount)
    assert from_staked + from_leaving == min(amount, bond.held())
    assert from_leaving == 0 or from_staked == staked
    assert bond.slashed(amount) == Bond(staked - from_staked, leaving - from_leaving, 7)


def test_unused_uses_are_those_paid_less_those_opened() -> None:
    assert Grant.from_tuple(("0x" + "a" * 40, 5, 7, 3, 20_000)).unused() == 4
