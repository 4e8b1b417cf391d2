"""Data in place: never copied, checked before and after each job, and whose fault it is where it is not as listed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from compute.provider import in_place
from compute.provider.backup import backup, restore
from compute.provider.in_place import NotAsCommittedError
from compute.provider.lying import look
from compute.provider.runner import Failure
from compute.provider.vault import Form, InPlace, SealedDataset, Vault
from compute.sandbox import Sandbox, can_map_owner
from marketplace.core.commitment import CHUNK, Commitment
from marketplace.core.dataset import Images
from marketplace.core.ids import Did
from marketplace.core.job import Fault
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError
from tests.provider.test_runner import DID, DOMAIN, FOUND, LOOK, NODE, OWNER, TREE, Bench, bench_in, bench_of
from tests.provider.test_survey import png
from tests.support.chain import account_named
from tests.support.works import COUNT_ROWS, TABLE, TermsChoice, Works, algorithm, card

SECRET = bytes(range(32))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@dataclass
class Laid:
    """A dataset in place and a bench with it. path: the file or folder."""

    path: Path
    bench: Bench

    def move(self, path: Path) -> None:
        in_place.move(
            self.bench.vault, DID.token, path, NODE,
            owner=OWNER.address, domain=DOMAIN, on_step=lambda step: None,
        )  # fmt: skip
        self.bench.record = self.bench.vault.record(DID.token)


def lay(home: Path, sandbox: Sandbox, files: dict[str, bytes] | bytes) -> Laid:
    path = home / "data.csv"
    if isinstance(files, bytes):
        home.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files)
    else:
        path = home / "animals"
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    lying = look(path)
    header = in_place.committed(lying, str(DID), SECRET, lambda done: None)
    form = Form(path.name, lying.folder, path)
    return Laid(path, bench_of(home, sandbox, Vault(home / "vault"), SealedDataset(header, SECRET), form))


@pytest.fixture
def laid(tmp_path: Path, sandbox: Sandbox) -> Laid:
    return lay(tmp_path, sandbox, TREE)


IN_ITS_PLACE = (
    "state = os.stat(f'/data/inputs/{json.loads(os.environ[\"DIDS\"])[0]}/0')\nfound = state.st_ino"
)


def test_a_job_reads_a_folder_where_it_lies(laid: Laid) -> None:
    before = look(laid.path)
    assert laid.bench.found(LOOK) == FOUND
    assert (
        laid.bench.found(IN_ITS_PLACE) == (laid.path / "cat/1.png").stat().st_ino
    )  # no copy has the same inode
    assert look(laid.path) == before
    assert not list((laid.path.parent / "vault" / "blocks").rglob("baf*"))


def test_a_job_reads_a_single_file_where_it_lies_under_both_names(tmp_path: Path, sandbox: Sandbox) -> None:
    laid = lay(tmp_path, sandbox, TABLE)
    assert laid.bench.found(IN_ITS_PLACE) == laid.path.stat().st_ino
    assert laid.bench.found("found = open('/data/inputs/data.csv').read()") == TABLE.decode()


@as_root
def test_files_that_only_their_owner_may_read_are_shown_without_a_copy_or_a_changed_right(laid: Laid) -> None:
    if not can_map_owner(laid.path, 4321):
        pytest.skip("this file system has no idmapped mounts")
    for path in (laid.path, *laid.path.rglob("*")):
        os.chown(path, 4321, 4321)
        path.chmod(0o700 if path.is_dir() else 0o600)
    before = look(laid.path)
    assert laid.bench.found(LOOK) == FOUND
    assert look(laid.path) == before
    assert in_place.reader_of(before) == 4321


@as_root
def test_files_that_no_single_owners_right_opens_are_refused_with_what_to_do(laid: Laid) -> None:
    for owner, path in enumerate(sorted(laid.path.glob("cat/*")), 1000):
        path.chmod(0o600)
        os.chown(path, owner, owner)
    with pytest.raises(InputError, match=r"several owners.*1000, 1001.*chmod -R o\+rX"):
        in_place.reader_of(look(laid.path))
    ended = laid.bench.run(algorithm("count", COUNT_ROWS))
    assert isinstance(ended, Failure) and (ended.fault, ended.code) == (Fault.node, "data-changed")


def swap(path: Path) -> None:
    (path / "cat/1.png").rename(path / "cat/3.png")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "cat/1.png").write_bytes(b"meoW"),
        lambda path: (path / "cat/1.png").write_bytes(b""),
        lambda path: (path / "cat/2.png").unlink(),
        lambda path: (path / "cat/0.png").write_bytes(b""),
        swap,
        lambda path: path.rename(path.with_name("elsewhere")),
        lambda path: (path / "cat/link").symlink_to("/etc/passwd"),
    ],
    ids=["a byte", "cut", "one gone", "one more", "renamed", "moved", "a link"],
)
def test_data_that_is_not_as_listed_is_the_nodes_fault_and_no_algorithm_sees_it(
    laid: Laid, change: Callable[[Path], object]
) -> None:
    change(laid.path)
    ended = laid.bench.run(algorithm("count", COUNT_ROWS))
    assert isinstance(ended, Failure)
    assert (ended.fault, ended.code) == (Fault.node, "data-changed")
    assert str(laid.path) not in ended.detail and "1.png" not in ended.detail
    assert ("running", 0, 0) not in laid.bench.progress
    assert str(laid.path) in laid.bench.lines[-1]  # the owner's own log says which path


def test_data_that_changes_while_a_job_runs_is_the_nodes_fault(laid: Laid) -> None:
    def write(line: str) -> None:
        if line == "now":
            (laid.path / "cat/1.png").write_bytes(
                b"meow"
            )  # the same bytes: what was read in between is not known

    laid.bench.lines = Listening(write)
    ended = laid.bench.run(
        algorithm("slow", "import time\nprint('now', flush=True)\ntime.sleep(0.5)\n" + COUNT_ROWS)
    )
    assert isinstance(ended, Failure)
    assert (ended.fault, ended.code) == (Fault.node, "data-changed")


class Listening(list[str]):
    """Lines that are also told."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, line: str) -> None:
        super().append(line)
        self._tell(line)


