"""What a job may ask for at most: the machine's memory, or the group's that this process is in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute.sandbox import Limits, cgroup, most_memory

MIB = 1024 * 1024
ASK = "from compute.sandbox import most_memory\nprint(most_memory())"


def test_a_job_never_gets_all_of_the_machine() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < most_memory() < machine


def test_in_a_group_with_a_limit_it_is_less_than_that() -> None:
    places = cgroup.find()
    if places.memory is None:
        pytest.skip("no memory groups here")
    group = cgroup.Group(places, Limits(memory_bytes=1024 * MIB))
    try:
        enter = "".join(f"open({entrance!r}, 'w').write('0')\n" for entrance in group.entrances)
        asked = subprocess.run(
            [sys.executable, "-c", enter + ASK], capture_output=True, text=True, check=True
        )
        assert 0 < int(asked.stdout) < 1024 * MIB
    finally:
        group.remove()


def tree(root: Path, limits: dict[str, str]) -> None:
    for name, text in limits.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@pytest.mark.parametrize(
    ("name", "group", "file"),
    [("cgroup2", "", "memory.max"), ("memory", "memory", "memory.limit_in_bytes")],
    ids=["version 2", "version 1"],
)
def test_every_limit_on_the_way_up_counts_and_none_is_no_limit(
    tmp_path: Path, name: str, group: str, file: str
) -> None:
    tree(tmp_path, {f"a/b/{file}": "max", f"a/{file}": "500", file: "900"})
    assert cgroup.memory_limits({name: tmp_path}, {group: "/a/b"}) == [500, 900]
    assert cgroup.memory_limits({name: tmp_path}, {group: "/not/visible"}) == [900]
    assert cgroup.memory_limits({name: tmp_path}, {}) == []
    assert cgroup.memory_limits({}, {group: "/a/b"}) == []
