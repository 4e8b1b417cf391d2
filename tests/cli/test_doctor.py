"""`steelyard doctor`: an empty home, a healthy one, and each thing that can be broken, with how to mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import compute.provider.checks as checks
from compute.sandbox import Sandbox
from marketplace.cli.findings import Finding, Level, LookingSession, run_checks
from marketplace.cli.output import Output
from marketplace.cli.session import Session
from marketplace.errors import RefusedError
from marketplace.settings import load_settings
from tests.cli.conftest import Command
from tests.support.catalogue import Town
from tests.support.homes import PASSPHRASE, Home
from tests.support.hubs import running_hub

SILENT = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def home(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A provider's home whose node is registered, with its bond; it does not run."""
    from marketplace.cli import run

    home = Home(tmp_path_factory.mktemp("homes") / "healthy", town)
    home.keyring.import_wallet("works", bytes(town.market.account("healthy works", euros=200).key))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment.items():
            patch.setenv(name, value)
        assert run(["node", "init"], Output(as_json=True)) == 0
    return home


def levels(value: dict[str, list[dict[str, str]]], name: str) -> list[tuple[str, str, str]]:
    return [(c["level"], c["what"], c["do"] or "") for c in value["checks"] if c["name"] == name]


def test_with_no_home_at_all_it_says_how_to_begin_and_makes_nothing(command: Command, tmp_path: Path) -> None:
    home = tmp_path / "none"
    ran = command(None, "doctor", HOME=str(home), GATEWAY=SILENT)
    assert ran.code == 0
    assert not home.exists()
    assert levels(ran.value, "home")[0][0] == "warning"
    assert "steelyard up" in levels(ran.value, "market")[0][2]
    assert "steelyard wallet new" in levels(ran.value, "identity")[0][2]


def test_a_healthy_home_has_nothing_wrong(command: Command, home: Home, town: Town, tmp_path: Path) -> None:
    with running_hub(town, tmp_path) as hub:
        ran = command(home, "doctor", HUB=hub)
    assert ran.code == 0
    assert ran.value["ok"] is True
    for name in (
        "chain",
        "contracts",
        "clock",
        "confirmations",
        "gateway",
        "hub",
        "keys",
        "bond",
        "sandbox",
        "packages",
    ):
        assert [level for level, _, _ in levels(ran.value, name)] == ["ok"], name
    assert [level for level, _, _ in levels(ran.value, "node")] == ["ok", "warning"]  # it does not run
    assert "holds: NAMESPACES|SECCOMP" in levels(ran.value, "sandbox")[0][1]
    assert PASSPHRASE not in ran.out + ran.err


def test_what_is_shown_to_people_has_the_way_to_mend_it(command: Command, home: Home) -> None:
    ran = command(home, "doctor", "chain", as_json=False, RPC=SILENT)
    assert ran.code == 1
    assert "wrong    chain" in ran.out
    assert "-> " in ran.out


def test_a_chain_that_is_away_or_another_one_is_wrong(command: Command, home: Home) -> None:
    away = command(home, "doctor", "chain", RPC=SILENT)
    assert (away.code, levels(away.value, "chain")[0][0]) == (1, "wrong")
    deployment = json.loads((home.path / "deployment.json").read_bytes())
    other = home.path / "other.json"
    other.write_text(json.dumps({**deployment, "genesis": "11" * 32}, separators=(",", ":"), sort_keys=True))
    found = command(home, "doctor", "chain", DEPLOYMENT=str(other))
    assert "another chain" in levels(found.value, "chain")[0][1]


def test_contracts_that_are_not_the_deployments_are_named(command: Command, home: Home) -> None:
    deployment = json.loads((home.path / "deployment.json").read_bytes())
    deployment["contracts"]["Market"]["codeHash"] = "22" * 32
    changed = home.path / "changed.json"
    changed.write_text(json.dumps(deployment, separators=(",", ":"), sort_keys=True))
    ran = command(home, "doctor", "chain", DEPLOYMENT=str(changed))
    assert ran.code == 1
    assert [(level, "code of Market" in what) for level, what, _ in levels(ran.value, "contracts")] == [
        ("wrong", True)
    ]


def test_a_gateway_a_hub_and_a_setting_that_do_not_fit_are_named(command: Command, home: Home) -> None:
    ran = command(home, "doctor", "gateway", "hub", GATEWAY=SILENT, HUB=SILENT)
    assert levels(ran.value, "gateway")[0][0] == "wrong"
    assert levels(ran.value, "hub")[0][0] == "warning"
    unfit = command(home, "doctor", CONFIRMATIONS="many")
    assert unfit.code == 1
    assert "STEELYARD_CONFIRMATIONS" in levels(unfit.value, "settings")[0][1]