def test_data_that_was_moved_is_used_again_once_its_owner_said_where(laid: Laid) -> None:
    new = laid.path.with_name("elsewhere")
    laid.path.rename(new)
    laid.move(new)
    assert laid.bench.found(LOOK) == FOUND
    (new / "cat/2.png").unlink()
    with pytest.raises(NotAsCommittedError, match=r"not what was listed.*2 files.*3 files"):
        laid.move(new)


def test_a_single_file_may_be_moved_under_another_name(tmp_path: Path, sandbox: Sandbox) -> None:
    laid = lay(tmp_path, sandbox, TABLE)
    new = laid.path.with_name("renamed.csv")
    laid.path.rename(new)
    laid.move(new)
    assert laid.bench.found("found = open('/data/inputs/data.csv').read()") == TABLE.decode()


def test_sealed_data_is_not_moved(tmp_path: Path, sandbox: Sandbox) -> None:
    sealed = Laid(tmp_path, bench_in(tmp_path, sandbox))
    with pytest.raises(RefusedError, match="that dataset is sealed"):
        sealed.move(tmp_path)


def test_the_record_of_data_in_place_holds_no_open_secret_and_only_its_node_checks_it(laid: Laid) -> None:
    vault, record = laid.bench.vault, laid.bench.record
    files = [path.read_bytes() for path in (laid.path.parent / "vault").rglob("*") if path.is_file()]
    assert not [data for data in files if SECRET in data or SECRET.hex().encode() in data or b"woof" in data]
    assert vault.key(record, NODE, domain=DOMAIN, owner=OWNER.address)[1] == SECRET
    with pytest.raises(IntegrityError):
        vault.key(record, b"\3" * 32, domain=DOMAIN, owner=OWNER.address)
    with pytest.raises(NotFoundError, match="lies in place"):
        vault.open(record, NODE, domain=DOMAIN, owner=OWNER.address)
    place = InPlace(path="/elsewhere", files=3, size=1, root="0x" + "11" * 32)
    with pytest.raises(IntegrityError, match="another commitment"):
        vault.header(record.model_copy(update={"place": place}))


