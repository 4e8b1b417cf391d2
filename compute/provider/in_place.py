"""Data that is used where it lies: committed to when it is listed, checked before and after each job, never copied.

Before a job every byte is hashed and compared with what was committed; after it, names, sizes and times of all files
are compared with those seen before. The sandbox binds the files read-only. Where the node runs as root, the job's uid
is nobody's: files that not everybody may read are then shown through a mount that gives the job their owner's right to
read (an idmapped mount), on file systems that have such mounts; elsewhere they are refused when they are listed.

Covered: files changed, added, removed, renamed, cut; a folder that is gone or another; a change while a job runs.
Not covered: what `lying` does not; that between two jobs the data was another for a while.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from compute.provider.lying import Lying, Seen, look
from compute.provider.vault import Vault
from compute.sandbox import can_map_owner
from marketplace.core import unixfs
from marketplace.core.commitment import CHUNK, Commitment, CommittedFile, commit
from marketplace.core.eip712 import Domain
from marketplace.errors import InputError, IntegrityError, RefusedError, UnavailableError

Tick = Callable[[int], None]
"""Told how many bytes were read so far."""


class NotAsCommittedError(IntegrityError):
    """What lies in place is not, or no more, what was committed when it was listed."""


def committed(lying: Lying, did: str, secret: bytes, tick: Tick) -> Commitment:
    """The commitment to what lies there. Raises InputError where a file changed since it was seen."""
    done = 0

    def chunks(seen: Seen) -> Iterator[bytes]:
        nonlocal done
        with lying.open(seen) as file:
            for chunk in unixfs.pieces(file, CHUNK):
                yield chunk
                done += len(chunk)
                tick(done)

    files = (CommittedFile(seen.name, seen.size, chunks(seen)) for seen in lying.files)
    return commit(files, id=did, secret=secret)


def check(path: Path, name: str, commitment: Commitment, secret: bytes, tick: Tick) -> Lying:
    """What lies there, every byte of it checked. name: that a file alone was listed under.

    Raises NotAsCommittedError, UnavailableError where the disk fails.
    """
    try:
        lying = look(path, name)
        found = committed(lying, commitment.id, secret, tick)
    except UnavailableError:
        raise
    except InputError as error:
        raise NotAsCommittedError(f"the data in place cannot be used: {error}", do=_MEND) from error
    if found != commitment:
        raise NotAsCommittedError(
            f"what lies at {path} is not what was listed",
            got=f"{found.files} files, {found.size} bytes",
            expected=f"{commitment.files} files, {commitment.size} bytes, each as it was",
            do=_MEND,
        )
    return lying


_MEND = "Put it back, say where it lies now by `dataset move`, or publish a new version by --replaces."


def check_unchanged(before: Lying) -> None:
    """Raises NotAsCommittedError unless everything lies there as it was seen before."""
    try:
        now = look(before.path, before.files[0].name)
    except InputError as error:
        raise NotAsCommittedError(f"the data in place went away: {error}", do=_MEND) from error
    if now != before:
        raise NotAsCommittedError(f"what lies at {before.path} was changed while a job ran", do=_MEND)


def reader_of(lying: Lying) -> int | None:
    """The uid whose right to read these files a job must be given; None where it needs nobody's.

    Raises InputError where the node runs as root and no single owner's right would do, or no mount can give it.
    """
    if os.geteuid() != 0:
        return None  # a job runs as this user, who can read them: they were read when they were listed
    closed = list(_closed(lying))
    if not closed:
        return None
    owners = {state.st_uid for state in closed}
    if not all(state.st_mode & stat.S_IRUSR for state in closed):
        raise _unreadable(lying, "files that their own owner may not read")
    if len(owners) > 1:
        raise _unreadable(lying, "files of several owners that not everybody may read", sorted(owners))
    (owner,) = owners
    if not can_map_owner(lying.path, owner):
        raise _unreadable(
            lying, "files that not everybody may read, on a file system without idmapped mounts"
        )
    return owner


def _unreadable(lying: Lying, what: str, got: object = None) -> InputError:
    return InputError(
        f"{lying.path} holds {what}",
        got=got,
        do=f"Let others read them: chmod -R o+rX {lying.path}; a closed folder above still keeps others out.",
    )


def _closed(lying: Lying) -> Iterator[os.stat_result]:
    """What not everybody may read: files, and the folders that they lie in."""
    folders = {lying.path} if lying.folder else set()
    for seen in lying.files:
        path = lying.place(seen)
        if lying.folder:
            folders.update(folder for folder in path.parents if folder.is_relative_to(lying.path))
        if not (state := path.stat()).st_mode & stat.S_IROTH:
            yield state
    wanted = stat.S_IROTH | stat.S_IXOTH
    yield from (state for folder in folders if ((state := folder.stat()).st_mode & wanted) != wanted)


def move(
    vault: Vault,
    token: int,
    path: Path,
    private_key: bytes,
    *,
    owner: str,
    domain: Domain,
    on_step: Callable[[str], None],
) -> Lying:
    """Records where data in place lies now, once every byte of it was checked. private_key: the node's sealing key.

    Raises NotFoundError where the vault has no such dataset, RefusedError where it is sealed, NotAsCommittedError.
    """
    record = vault.record(token)
    if record.place is None:
        raise RefusedError("that dataset is sealed: it lies in the vault, and nowhere else", got=token)
    header, secret = vault.key(record, private_key, domain=domain, owner=owner)
    if not isinstance(header, Commitment):
        raise IntegrityError("the vault's record of data in place has no commitment", got=record.did)
    on_step("checking the data")
    lying = check(path, record.filename, header, secret, lambda done: None)
    reader_of(lying)
    place = record.place.model_copy(update={"path": str(path)})
    vault.add(record.model_copy(update={"place": place}))
    return lying
