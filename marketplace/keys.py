"""Secret keys in files of their own: wallets (secp256k1) and sealing keys (X25519).

Each is a web3 secret storage file (version 3, scrypt) under a passphrase, mode 0600 in a folder of mode 0700:
`<name>.json` for a wallet, `<name>.sealing.json` for a sealing key. No secret stands in an error, a repr or a log.
Source: https://ethereum.org/en/developers/docs/data-structures-and-encoding/web3-secret-storage/
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from eth_typing import Hash32
from eth_utils.address import to_checksum_address

from marketplace.core.canonical import canonical, exact_fields, hex_bytes, parse_json
from marketplace.core.wrapping import check_size, public_key
from marketplace.errors import InputError, NotFoundError, RefusedError, UnavailableError
from marketplace.storage.disk import new_file

NODE_WALLET, NEXT_NODE_WALLET = "node", "node-next"
"""A node's hot key, and the one that will take its place; never the wallet of a person."""
SEALING_KEY, NEXT_SEALING_KEY = "sealing", "sealing-next"
"""A node's sealing key, and the one that will take its place."""

_ASIDE = "replaced"
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_WALLET, _SEALING = ".json", ".sealing.json"
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MAX_FILE = 65_536

# secp256k1's order: larger scalars are no wallets, and the file format takes none.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# 64 MiB and a third of a second for each guess; a command that opens a wallet waits that long too.
_SCRYPT_N = 2**16
_MAX_SCRYPT_MEMORY = 2**31

_CRYPTO = {"cipher": str, "cipherparams": dict, "ciphertext": str, "kdf": str, "kdfparams": dict, "mac": str}
_SCRYPT = {"dklen": int, "n": int, "p": int, "r": int, "salt": str}


@dataclass(frozen=True, slots=True)
class SealingKey:
    """An X25519 key pair, 32 bytes each; what is sealed to `public` opens with `private`."""

    public: bytes
    private: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """A key as it lies on the disk: its public half as text, its secret encrypted."""

    public: str
    document: dict[str, Any] = field(repr=False)


