"""An environment that is not as it was built: what is noticed at a look, what by reading it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.environments import BuiltEnvironment, Environments
from marketplace.core.environments import WantedEnvironment
from marketplace.errors import RefusedError


def replace(path: Path, data: bytes) -> None:
    """In the environment alone: the installed file has the other name."""
    path.unlink()
    path.write_bytes(data)


def quietly(path: Path, data: bytes) -> None:
    """With the size and the time that it had."""
    state = path.stat()
    assert len(data) == state.st_size
    replace(path, data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "parts.py was changed": lambda packages: replace(packages / "parts.py", b"NAME = 'other'\n"),
    "parts_native.so was changed": lambda packages: replace(packages / "parts_native.so", b"\x7fELE"),
    "tools/__init__.py was removed": lambda packages: (packages / "tools/__init__.py").unlink(),
    "sitecustomize.py was added": lambda packages: (packages / "sitecustomize.py").write_bytes(b"x = 1\n"),
    "evil.pth was added": lambda packages: (packages / "evil.pth").write_bytes(b"/etc\n"),
    "out is a link or a device": lambda packages: (packages / "out").symlink_to("/etc"),
    "pipe is a link or a device": lambda packages: os.mkfifo(packages / "pipe"),
    "parts.py may be written by everybody": lambda packages: (packages / "parts.py").chmod(0o666),
    "tools may be written by everybody": lambda packages: (packages / "tools").chmod(0o777),
}


@pytest.fixture
def built(site: Path, tmp_path: Path) -> BuiltEnvironment:
    return Environments(tmp_path / "all").build_ready("small", lambda step: None)


@pytest.mark.parametrize("said", DAMAGES)
def test_damage_is_seen_at_a_look_and_the_environment_is_given_to_nobody(
    built: BuiltEnvironment, said: str
) -> None:
    assert built.look() == []
    DAMAGES[said](built.packages)
    assert said in built.look()
    environments = Environments(built.folder.parent)
    (found,) = environments.all()
    assert said in found.wrong
    with pytest.raises(RefusedError, match="that environment is not here"):
        environments.choose(WantedEnvironment("small"))
    with pytest.raises(RefusedError, match=r"small-[0-9a-f]{12}: "):
        environments.listed()


@pytest.mark.parametrize("name", ["parts.py", "parts_native.so"])
def test_bytes_that_were_changed_with_their_size_and_time_are_found_by_reading(
    built: BuiltEnvironment, name: str
) -> None:
    path = built.packages / name
    quietly(path, path.read_bytes()[:-1] + b"#")
    assert built.look() == []
    assert built.check() == built.look() == [f"{name} was changed"]
    assert Environments(built.folder.parent).whole() == []


def test_a_list_that_does_not_fit_its_folders_name_is_no_environment(built: BuiltEnvironment) -> None:
    path = built.folder / "environment.json"
    record = json.loads(path.read_bytes())
    record["packages"].remove("parts==1.0")
    path.write_text(json.dumps(record, separators=(",", ":"), sort_keys=True))
    (found,) = Environments(built.folder.parent).all()
    assert found.built is None
    assert "in the folder of another" in found.wrong


@pytest.mark.parametrize("data", [b"", b"{}", b"[1", b"\xff"])
def test_a_record_that_does_not_parse_is_no_environment(built: BuiltEnvironment, data: bytes) -> None:
    (built.folder / "environment.json").write_bytes(data)
    (found,) = Environments(built.folder.parent).all()
    assert found.built is None and found.wrong


def test_a_list_of_files_that_was_changed_is_said(built: BuiltEnvironment) -> None:
    path = built.folder / "files.txt"
    path.write_bytes(path.read_bytes().replace(b"parts.py", b"parts.px"))
    assert built.check() == built.look() == ["files.txt was changed"]


def test_another_interpreter_withdraws_it(built: BuiltEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.environments.built.platform.python_version", lambda: "3.99.0")
    (wrong,) = built.look()
    assert wrong.startswith("it was built for python==3.") and wrong.endswith("this is python==3.99.0")


def test_a_long_list_of_faults_is_cut(built: BuiltEnvironment) -> None:
    for number in range(20):
        (built.packages / f"added{number}.py").write_bytes(b"")
    assert built.look()[-1] == "and 15 more"