def test_key_files_that_others_can_read_are_wrong_and_so_is_their_passphrase(
    command: Command, home: Home, tmp_path: Path
) -> None:
    file, passphrase = home.path / "keys" / "works.json", tmp_path / "passphrase"
    passphrase.write_text("hidden words\n")
    passphrase.chmod(0o644)
    file.chmod(0o644)
    try:
        ran = command(home, "doctor", "keys", PASSPHRASE_FILE=str(passphrase))
        assert (ran.code, levels(ran.value, "keys")[0][0]) == (1, "wrong")
        assert "chmod 600" in levels(ran.value, "keys")[0][2]
    finally:
        file.chmod(0o600)
    ran = command(home, "doctor", "keys", PASSPHRASE_FILE=str(passphrase))
    assert levels(ran.value, "passphrase")[0][0] == "warning"
    assert "hidden words" not in ran.out + ran.err


def test_a_node_without_gas_bond_or_registration_is_wrong(command: Command, town: Town, home: Home) -> None:
    node = home.keyring.wallets()["node"]
    town.market.embedded.faucet(node, 0)
    ran = command(home, "doctor", "chain")
    assert any(level == "wrong" and "gas" in do for level, _, do in levels(ran.value, "wallet"))
    town.market.embedded.faucet(node)
    owner = home.keyring.wallet("works")
    isolation = town.market.chain.isolation_of(owner.address)
    public = home.keyring.sealing_keys()["sealing"]
    for other, what in (
        ((town.market.account("other").address, public, isolation), "not the registered one"),
        ((node, b"\1" * 32, isolation), "sealing key"),
    ):
        town.market.chain.send("ParticipantRegistry", "setNode", other, owner)
        found = levels(command(home, "doctor", "node").value, "node")[0]
        assert found[0] == "wrong" and what in found[1] and "node init" in found[2]
    town.market.chain.send("ParticipantRegistry", "setNode", (node, public, 1), owner)
    assert levels(command(home, "doctor", "sandbox").value, "isolation")[0][0] == "wrong"
    town.market.chain.send("ParticipantRegistry", "setNode", (node, public, isolation), owner)


def test_where_no_namespaces_can_be_had_the_kernels_switch_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Sandbox) -> None:
        raise RefusedError(
            "no sandbox: this machine does not hold an algorithm in", got="missing a running sandbox"
        )

    switch = tmp_path / "apparmor"
    switch.write_text("1\n")
    monkeypatch.setattr(Sandbox, "probe", refuse)
    monkeypatch.setattr(checks, "_SWITCHES", {str(switch): ("1", "sysctl the.switch=0")})
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(checks, "default_root", lambda: tmp_path / "root")
    ran = command(None, "doctor", "sandbox", HOME=str(tmp_path))
    assert (ran.code, levels(ran.value, "sandbox")[0][0]) == (1, "wrong")
    assert levels(ran.value, "sandbox")[0][2] == "sysctl the.switch=0"


def test_swap_in_the_clear_is_a_warning_and_an_encrypted_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/swaps": "Filename Type Size\n/dev/dm-0 partition 1\n/dev/zram0 partition 1\n/dev/sda2 partition 1\n",
        "/sys/block/dm-0/dm/uuid": "CRYPT-LUKS2-1\n",
    }
    monkeypatch.setattr(checks, "_reads", lambda path: files.get(path, "").strip())
    here = Session(Output(as_json=True), load_settings())
    swap = next(found for found in checks.room(here) if found.name == "swap")
    assert (swap.level, swap.what) == (Level.warning, "unencrypted: /dev/sda2")


def test_a_check_that_hangs_or_breaks_hides_none_of_the_others(tmp_path: Path) -> None:
    import threading

    gone = threading.Event()

    def hangs(here: Session) -> Iterator[Finding]:
        gone.wait(10)
        yield Finding(Level.ok, "hangs", "")

    def breaks(here: Session) -> Iterator[Finding]:
        yield Finding(Level.ok, "breaks", "began")
        raise ZeroDivisionError("of its own")

    def works(here: Session) -> Iterator[Finding]:
        yield Finding(Level.ok, "works", "well")

    here = LookingSession(Output(as_json=True), load_settings(home=tmp_path))
    found = list(run_checks({"hangs": hangs, "breaks": breaks, "works": works}, here, limit=0.3))
    gone.set()
    assert [(f.name, f.level) for f in found] == [
        ("hangs", Level.wrong), ("breaks", Level.ok), ("breaks", Level.wrong), ("works", Level.ok),
    ]  # fmt: skip
    assert "0.3 s" in found[0].what and "ZeroDivisionError" in found[2].what


def test_a_check_that_is_named_is_made_alone(command: Command, tmp_path: Path) -> None:
    ran = command(None, "doctor", "python", HOME=str(tmp_path))
    assert [check["name"] for check in ran.value["checks"]] == ["python", "platform"]
    unknown = command(None, "doctor", "weather", HOME=str(tmp_path))
    assert (unknown.code, unknown.error["error"]) == (2, "NotFoundError")
    assert "sandbox" in unknown.error["expected"]
