"""The demo, as a user runs it: seven processes, and every promise of its story; behind a gateway, and on IPFS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EUROS = 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["gateway", "ipfs"])
def demo(request: pytest.FixtureRequest) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    chosen = ["--ipfs"] if request.param == "ipfs" else []
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--json", *chosen]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_the_demo_says_what_programs_expect(demo: dict[str, Any]) -> None:
    expected = {
        "dataset",
        "grant",
        "jobs",
        "model",
        "audit",
        "audit_after_tamper",
        "refunds",
        "gas",
        "seconds",
    }

    assert set(demo) == expected
    assert set(demo["gas"]) == {"publish", "buy", "open", "submit", "finalise"}
    assert all(isinstance(gas, int) and gas > 21_000 for gas in demo["gas"].values())


def test_the_demo_trains_a_good_model_on_rows_that_stay_hidden(demo: dict[str, Any]) -> None:
    assert demo["dataset"]["rows"] == 39_278
    assert demo["model"]["balanced_accuracy"] >= 0.95
    assert demo["model"]["majority_baseline"] == 0.5


def test_each_job_of_the_demo_ends_as_its_story_says(demo: dict[str, Any]) -> None:
    ends = {job["algorithm"]: (job["state"], job["note"]) for job in demo["jobs"]}

    assert ends["tabular-classifier"][0] == ends["class-profile"][0] == "settled"
    assert ends["crash"][0] == ends["thief"][0] == "failed"
    assert ends["crash"][1].startswith("fault of the algorithm")
    assert ends["thief"][1].startswith("fault of the policy")


def test_every_euro_that_was_not_earned_goes_back(demo: dict[str, Any]) -> None:
    refunds = {refund["for"]: refund["amount"] for refund in demo["refunds"]}

    assert demo["grant"]["cost"] == 125 * EUROS
    assert refunds == {"crash": 22_500_000, "thief": 22_500_000, "unused use": 25 * EUROS}


def test_the_audit_holds_until_one_byte_is_changed(demo: dict[str, Any]) -> None:
    assert demo["audit"]["ok"] is True
    assert demo["audit"]["checks"] > 80
    assert demo["audit_after_tamper"]["ok"] is False
    assert demo["audit_after_tamper"]["finding"]["problem"] == "wrong"
