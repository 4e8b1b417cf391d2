"""A home in one file, and back: keys, wraps, the vault's index, the journal, and the sealed data where asked.

Nothing in it is open: key files stay under their passphrase, data under its key, that key under the node's. The first
member names every other one with its SHA-256, so that a damaged or stretched backup restores nothing.
Not covered: logs of jobs, sealed outputs that had not left, locks; and environments, which are built again. A journal
that is older than the chain does no harm: the node asks the chain what became of each job.
"""

from __future__ import annotations

import io
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from marketplace.core.canonical import canonical, exact_fields, hex_bytes, parse_json, sha256
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError
from marketplace.storage.disk import disk_error, new_file, write_atomically

_INDEX = "backup.json"
_JOURNAL = "node.db"
_PLACES = ("keys/*.json", "vault/datasets/*.json", "deployment.json")
_DATA = "vault/blocks/**/*"
_NAME = re.compile(
    r"(keys|vault/datasets)/[a-z0-9.-]{1,100}\.json|deployment\.json|node\.db|vault/blocks/[\w/-]{1,120}"
)
_KEYS_ON_THE_WAY = ".keys.restored"
_MAX_INDEX = 64 << 20
_MAX_MEMBER = 1 << 30


@dataclass(frozen=True)
class Summary:
    """What a backup holds. datasets: those whose sealed data is in it, or whose index alone is."""

    files: int
    bytes: int
    keys: int
    datasets: int


def backup(home: Path, file: Path, *, data: bool) -> Summary:
    """Writes the home's backup, mode 0600; a node may run meanwhile. data: with the sealed blocks.

    Raises NotFoundError for a home without keys, RefusedError where the file is there already.
    """
    if file.exists():
        raise _taken(file)
    try:
        with TemporaryDirectory(dir=home, prefix=".backup-") as scratch:
            members = dict(_members(home, data))
            if not any(name.startswith("keys/") for name in members):
                raise NotFoundError("this home has no keys", got=home, do="Check STEELYARD_HOME.")
            if (home / _JOURNAL).is_file():
                members[_JOURNAL] = _copy_journal(home / _JOURNAL, Path(scratch) / _JOURNAL)
            return _write(members, file)
    except FileExistsError:  # it came meanwhile, or is a link to nothing
        raise _taken(file) from None
    except OSError as error:
        raise disk_error(f"the backup {file} cannot be written", error) from error


def _taken(file: Path) -> RefusedError:
    return RefusedError("the backup's file is there already", got=file, do="Name another one.")


def _members(home: Path, data: bool) -> Iterator[tuple[str, Path]]:
    for pattern in (*_PLACES, *([_DATA] if data else [])):
        for path in sorted(home.glob(pattern)):
            name = path.relative_to(home).as_posix()
            if path.is_file() and not path.is_symlink() and _NAME.fullmatch(name):
                yield name, path


def _copy_journal(source: Path, target: Path) -> Path:
    """A copy as of one moment, also while a node writes."""
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    return target


def _write(members: dict[str, Path], file: Path) -> Summary:
    digests = {name: sha256(path.read_bytes()).hex() for name, path in members.items()}
    with new_file(file) as out, tarfile.open(fileobj=out, mode="w") as archive:
        _add(archive, _INDEX, canonical({"version": 1, "files": digests}))
        for name, path in members.items():
            _add(archive, name, path.read_bytes())
    return _summary(members, file.stat().st_size)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))


def _summary(names: dict[str, Path], size: int) -> Summary:
    keys = sum(name.startswith("keys/") for name in names)
    datasets = sum(name.startswith("vault/datasets/") for name in names)
    return Summary(len(names), size, keys, datasets)


def restore(file: Path, home: Path) -> Summary:
    """Puts a backup into a home that has no keys yet; they come last, so an interrupted one is simply done again.

    Raises RefusedError for any other home, IntegrityError for a backup that is damaged, InputError for no backup.
    """
    if any((home / "keys").glob("*.json")):
        raise RefusedError("this home has keys", got=home, do="Restore into a new one: set STEELYARD_HOME.")
    try:
        with tarfile.open(file, "r:") as archive:
            digests = _index(archive)
            _check(archive, digests)
        with tarfile.open(file, "r:") as archive:
            for name, data in _contents(archive):
                _put(home, name.replace("keys/", f"{_KEYS_ON_THE_WAY}/"), data)
        (home / _KEYS_ON_THE_WAY).replace(home / "keys")
        return _summary({name: home / name for name in digests}, file.stat().st_size)
    except FileNotFoundError:
        raise NotFoundError("there is no such backup", got=file) from None
    except tarfile.TarError as error:
        raise InputError("this is no backup of a home", got=f"{file}: {error}") from None
    except OSError as error:
        raise disk_error(f"the backup {file} cannot be restored", error) from error


def _put(home: Path, name: str, data: bytes) -> None:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, data)
    path.chmod(0o600)
    for folder in path.relative_to(home).parents:
        (home / folder).chmod(0o700)


def _index(archive: tarfile.TarFile) -> dict[str, str]:
    first = archive.next()
    if first is None or first.name != _INDEX or not first.isreg() or first.size > _MAX_INDEX:
        raise InputError("this is no backup of a home", expected=f"{_INDEX} as its first file")
    found = exact_fields(
        parse_json(_read(archive, first), what="the backup's index"),
        {"version": int, "files": dict},
        what="the backup's index",
    )
    if found["version"] != 1:
        raise InputError("a backup of another version", got=found["version"], expected=1)
    for name, digest in found["files"].items():
        if not _NAME.fullmatch(name) or ".." in name:
            raise InputError("the backup names a file that no home has", got=name)
        hex_bytes(digest, 32, what=f"the digest of {name}")
    return dict(found["files"])


def _check(archive: tarfile.TarFile, digests: dict[str, str]) -> None:
    """Raises IntegrityError unless exactly the files of the index follow, each as it was."""
    seen = {}
    for name, data in _contents(archive):
        if name in seen:
            raise IntegrityError("the backup holds a file twice", got=name)
        seen[name] = sha256(data).hex()
    if seen != digests:
        wrong = sorted(name for name in {*seen, *digests} if seen.get(name) != digests.get(name))
        raise IntegrityError("the backup is damaged", got=", ".join(wrong[:5]), do="Use another copy of it.")


def _contents(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for entry in archive:
        if entry.name == _INDEX:
            continue
        if not entry.isreg() or entry.size > _MAX_MEMBER:
            raise IntegrityError("the backup holds something that is no file of a home", got=entry.name)
        yield entry.name, _read(archive, entry)


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    data = file.read() if file else b""
    if len(data) != entry.size:
        raise IntegrityError("the backup was cut off", got=entry.name)
    return data
