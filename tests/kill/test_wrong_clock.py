"""A node whose machine is an hour wrong, either way: deadlines are the chain's, so nobody loses a job by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.sandbox import Sandbox
from marketplace.core.job import State
from tests.kill.stage import staged
from tests.support.buyers import await_state
from tests.support.catalogue import Town
from tests.support.node_process import node_process
from tests.support.works import COUNT_ROWS, algorithm, wait_until

COUNT = algorithm("count", COUNT_ROWS)
HOUR = 3_600
CLOCK = """
import time
true = time.time
time.time = lambda: true() + {shift}
"""


@pytest.mark.slow
@pytest.mark.parametrize("shift", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_job_is_settled_by_a_node_whose_clock_is_an_hour_off(
    town: Town, sandbox: Sandbox, tmp_path: Path, shift: int
) -> None:
    """The job time of this market is ten minutes, the window a second."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK.format(shift=shift))
    with (
        staged(town, sandbox, tmp_path, f"clock {shift}", COUNT) as stage,
        node_process(stage.home, PYTHONPATH=str(tmp_path / "clock")) as node,
    ):
        assert await_state(town, stage.request, seconds=40) is State.settled
        way = "ahead of" if shift > 0 else "behind"
        wait_until(lambda: any(f"s {way} the chain's" in line for line in node.lines), "its word about it")
        assert node.end() == 0
        stage.check_settled_once()
