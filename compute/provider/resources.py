"""What a node's machine has for jobs, as far as it can be seen from here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compute.environments import Environments
from compute.sandbox import most_memory
from compute.sandbox.scratch import default_root


@dataclass(frozen=True)
class Resources:
    """Bytes, but for cores, load (processes that want a core, over the last minute) and environments: the name and
    digest of each that jobs may ask for.

    job_memory: the most that a manifest may ask for here; more is rejected. scratch_free: of the memory that data and
    outputs lie in. vault: what sealed data, outputs and logs take; vault_free: what the disk has left for them.
    Algorithms get no GPU.
    """

    cores: int
    load: float
    memory: int
    job_memory: int
    scratch_free: int
    vault: int
    vault_free: int
    environments: tuple[tuple[str, bytes], ...]
    gpus: int = 0


def resources(vault: Path, environments: Environments) -> Resources:
    """As they are now. vault: its folder, all of which is walked."""
    return Resources(
        cores=len(os.sched_getaffinity(0)),
        load=os.getloadavg()[0],
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        job_memory=most_memory(),
        scratch_free=scratch_free(),
        vault=folder_bytes(vault),
        vault_free=shutil.disk_usage(_existing(vault)).free,
        environments=tuple((one.name, one.digest) for one in environments.whole()),
    )


def scratch_free() -> int:
    """Bytes that are left where jobs in hand lie."""
    return shutil.disk_usage(_existing(default_root())).free


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below it; those that go meanwhile do not count."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for inside, _, names in os.walk(folder):
        for name in names:
            try:
                yield Path(inside, name).lstat().st_size
            except OSError:
                continue


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
