"""Folders that are shown where they lie: read by name and number, written by nobody, whoever owns them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute.sandbox import Bound, Sandbox, Task, Tree, can_map_owner
from marketplace.errors import InputError

LOOK = b"""
import os
root = "/data/inputs/ab12"
print(os.environ["DIDS"], sorted(os.listdir(root)), open(root + "/1").read(), open(root + "/files/sub/b").read())
places = [root, root + "/0", root + "/files", root + "/files/a", root + "/files/sub", root + "/files/sub/b"]
def tried(call):
    try:
        call()
        return 1
    except OSError:
        return 0
acts = [
    lambda place: os.chmod(place, 0o777), lambda place: os.rename(place, place + "x"), lambda place: os.remove(place),
    lambda place: open(place, "a"), lambda place: os.mkdir(place + "/new"), lambda place: os.link(place, place + "l"),
    lambda place: os.truncate(place, 0), lambda place: os.utime(place), lambda place: os.symlink("x", place + "s"),
]
print("done:", sum(tried(lambda: act(place)) for place in places for act in acts))
"""


def folder_in(home: Path) -> Path:
    folder = home / "closed" / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("one")
    (folder / "sub" / "b").write_text("two")
    return folder


def seen(sandbox: Sandbox, bound: Bound) -> list[str]:
    lines: list[str] = []
    tree = Tree(bound, ("a", "sub/b"))
    task = Task({}, {"main.py": LOOK}, "main.py", trees={"ab12": tree})
    with sandbox.run(task, lines.append) as outcome:
        assert outcome.exit_code == 0, lines
    return lines


def test_a_folder_is_read_by_name_and_by_number_and_nothing_of_it_can_be_changed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = folder_in(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert seen(sandbox, Bound(folder)) == ["""["ab12"] ['0', '1', 'files'] two two""", "done: 0"]
    assert (folder / "a").read_text() == "one"


def test_a_job_given_an_owners_right_to_read_gets_no_right_to_write(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    if os.geteuid() != 0 or not can_map_owner(folder, 4321):
        pytest.skip("only root, and a file system with idmapped mounts")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 4321, 4321)
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert seen(sandbox, Bound(folder, 4321)) == ["""["ab12"] ['0', '1', 'files'] two two""", "done: 0"]
    assert (folder / "a").stat().st_uid == 4321


def test_names_that_leave_the_folder_and_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(InputError, match="not a path inside"):
            Task({}, {"a": b""}, "a", trees={"ab12": Tree(Bound(tmp_path), (name,))})
    with pytest.raises(InputError, match="no folder"):
        Task({}, {"a": b""}, "a", trees={"ab12": Tree(Bound(tmp_path / "none"), ())})
