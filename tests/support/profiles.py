"""The profile of one table, read as publishing reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compute.provider.lying import look
from compute.provider.profile import paced, profile_file
from compute.provider.table import Profile


def read_profile(path: Path, *, progress: Callable[[int, int], None] | None = None) -> Profile:
    lying = look(path)
    (seen,) = lying.files
    with lying.open(seen) as file:
        return profile_file(file, seen.size, path, paced(progress, seen.size))
