"""A receipt that would come after the deadline is never sent: its key would stand in the block all the same."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from compute.sandbox import Sandbox
from marketplace.core.events import ReceiptSubmitted
from marketplace.core.job import State
from tests.kill.stage import finish, staged
from tests.support.gate import Question, asks
from tests.support.works import COUNT_ROWS, algorithm, running_works_town

JOB_TIME = 30


@pytest.mark.slow
def test_an_output_that_is_stored_too_late_is_not_handed_over(sandbox: Sandbox, tmp_path: Path) -> None:
    with (
        running_works_town(tmp_path / "blocks", job_time=JOB_TIME) as hasty,
        staged(hasty, sandbox, tmp_path, "late", algorithm("count", COUNT_ROWS)) as stage,
    ):
        until = hasty.market.chain.job(stage.request.job_id).until
        ask, slow, submit = stage.gateway.ask, [], asks("eth_sendRawTransaction", "submit")

        def slowly(question: Question) -> httpx.Response:
            if question.verb == "PUT" and not slow:
                slow.append(until - 0.7 - time.time())
                time.sleep(max(0.0, slow[0]))
            return ask(question)

        stage.gateway.ask = slowly  # type: ignore[method-assign]
        stage.home.settings["TIMEOUT"] = str(JOB_TIME)
        with stage.rpc.hold(submit) as held:
            finish(stage, State.failed, State.expired)
            assert not held.reached.is_set()
        assert slow and slow[0] > 0
        assert stage.count(ReceiptSubmitted) == 0
