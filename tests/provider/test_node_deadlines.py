"""Deadlines: who is late, who pays. The scenes take the market's job time of twenty seconds, and play side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core.job import Request, State
from marketplace.core.policy import CustomAlgorithms
from tests.support.buyers import await_state, new_buyer, note, report_of
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, FEE, PRICE, algorithm, open_works, running_works_town

pytestmark = pytest.mark.slow

PENALTY = 1_000_000
"""What an expiry takes from the provider's bond here."""
JOB_TIME = 20
COUNT = algorithm("count", COUNT_ROWS)
ENDLESS = algorithm("endless", "import time\ntime.sleep(600)")
CUSTOM = algorithm("endless-custom", "import time\ntime.sleep(600)")


@dataclass
class Scene:
    """How one job ended. at: Unix seconds of its end, as its block has it. owed: to the buyer."""

    state: State
    why: str
    seconds_before_deadline: int
    owed: int


Play = Callable[[str], Scene]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway"), job_time=JOB_TIME) as town:
        yield town


@pytest.fixture(scope="module")
def scenes(hasty: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """All scenes, each with a provider and a buyer of its own."""

    def play(name: str) -> Scene:
        works = open_works(hasty, sandbox, tmp_path_factory.mktemp(name), name)
        dataset = works.publish(ENDLESS, custom=CustomAlgorithms.approval)
        buyer = new_buyer(hasty, name)
        buyer.buy(dataset)
        request = buyer.order(
            works, dataset, {"endless": ENDLESS, "slow-to-approve": CUSTOM}.get(name, COUNT)
        )
        until = hasty.market.chain.job(request.job_id).until
        if name == "away":
            time.sleep(JOB_TIME + 1)
        with works.running():
            if name in ("not-released", "slow-to-approve"):
                works.await_step(request, Step.approval)
                if name == "slow-to-approve":
                    time.sleep(max(0.0, until - 5 - time.time()))
                works.approve(request)
            await_state(hasty, request, State.rejected, State.failed, State.faulted, State.expired)
            answered = hasty.market.chain.block_time()
            state = await_state(hasty, request)
            owed = hasty.market.chain.balance(buyer.account.address)
            return Scene(state, _why(hasty, request, state), until - answered, owed)

    names = ("not-approved", "not-released", "away", "endless", "slow-to-approve")
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(play, names), strict=True))


def _why(town: Town, request: Request, state: State) -> str:
    if state is State.failed:
        report = report_of(town, request)
        return f"{report.fault}: {report.code}"
    return note(town, request) if state is State.rejected else ""


def test_an_algorithm_that_nobody_approves_in_time_is_rejected_shortly_before_the_deadline(
    scenes: dict[str, Scene],
) -> None:
    scene = scenes["not-approved"]
    assert (scene.state, scene.why) == (State.rejected, "not-approved-in-time")
    assert 0 <= scene.seconds_before_deadline <= 3
    assert scene.owed == PRICE


def test_an_output_that_nobody_releases_in_time_is_never_handed_over(scenes: dict[str, Scene]) -> None:
    scene = scenes["not-released"]
    assert (scene.state, scene.why) == (State.rejected, "not-released-in-time")
    assert 0 <= scene.seconds_before_deadline <= 3
    assert scene.owed == PRICE


def test_a_node_that_comes_back_too_late_lets_the_job_expire(scenes: dict[str, Scene]) -> None:
    scene = scenes["away"]
    assert scene.state is State.expired
    assert scene.owed == PRICE + PENALTY


def test_an_algorithm_that_never_ends_has_itself_to_blame_whatever_its_manifest_says(
    scenes: dict[str, Scene],
) -> None:
    """It says 600 seconds, which no job of this market has: free runs for anyone, were it the node's fault."""
    scene = scenes["endless"]
    assert (scene.state, scene.why) == (State.failed, "algorithm: out-of-time")
    assert scene.seconds_before_deadline >= 0
    assert scene.owed == PRICE - FEE


def test_an_algorithm_that_was_approved_late_and_not_done_in_time_costs_the_buyer_nothing(
    scenes: dict[str, Scene],
) -> None:
    scene = scenes["slow-to-approve"]
    # A node that is too busy even to say so pays for the expiry.
    assert (scene.state, scene.why, scene.owed) in (
        (State.failed, "node: deadline", PRICE),
        (State.expired, "", PRICE + PENALTY),
    )
