"""Key files: only their owner reads them, only the passphrase opens them, and nothing else shows a secret."""

from __future__ import annotations

import json
import logging
import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_keys.datatypes import PublicKey, Signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.core.wrapping import public_key, unwrap, wrap
from marketplace.errors import InputError, NotFoundError, RefusedError, SteelyardError, UnavailableError
from marketplace.keys import Keyring, SealingKey, sign_digest

SECRET = bytes.fromhex("b25c7db31feed9122727bf0939dc769a96564b2de4c4726d035b36ecf1e5b364")
ADDRESS = "0x5ce9454909639D2D17A3F753ce7d93fa0b9aB12E"
PASSPHRASE = "correct horse battery staple"


def keyring(folder: Path, passphrase: str = PASSPHRASE) -> Keyring:
    return Keyring(folder, lambda: passphrase)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wallet and a sealing key, for tests that change nothing: making them takes a second."""
    folder = tmp_path_factory.mktemp("home") / "keys"
    keys = keyring(folder)
    keys.import_wallet("startup", SECRET)
    keys.new_sealing_key("node")
    return folder


@pytest.fixture
def copied(filled: Path, tmp_path: Path) -> Path:
    """The same, to change."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    for path in filled.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).chmod(0o600)
    return folder


def test_a_new_wallet_opens_again(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    account = keys.new_wallet("north")
    assert keys.wallet("north").key == account.key
    assert keys.wallets() == {"north": account.address}
    assert keys.new_wallet("south").address != account.address


def test_an_imported_wallet_has_its_known_address(filled: Path) -> None:
    assert keyring(filled).wallet("startup").address == ADDRESS
    assert keyring(filled).wallet("startup").key == SECRET


def test_a_wallet_file_is_what_other_wallets_read(filled: Path) -> None:
    document = json.loads((filled / "startup.json").read_text())
    assert Account.decrypt(document, PASSPHRASE) == SECRET


def test_a_wallet_file_of_another_program_opens(tmp_path: Path) -> None:
    path = tmp_path / "geth.json"
    path.write_text(json.dumps(Account.encrypt(SECRET, PASSPHRASE, kdf="scrypt", iterations=4096), indent=2))
    path.chmod(0o600)
    assert keyring(tmp_path).wallet("geth").address == ADDRESS


def test_a_sealing_key_opens_what_was_sealed_to_it(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    public = keys.new_sealing_key("node")
    key = keys.sealing_key("node")
    assert key.public == public == public_key(key.private)
    assert unwrap(wrap(bytes(32), public, b"info"), key.private, b"info") == bytes(32)


def test_names_are_listed_without_the_passphrase(filled: Path) -> None:
    def ask() -> str:
        raise AssertionError("asked for the passphrase")

    keys = Keyring(filled, ask)
    assert keys.wallets() == {"startup": ADDRESS}
    assert keys.sealing_keys() == {"node": keyring(filled).sealing_key("node").public}
    assert Keyring(filled / "nowhere", ask).wallets() == {}


def test_files_and_folder_are_for_their_owner_alone(filled: Path) -> None:
    assert stat.S_IMODE(filled.stat().st_mode) == 0o700
    assert sorted(path.name for path in filled.iterdir()) == ["node.sealing.json", "startup.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in filled.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_key_file_that_is_open_to_others_is_refused(copied: Path, mode: int) -> None:
    path = copied / "startup.json"
    path.chmod(mode)
    for call in (lambda: keyring(copied).wallet("startup"), keyring(copied).wallets):
        with pytest.raises(RefusedError, match=f"chmod 600 {path}"):
            call()
    path.chmod(0o600)
    assert keyring(copied).wallets() == {"startup": ADDRESS}


def test_a_link_or_a_pipe_in_place_of_a_key_file_is_refused(copied: Path) -> None:
    (copied / "linked.json").symlink_to(copied / "startup.json")
    os.mkfifo(copied / "pipe.json", 0o600)
    for name in ("linked", "pipe"):
        with pytest.raises((RefusedError, UnavailableError)):
            keyring(copied).wallet(name)


def test_a_folder_that_others_can_write_to_takes_no_key(copied: Path) -> None:
    copied.chmod(0o770)
    with pytest.raises(RefusedError, match="chmod 700"):
        keyring(copied).new_sealing_key("another")


def test_a_wrong_passphrase_is_refused(filled: Path) -> None:
    with pytest.raises(RefusedError, match="passphrase"):
        keyring(filled, "wrong").wallet("startup")
    with pytest.raises(RefusedError, match="passphrase"):
        keyring(filled, "").sealing_key("node")


def test_an_empty_passphrase_protects_nothing_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="passphrase"):
        keyring(tmp_path / "keys", "").new_wallet("north")
    assert not (tmp_path / "keys").exists()


def test_a_key_is_never_replaced(copied: Path) -> None:
    before = (copied / "startup.json").read_bytes()
    for call in (
        lambda: keyring(copied).new_wallet("startup"),
        lambda: keyring(copied).import_wallet("startup", bytes(31) + b"\1"),
        lambda: keyring(copied).new_sealing_key("node"),
    ):
        with pytest.raises(RefusedError, match="already"):
            call()
    assert (copied / "startup.json").read_bytes() == before


def test_a_wallet_and_a_sealing_key_may_share_a_name(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    account, public = keys.new_wallet("north"), keys.new_sealing_key("north")
    assert keys.wallets() == {"north": account.address}
    assert keys.sealing_keys() == {"north": public}


@pytest.mark.parametrize(
    "name", ["", "North", "a/b", "..", ".", "a.sealing", "a b", "é", "a" * 65, "a\n", "a\0"]
)
def test_a_name_that_is_none_is_refused(filled: Path, name: str) -> None:
    keys = keyring(filled)
    for call in (keys.wallet, keys.new_wallet, keys.sealing_key, keys.new_sealing_key):
        with pytest.raises(InputError, match="name of a key"):
            call(name)


def test_a_key_that_is_not_there_is_not_found(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="startup"):
        keyring(filled).wallet("nobody")
    with pytest.raises(NotFoundError, match="none yet"):
        keyring(tmp_path / "keys").sealing_key("nobody")


@pytest.mark.parametrize("private", [b"", bytes(31), bytes(32), b"\xff" * 32, SECRET + b"\0"])
def test_importing_refuses_what_is_no_private_key(tmp_path: Path, private: bytes) -> None:
    with pytest.raises(InputError):
        keyring(tmp_path / "keys").import_wallet("north", private)


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    document = json.loads(json.dumps(document))
    *parents, last = path.split(".")
    target = document
    for name in parents:
        target = target[name]
    target[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 4),
        ("version", "3"),
        ("extra", 1),
        ("address", "zz"),
        ("address", None),
        ("crypto", []),
        ("crypto.kdf", "pbkdf2"),
        ("crypto.cipher", "aes-256-gcm"),
        ("crypto.kdfparams.n", 2**30),
        ("crypto.kdfparams.n", -1),
        ("crypto.kdfparams.r", 2**30),
        ("crypto.kdfparams.p", 0),
        ("crypto.kdfparams.dklen", 64),
        ("crypto.kdfparams.salt", 5),
        ("crypto.cipherparams", {}),
    ],
)
def test_a_key_file_that_does_not_parse_is_refused_without_work(
    copied: Path, path: str, value: object
) -> None:
    file = copied / "startup.json"
    file.write_text(json.dumps(changed(json.loads(file.read_text()), path, value)))
    with pytest.raises(InputError):
        keyring(copied).wallet("startup")


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("address", "00" * 20, InputError),
        ("crypto.ciphertext", "zz", RefusedError),
        ("crypto.ciphertext", "00" * 32, RefusedError),
        ("crypto.mac", "", RefusedError),
        ("crypto.kdfparams.salt", "zz", RefusedError),
        ("crypto.kdfparams.n", 3, RefusedError),
    ],
)
def test_a_key_file_that_was_changed_does_not_open(
    copied: Path, path: str, value: object, error: type[SteelyardError]
) -> None:
    file = copied / "startup.json"
    file.write_text(json.dumps(changed(json.loads(file.read_text()), path, value)))
    with pytest.raises(error):
        keyring(copied).wallet("startup")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_random_bytes_as_key_file_raise_nothing_but_input_errors(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "north.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(InputError):
        keyring(tmp_path).wallet("north")


def test_a_key_file_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "north.json"
    with path.open("wb") as file:
        file.truncate(2**33)
    path.chmod(0o600)
    with pytest.raises(InputError, match="too long"):
        keyring(tmp_path).wallet("north")


def test_a_disk_that_takes_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in the way")
    with pytest.raises(UnavailableError):
        keyring(tmp_path / "keys").new_sealing_key("north")


def spoken(call: Callable[[], object]) -> str:
    """Everything that an error says, with its causes."""
    with pytest.raises(SteelyardError) as caught:
        call()
    error = caught.value
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.to_json())


