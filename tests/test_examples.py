"""The examples of units and containers: parsed, and each command in them tried, so that they do not rot."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from marketplace.cli import run
from marketplace.cli.output import Output
from marketplace.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[1] / "scripts" / "examples"
UNITS = sorted(EXAMPLES.glob("systemd/*.service"))
PROGRAM = "/opt/steelyard/.venv/bin/steelyard"
BREAKS_THE_SANDBOX = {
    "RestrictNamespaces", "PrivateUsers", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelLogs",
    "ProtectHostname", "ProtectControlGroups", "SystemCallFilter", "MemoryDenyWriteExecute", "RestrictAddressFamilies",
}  # fmt: skip


class _Many(dict[str, Any]):
    """A unit may set one key several times; the values are kept as lines."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(
        dict_type=_Many, strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",)
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text("utf-8"))
    return parser


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    for path in UNITS:
        program, *words = shlex.split(unit(path)["Service"]["ExecStart"])
        assert program == PROGRAM
        yield path.name, words
    for name, service in compose()["services"].items():
        yield name, service["command"]
    container = (EXAMPLES / "Containerfile").read_text("utf-8")
    yield "Containerfile", yaml.safe_load(re.findall(r"^CMD (.*)$", container, re.MULTILINE)[0])


def test_there_is_a_unit_and_a_container_for_each_service() -> None:
    assert [path.stem for path in UNITS] == ["steelyard-gateway", "steelyard-hub", "steelyard-node"]
    assert set(compose()["services"]) == {"gateway", "hub", "node"}


@pytest.mark.parametrize(("name", "words"), list(commands()))
def test_each_command_of_the_examples_exists_with_its_options(
    name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*(word for word in words if word != "--json"), "--help"], Output(as_json=False))
    assert (code, capsys.readouterr().err) == (0, ""), name


def test_commands_and_settings_that_the_examples_speak_of_exist() -> None:
    from marketplace.cli import build

    files = [path for path in EXAMPLES.rglob("*") if path.is_file()]
    text = "\n".join(path.read_text("utf-8") for path in files)
    known = {f"STEELYARD_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"STEELYARD_[A-Z_]+", text)) <= known
    app = build([])
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    for name, command in re.findall(r"steelyard (wallet|node|gateway|hub) ([a-z]+)", text):
        instance = groups[name]
        assert instance
        assert command in {
            found.name or found.callback.__name__ for found in instance.registered_commands if found.callback
        }


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_each_unit(path: Path, tmp_path: Path) -> None:
    assert unit(path).sections() == ["Unit", "Service", "Install"]
    program = shutil.which("systemd-analyze")
    if program is None:
        return  # where there is no systemd, its form is all that can be looked at
    here = tmp_path / path.name
    here.write_text(
        path.read_text("utf-8").replace(PROGRAM, str(Path(sys.executable).with_name("steelyard")))
    )
    done = subprocess.run(
        [program, "verify", str(here)], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.splitlines() if path.name in line]
    assert said == []


def test_the_node_is_hardened_by_nothing_that_takes_its_sandbox_away() -> None:
    service = unit(EXAMPLES / "systemd" / "steelyard-node.service")["Service"]
    assert not BREAKS_THE_SANDBOX & set(service)
    assert (service["NoNewPrivileges"], service["Delegate"]) == ("yes", "yes")
    assert service["LoadCredential"].startswith("passphrase:")
    node = compose()["services"]["node"]
    assert "seccomp=unconfined" in node["security_opt"] and "no-new-privileges:true" in node["security_opt"]
    assert node["cap_drop"] == ["ALL"] and node["shm_size"]


def test_no_service_of_the_examples_is_open_to_other_machines() -> None:
    for service in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for path in UNITS:
        assert "0.0.0.0" not in path.read_text("utf-8")
