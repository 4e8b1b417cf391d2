"""An environment that was built: its folder, read back; a quick look at it, and a whole check."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from compute.environments.installed import Installed
from marketplace.core.dataset import Environment
from marketplace.core.document import Document, Hex32
from marketplace.core.environments import SHORT
from marketplace.errors import IntegrityError, SteelyardError
from marketplace.storage import write_atomically

RECORD, FILES, PACKAGES = "environment.json", "files.txt", "packages"
_WITHDRAWN = "withdrawn.txt"
_MOST_NAMED = 5


class Record(Document):
    """What `environment.json` says. files: SHA-256 of files.txt; looks: of what `look` sees."""

    WHAT: ClassVar[str] = "an environment's record"
    version: Literal[1] = 1
    name: Annotated[str, Field(max_length=64)]
    packages: list[str]
    built_at: int
    files: Hex32
    looks: Hex32


@dataclass(frozen=True)
class BuiltEnvironment:
    """One folder. packages: `name==version` each, sorted, the interpreter's among them; built_at: Unix seconds."""

    folder: Path
    record: Record

    @classmethod
    def read(cls, folder: Path) -> BuiltEnvironment:
        """Raises InputError, IntegrityError where the folder is not what its name says."""
        try:
            record = Record.parse((folder / RECORD).read_bytes())
        except OSError as error:
            raise IntegrityError(f"the environment {folder} cannot be read", got=error.strerror) from None
        built = cls(folder, record)
        if folder.name != folder_name(built.listed):
            raise IntegrityError(
                "an environment lies in the folder of another",
                got=folder.name,
                expected=folder_name(built.listed),
            )
        return built

    @cached_property
    def listed(self) -> Environment:
        """As a listing describes it."""
        return Environment(self.record.name, tuple(self.record.packages))

    @property
    def name(self) -> str:
        return self.record.name

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the list: `environmentDigest` of a receipt."""
        return self.listed.digest

    @property
    def packages(self) -> Path:
        """The folder that algorithms see."""
        return self.folder / PACKAGES

    def look(self) -> list[str]:
        """What is wrong, by names, sizes, times and rights of all files; empty where nothing is. Reads no content."""
        if wrong := _interpreter(self.record.packages):
            return [wrong]
        if (found := self.folder / _WITHDRAWN).exists():
            return found.read_text("utf-8", "replace").splitlines()
        try:
            seen = list(walk(self.packages))
        except OSError as error:
            return [f"{self.packages} cannot be read: {error.strerror}"]
        wrongs = [f"{one.path} {one.wrong}" for one in seen if one.wrong]
        if not wrongs and looks(seen).hex() != self.record.looks[2:]:
            wrongs = self._differences(seen)
        return _few(wrongs)

    def check(self) -> list[str]:
        """As `look`, and every byte against what was built, in seconds for a gigabyte.

        What only this finds is written down, so that every look from then on sees it.
        """
        if wrong := self.look():
            return wrong
        if wrong := self._read_all():
            write_atomically(self.folder / _WITHDRAWN, "\n".join(wrong).encode())
        return wrong

    def _read_all(self) -> list[str]:
        try:
            files = self._files()
        except SteelyardError as error:
            return [str(error)]
        found = digests(self.packages, files)
        wrongs = [f"{path} was changed" for path, line in files.items() if line.sha256 != found[path]]
        return _few(wrongs) or self._check_list()

    def _check_list(self) -> list[str]:
        found = Installed([self.packages])
        wanted = [line for line in self.record.packages if not line.startswith("python==")]
        return (
            [] if sorted(map(found.pinned, found)) == wanted else ["its packages are not those of its list"]
        )

    def _differences(self, seen: list[Seen]) -> list[str]:
        try:
            files = self._files()
        except SteelyardError as error:
            return [str(error)]
        there = {one.path: one for one in seen}
        added = [f"{path} was added" for path in there if path not in files]
        gone = [f"{path} was removed" for path in files if path not in there]
        changed = [
            f"{path} was changed"
            for path, line in files.items()
            if path in there and (line.size, line.changed) != (there[path].size, there[path].changed)
        ]
        return [*changed, *gone, *added]

    def _files(self) -> dict[str, Line]:
        try:
            data = (self.folder / FILES).read_bytes()
        except OSError as error:
            raise IntegrityError(f"{FILES} cannot be read", got=error.strerror) from None
        if hashlib.sha256(data).hexdigest() != self.record.files[2:]:
            raise IntegrityError(f"{FILES} was changed")
        return dict(Line.parse(line) for line in data.decode().splitlines())


class Line(NamedTuple):
    """What files.txt says of one file. sha256: hex; size: bytes; changed: nanoseconds."""

    sha256: str
    size: int
    changed: int

    def text(self, path: str) -> str:
        return f"{self.sha256} {self.size} {self.changed} {path}"

    @classmethod
    def parse(cls, text: str) -> tuple[str, Line]:
        digest, size, changed, path = text.split(" ", 3)
        return path, cls(digest, int(size), int(changed))


class Seen(NamedTuple):
    """A file as it lies there. wrong: why it may not, in words."""

    path: str
    size: int
    changed: int
    wrong: str


def walk(folder: Path) -> Iterator[Seen]:
    """Every file below a folder, and folders that have no business there. Raises OSError."""
    left = [""]
    while left:
        inside = left.pop()
        with os.scandir(f"{folder}/{inside}") as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                mode, path = state.st_mode, inside + entry.name
                folders = stat.S_ISDIR(mode)
                if folders:
                    left.append(f"{path}/")
                if not folders or mode & stat.S_IWOTH:
                    yield Seen(path, state.st_size, state.st_mtime_ns, _wrong(mode))


def _wrong(mode: int) -> str:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "is a link or a device"
    return "may be written by everybody" if mode & stat.S_IWOTH else ""


def looks(seen: list[Seen]) -> bytes:
    """SHA-256 of the paths, sizes and times of files, whatever their order."""
    lines = sorted(f"{one.path} {one.size} {one.changed}" for one in seen)
    return hashlib.sha256("\n".join(lines).encode()).digest()


def digests(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files below a folder, in hex; empty where one cannot be read."""
    left = list(paths)
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(
        threads
    ) as pool:  # a share each: a task for each file would cost more than its hash
        shares = pool.map(
            lambda first: {path: _digest(f"{folder}/{path}") for path in left[first::threads]}, range(threads)
        )
        return {path: digest for share in shares for path, digest in share.items()}


def _digest(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - tens of thousands
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def folder_name(listed: Environment) -> str:
    return f"{listed.name}-{listed.digest.hex()[:SHORT]}"


def interpreter() -> str:
    """The line of a list that names this interpreter."""
    return f"python=={platform.python_version()}"


def _interpreter(packages: list[str]) -> str:
    """What is wrong where the list was made for another interpreter."""
    found = next((line for line in packages if line.startswith("python==")), "no interpreter")
    return "" if found == interpreter() else f"it was built for {found}, and this is {interpreter()}"


def _few(wrongs: list[str]) -> list[str]:
    rest = len(wrongs) - _MOST_NAMED
    return [*wrongs[:_MOST_NAMED], f"and {rest} more"] if rest > 0 else wrongs
