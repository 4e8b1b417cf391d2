"""What leaves the sandbox: regular files only, whatever lies in /data/outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from compute.sandbox import Ending, Wall
from compute.sandbox.outputs import collect

if TYPE_CHECKING:
    from tests.sandbox.conftest import Attack


def test_regular_files_and_folders_are_collected(attack: Attack) -> None:
    seen = attack(
        """
        os.makedirs("/data/outputs/a/b")
        open("/data/outputs/a/b/c.bin", "wb").write(bytes(range(256)) * 5000)
        open("/data/outputs/empty", "w").close()
        """
    )
    assert seen.files == {"a/b/c.bin": bytes(range(256)) * 5000, "empty": b""}
    assert seen.outcome.refused == ()


def test_links_fifos_sockets_and_devices_are_refused_and_named(attack: Attack, wall: Wall) -> None:
    seen = attack(
        """
        os.chdir("/data/outputs")
        os.symlink("/etc/shadow", "symlink")
        os.symlink("/", "folder")
        os.mkfifo("fifo")
        open("one", "w").write("x")
        os.link("one", "two")
        socket.socket(socket.AF_UNIX).bind("socket")
        open("good", "w").write("good")
        try:
            os.mknod("device", 0o20666, os.makedev(1, 3))
        except OSError:
            print("no device")
        """
    )
    assert seen.lines == ["no device"]
    assert seen.files == {"good": b"good"}
    refused = ["'folder'", "'one'", "'symlink'", "'two'"]
    if wall is Wall.bubblewrap:  # gVisor keeps FIFOs and sockets to itself
        refused += ["'fifo'", "'socket'"]
    assert [refusal.split(":")[0] for refusal in seen.outcome.refused] == sorted(refused)
    assert seen.outcome.detail == "ended by itself; some of its outputs were refused"
    assert seen.outcome.exact == f"{len(refused)} outputs refused"


def test_a_sparse_giant_does_not_grow_on_its_way_out(attack: Attack) -> None:
    seen = attack("os.truncate(os.open('/data/outputs/giant', os.O_CREAT | os.O_WRONLY), 1 << 40)")
    assert seen.files == {}
    assert "more than the limit" in seen.outcome.refused[0]


def test_many_sparse_files_share_one_limit(attack: Attack) -> None:
    seen = attack(
        "for n in range(20): os.truncate(os.open(f'/data/outputs/{n:02}', os.O_CREAT | os.O_WRONLY), 1 << 20)",
        output_bytes=8 << 20,
    )
    assert len(seen.files) == 8
    assert len(seen.outcome.refused) == 12


def test_odd_names_and_deep_folders_are_refused(attack: Attack) -> None:
    seen = attack(
        r"""
        os.chdir("/data/outputs")
        for name in (b"a\nb", b"\xff\xfe", "right\u202eleft".encode(), b"\x1b[2J"):
            open(name, "w").close()
        for _ in range(40):
            os.mkdir("d")
            os.chdir("d")
        open("deep", "w").close()
        """
    )
    assert seen.files == {}
    assert len(seen.outcome.refused) == 5
    assert all(refusal.isascii() and refusal.isprintable() for refusal in seen.outcome.refused)
    assert "deeper than 16" in seen.outcome.refused[-1] or any(
        "deeper" in text for text in seen.outcome.refused
    )


def test_unreadable_files_do_not_break_the_collection(attack: Attack) -> None:
    seen = attack(
        """
        for name in ("a", "b"):
            open(f"/data/outputs/{name}", "w").write(name)
        os.mkdir("/data/outputs/closed", 0)
        os.chmod("/data/outputs/a", 0)
        os.chmod("/data/outputs", 0)
        """
    )
    assert seen.ending is Ending.exited
    assert set(seen.files) <= {"a", "b"}
    assert len(seen.files) + len(seen.outcome.refused) >= 1


def test_the_collector_takes_nothing_through_a_link_that_replaces_a_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "sub").symlink_to(secret)
    descriptor = os.open(folder, os.O_RDONLY)
    collected = collect(descriptor, tmp_path / "collected", max_bytes=100, max_files=10)
    os.close(descriptor)
    assert collected.files == []
    assert collected.refused == ["'sub': a symbolic link, not a regular file"]


def test_the_collector_stops_at_its_number_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    for number in range(10):
        (folder / str(number)).write_text("x")
    descriptor = os.open(folder, os.O_RDONLY)
    collected = collect(descriptor, tmp_path / "collected", max_bytes=100, max_files=3)
    os.close(descriptor)
    assert collected.files == ["0", "1", "2"]
    assert collected.refused == ["'3': too many files"]
