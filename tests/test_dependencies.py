"""What `scripts/audit` objects to: licences, versions, missing hashes, silence taken for good news."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from scripts import audit

INSTALLED = {audit.normal(found.name): found for found in distributions()}


def test_what_is_installed_here_has_no_objections() -> None:
    lock = json.loads((audit.ROOT / "package-lock.json").read_text())
    assert [*audit.wrong_pins(INSTALLED, audit.read_pins()), *audit.wrong_npm(lock)] == []
    packages = audit.runtime(INSTALLED)
    assert list(audit.wrong_licences(packages)) == []
    names = {audit.normal(package.name) for package in packages}
    assert {"steelyard", "torch", "web3", "h11"} <= names
    assert not names & {"pytest", "schemathesis"}  # needed by tests alone


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("MIT", set()),
        ("MIT OR GPL-3.0-only", set()),
        ("MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("(Apache-2.0 OR MIT) AND BSD-3-Clause", set()),
        ("AGPL-3.0-or-later", {"AGPL-3.0-or-later"}),
        ("GPL-2.0-or-later OR AGPL-3.0-only", {"GPL-2.0-or-later", "AGPL-3.0-only"}),
        ("Proprietary", {"Proprietary"}),
    ],
)
def test_a_licence_that_is_not_on_the_list_is_refused(expression: str, refused: set[str]) -> None:
    assert audit.terms(expression) - audit.ALLOWED == refused


def test_another_version_and_a_package_without_a_pin_are_named() -> None:
    pins = {**audit.read_pins(), "h11": "0.1.0"}
    del pins["idna"]
    found = list(audit.wrong_pins(INSTALLED, pins))
    assert [line.split()[0] for line in found] == ["h11", "idna"]


def test_an_npm_package_without_hash_or_licence_is_named() -> None:
    lock: dict[str, Any] = {"packages": {"": {}, "node_modules/x": {"license": "GPL-3.0"}}}
    assert [line.partition(":")[0] for line in audit.wrong_npm(lock)] == ["node_modules/x"] * 2


def test_a_service_that_knows_nothing_is_said_to_have_checked_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(
        '#!/bin/sh\necho \'{"dependencies": [{"name": "h11", "skip_reason": "not on PyPI"}]}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert audit.python_weaknesses() == ([], "pip-audit: nothing checked, no package is known where it asks")
    program.write_text(
        '#!/bin/sh\necho \'{"dependencies": [{"name": "h11", "vulns": [{"id": "CVE-1"}]}]}\'\nexit 1\n'
    )
    assert audit.python_weaknesses() == (["h11: CVE-1"], "pip-audit: 1 of 1 packages checked")


def test_the_audit_takes_little_time() -> None:
    command = [audit.ROOT / ".venv/bin/python", "-m", "scripts.audit"]
    assert subprocess.run(command, cwd=audit.ROOT, timeout=25, check=False).returncode == 0
