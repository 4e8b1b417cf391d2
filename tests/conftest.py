"""Shared by all tests: nothing here may hide a failure."""

from __future__ import annotations

import socket

import pytest
from hypothesis import settings

from tests.support.ipfs import ipfs, ipfs_store

__all__ = ["ipfs", "ipfs_store"]

# Machines are shared and slow at times; an example's time is no property of the code.
settings.register_profile("steelyard", deadline=None, print_blob=True)
settings.load_profile("steelyard")

LONGEST_FIRST = (
    "contracts/test_solidity.py",
    "up/test_up_demo.py",
    "kill/test_every_step.py",
    "test_demo.py",
    "kill/test_stress.py",
    "sandbox/test_settings.py",
    "provider/test_node_reorganisation_depths.py",
    "chain/test_kept.py",
    "provider/test_profile.py",
    "test_readme.py",
    "api/test_schema.py",
    "contracts/test_gas.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long file that starts last is what everybody waits for."""

    def place(item: pytest.Item) -> int:
        longest = (n for n, name in enumerate(LONGEST_FIRST) if str(item.path).endswith(f"tests/{name}"))
        return next(longest, len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture
def closed_port() -> int:
    """A port of loopback where nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
