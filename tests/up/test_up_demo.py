"""`steelyard up --demo`: a market that is alive, what it prints works, and a second start doubles nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from compute.demo.fields import FIELDS
from tests.support.ups import STEELYARD, Up, environment, running_up, value_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

READY = 280


def test_the_demo_is_alive_its_commands_work_as_pasted_and_a_second_start_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_up(home, "--demo", ready=READY) as up:
        check_market(home, up)
        first = seen(home)
        assert sorted(job["state"] for job in first["jobs"]) == ["settled"] * len(FIELDS)
        pasted = paste(up.value["next_commands"], home, tmp_path)
        assert "checks hold" in pasted
        assert "state on chain: submitted" in pasted
        traded = seen(home)
        assert len(traded["jobs"]) == len(FIELDS) + 1
        up.kill()
    with running_up(home, "--demo", ready=READY) as again:
        check_market(home, again)
        assert seen(home) == traded


def check_market(home: Path, up: Up) -> None:
    """Every field's provider has a dataset, its node runs, nothing was left out."""
    rows = {row["name"]: row["state"] for row in up.value["services"]}
    assert rows == dict.fromkeys(
        ["chain", "gateway", "hub", *(f"node {field.provider}" for field in FIELDS)], "runs"
    )
    assert not any("left out" in note or "not whole" in note for note in up.notes)
    listed = value_of(home / "demo" / "market", "dataset", "list")["datasets"]
    assert sorted(row["slug"] for row in listed) == sorted(field.slug for field in FIELDS)
    assert up.process.poll() is None


def seen(home: Path) -> dict[str, Any]:
    """The buyer's jobs, accesses and money."""
    buyer = home / "demo" / "startup"
    return {
        "jobs": value_of(buyer, "job", "list")["jobs"],
        "access": value_of(buyer, "access", "list")["access"],
        "wallets": value_of(buyer, "wallet", "show")["wallets"],
    }


def paste(commands: list[str], home: Path, folder: Path) -> str:
    """What a shell gives for the commands, each of which must end with 0."""
    variables = {**environment(home), "PATH": f"{STEELYARD.parent}:/usr/bin:/bin"}
    variables.pop("STEELYARD_PASSPHRASE")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
