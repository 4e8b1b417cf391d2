"""Keys and passphrases at the command line: what is wrong is said, what is secret is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.support.homes import Home
from tests.support.works import Dataset

WALLETS = ("access", "list")
"""A command that needs chain and wallet, but no passphrase."""


def test_a_wrong_passphrase_is_refused_and_not_repeated(
    command: Command, idle_home: Home, listed: Dataset
) -> None:
    ran = command(idle_home, "access", "buy", "valves", PASSPHRASE="not the right words")
    assert (ran.code, ran.error["error"]) == (1, "RefusedError")
    assert "not the right words" not in ran.err


def test_a_missing_passphrase_is_said_where_nobody_can_be_asked(
    command: Command, idle_home: Home, listed: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        ran = command(idle_home, "access", "buy", "valves", PASSPHRASE="")
    assert (ran.code, ran.error["what"]) == (2, "no passphrase")


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "not UTF-8"])
def test_a_passphrase_file_that_holds_none_is_refused(
    command: Command, idle_home: Home, listed: Dataset, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "passphrase"
    if kind == "folder":
        file.mkdir()
    elif kind != "missing":
        file.write_bytes({"empty": b"", "not UTF-8": b"\xff\xfe"}[kind])
    ran = command(idle_home, "access", "buy", "valves", PASSPHRASE_FILE=str(file))
    assert (ran.code, ran.error["what"]) == (2, "the passphrase file cannot be read")


def test_a_home_without_a_wallet_says_how_to_make_one(command: Command, empty_home: Home) -> None:
    ran = command(empty_home, *WALLETS)
    assert (ran.code, ran.error["do"]) == (2, "Make one: steelyard wallet new NAME")


def test_of_several_wallets_one_must_be_chosen(command: Command, idle_home: Home, empty_home: Home) -> None:
    keys = empty_home.path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("one", "two", "node"):
        (keys / f"{name}.json").write_bytes((idle_home.path / "keys" / "startup.json").read_bytes())
        (keys / f"{name}.json").chmod(0o600)
    ran = command(empty_home, *WALLETS)
    assert (ran.code, ran.error["got"], ran.error["do"]) == (2, "one, two", "Choose one by STEELYARD_WALLET.")
    assert command(empty_home, *WALLETS, WALLET="two").code == 0
    for wrong in ("three", "node", "../one", ""):
        assert command(empty_home, *WALLETS, WALLET=wrong).code == 2


def test_key_files_that_are_open_to_others_or_damaged_are_refused(
    command: Command, idle_home: Home, empty_home: Home
) -> None:
    keys = empty_home.path / "keys"
    keys.mkdir(mode=0o700)
    file = keys / "one.json"
    file.write_bytes((idle_home.path / "keys" / "startup.json").read_bytes())
    file.chmod(0o644)
    assert command(empty_home, *WALLETS).error["error"] == "RefusedError"
    file.chmod(0o600)
    file.write_bytes(b"{}")
    assert command(empty_home, *WALLETS).code == 2


@pytest.mark.parametrize("name", ["", "Two Words", "../escape", "x" * 65, "a.sealing", "\x1b[2J"], ids=ascii)
def test_a_name_that_no_wallet_can_have_is_refused(command: Command, empty_home: Home, name: str) -> None:
    ran = command(empty_home, "wallet", "new", "--", name)
    assert (ran.code, ran.error["what"]) == (2, "not a name of a key")
    assert not list(empty_home.path.glob("keys/*"))


@pytest.mark.parametrize("key", ["", "0x", "zz" * 32, "11" * 31, "00" * 32, "ff" * 32])
def test_what_is_no_private_key_is_refused_and_not_repeated(
    command: Command, empty_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    (tmp_path / "stdin").write_text(key + "\n")
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        ran = command(empty_home, "wallet", "import", "mine")
    assert (ran.code, ran.error["error"]) == (2, "InputError")
    assert not key or key not in ran.err
    assert not list(empty_home.path.glob("keys/*.json"))


def test_a_name_that_is_taken_keeps_its_key(command: Command, idle_home: Home) -> None:
    before = (idle_home.path / "keys" / "startup.json").read_bytes()
    ran = command(idle_home, "wallet", "new", "startup")
    assert (ran.code, ran.error["error"]) == (1, "RefusedError")
    assert (idle_home.path / "keys" / "startup.json").read_bytes() == before
