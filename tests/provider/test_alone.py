"""Locks of a node: held by processes of their own, let go by the kernel when those are killed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute.provider.alone import LOCK, alone_in, alone_with
from marketplace.chain.contracts import CONTRACTS
from marketplace.chain.deployment import Deployment
from marketplace.errors import RefusedError, UnavailableError
from tests.support.chain import limits_of

ADDRESS = "0x" + "aB" * 20
HOLDER = """
import sys, time
from pathlib import Path
from compute.provider.alone import alone_in, alone_with
from marketplace.chain.contracts import CONTRACTS
from marketplace.chain.deployment import read_deployment
home = Path(sys.argv[1])
with alone_in(home), alone_with(sys.argv[2], read_deployment(home / "deployment.json")):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def deployment() -> Deployment:
    """A chain that no other test has."""
    return Deployment(
        chain_id=31_337,
        genesis=os.urandom(32),
        addresses=dict.fromkeys(CONTRACTS, "0x" + "11" * 20),
        code_hashes=dict.fromkeys(CONTRACTS, b"\1" * 32),
        first_block=0,
        limits=limits_of(),
    )


@contextmanager
def held_by_another(home: Path, deployment: Deployment) -> Iterator[subprocess.Popen[str]]:
    """A process that holds both locks until it is killed, here with SIGKILL."""
    home.mkdir(exist_ok=True)
    (home / "deployment.json").write_bytes(deployment.to_bytes())
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home), ADDRESS], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_home_that_another_process_holds_is_refused_with_its_pid(
    tmp_path: Path, deployment: Deployment
) -> None:
    home = tmp_path / "home"
    (tmp_path / "by another name").symlink_to(home)
    with held_by_another(home, deployment) as process:
        for name in (home, tmp_path / "by another name"):
            with pytest.raises(RefusedError) as refused, alone_in(name):
                pass
            assert refused.value.got == f"process {process.pid}"
            assert refused.value.do


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path, deployment: Deployment) -> None:
    home = tmp_path / "home"
    with held_by_another(home, deployment):
        pass
    for _ in range(2):
        with alone_in(home), alone_with(ADDRESS, deployment):
            assert (home / LOCK).stat().st_mode & 0o777 == 0o600


def test_a_key_that_another_process_answers_with_is_refused_whatever_the_home(
    tmp_path: Path, deployment: Deployment
) -> None:
    with held_by_another(tmp_path / "home", deployment) as process:
        for _ in range(3):
            with pytest.raises(RefusedError) as refused, alone_with(ADDRESS, deployment):
                pass
            assert refused.value.got is not None
            assert refused.value.got.startswith(f"process {process.pid} of user ")
        with alone_with("0x" + "cd" * 20, deployment):
            pass
        with alone_with(ADDRESS, dataclasses.replace(deployment, genesis=b"\2" * 32)):
            pass


def test_a_lock_is_let_go_with_an_error_as_well(tmp_path: Path, deployment: Deployment) -> None:
    with pytest.raises(KeyError), alone_in(tmp_path), alone_with(ADDRESS, deployment):
        raise KeyError
    with alone_in(tmp_path), alone_with(ADDRESS, deployment):
        pass


def test_a_home_that_takes_no_lock_file_is_said(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(UnavailableError, match="cannot be opened"), alone_in(tmp_path):
        pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError), alone_in(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
