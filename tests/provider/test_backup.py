"""A home in one file and back: a provider that lost everything goes on, and what is no backup restores nothing."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.provider.backup import backup, restore
from compute.provider.journal import Journal
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace.core.job import State
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError, SteelyardError
from marketplace.keys import Keyring
from tests.support.buyers import await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, Works, algorithm, open_works

COUNT = algorithm("count", COUNT_ROWS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One with two keys and a deployment file."""
    path = tmp_path / "home"
    keyring = Keyring(path / "keys", lambda: "a passphrase")
    keyring.new_wallet("hospital")
    keyring.new_sealing_key("sealing")
    (path / "deployment.json").write_bytes(b"{}")
    Journal(path / "node.db")
    (path / "node.lock").write_text("12")
    return path


def test_a_provider_that_lost_its_home_runs_jobs_from_the_restored_one(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"
    works = open_works(town, sandbox, lost, "backup")
    Keyring(lost / "keys", lambda: "a passphrase").import_wallet("works", bytes(works.owner.key))
    dataset = works.publish(COUNT)
    summary = backup(lost, tmp_path / "backup.tar", data=True)
    assert (summary.keys, summary.datasets) == (1, 1)
    shutil.rmtree(lost)
    restored = tmp_path / "restored"
    restored.mkdir()
    restore(tmp_path / "backup.tar", restored)
    again = Works(town, sandbox, restored, works.owner, works.hot)
    assert Vault(restored / "vault").tokens() == [dataset.token]
    buyer = new_buyer(town, "of a restored provider")
    buyer.buy(dataset)
    with again.running():
        request = buyer.order(again, dataset, COUNT)
        await_state(town, request, State.submitted, State.settled)
        assert "result.json" in buyer.result(request)


def test_keys_come_back_with_their_passphrase_and_closed_to_others(home: Path, tmp_path: Path) -> None:
    before = Keyring(home / "keys", lambda: "a passphrase")
    file, other = tmp_path / "backup.tar", tmp_path / "other"
    backup(home, file, data=False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other.mkdir(mode=0o755)
    restore(file, other)
    after = Keyring(other / "keys", lambda: "a passphrase")
    assert after.wallets() == before.wallets()
    assert after.sealing_key("sealing") == before.sealing_key("sealing")
    assert stat.S_IMODE((other / "keys").stat().st_mode) == 0o700
    assert not (other / "node.lock").exists()
    with pytest.raises(RefusedError):
        Keyring(other / "keys", lambda: "another").wallet("hospital")


def test_no_secret_stands_open_in_a_backup(home: Path, tmp_path: Path) -> None:
    keyring = Keyring(home / "keys", lambda: "a passphrase")
    secrets = [bytes(keyring.wallet("hospital").key), keyring.sealing_key("sealing").private]
    backup(home, tmp_path / "backup.tar", data=True)
    written = (tmp_path / "backup.tar").read_bytes()
    for secret in secrets:
        assert secret not in written
        assert secret.hex().encode() not in written


def test_nothing_is_overwritten_by_a_backup_or_by_restoring_it(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    backup(home, file, data=False)
    was = file.read_bytes()
    with pytest.raises(RefusedError, match="there already"):
        backup(home, file, data=False)
    assert file.read_bytes() == was
    with pytest.raises(RefusedError, match="has keys"):
        restore(file, home)
    with pytest.raises(NotFoundError):
        restore(tmp_path / "no.tar", tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no keys"):
        backup(tmp_path / "empty", tmp_path / "b.tar", data=False)


def changed(source: Path, target: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for entry in old:
            file = old.extractfile(entry)
            assert file
            for name, data in change(entry.name, file.read()):
                made = tarfile.TarInfo(name)
                made.size = len(data)
                new.addfile(made, io.BytesIO(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: [(name, data[:-1] + b"!")] if name.startswith("keys/") else [(name, data)],
        lambda name, data: [] if name.startswith("keys/") else [(name, data)],
        lambda name, data: [(name, data)] * (2 if name.startswith("keys/") else 1),
        lambda name, data: [(name, data), ("../evil", b"x")] if name == "deployment.json" else [(name, data)],
    ],
    ids=["changed", "left out", "twice", "a stranger among them"],
)
def test_a_backup_that_was_changed_restores_nothing(
    home: Path, tmp_path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]
) -> None:
    backup(home, tmp_path / "good.tar", data=False)
    changed(tmp_path / "good.tar", tmp_path / "bad.tar", change)
    new = tmp_path / "new"
    new.mkdir()
    with pytest.raises(IntegrityError):
        restore(tmp_path / "bad.tar", new)
    assert list(new.iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\0" * 10_240, bytes(range(256)) * 40])
def test_what_is_no_backup_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(data)
    new = tmp_path / "new"
    new.mkdir()
    with pytest.raises(InputError):
        restore(tmp_path / "b.tar", new)
    assert list(new.iterdir()) == []


def test_a_link_or_file_that_waits_for_a_backup_gets_nothing_of_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, victim, open_to_all = tmp_path / "backup.tar", tmp_path / "victim", tmp_path / ".stranger.partial"
    victim.write_text("mine")
    (tmp_path / ".backup.tar.partial").symlink_to(victim)
    backup(home, file, data=False)
    assert victim.read_text() == "mine"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # And were its name guessed all the same:
    monkeypatch.setattr("marketplace.storage.disk.secrets.token_hex", lambda _: "stranger")
    for wait in (lambda: open_to_all.symlink_to(victim), lambda: open_to_all.write_text("read along")):
        wait()
        with pytest.raises(SteelyardError):
            backup(home, tmp_path / "second.tar", data=False)
        assert (victim.read_text(), (tmp_path / "second.tar").exists()) == ("mine", False)
        open_to_all.unlink()


def test_a_backup_is_written_over_nothing_that_came_meanwhile(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, sync = tmp_path / "backup.tar", os.fsync

    def come(descriptor: int) -> None:
        sync(descriptor)
        file.write_text("somebody else's")

    monkeypatch.setattr("marketplace.storage.disk.os.fsync", come)
    with pytest.raises(RefusedError, match="there already"):
        backup(home, file, data=False)
    assert file.read_text() == "somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "home"]


def test_a_link_in_place_of_a_key_is_not_followed(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.json"
    secret.write_text("{}")
    (home / "keys" / "linked.json").symlink_to(secret)
    backup(home, tmp_path / "backup.tar", data=False)
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert "keys/linked.json" not in archive.getnames()