def test_new_node_keys_keep_where_data_lies(laid: Laid) -> None:
    from marketplace.core.envelope import public_key

    new = b"\5" * 32
    laid.bench.vault.rewrap(DID.token, NODE, public_key(new), owner=OWNER, domain=DOMAIN)
    record = laid.bench.vault.record(DID.token)
    assert (record.place, record.folder) == (laid.bench.record.place, True)
    assert laid.bench.vault.key(record, new, domain=DOMAIN, owner=OWNER.address)[1] == SECRET


def test_a_backup_holds_wrap_and_commitment_of_data_in_place_and_never_the_data(
    laid: Laid, tmp_path: Path
) -> None:
    home, file = laid.path.parent, tmp_path / "home.backup"
    (home / "keys").mkdir()
    (home / "keys" / "owner.json").write_text("{}")
    made = backup(home, file, data=True)
    assert (made.datasets, b"woof" in file.read_bytes()) == (1, False)
    restore(file, tmp_path / "again")
    vault = Vault(tmp_path / "again" / "vault")
    header, secret = vault.key(vault.record(DID.token), NODE, domain=DOMAIN, owner=OWNER.address)
    assert isinstance(header, Commitment)
    assert in_place.check(laid.path, "animals", header, secret, lambda done: None).files


def test_checking_reads_a_large_file_in_chunks_and_can_be_stopped(tmp_path: Path, sandbox: Sandbox) -> None:
    laid = lay(tmp_path, sandbox, bytes(3 * CHUNK + 1))
    seen: list[int] = []
    lying = look(laid.path)
    in_place.committed(lying, str(DID), SECRET, seen.append)
    assert seen == [CHUNK, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 1]


def test_what_is_published_of_data_in_place_is_its_commitment_and_nothing_is_copied(works: Works) -> None:
    path = works.home / "pictures"
    for name in ("cat/1.png", "dog/1.png"):
        (path / name).parent.mkdir(parents=True)
        (path / name).write_bytes(png())
    choice = TermsChoice((algorithm("count", COUNT_ROWS),), None, CustomAlgorithms.denied)
    published = works.publisher.publish(path, card("pictures"), choice, lambda step: None, in_place=True)
    listing = published.listing
    assert (listing.in_place, type(listing.content)) == (True, Images)
    header = Commitment.parse(works.town.store.get(listing.header))
    assert (header.id, header.files, header.size) == (str(published.did), 2, 2 * len(png()))
    shared = [file.read_bytes() for file in works.town.folder._folder.rglob("baf*")]
    assert not [
        block for block in shared if hashlib.sha256(png()).hexdigest().encode() in block or png() in block
    ]
    kept = [file for file in (works.home / "vault").rglob("*") if file.is_file()]
    assert [file.stem for file in kept] == [str(published.did.token)]
    assert works.vault.record(Did.parse(header.id).token).place is not None


def test_only_the_owner_can_wrap_a_commitment(tmp_path: Path, sandbox: Sandbox) -> None:
    laid = lay(tmp_path, sandbox, TABLE)
    stranger = account_named("a stranger to the data").address
    with pytest.raises(IntegrityError, match="wrapped by someone else"):
        laid.bench.vault.key(laid.bench.record, NODE, domain=DOMAIN, owner=stranger)


# Written as a program of its own, so that the memory of other tests is not counted.
MEASURE = """
import resource, sys
from pathlib import Path
from compute.provider import in_place
from compute.provider.lying import look
from compute.provider.publish import _as_one
from marketplace.core import envelope
lying = look(Path(sys.argv[1]))
in_place.committed(look(Path(sys.argv[2])), "did:x", bytes(32), lambda done: None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
in_place.committed(lying, "did:x", bytes(32), lambda done: None)
with _as_one(lying) as source:
    header = envelope.seal(source, id="did:x", key=bytes(32), prefix=bytes(7), put=lambda cid, block: None)
print(header.size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_data_is_committed_to_and_sealed_in_memory_that_does_not_grow_with_it(tmp_path: Path) -> None:
    for name, size in (("small", 1), ("large", 64 << 20)):
        (tmp_path / name).mkdir()
        for number in range(2):
            with (tmp_path / name / f"{number}.bin").open("wb") as file:
                file.truncate(size)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "large", tmp_path / "small"],
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    size, grown = map(int, run.stdout.split())
    assert size > 2 * (64 << 20)
    assert grown < 24  # MiB
