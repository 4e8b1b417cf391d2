"""Whole jobs on the second wall: a node process whose sandbox is gVisor, from the order to the money and the audit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.sandbox import Isolation, Sandbox, Wall
from marketplace.core.job import State
from marketplace.verify import verify
from tests.kill.stage import Stage, finish, kill_at, seen, staged
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, algorithm

pytestmark = pytest.mark.slow

TORCH = algorithm(
    "torch",
    """
import json, os, time, torch
folder = json.loads(os.environ["DIDS"])[0]
rows = open(f"/data/inputs/{folder}/0").read().splitlines()[1:]
faults = torch.tensor([float(row.split(",")[1]) for row in rows])
time.sleep(0.7)
json.dump({"mean": round(float(faults.mean()), 3)}, open("/data/outputs/result.json", "w"))
""",
)
DIALS_OUT = algorithm("dials-out", "import socket\nsocket.create_connection(('127.0.0.1', 80))" + COUNT_ROWS)


@pytest.fixture(scope="module")
def gvisor() -> Iterator[Sandbox]:
    if shutil.which("runsc") is None:
        if os.environ.get("CI"):
            pytest.fail("gVisor's runsc is missing: apt-get install runsc")
        pytest.skip("gVisor's runsc is not installed (Debian: apt-get install runsc)")
    with Sandbox(wall=Wall.gvisor) as sandbox:
        yield sandbox


def isolation_of(stage: Stage) -> Isolation:
    return Isolation(stage.town.market.chain.isolation_of(stage.works.owner.address))


def test_a_job_killed_in_the_middle_is_settled_once_and_its_receipt_names_the_wall(
    town: Town, gvisor: Sandbox, tmp_path: Path
) -> None:
    with staged(town, gvisor, tmp_path, "gvisor", TORCH, wall=Wall.gvisor) as stage:
        kill_at(stage, seen("the data is in the scratch", lambda _, node: node.data()))
        finish(stage, State.settled)
        stage.check_settled_once()
        assert stage.buyer.result(stage.request)["result.json"] == b'{"mean":0.5}'
        receipt = stage.works.journal.get(stage.request.job_id).data["receipt"]
        assert Isolation.GVISOR in Isolation(receipt["isolation"])
        assert Isolation(receipt["isolation"]) == isolation_of(stage)
        report = verify(town.market.chain, town.store, stage.dataset.token)
        assert report.ok, report.failures()


def test_a_forbidden_call_behind_gvisor_is_the_algorithms_own_breach_of_policy(
    town: Town, gvisor: Sandbox, tmp_path: Path
) -> None:
    with staged(town, gvisor, tmp_path, "gvisor breach", DIALS_OUT, wall=Wall.gvisor) as stage:
        finish(stage, State.failed)
        failure = stage.works.journal.get(stage.request.job_id).data["failure"]
        assert (failure["fault"], failure["code"]) == ("policy", "forbidden-call")
        stage.check_faulted_once()


def test_a_node_behind_another_wall_than_is_registered_does_not_serve(
    town: Town, gvisor: Sandbox, tmp_path: Path
) -> None:
    with (
        staged(town, gvisor, tmp_path, "other wall", TORCH) as stage,
        stage.home.start("node", "run") as node,
    ):
        _, said = node.communicate(timeout=60)
        assert node.returncode == 1 and "another isolation than is registered" in said
        assert stage.step() is None
