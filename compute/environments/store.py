"""A home's environments: build one, find the one that an algorithm wants, withdraw those that are not whole."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.environments.assemble import assemble
from compute.environments.built import BuiltEnvironment, folder_name
from compute.environments.definitions import definition, ready_made
from compute.environments.installed import Installed
from compute.environments.pip import install
from compute.environments.requirements import Pin
from marketplace.core.dataset import Environment
from marketplace.core.environments import MAX_ENVIRONMENTS, WantedEnvironment, named
from marketplace.core.text import check_slug
from marketplace.errors import RefusedError, SteelyardError
from marketplace.storage.disk import disk_error

OnStep = Callable[[str], None]
_LOOK_SECONDS = 30.0
"""How long a look counts: many small jobs in a row share one."""
_FIRST = "python-ml"
_BUILDING = ".building-"
_LOCK = ".lock"


@dataclass(frozen=True)
class Found:
    """One folder of the home. built: None where it cannot be read; wrong: why it is withdrawn, empty where whole."""

    folder: str
    built: BuiltEnvironment | None
    wrong: str


class Environments:
    """The environments in a folder. Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._looked: dict[Path, tuple[float, str]] = {}

    def all(self) -> list[Found]:
        """Every one, the newest first, with a look at each."""
        return [Found(one.folder, one.built, one.wrong or self._look(one.built)) for one in self._read()]

    def whole(self) -> list[BuiltEnvironment]:
        """Those that algorithms may be given, the newest first."""
        return [one.built for one in self.all() if one.built and not one.wrong]

    def listed(self) -> tuple[Environment, ...]:
        """As a listing offers them. Raises RefusedError where there is none."""
        found = tuple(one.listed for one in self.whole())[:MAX_ENVIRONMENTS]
        if not found:
            raise RefusedError(
                "this home has no environment to offer to algorithms",
                got=self._withdrawn() or "none was built",
                do="Build one: steelyard environment build python-ml",
            )
        return found

    def choose(self, wanted: WantedEnvironment) -> BuiltEnvironment:
        """The newest that fits and is whole; looked at within the last 30 s. Raises RefusedError naming those that are.

        Its words may be published: names and digests, no path.
        """
        for one in self._read():
            if one.built and wanted.fits(one.built) and not self._look(one.built):
                return one.built
        raise RefusedError("that environment is not here", got=wanted, expected=named(self.whole()))

    def require(self, name: str) -> BuiltEnvironment:
        """The newest of that name, whole or not, for people. Raises RefusedError where none can be read."""
        wanted = WantedEnvironment.parse(name)
        found = [one.built for one in self._read() if one.built]
        for one in found:
            if wanted.fits(one):
                return one
        raise RefusedError(
            "there is no such environment",
            got=name,
            expected=named(found),
            do=f"Build it: steelyard environment build {name}",
        )

    def prepare(self, on_step: OnStep) -> None:
        """Builds the first one of a home that has none at all; what was withdrawn stays so until it is built again."""
        if not self._folders():
            self.build_ready(_FIRST, on_step)

    def obtain(self, wanted: WantedEnvironment, on_step: OnStep) -> BuiltEnvironment:
        """As `choose`; a ready-made one is built where none of that name is whole."""
        none = not any(one.name == wanted.name for one in self.whole())
        if none and wanted.name in ready_made():
            self.build_ready(wanted.name, on_step)
        return self.choose(wanted)

    def build_ready(self, name: str, on_step: OnStep) -> BuiltEnvironment:
        """A ready-made one, of the packages installed beside the node. Raises NotFoundError, RefusedError."""
        asked = definition(name)
        installed = Installed(packages_folders())
        packages = installed.closure(asked.packages)
        on_step(f"gathering {len(packages)} packages for the environment {name}")
        return self._build(name, lambda folder: assemble(folder, name, installed, packages, on_step))

    def build_pinned(self, name: str, pins: Sequence[Pin], on_step: OnStep) -> BuiltEnvironment:
        """One of just these packages, fetched by pip. Raises RefusedError where they need others as well."""
        check_slug(name, "an environment's name")

        def fill(folder: Path) -> Environment:
            fetched = folder / "fetched"
            install(pins, fetched, on_step)
            installed = Installed([fetched])
            packages = installed.closure([f"{pin.name}=={pin.version}" for pin in pins])
            listed = assemble(folder, name, installed, packages, on_step)
            shutil.rmtree(fetched)
            return listed

        return self._build(name, fill)

    def _build(self, name: str, fill: Callable[[Path], Environment]) -> BuiltEnvironment:
        """Into a folder that does not count, then under its name; one that is whole already stays."""
        with self._alone() as folder:
            target = self._root / folder_name(fill(folder))
            if target.exists() and not _wrong(target, BuiltEnvironment.check):
                return BuiltEnvironment.read(target)
            try:
                if target.exists():
                    target.rename(self._root / f"{_BUILDING}{secrets.token_hex(8)}")
                folder.rename(target)
            except OSError as error:
                raise disk_error(f"the environment {name} could not be put in place", error) from error
            self._looked.pop(target, None)
            self._sweep()
            return BuiltEnvironment.read(target)

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        """A new folder to build in, one build at a time; what dead builds left is removed first."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_error(f"environments cannot be built in {self._root}", error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            folder = self._root / f"{_BUILDING}{secrets.token_hex(8)}"
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        for left in self._root.glob(f"{_BUILDING}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _folders(self) -> list[Path]:
        try:
            return sorted(path for path in self._root.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error(f"the environments in {self._root} cannot be read", error) from error

    def _read(self) -> list[Found]:
        """Every one, the newest first, by its record alone."""
        found = [_read(folder) for folder in self._folders()]
        return sorted(found, key=lambda one: one.built.record.built_at if one.built else 0, reverse=True)

    def _look(self, built: BuiltEnvironment | None) -> str:
        """What is wrong with one, or empty; a look counts for a while."""
        if built is None:
            return ""
        at, wrong = self._looked.get(built.folder, (0.0, ""))
        if not at or time.monotonic() - at > _LOOK_SECONDS:
            wrong = "; ".join(built.look())
            self._looked[built.folder] = (time.monotonic(), wrong)
        return wrong

    def _withdrawn(self) -> str:
        return ", ".join(f"{one.folder}: {one.wrong}" for one in self.all() if one.wrong)


def packages_folders() -> list[Path]:
    """The site-packages of this interpreter's environment: one folder, or two where lib64 is apart."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(Path(paths[name]).resolve() for name in ("purelib", "platlib")))


def _read(folder: Path) -> Found:
    try:
        return Found(folder.name, BuiltEnvironment.read(folder), "")
    except SteelyardError as error:
        return Found(folder.name, None, str(error))


def _wrong(folder: Path, look: Callable[[BuiltEnvironment], list[str]]) -> str:
    try:
        return "; ".join(look(BuiltEnvironment.read(folder)))
    except SteelyardError as error:
        return str(error)
