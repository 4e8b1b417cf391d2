"""A node killed by SIGKILL at every step of a job, one kill after the other: the job ends once, and is paid once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core.events import JobExpired, JobRejected
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from tests.kill.stage import Stage, Stop, at_step, finish, kill_at, seen, staged
from tests.support.catalogue import Town
from tests.support.gate import asks, block
from tests.support.works import COUNT_ROWS, algorithm, running_works_town, wait_until

SLOW = algorithm("slow", "import time\nprint('counting', flush=True)\ntime.sleep(0.7)" + COUNT_ROWS)
CRASH = algorithm("crash", "import sys\nprint(open('/data/inputs/valves.csv').read())\nsys.exit(3)")
OWN = algorithm("own", "import time\ntime.sleep(0.7)" + COUNT_ROWS)

JUDGING = (
    seen("the job is in the journal", lambda stage, _: stage.step() is not None),
    Stop("the offer is asked for", block("GET"), gateway=True),
    Stop("the grant is asked for", asks("eth_call", "grantOf")),
)
RUNNING = (
    seen("the data is in the scratch", lambda _, node: node.data()),
    seen("the algorithm is at work", lambda stage, node: stage.log.is_file() and stage.log.stat().st_size),
)
STORING = (
    Stop("the first block of the output leaves", block("PUT"), gateway=True),
    Stop("the header of the output is stored, unsaid", block("PUT", "bafkrei"), "answer", gateway=True),
)


IN_THE_WINDOW = Stop(
    "in the window", asks("eth_estimateGas", "finalise"), reached=lambda stage, _: stage.step() is Step.window
)


def sending(function: str) -> tuple[Stop, ...]:
    """Before a transaction: it is tried; it is signed and does not get out."""
    return (
        Stop(f"{function} is tried", asks("eth_estimateGas", function)),
        Stop(f"{function} is about to leave", asks("eth_sendRawTransaction", function)),
    )


def sent(function: str) -> Stop:
    """It is in the pool, and the node was never told."""
    return Stop(f"{function} is sent", asks("eth_sendRawTransaction", function), "answer")


def mined(function: str) -> Stop:
    """Its block has no successor that the node has heard of."""
    return Stop(f"{function} is mined", asks("eth_getTransactionReceipt"), "answer")


def walk(stage: Stage, stops: Sequence[Stop]) -> None:
    """A kill at each stop in turn. Once an answer is on chain the algorithm does not run again."""
    answered: int | None = None
    for stop in stops:
        kill_at(stage, stop)
        if answered is not None:
            assert stage.log.stat().st_mtime_ns == answered, f"ran again before: {stop.name}"
        elif stage.state is not State.open and stage.log.exists():
            answered = stage.log.stat().st_mtime_ns


@pytest.mark.slow
def test_a_listed_algorithm_is_settled_once_whatever_step_its_node_is_killed_at(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    with staged(town, sandbox, tmp_path, "settled", SLOW) as stage:
        walk(stage, [*JUDGING, *RUNNING, *STORING, *sending("submit"), sent("submit"), IN_THE_WINDOW])
        walk(stage, [*sending("finalise"), sent("finalise")])
        finish(stage, State.settled)
        stage.check_settled_once()


@pytest.mark.slow
def test_a_node_killed_between_an_answer_and_its_confirmation_does_not_answer_again(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    with staged(town, sandbox, tmp_path, "mined", SLOW) as stage:
        walk(stage, [mined("submit"), mined("finalise")])
        finish(stage, State.settled)
        stage.check_settled_once()


@pytest.mark.slow
def test_an_algorithm_that_waits_for_approval_and_review_is_settled_once(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    with staged(
        town, sandbox, tmp_path, "reviewed", OWN, listed=SLOW, custom=CustomAlgorithms.approval
    ) as stage:
        walk(stage, [*JUDGING, at_step(Step.approval), at_step(Step.approval)])
        stage.works.approve(stage.request)
        walk(stage, [RUNNING[0], at_step(Step.review), at_step(Step.review)])
        ran = stage.log.stat().st_mtime_ns
        stage.works.approve(stage.request)
        walk(stage, [*STORING, *sending("submit"), sent("submit"), IN_THE_WINDOW])
        finish(stage, State.settled)
        assert stage.log.stat().st_mtime_ns == ran  # what the owner released is what the buyer got
        stage.check_settled_once()


@pytest.mark.slow
def test_an_algorithm_that_crashes_costs_its_fee_once(town: Town, sandbox: Sandbox, tmp_path: Path) -> None:
    with staged(town, sandbox, tmp_path, "faulted", CRASH) as stage:
        walk(stage, [RUNNING[0], *sending("fail"), sent("fail"), IN_THE_WINDOW])
        walk(stage, [*sending("finalise"), sent("finalise")])
        finish(stage, State.failed)
        stage.check_faulted_once()


@pytest.mark.slow
def test_a_refused_job_is_refunded_once(town: Town, sandbox: Sandbox, tmp_path: Path) -> None:
    with staged(town, sandbox, tmp_path, "refused", OWN, listed=SLOW) as stage:
        walk(stage, [*JUDGING, *sending("reject"), sent("reject")])
        finish(stage, State.rejected)
        stage.check_refunded_once(JobRejected)


@pytest.mark.slow
def test_a_job_whose_node_comes_back_too_late_expires_once(sandbox: Sandbox, tmp_path: Path) -> None:
    with (
        running_works_town(tmp_path / "blocks", job_time=6) as hasty,
        staged(hasty, sandbox, tmp_path, "expired", SLOW) as stage,
    ):
        until = hasty.market.chain.job(stage.request.job_id).until
        wait_until(lambda: hasty.market.chain.block_time() > until, "the deadline")
        walk(stage, [*sending("expire"), sent("expire")])
        finish(stage, State.expired)
        stage.check_refunded_once(JobExpired)


@pytest.mark.slow
def test_a_transaction_that_arrives_after_the_restart_of_its_sender_has_one_effect(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    leaves = sending("submit")[1]
    with staged(town, sandbox, tmp_path, "late", SLOW) as stage:
        first = kill_at(stage, leaves)
        assert first and stage.state is State.open
        second = kill_at(stage, leaves)
        assert second and stage.state is State.open
        stage.rpc.deliver(first)
        stage.rpc.deliver(second)
        finish(stage, State.settled)
        stage.check_settled_once()
