"""`steelyard environment` and `steelyard algorithm try`: what people see of environments and of dry runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marketplace.core import bundle
from tests.cli.conftest import Command
from tests.support.environments import own_environment, python_ml
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, Dataset, algorithm

NAME = f"python-ml@{python_ml().digest.hex()[:12]}"


@pytest.fixture
def own_home(empty_home: Home, tmp_path: Path) -> Home:
    """A home with an environment of its own, small and easily damaged."""
    own_environment(tmp_path)
    (empty_home.path / "environments").unlink()
    (empty_home.path / "environments").symlink_to(tmp_path / "environments")
    return empty_home


def folder_of(path: Path, data: bytes) -> str:
    """A buyer's own algorithm, unpacked."""
    for name, content in bundle.unpack(data).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return str(path)


def test_environments_are_listed_and_shown_with_their_digests(command: Command, idle_home: Home) -> None:
    (row,) = [row for row in command(idle_home, "environment", "list").value["environments"] if row["whole"]][
        :1
    ]
    assert (row["name"], row["digest"]) == ("python-ml", "0x" + python_ml().digest.hex())
    shown = command(idle_home, "environment", "show", "python-ml").value
    assert shown["packages"] == python_ml().record.packages
    assert NAME in command(idle_home, "environment", "list", as_json=False).out
    ran = command(idle_home, "environment", "show", "python-gpu")
    assert (ran.code, ran.error["do"]) == (1, "Build it: steelyard environment build python-gpu")
    assert command(idle_home, "environment", "show", "../keys").code == 2


def test_a_damaged_environment_fails_its_check_and_says_which_file(command: Command, own_home: Home) -> None:
    assert command(own_home, "environment", "check", "python-ml").code == 0
    (packages,) = (own_home.path / "environments").glob("*/packages")
    (packages / "parts.py").chmod(0o666)
    ran = command(own_home, "environment", "check", "python-ml")
    assert (ran.code, ran.error["got"]) == (1, "parts.py may be written by everybody")
    (row,) = command(own_home, "environment", "list").value["environments"]
    assert (row["whole"], row["wrong"]) == (False, "parts.py may be written by everybody")
    assert "may be written by everybody" in command(own_home, "environment", "list", as_json=False).out


def test_what_cannot_be_built_is_said(command: Command, own_home: Home, tmp_path: Path) -> None:
    unknown = command(own_home, "environment", "build", "python-gpu")
    assert (unknown.code, unknown.error["expected"]) == (2, "python-ml")
    pins = tmp_path / "pins.txt"
    pins.write_text("--index-url https://example.org\n")
    refused = command(own_home, "environment", "build", "mine", "--requirements", str(pins))
    assert (refused.code, refused.error["what"]) == (2, "line 1 is no pinned package")


def test_a_dataset_shows_what_algorithms_find_there(
    command: Command, idle_home: Home, listed: Dataset
) -> None:
    out = command(idle_home, "dataset", "show", str(listed.token), as_json=False).out
    assert f"environment {NAME}: cloudpickle==" in out.replace("\n", "")


def test_an_algorithm_is_tried_on_rows_made_up_from_a_listing(
    command: Command, idle_home: Home, listed: Dataset, tmp_path: Path
) -> None:
    own = folder_of(tmp_path / "own", algorithm("own", "print('at work')" + COUNT_ROWS))
    there = ("--dataset", str(listed.token), "--rows", "7")
    ran = command(idle_home, "algorithm", "try", own, *there, "--to", str(tmp_path / "out"))
    found = ran.value
    assert (ran.code, found["failure"], found["refused"], found["log"]) == (0, None, [], ["at work"])
    assert (found["synthetic"], found["rows"], found["environment"]) == (True, 7, NAME)
    assert json.loads((tmp_path / "out" / "result.json").read_bytes()) == {"rows": 7}

    listing = tmp_path / "listing.json"
    listing.write_text(json.dumps(command(idle_home, "dataset", "show", str(listed.token)).value))
    (tmp_path / "own" / "main.py").write_text("raise SystemExit(2)")
    failed = command(idle_home, "algorithm", "try", own, "--schema", str(listing), as_json=False)
    assert failed.code == 1
    said = failed.out.replace("\n", " ")
    assert "it failed, by a fault of the algorithm: crashed" in said
    assert "SYNTHETIC DATA" in said and "means nothing" in said


def test_a_listed_algorithm_is_tried_by_its_name(command: Command, idle_home: Home, listed: Dataset) -> None:
    assert (
        command(idle_home, "algorithm", "try", "count", "--dataset", str(listed.token)).value["rows"] == 100
    )


def test_a_dry_run_needs_one_table_to_imitate(command: Command, idle_home: Home, tmp_path: Path) -> None:
    for words in ((), ("--dataset", "valves", "--schema", str(tmp_path / "x"))):
        ran = command(idle_home, "algorithm", "try", "count", *words)
        assert (ran.code, ran.error["what"]) == (2, "a dry run needs one table to imitate")
    (tmp_path / "listing.json").write_text('{"listing": {}}')
    assert (
        command(idle_home, "algorithm", "try", "count", "--schema", str(tmp_path / "listing.json")).code == 2
    )
