"""A real IPFS daemon for tests, one for all tests of a process; `ipfs_store` starts empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace.storage.kubo import KuboStore
from scripts.ipfs_daemon import IpfsDaemon


@pytest.fixture(scope="session")
def ipfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IpfsDaemon]:
    with IpfsDaemon(tmp_path_factory.mktemp("ipfs")) as daemon:
        yield daemon


@pytest.fixture
def ipfs_store(ipfs: IpfsDaemon) -> Iterator[KuboStore]:
    """A store on the daemon; what is put meanwhile is gone after the test."""
    with KuboStore(ipfs.url, timeout=10) as store:
        blocks, pins = set(ipfs.blocks()), pinned(store)
        yield store
        for name in pinned(store) - pins:
            store._client.pin.rm(name)
        for path in set(ipfs.blocks()) - blocks:
            path.unlink()


def pinned(store: KuboStore) -> set[str]:
    """The names of all blocks that the daemon keeps for their own sake, as it writes them."""
    kinds = ("recursive", "direct")
    return {name for kind in kinds for name in store._client.pin.ls(type=kind)["Keys"]}


def collect_garbage(store: KuboStore) -> None:
    store._client.repo.gc()
