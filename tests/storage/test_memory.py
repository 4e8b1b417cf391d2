"""A file larger than memory goes through envelope, tree and store, both ways, in little of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.core.cid import Cid
from marketplace.errors import FullError
from marketplace.storage.ahead import ahead
from scripts.ipfs_daemon import IpfsDaemon

ROOT = Path(__file__).parents[2]
MOST = 64  # MiB beyond what the process has before


def additional(mebibytes: int, kind: str, where: object) -> float:
    program = [sys.executable, "-m", "tests.storage.memory", str(mebibytes), kind, str(where)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_a_gibibyte_goes_through_a_folder_both_ways_in_64_mib(tmp_path: Path) -> None:
    assert additional(1024, "local", tmp_path) < MOST


@pytest.mark.slow
def test_more_than_64_mib_go_through_a_gateway_both_ways_in_64_mib(
    tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    assert additional(96, "gateway", serve(tmp_path)) < MOST


@pytest.mark.slow
def test_more_than_64_mib_go_through_an_ipfs_daemon_both_ways_in_64_mib(ipfs: IpfsDaemon) -> None:
    assert additional(96, "ipfs", ipfs.url) < MOST


def test_what_fails_ahead_is_raised_and_nothing_more_is_put() -> None:
    seen: list[bytes] = []

    def put(cid: Cid, block: bytes) -> None:
        seen.append(block)
        raise FullError("the disk is full")

    with pytest.raises(FullError), ahead(put) as later:
        for number in range(1000):
            later(Cid.of("raw", b"x"), number.to_bytes(2))
    assert len(seen) < 40


def test_all_is_put_when_the_block_ends() -> None:
    seen: list[bytes] = []
    with ahead(lambda cid, block: seen.append(block)) as later:
        for number in range(1000):
            later(Cid.of("raw", b"x"), number.to_bytes(2))
    assert sorted(seen) == [number.to_bytes(2) for number in range(1000)]
