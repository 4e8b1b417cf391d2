"""One sandbox and one town for all tests of the provider; accounts, homes and datasets are each test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.sandbox import Sandbox
from tests.support.catalogue import Town
from tests.support.works import Works, open_works, running_works_town


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.probe()
        yield sandbox


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@pytest.fixture
def works(
    town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Works:
    """A provider of this test alone, with a registered node that does not run yet."""
    return open_works(town, sandbox, tmp_path_factory.mktemp("provider"), request.node.name)


@pytest.fixture
def small_scratch(tmp_path: Path) -> Iterator[Path]:
    """A scratch in memory of 4 MiB."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", scratch], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    yield scratch
    subprocess.run(["umount", scratch], check=True)
