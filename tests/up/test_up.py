"""`steelyard up`: one command for daily use, and what stays whatever is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.settings import ADDRESSES, load_settings
from marketplace.storage.locks import holder
from tests.support.chain import running_market
from tests.support.ups import Up, is_gone, running_up, steelyard, value_of, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "home"


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Up]:
    """Ready, with a wallet that has money."""
    with running_up(home) as up:
        value_of(home, "wallet", "new", "works")
        value_of(home, "wallet", "fund", "--euros", "200")
        yield up


def test_commands_in_the_home_find_what_up_started(up: Up, home: Path) -> None:
    assert [(row["name"], row["state"]) for row in up.value["services"]] == [
        ("chain", "runs"), ("gateway", "runs"), ("hub", "runs"),
    ]  # fmt: skip
    assert (home / ADDRESSES).stat().st_mode & 0o777 == 0o600
    assert value_of(home, "dataset", "list")["datasets"] == []


def test_a_second_one_in_the_home_is_refused_and_names_the_first(up: Up, home: Path) -> None:
    second = steelyard(home, "up")
    error = json.loads(second.stderr)
    assert (second.returncode, error["error"]) == (1, "RefusedError")
    assert error["got"] == f"process {up.process.pid}"


def test_a_service_that_is_killed_is_started_again_where_it_was(up: Up, home: Path) -> None:
    for service in ("chain", "gateway", "hub"):
        os.kill(up.pid_of(service), signal.SIGKILL)
    wait_for(lambda: len([n for n in up.notes if "runs again" in n]) >= 3 or None, "three services again")
    assert value_of(home, "wallet", "show")["wallets"][0]["units"] == 200_000_000


def test_a_node_that_is_made_meanwhile_is_started(up: Up, home: Path) -> None:
    value_of(home, "node", "init")
    wait_for(lambda: holder(home / "node.lock"), "the node")
    assert _doctor_finds(home, "node") == ["ok", "ok"]


def _doctor_finds(home: Path, name: str) -> list[str]:
    done = steelyard(home, "doctor")
    assert done.returncode == 0, done.stdout
    return [check["level"] for check in json.loads(done.stdout)["checks"] if check["name"] == name]


def test_after_a_kill_of_the_supervisor_nothing_runs_and_everything_is_there(
    up: Up, home: Path, tmp_path: Path
) -> None:
    """Runs last of those that share it: it ends it."""
    value_of(home, "node", "init")  # which may be repeated
    digest = load_settings(home=home).deployment_file.read_bytes()
    up.kill()
    wait_for(lambda: all(map(is_gone, up.pids())) or None, "the end of all children", seconds=5)
    with running_up(home) as again:
        rows = {row["name"]: row["state"] for row in again.value["services"]}
        assert rows == {"chain": "runs", "gateway": "runs", "hub": "runs", "node": "runs"}
        assert load_settings(home=home).deployment_file.read_bytes() == digest
        held = {wallet["name"]: wallet["units"] for wallet in value_of(home, "wallet", "show")["wallets"]}
        assert held["works"] == 100_000_000  # and 100 euros are its bond
        assert again.end() == 0
    assert all(map(is_gone, again.pids()))
    assert not (home / ADDRESSES).exists()


def test_a_home_on_another_chain_is_not_given_a_chain_of_its_own(home: Path, tmp_path: Path) -> None:
    deployment = json.loads((home / "deployment.json").read_bytes())
    (tmp_path / "deployment.json").write_bytes(
        json.dumps({**deployment, "chainId": 1}, separators=(",", ":"), sort_keys=True).encode()
    )
    before = (tmp_path / "deployment.json").read_bytes()
    done = steelyard(tmp_path, "up")
    assert (done.returncode, json.loads(done.stderr)["error"]) == (1, "RefusedError")
    assert (tmp_path / "deployment.json").read_bytes() == before


def test_a_chain_that_is_named_is_used_and_none_is_started(tmp_path: Path) -> None:
    with running_market() as market:
        (tmp_path / "deployment.json").write_bytes(market.chain.deployment.to_bytes())
        with running_up(tmp_path, "--rpc", market.embedded.url) as up:
            assert [row["name"] for row in up.value["services"]] == ["gateway", "hub"]
            value_of(tmp_path, "wallet", "new", "startup")
            assert value_of(tmp_path, "wallet", "fund", "--euros", "1")["units"] == 1_000_000
    assert not (tmp_path / "chain.state").exists()