def test_no_secret_is_shown(filled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys = keyring(filled)
    account, sealing = keys.wallet("startup"), keys.sealing_key("node")
    wrong = keyring(filled, "wrong " + PASSPHRASE)
    shown = [
        repr(keys),
        repr(account),
        str(account),
        repr(sealing),
        str(sealing),
        f"{sealing}",
        spoken(lambda: wrong.wallet("startup")),
        spoken(lambda: keys.import_wallet("startup", SECRET)),
        spoken(lambda: keys.import_wallet("other", SECRET + b"\0")),
        spoken(lambda: keyring(tmp_path / "keys", "").import_wallet("other", SECRET)),
        caplog.text,
    ]
    for secret in (SECRET, sealing.private):
        number = str(int.from_bytes(secret, "big"))
        for text in shown:
            assert not any(
                form in text for form in (secret.hex(), secret.hex().upper(), repr(secret), number)
            )
    assert all(PASSPHRASE not in text for text in shown)
    assert isinstance(sealing, SealingKey)


def test_a_signature_names_its_signer(filled: Path) -> None:
    account = keyring(filled).wallet("startup")
    digest = bytes(range(32))
    signature = sign_digest(account, digest)
    assert len(signature) == 65 and signature[64] in (27, 28)
    standard = Signature(signature[:64] + bytes([signature[64] - 27]))
    signer: PublicKey = standard.recover_public_key_from_msg_hash(digest)
    assert signer.to_checksum_address() == account.address
    with pytest.raises(InputError):
        sign_digest(account, b"short")