class Keyring:
    """The keys of one folder. The passphrase is asked for only when a secret is written or opened."""

    def __init__(self, folder: Path, passphrase: Callable[[], str]) -> None:
        """folder: made with mode 0700 at the first new key."""
        self._folder = Path(folder)
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return f"Keyring({str(self._folder)!r})"

    def new_wallet(self, name: str) -> LocalAccount:
        """Draw and keep a wallet.

        Raises RefusedError if the name is taken or the folder is writable by others, InputError if it is no name
        or the passphrase is empty, UnavailableError if the file cannot be written.
        """
        return self._keep_wallet(name, _draw())

    def import_wallet(self, name: str, private_key: bytes) -> LocalAccount:
        """Keep a wallet whose secret is known: 32 bytes. Raises InputError if it is no secret; else as `new_wallet`."""
        if len(private_key) != 32 or not 0 < int.from_bytes(private_key, "big") < _ORDER:
            expected = "32 bytes, a number from 1 to secp256k1's order"
            raise InputError("this is not a private key", got=f"{len(private_key)} bytes", expected=expected)
        return self._keep_wallet(name, private_key)

    def wallet(self, name: str) -> LocalAccount:
        """Open a wallet.

        Raises NotFoundError if there is none, RefusedError if its file is open to others or the passphrase is wrong,
        InputError if the file does not parse, UnavailableError if it cannot be read.
        """
        stored = self._read(name, _WALLET)
        account = _account(self._open(name, stored))
        _expect_same(name, account.address, stored.public)
        return account

    def wallets(self) -> dict[str, str]:
        """The checksum address of each wallet by its name, in order. Opens none. Errors as in `wallet`."""
        return {name: self._read(name, _WALLET).public for name in self._names(_WALLET)}

    def new_sealing_key(self, name: str) -> bytes:
        """Draw and keep a sealing key; its public half, 32 bytes. Errors as in `new_wallet`."""
        private = _draw()
        public = public_key(private)
        self._write(name, _SEALING, private, {"x25519": public.hex()})
        return public

    def sealing_keys(self) -> dict[str, bytes]:
        """The public half of each sealing key by its name, in order. Opens none. Errors as in `wallet`."""
        return {name: bytes.fromhex(self._read(name, _SEALING).public) for name in self._names(_SEALING)}

    def sealing_key(self, name: str) -> SealingKey:
        """Open a sealing key. Errors as in `wallet`."""
        stored = self._read(name, _SEALING)
        private = self._open(name, stored)
        public = public_key(private)
        _expect_same(name, public.hex(), stored.public)
        return SealingKey(public, private)

    def replace_wallet(self, name: str, by: str) -> None:
        """Gives a wallet another's name; the one that had it is put aside. Errors as in `wallet`."""
        self._replace(name, by, _WALLET)

    def replace_sealing_key(self, name: str, by: str) -> None:
        """As `replace_wallet`, for sealing keys."""
        self._replace(name, by, _SEALING)

    def _replace(self, name: str, by: str, suffix: str) -> None:
        """At every moment both files, or the new one under the name: a kill in between loses no key."""
        old, new = self._path(name, suffix), self._path(by, suffix)
        aside = (
            self._folder / _ASIDE / f"{self._read(name, suffix).public.removeprefix('0x').lower()}{suffix}"
        )
        self._read(by, suffix)
        try:
            aside.parent.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileExistsError):
                aside.hardlink_to(old)
            new.replace(old)
        except OSError as error:
            raise UnavailableError(f"the key file {old} cannot be replaced", got=error.strerror) from error

    def _keep_wallet(self, name: str, private: bytes) -> LocalAccount:
        account = _account(private)
        self._write(name, _WALLET, private, {"address": account.address.removeprefix("0x").lower()})
        return account

    def _path(self, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError("not a name of a key", got=repr(name[:80]), expected="1 to 64 of a-z, 0-9 and -")
        return self._folder / (name + suffix)

    def _names(self, suffix: str) -> list[str]:
        names = (path.name.removesuffix(suffix) for path in self._folder.glob(f"*{suffix}"))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def _read(self, name: str, suffix: str) -> _KeyFile:
        path = self._path(name, suffix)
        try:
            data = _read_private(path)
        except FileNotFoundError:
            known = ", ".join(self._names(suffix)) or "none yet"
            raise NotFoundError(
                f"there is no key {name} in {self._folder}", expected=f"one of: {known}"
            ) from None
        except OSError as error:
            raise UnavailableError(f"the key file {path} cannot be read", got=error.strerror) from error
        return _parse(data, f"the key file {path}", "address" if suffix == _WALLET else "x25519")

    def _open(self, name: str, stored: _KeyFile) -> bytes:
        try:
            secret = bytes(decode_keyfile_json(stored.document, self._passphrase().encode("utf-8")))
        except (ValueError, TypeError):
            secret = b""
        # Outside of the handler, so that no chain of exceptions can carry a secret.
        if len(secret) != 32:
            raise RefusedError(
                f"the key {name} does not open", expected="its passphrase", do="Check the passphrase."
            )
        return secret

    def _write(self, name: str, suffix: str, private: bytes, public: dict[str, str]) -> None:
        path = self._path(name, suffix)
        if path.exists():
            raise _taken(name, path)
        passphrase = self._passphrase()
        if not passphrase:
            raise InputError(
                "the passphrase is empty", do="Choose one: it is all that protects the key file."
            )
        self._make_folder()
        document = create_keyfile_json(
            private, passphrase.encode("utf-8"), kdf="scrypt", iterations=_SCRYPT_N
        )
        # The library would note the Ethereum address of any secret, of a sealing key's too.
        document = {field: value for field, value in document.items() if field != "address"} | public
        try:
            with new_file(path) as file:
                file.write(canonical(document))
        except FileExistsError:
            raise _taken(name, path) from None
        except OSError as error:
            raise UnavailableError(f"the key file {path} cannot be written", got=error.strerror) from error

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self._folder.stat().st_mode
        except OSError as error:
            raise UnavailableError(
                f"the key folder {self._folder} cannot be made", got=error.strerror
            ) from error
        if mode & _WRITABLE_BY_OTHERS:
            raise RefusedError(
                f"others can write to the key folder {self._folder}",
                got=stat.filemode(mode),
                do=f"Run `chmod 700 {self._folder}`.",
            )


def sign_digest(account: LocalAccount, digest: bytes) -> bytes:
    """The signature r || s || v (65 bytes, v 27 or 28) of a digest (32 bytes), such as EIP-712's."""
    check_size(digest, 32, "a digest")
    return bytes(account.unsafe_sign_hash(Hash32(digest)).signature)


def _draw() -> bytes:
    return (secrets.randbelow(_ORDER - 1) + 1).to_bytes(32, "big")


def _account(private: bytes) -> LocalAccount:
    account: LocalAccount = Account.from_key(private)
    return account


def _expect_same(name: str, got: str, expected: str) -> None:
    if got != expected:
        raise InputError(f"the file of {name} holds another key than it says", got=got, expected=expected)


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # pathlib opens no descriptors
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & _OPEN_TO_OTHERS:
            raise RefusedError(
                f"the key file {path} is open to others",
                got=stat.filemode(mode),
                expected="a file that only its owner can read, -rw-------",
                do=f"Run `chmod 600 {path}`, and think about who may have read it.",
            )
        return file.read(_MAX_FILE + 1)


def _parse(data: bytes, what: str, public_field: str) -> _KeyFile:
    value = parse_json(data, what=what, limit=_MAX_FILE)
    fields = {public_field: str, "crypto": dict, "id": str, "version": int}
    document = exact_fields(value, fields, what=what)
    crypto = exact_fields(document["crypto"], _CRYPTO, what=what)
    exact_fields(crypto["cipherparams"], {"iv": str}, what=what)
    scrypt = exact_fields(crypto["kdfparams"], _SCRYPT, what=what)
    kinds = (document["version"], crypto["cipher"], crypto["kdf"], scrypt["dklen"])
    if kinds != (3, "aes-128-ctr", "scrypt", 32):
        raise InputError(
            f"{what} is of an unknown kind", got=kinds, expected="version 3, aes-128-ctr, scrypt"
        )
    n, r, p = scrypt["n"], scrypt["r"], scrypt["p"]
    # Checked before scrypt asks for the memory: 128 n r bytes, p times.
    if not (n > 1 and r > 0 and 0 < p <= 16 and 128 * n * r <= _MAX_SCRYPT_MEMORY):
        raise InputError(
            f"{what} asks for too much work", got=f"n={n} r={r} p={p}", expected="at most 2 GiB, p <= 16"
        )
    text = document[public_field].removeprefix("0x").lower()
    public = hex_bytes(text, 20 if public_field == "address" else 32, what=f"the {public_field} in {what}")
    return _KeyFile(to_checksum_address(public) if public_field == "address" else public.hex(), document)


def _taken(name: str, path: Path) -> RefusedError:
    return RefusedError(
        f"there is a key {name} already", got=path, do="Choose another name; keys are never replaced."
    )
