"""The Python packages that algorithms see, and the digest of their list that stands in every receipt."""

from __future__ import annotations

import hashlib
import json
import platform
import sysconfig
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path


def packages_folders() -> list[Path]:
    """The site-packages of this interpreter's environment: one folder, or two where lib64 is apart."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(Path(paths[name]).resolve() for name in ("purelib", "platlib")))


def environment_list() -> list[str]:
    """Sorted `name==version` of the interpreter and every package that an algorithm can import.

    Names are normalised (PEP 503). Packages installed in editable mode are left out: their sources are not
    in the sandbox.
    """
    found = {f"python=={platform.python_version()}"}
    for distribution in distributions(path=[str(folder) for folder in packages_folders()]):
        if not _is_editable(distribution):
            found.add(f"{_normalised(distribution.metadata['Name'])}=={distribution.version}")
    return sorted(found)


def environment_digest() -> bytes:
    """SHA-256 of `environment_list()` joined by newlines, in UTF-8: 32 bytes."""
    return _digest(tuple(folder.stat().st_mtime_ns for folder in packages_folders()))


@lru_cache(maxsize=1)
def _digest(changed: tuple[int, ...]) -> bytes:
    """Reading hundreds of packages' metadata takes half a second: once for each state of the folders.

    changed: when a package was last added to or taken from each folder; installing one or another version does both.
    """
    return hashlib.sha256("\n".join(environment_list()).encode()).digest()


def _normalised(name: str) -> str:
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _is_editable(distribution: Distribution) -> bool:
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
    directory = origin.get("dir_info") if isinstance(origin, dict) else None
    return isinstance(directory, dict) and directory.get("editable") is True
