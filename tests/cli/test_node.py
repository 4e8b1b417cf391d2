"""`steelyard node`: made once, repeated where it failed, run by one process at a time, and what its jobs wrote."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from compute.provider.vault import Vault
from marketplace.chain.client import ETHER
from tests.cli.conftest import Command
from tests.support.catalogue import Town
from tests.support.homes import Home

JOB = "0x" + "11" * 32


@pytest.fixture
def home(town: Town, empty_home: Home, request: pytest.FixtureRequest) -> Home:
    """A provider's home with a wallet and nothing more."""
    account = town.market.account(f"node of {request.node.name}", euros=200)
    empty_home.keyring.import_wallet("works", bytes(account.key))
    return empty_home


@contextmanager
def serving(home: Home) -> Iterator[subprocess.Popen[str]]:
    """`node run` in a process of its own, once it serves."""
    with home.start("node", "run", "--json") as process:
        try:
            assert process.stdout and process.stderr
            first = process.stdout.readline()
            assert first, process.stderr.read()
            assert json.loads(first)["service"] == "node"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_node_is_registered_once_however_often_it_is_made(command: Command, town: Town, home: Home) -> None:
    first = command(home, "node", "init").value
    assert first["gas"] > 0 and first["transaction"]
    owner, node = first["provider"], first["node"]
    assert town.market.chain.node_of(owner) == node
    town.market.embedded.faucet(node, 0)
    again = command(home, "node", "init", "--gas", "0.2").value
    assert (again["node"], again["transaction"], again["gas"]) == (node, None, 0)
    assert town.market.chain.ether(node) == ETHER // 5
    assert "registered already" in command(home, "node", "init", as_json=False).out


def test_a_node_that_another_one_replaced_is_registered_again(
    command: Command, town: Town, home: Home
) -> None:
    made = command(home, "node", "init").value
    owner = home.keyring.wallet("works")
    public = home.keyring.sealing_keys()["sealing"]
    for other in ((town.market.account("other").address, public, 0), (made["node"], b"\1" * 32, 0)):
        town.market.chain.send("ParticipantRegistry", "setNode", other, owner)
        assert command(home, "node", "run").code == 1
        assert command(home, "node", "init").value["transaction"]
        assert town.market.chain.node_of(owner.address) == made["node"]
        assert town.market.chain.sealing_key_of(owner.address) == public


def test_making_a_node_with_a_wrong_passphrase_leaves_no_key_behind(command: Command, home: Home) -> None:
    ran = command(home, "node", "init", PASSPHRASE="mistyped")
    assert (ran.code, ran.error["error"]) == (1, "RefusedError")
    assert list(home.keyring.wallets()) == ["works"]
    assert command(home, "node", "init").code == 0


def test_a_home_without_a_node_does_not_run_one(command: Command, home: Home) -> None:
    ran = command(home, "node", "run")
    assert (ran.code, ran.error["what"]) == (1, "this home has no node yet")
    assert "steelyard node init" in ran.error["do"]


def test_a_node_that_was_never_registered_does_not_run(command: Command, town: Town, home: Home) -> None:
    """As `node init` leaves it where its transaction fails: the keys are there, the chain knows nothing."""
    town.market.embedded.faucet(home.keyring.wallets()["works"], 0)
    assert command(home, "node", "init").code == 1
    assert "node" in home.keyring.wallets()
    ran = command(home, "node", "run")
    assert (ran.code, ran.error["error"]) == (1, "RefusedError")
    assert "there is none" in ran.error["expected"]
    assert "steelyard node init" in ran.error["do"]
    assert not (home.path / "node.db").exists()
    town.market.embedded.faucet(home.keyring.wallets()["works"])
    assert command(home, "node", "init").value["transaction"]


def test_a_second_node_in_a_home_is_refused_and_a_killed_one_is_no_hindrance(
    command: Command, home: Home
) -> None:
    assert command(home, "node", "init").code == 0
    with serving(home) as first:
        second = command(home, "node", "run")
        assert (second.code, second.error["error"]) == (1, "RefusedError")
        assert second.error["got"] == f"process {first.pid}"
        assert "already" in second.error["what"] and second.error["do"]
        assert command(home, "node", "status").code == 0
    with serving(home):
        pass


def test_a_second_home_with_the_same_key_is_refused(
    command: Command, town: Town, home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert command(home, "node", "init").code == 0
    copy = Home(tmp_path_factory.mktemp("homes") / "copy", town)
    (copy.path / "keys").symlink_to(home.path / "keys")
    with serving(home) as first:
        second = command(copy, "node", "run")
        assert (second.code, second.error["error"]) == (1, "RefusedError")
        assert second.error["got"].startswith(f"process {first.pid} of user ")
        assert not (copy.path / "node.db").exists()
    with serving(copy):
        pass


# Logs


def test_the_log_of_a_job_is_shown_to_whoever_holds_the_nodes_key(command: Command, home: Home) -> None:
    public = home.keyring.new_sealing_key("sealing")
    with Vault(home.path / "vault").logs.writing(bytes.fromhex(JOB[2:]), public) as log:
        log("a line")
        log("\x1b[2J[bold]another\u202e")
    shown = command(home, "node", "log", JOB)
    assert shown.value == {"job": JOB, "lines": ["a line", "\x1b[2J[bold]another\u202e"]}
    printed = command(home, "node", "log", JOB, as_json=False)
    assert printed.out == "a line\n[2J[bold]another\n"
    assert command(home, "node", "log", JOB, PASSPHRASE="mistyped").code == 1


def test_a_log_that_is_not_there_is_said_without_asking_for_a_passphrase(
    command: Command, home: Home
) -> None:
    ran = command(home, "node", "log", JOB, PASSPHRASE="")
    assert (ran.code, ran.error["error"]) == (2, "NotFoundError")
    assert "steelyard node status" in ran.error["do"]
    assert command(home, "node", "log", "0x12").error["what"] == "not a job id"
