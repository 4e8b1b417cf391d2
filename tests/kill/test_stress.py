"""The long suites of `scripts/stress`, in short: nothing lost, doubled or paid twice; everything settles."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.stress_kills import run_kills
from scripts.stress_load import run_load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_random_kills_of_node_hub_and_chain_lose_double_and_overpay_nothing(tmp_path: Path) -> None:
    report = run_kills(tmp_path, count=15, seed=7, say=print)
    assert report["sound"], report
    assert report["settled"]


def test_many_jobs_open_at_once_all_settle(tmp_path: Path) -> None:
    report = run_load(tmp_path, buyers=3, jobs=4, say=print)
    assert (report["settled"], report["lost"], report["doubled"]) == (12, 0, 0), report
