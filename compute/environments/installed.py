"""Packages as they are installed in a folder: what they need of each other, and which files are theirs."""

from __future__ import annotations

import base64
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from marketplace.errors import InputError, RefusedError

_LEFT_OUT = (".pth", ".pyc", ".h", ".hpp", ".cuh")
"""Site configuration, which leads elsewhere; headers; caches, which are taken beside their sources."""
_TAG = sys.implementation.cache_tag
_RUN_UNASKED = frozenset({"sitecustomize", "usercustomize"})


class File(NamedTuple):
    """One file of a package.

    path: where it belongs, below the packages. source: where it lies. sha256: 32 bytes, size: bytes; both as RECORD
    says, where it does.
    """

    path: str
    source: str
    sha256: bytes | None
    size: int | None


class Installed:
    """The packages of some folders, by their normalised names (PEP 503)."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._found: dict[str, Distribution] = {}
        for one in distributions(path=[str(folder) for folder in folders]):
            self._found.setdefault(canonicalize_name(one.metadata["Name"]), one)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def pinned(self, name: str) -> str:
        """As `name==version`."""
        return f"{name}=={self._found[name].version}"

    def closure(self, roots: Iterable[str]) -> list[str]:
        """The roots and all that they need, sorted. Raises RefusedError where something is missing or does not fit."""
        reached: set[tuple[str, str]] = set()
        left = [(Requirement(root), "you") for root in roots]
        while left:
            wanted, by = left.pop()
            name = self._fitting(wanted, by)
            for extra in ("", *wanted.extras):
                if (name, extra) not in reached:
                    reached.add((name, extra))
                    left += [(needed, name) for needed in self._needs(name, extra)]
        return sorted({name for name, _ in reached})

    def _fitting(self, wanted: Requirement, by: str) -> str:
        name = canonicalize_name(wanted.name)
        if name not in self._found:
            raise RefusedError(
                f"{by} needs a package that is not there", got=name, do=f"Add it, as: {wanted}"
            )
        if not wanted.specifier.contains(version := self._found[name].version, prereleases=True):
            raise RefusedError(
                f"{by} needs another version of a package", got=f"{name}=={version}", expected=wanted
            )
        return name

    def _needs(self, name: str, extra: str) -> Iterator[Requirement]:
        for text in self._found[name].requires or ():
            try:
                needed = Requirement(text)
            except InvalidRequirement as error:
                raise InputError(f"what {name} needs does not parse", got=error) from None
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                yield needed

    def files(self, name: str) -> Iterator[File]:
        """The files that belong to a package and can be imported or read by what is.

        Raises RefusedError where the package says nothing of its files, where they lie in a checkout (editable mode),
        or where one of them would run before every algorithm.
        """
        one = self._found[name]
        _refuse_editable(name, one)
        record = one.read_text("RECORD")
        if record is None:
            raise RefusedError(
                f"{name} keeps no list of its files",
                expected="RECORD, as pip writes it",
                do="Install it by pip.",
            )
        root = str(one.locate_file(""))
        for path, digest, size in _rows(name, record):
            yield File(path, f"{root}/{path}", digest, size)
            if path.endswith(".py"):
                folder, _, module = path.rpartition("/")
                cache = f"{folder}/__pycache__/{module[:-3]}.{_TAG}.pyc".lstrip("/")
                if os.path.isfile(f"{root}/{cache}"):  # noqa: PTH113
                    yield File(cache, f"{root}/{cache}", None, None)


def _rows(name: str, record: str) -> Iterator[tuple[str, bytes | None, int | None]]:
    """Path, digest and size of each; written without pathlib, since there are tens of thousands."""
    for row in csv.reader(record.splitlines()):
        if len(row) != 3:
            raise InputError(f"the RECORD of {name} does not parse", got=row, expected="path, digest, size")
        path = os.path.normpath(row[0])
        if path.startswith(("/", "../")):  # programs and manuals, outside the packages
            continue
        if path.endswith(_LEFT_OUT):
            continue
        if path.partition("/")[0].partition(".")[0] in _RUN_UNASKED:
            raise RefusedError(
                f"{name} would run before every algorithm", got=path, do="Leave that package out."
            )
        if not path.isprintable():
            raise InputError(f"{name} has a file whose name cannot be used", got=ascii(path))
        yield path, _digest(row[1]), int(row[2]) if row[2].isdecimal() else None


def _digest(text: str) -> bytes | None:
    """The SHA-256 in RECORD's notation; None where there is none (caches, RECORD itself)."""
    kind, _, value = text.partition("=")
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)) if kind == "sha256" else None


def _refuse_editable(name: str, one: Distribution) -> None:
    try:
        origin = json.loads(one.read_text("direct_url.json") or "{}")
    except ValueError:
        origin = {}
    folder = origin.get("dir_info") if isinstance(origin, dict) else None
    if isinstance(folder, dict) and folder.get("editable") is True:
        raise RefusedError(f"{name} is installed in editable mode", do="Install it as a package.")
