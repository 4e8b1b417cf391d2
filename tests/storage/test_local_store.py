"""The folder: whole blocks or none, whatever the disk does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from marketplace.core.cid import Cid
from marketplace.core.unixfs import LEAF
from marketplace.errors import FullError, UnavailableError
from marketplace.storage import GatewayStore, LocalStore, put_file, write_atomically


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 640 KiB: two leaves and a little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tiny_disk: Path) -> None:
    store = LocalStore(tiny_disk)
    with pytest.raises(FullError, match="Free some space"):
        put_file(BytesIO(os.urandom(4 * LEAF)), store)
    kept = files_in(tiny_disk)
    assert len(kept) == 2
    for path in kept:
        assert len(store.get(Cid.parse(path.name))) == LEAF


def test_a_full_disk_behind_a_gateway_is_said_too(tiny_disk: Path, serve: Callable[[Path], str]) -> None:
    with GatewayStore(serve(tiny_disk)) as store, pytest.raises(FullError, match="Free some space"):
        put_file(BytesIO(os.urandom(4 * LEAF)), store)
    assert len(files_in(tiny_disk)) == 2


def test_a_limit_on_file_sizes_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from marketplace.core.cid import Cid
from marketplace.errors import FullError, UnavailableError
from marketplace.storage import LocalStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = LocalStore(Path(sys.argv[1]))
store.put(Cid.of("raw", bytes(1000)), bytes(1000))
try:
    store.put(Cid.of("raw", bytes(1001)), bytes(1001))
except UnavailableError as error:
    print(error)
"""
    folder = tmp_path / "store"
    answer = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Free some space" in answer.stdout
    assert [path.stat().st_size for path in files_in(folder)] == [1000]


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    store, cid = LocalStore(tmp_path / "store"), Cid.of("raw", b"x")
    with pytest.raises(UnavailableError):
        store.put(cid, b"x")
    with pytest.raises(UnavailableError):
        store.get(cid)


def test_a_folder_where_a_block_belongs_is_said(tmp_path: Path) -> None:
    store, cid = LocalStore(tmp_path), Cid.of("raw", b"x")
    store.path_of(cid).mkdir(parents=True)
    with pytest.raises(UnavailableError):
        store.get(cid)
    with pytest.raises(UnavailableError):
        store.put(cid, b"x")


def test_blocks_lie_in_few_folders_under_their_names(tmp_path: Path) -> None:
    store, cid = LocalStore(tmp_path), Cid.of("raw", b"x")
    store.put(cid, b"x")
    assert files_in(tmp_path) == [tmp_path / str(cid)[-3:-1] / str(cid)]


def test_making_a_store_makes_no_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert not store.has(Cid.of("raw", b"x"))
    assert not (tmp_path / "store").exists()


def test_two_processes_may_put_the_same_blocks(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from marketplace.core.cid import Cid
from marketplace.storage import LocalStore
store = LocalStore(Path(sys.argv[1]))
for number in range(60):
    block = str(number).encode() * 5000
    store.put(Cid.of("raw", block), block)
    store.get(Cid.of("raw", block))
"""
    running = [subprocess.Popen([sys.executable, "-c", program, tmp_path]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    assert len(files_in(tmp_path)) == 60


def test_a_killed_writer_leaves_whole_blocks_only(tmp_path: Path) -> None:
    program = """
import os, sys
from io import BytesIO
from pathlib import Path
from marketplace.storage import LocalStore, put_file
print("ready", flush=True)
put_file(BytesIO(os.urandom(64 << 20)), LocalStore(Path(sys.argv[1])))
"""
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        while len(files_in(tmp_path)) < 3:
            assert process.poll() is None
        process.kill()
    store = LocalStore(tmp_path)
    blocks = [path for path in files_in(tmp_path) if not path.name.endswith(".partial")]
    assert all(len(store.get(Cid.parse(path.name))) == LEAF for path in blocks)


def test_writing_atomically_replaces_a_file_or_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    with pytest.raises(UnavailableError):
        write_atomically(path / "below", b"three")
    assert files_in(tmp_path) == [path]


def test_a_store_with_a_quota_keeps_to_it_whatever_fails_and_whoever_writes_at_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, quota=10 * 4_096)
    blocks = {Cid.of("raw", bytes([number])): bytes([number]) for number in range(40)}
    in_the_way = store.path_of(next(iter(blocks)))
    in_the_way.mkdir(parents=True)
    with pytest.raises(UnavailableError):
        store.put(*next(iter(blocks.items())))
    in_the_way.rmdir()

    def put(block: tuple[Cid, bytes]) -> bool:
        try:
            store.put(*block)
        except FullError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(put, blocks.items())) == 10
    assert len(files_in(tmp_path)) == 10
