"""The file in which `steelyard up` leaves addresses: read where no variable is set, never believed blindly."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace.cli.addresses import write_addresses
from marketplace.errors import InputError
from marketplace.settings import ADDRESSES, environment_for, load_settings, settings_of_environment


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path))


def test_addresses_in_the_home_stand_in_for_variables_and_variables_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes = {
        "rpc": "http://a:1",
        "gateway": "http://a:2",
        "hub": "http://a:3",
        "deployment": tmp_path / "d",
    }
    write_addresses(tmp_path, load_settings(**changes))
    monkeypatch.setenv("STEELYARD_GATEWAY", "http://b:2")
    found = load_settings()
    assert (found.rpc, found.gateway, found.hub) == ("http://a:1", "http://b:2", "http://a:3")
    assert found.deployment_file == tmp_path / "d"
    assert settings_of_environment().rpc == "http://127.0.0.1:8545"


def test_an_ipfs_daemon_in_the_home_stands_in_for_a_gateway_that_nobody_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_addresses(tmp_path, load_settings(ipfs="http://a:5001"))
    assert load_settings().ipfs == "http://a:5001"
    assert load_settings(gateway="http://b:2").ipfs == ""
    monkeypatch.setenv("STEELYARD_GATEWAY", "http://b:2")
    assert load_settings().ipfs == ""
    monkeypatch.setenv("STEELYARD_IPFS", "http://c:5001")
    assert load_settings().ipfs == "http://c:5001"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rpc":1,"gateway":"","ipfs":"","hub":"","deployment":""}']
)
def test_a_file_of_addresses_that_does_not_parse_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ADDRESSES).write_text(text)
    with pytest.raises(InputError, match="addresses"):
        load_settings()


def test_a_process_of_ours_reads_the_same_settings_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings(passphrase="secret", hub="http://a:3", timeout=7)
    monkeypatch.setenv("STEELYARD_WALLET", "other")
    given = {
        name: value for name, value in environment_for(settings).items() if name.startswith("STEELYARD_")
    }
    assert "STEELYARD_WALLET" not in given
    for name in ("STEELYARD_WALLET",):
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings
