"""A provider's commands for datasets: folders, versions, data in place; what they print and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.provider.test_survey import png
from tests.support.catalogue import Town
from tests.support.homes import Home

TABLE = b"a,b\n1,2\n3,4\n"
SAID = ("--name", "Pictures", "--description", "Of animals.", "--licence", "CC0-1.0", "--creator", "Zoo")
TERMS = ("--algorithm", "tabular-classifier")


@pytest.fixture(scope="module")
def home(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A provider's, with a node."""
    made = Home(tmp_path_factory.mktemp("homes") / "publisher", town)
    made.keyring.import_wallet("zoo", bytes(town.market.account("cli publisher", euros=200).key))
    made.keyring.new_sealing_key("sealing")
    return made


def pictures(folder: Path) -> Path:
    for name in ("cat/1.png", "dog/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())
    return folder


def published(command: Command, home: Home, path: Path, slug: str, *more: str) -> Any:
    ran = command(home, "dataset", "publish", str(path), "--slug", slug, *SAID, *TERMS, *more)
    assert ran.code == 0, ran.err
    return ran.value


def test_a_folder_of_pictures_is_listed_and_shown_with_its_classes(
    command: Command, home: Home, tmp_path: Path
) -> None:
    made = published(command, home, pictures(tmp_path / "zoo"), "zoo")
    assert (made["content"], made["rows"], made["columns"]) == ("images", 2, 0)
    shown = command(home, "dataset", "show", "zoo", as_json=False).out
    assert "2 pictures (png) of 2 classes; classes: cat, dog" in " ".join(shown.split())
    assert "2 pictures" in command(home, "dataset", "list", "animals", as_json=False).out


def test_a_new_version_takes_over_what_is_not_said_anew_and_stops_the_old_ones_sale(
    command: Command, home: Home, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(TABLE)
    one = published(command, home, tmp_path / "t.csv", "tab", "--personal", "age", "--keyword", "k")
    again = command(home, "dataset", "publish", str(tmp_path / "t.csv"), "--slug", "tab", *SAID, *TERMS)
    assert again.code == 2 and "--replaces tab" in again.error["do"]
    ran = command(home, "dataset", "publish", str(tmp_path / "t.csv"), "--replaces", "tab")
    two = ran.value
    assert (two["version"], two["replaces"]) == ("1.1.0", one["id"])
    listing = command(home, "dataset", "show", "tab").value["listing"]
    assert (listing["version"], listing["keywords"], listing["name"]) == ("1.1.0", ["k"], "Pictures")
    assert listing["rai:personalSensitiveInformation"] == ["age"]
    old = command(home, "dataset", "show", one["id"]).value["listing"]
    assert listing["steelyard:algorithm"] == old["steelyard:algorithm"] != []
    found = command(home, "dataset", "versions", "tab").value["versions"]
    assert [(row["id"], row["version"], row["status"]) for row in found] == [
        (one["id"], "1.0.0", "paused"),
        (two["id"], "1.1.0", "active"),
    ]
    for words, what in (
        (("--replaces", "tab@1.0.0"), "has a newer version already"),
        (("--replaces", "tab", "--version", "1.1.0"), "a new version has a higher number"),
        (("--replaces", "tab", "--version", "x"), "a new version has a higher number"),
        (("--replaces", "tab", "--slug", "other"), "a version keeps its slug"),
    ):
        refused = command(home, "dataset", "publish", str(tmp_path / "t.csv"), *words, *TERMS)
        assert (refused.code, refused.error["what"]) == (2, _starting(refused.error["what"], what))


def _starting(got: str, expected: str) -> str:
    return got if expected in got else expected


def test_another_owners_dataset_is_not_replaced(
    command: Command, home: Home, listed: Any, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(TABLE)
    ran = command(
        home, "dataset", "publish", str(tmp_path / "t.csv"), "--replaces", str(listed.token), *TERMS
    )
    assert (ran.code, ran.error["what"]) == (1, "only its owner replaces a dataset")


def test_data_in_place_is_said_to_be_so_and_may_be_moved(
    command: Command, home: Home, tmp_path: Path
) -> None:
    folder = pictures(tmp_path / "here")
    made = published(command, home, folder, "lying", "--in-place")
    shown = " ".join(command(home, "dataset", "show", "lying", as_json=False).out.split())
    assert "lies in place: read where it is, under a commitment" in shown
    new = folder.rename(tmp_path / "there")
    moved = command(home, "dataset", "move", "lying", str(new)).value
    assert (moved["asset"], moved["path"], moved["files"]) == (made["id"], str(new), 2)
    (new / "cat" / "1.png").write_bytes(png(9, 9))
    refused = command(home, "dataset", "move", "lying", str(new))
    assert (refused.code, "not what was listed" in refused.error["what"]) == (1, True)
    assert command(home, "dataset", "move", "tab", str(new)).code == 1


def test_other_files_are_listed_only_where_that_is_said(command: Command, home: Home, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "1.dcm").write_bytes(b"x")
    (tmp_path / "scans" / "all.zip").write_bytes(b"PK\x03\x04")
    words = ("dataset", "publish", str(tmp_path / "scans"), "--slug", "scans", *SAID, *TERMS)
    refused = command(home, *words)
    assert refused.code == 2 and "--kind files" in refused.error["do"]
    made = command(home, *words, "--kind", "files").value
    assert (made["content"], made["rows"]) == ("files", 2)
