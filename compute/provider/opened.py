"""A dataset made ready for one job: decrypted into the scratch, or shown where it lies; gone again afterwards.

Plaintext of sealed data exists only in the scratch folder and only while a job runs: in memory, or, where the provider
named a folder on a disk for what does not fit (STEELYARD_SCRATCH), there. Data in place is bound, never copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compute.provider import in_place
from compute.provider.in_place import NotAsCommittedError
from compute.provider.lines import OnProgress
from compute.provider.vault import Vault, VaultRecord
from compute.sandbox import Bound, Sandbox, Source, Tree
from marketplace.core import archive
from marketplace.core.commitment import Commitment
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did
from marketplace.errors import InputError, IntegrityError, UnavailableError


@dataclass(frozen=True)
class Opened:
    """What the sandbox is shown of a dataset. in_memory: nothing of it was decrypted to a disk.

    check: to be called when the job is over; raises NotAsCommittedError where data in place has changed meanwhile.
    """

    inputs: Mapping[str, Source] = field(default_factory=dict)
    trees: Mapping[str, Tree] = field(default_factory=dict)
    in_memory: bool = True
    check: Callable[[], None] = lambda: None


def too_large(sandbox: Sandbox, vault: Vault, token: int) -> str | None:
    """Why a dataset cannot be opened on this machine, whatever else it does; None where it can."""
    try:
        record = vault.record(token)
        header = vault.header(record)
    except IntegrityError:
        return None  # a damaged vault is told by the run: that is no matter of size
    most = sandbox.most_data()
    if record.place is not None or header.size <= most:
        return None
    return (
        f"the data takes {header.size} bytes, this node has room for {most}: its owner may give it more memory, name a "
        "folder on an encrypted disk by STEELYARD_SCRATCH, or list the data in place"
    )


@contextmanager
def opened(
    sandbox: Sandbox,
    vault: Vault,
    record: VaultRecord,
    private_key: bytes,
    *,
    domain: Domain,
    owner: str,
    on_progress: OnProgress,
    stop: threading.Event,
) -> Iterator[Opened]:
    """The dataset, for as long as the `with` lasts. private_key: the node's. owner: who wrapped the key.

    Raises IntegrityError where it is not as its owner sealed or listed it (NotAsCommittedError for data in place),
    UnavailableError where there is no room now or `stop` was set.
    """
    if record.place is None:
        pieces = vault.open(record, private_key, domain=domain, owner=owner)
        size = vault.header(record).size
        with sandbox.folder(size) as (folder, in_memory):
            try:
                data = _unsealed(record, pieces, folder, in_memory)
            except OSError as error:
                raise UnavailableError(
                    "the data does not fit into the scratch",
                    got=error.strerror,
                    expected=f"{size} bytes free",
                    do="Give the node more memory, or name a folder on an encrypted disk by STEELYARD_SCRATCH.",
                ) from error
            yield data
        return
    header, secret = vault.key(record, private_key, domain=domain, owner=owner)
    if not isinstance(header, Commitment):
        raise IntegrityError("the vault's record of data in place has no commitment", got=record.did)

    def tick(done: int) -> None:
        on_progress("checking data", done, header.size)
        if stop.is_set():
            raise UnavailableError("the node was stopped while it checked the data")

    yield _in_place(record, header, secret, tick)


def _unsealed(record: VaultRecord, pieces: Iterator[bytes], folder: Path, in_memory: bool) -> Opened:
    name = Did.parse(record.did).folder
    if not record.folder:
        path = folder / "0"
        _write(path, pieces)
        return Opened({record.filename: path, f"{name}/0": path}, in_memory=in_memory)
    root, names = folder / "files", []
    _make(root)
    for member in archive.unpack(pieces):
        path = root / member.name
        if not path.parent.exists():
            for above in reversed([at for at in path.parents if at.is_relative_to(root) and not at.exists()]):
                _make(above)
        _write(path, member.content)
        names.append(member.name)
    return Opened(trees={name: Tree(Bound(root), tuple(names))}, in_memory=in_memory)


def _make(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)  # whatever the umask


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
    path.chmod(0o444)  # the folder above lets nobody in; the sandbox binds what is below it


def _in_place(record: VaultRecord, header: Commitment, secret: bytes, tick: in_place.Tick) -> Opened:
    place = record.place
    path = Path(place.path if place else "")
    lying = in_place.check(path, record.filename, header, secret, tick)
    try:
        owner = in_place.reader_of(lying)
    except InputError as error:
        raise NotAsCommittedError(f"the data in place cannot be shown to a job: {error}") from error
    shown, name = Bound(path, owner), Did.parse(record.did).folder

    def check() -> None:
        in_place.check_unchanged(lying)

    if not lying.folder:
        return Opened({record.filename: shown, f"{name}/0": shown}, check=check)
    names = tuple(seen.name for seen in lying.files)
    return Opened(trees={name: Tree(shown, names)}, check=check)
