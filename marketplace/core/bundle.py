"""Bundles of files as one canonical tar, so that equal content is equal bytes and one digest on each machine; pure.

A bundle is a USTAR archive of plain files: names sorted by bytes, mode 0644, owner, group and time zero, ended by
exactly two zero blocks. There is one such archive for a set of files, so `unpack` reads no dialect: each header must
be the header that `pack` would have written. Algorithms travel as bundles, and so do the outputs of a job.

Covered: `..`, absolute names, links, devices, folders, duplicates, names that collide on some file system, a file
that is also a folder, hidden bytes in headers, padding or after the end, archives of many or large files.
Not covered: what the files say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from marketplace.core.canonical import sha256
from marketplace.core.manifest import MANIFEST, Limits, Manifest, Output
from marketplace.errors import InputError

__all__ = [
    "MANIFEST", "MAX_ARCHIVE_BYTES", "MAX_BYTES", "MAX_FILES", "Bundle", "Limits", "Manifest", "Output",
    "digest", "pack", "parse_bundle", "unpack",
]  # fmt: skip

MAX_FILES = 1_000
MAX_BYTES = 64 * 1024 * 1024
_BLOCK = 512
MAX_ARCHIVE_BYTES = MAX_BYTES + MAX_FILES * 2 * _BLOCK + 2 * _BLOCK
"""No canonical archive is longer: contents, a header and padding for each file, the end."""
_NAME_BYTES = 100
_SEGMENT = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]*", re.ASCII)
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device",
    b"5": "a folder entry", b"6": "a FIFO", b"x": "a pax header", b"g": "a pax header", b"L": "a GNU long name",
    b"K": "a GNU long link", b"S": "a GNU sparse file",
}  # fmt: skip
_REPACK = "Send the archive that Steelyard's own pack makes of the folder"


@dataclass(frozen=True)
class Bundle:
    """An algorithm as it travels: what it declares, and its files by name (the manifest among them)."""

    manifest: Manifest
    files: Mapping[str, bytes]


def pack(files: Mapping[str, bytes]) -> bytes:
    """The one canonical archive of these files.

    files: content by relative name (`folder/file.py`); at most MAX_FILES files and MAX_BYTES bytes in all.
    Raises InputError for a name that is not portable, for names that collide, for too many or too large files.
    """
    _check_names(files)
    _check_size(sum(map(len, files.values())))
    parts: list[bytes] = []
    for name in sorted(files):
        content = files[name]
        parts += [_header(name, len(content)), content, bytes(-len(content) % _BLOCK)]
    parts.append(bytes(2 * _BLOCK))
    return b"".join(parts)


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive that `pack` made, by name, in the order of the names.

    Raises InputError for every other archive: what `pack` would not write to the byte is refused.
    """
    files: dict[str, bytes] = {}
    offset, total = 0, 0
    while any(block := _block(data, offset)):
        name, size = _read_header(block)
        _check_next(name, files)
        total += size
        _check_size(total)
        start, end = offset + _BLOCK, offset + _BLOCK + size
        offset = end + -size % _BLOCK
        if offset > len(data):
            raise InputError("the archive ends inside a file", got=f"{len(data)} bytes", expected=f"{offset}")
        if any(data[end:offset]):
            raise InputError(
                f"there are bytes hidden in the padding after `{name}`", expected="zeros", do=_REPACK
            )
        files[name] = bytes(data[start:end])
    if len(data) - offset != 2 * _BLOCK or any(data[offset:]):
        raise InputError(
            "the archive does not end as it must",
            got=f"{len(data) - offset} bytes after the last file",
            expected="two blocks of 512 zeros and nothing after them",
            do=_REPACK,
        )
    _check_names(files)
    return files


def digest(bundle: bytes) -> bytes:
    """SHA-256 of a packed bundle, 32 bytes: what terms, requests and approvals name."""
    return sha256(bundle)


def parse_bundle(data: bytes) -> Bundle:
    """An algorithm's bundle, checked: canonical archive, valid manifest, entrypoint present.

    Raises InputError.
    """
    files = unpack(data)
    if MANIFEST not in files:
        raise InputError(
            "the bundle has no manifest", got=f"{len(files)} files", expected=f"a file `{MANIFEST}`",
            do=f"Add `{MANIFEST}` at the top of the folder",
        )  # fmt: skip
    manifest = Manifest.parse(files[MANIFEST])
    if manifest.entrypoint not in files:
        raise InputError(
            "the bundle lacks its entrypoint", got=f"{len(files)} files", expected=f"a file `{manifest.entrypoint}`",
            do=f"Add the file, or correct `entrypoint` in `{MANIFEST}`",
        )  # fmt: skip
    return Bundle(manifest=manifest, files=files)


def _header(name: str, size: int) -> bytes:
    """The USTAR header of a plain file, 512 bytes; POSIX.1-1988."""
    fields = (
        name.encode("ascii").ljust(_NAME_BYTES, b"\0"),
        b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0",
        b" " * 8,  # the checksum counts itself as spaces
        b"0" + bytes(100) + b"ustar\x0000" + bytes(32 + 32) + b"0000000\0" * 2 + bytes(155 + 12),
    )
    checksum = sum(map(sum, fields))
    return fields[0] + fields[1] + b"%06o\0 " % checksum + fields[3]


def _block(data: bytes, offset: int) -> bytes:
    block = data[offset : offset + _BLOCK]
    if len(block) < _BLOCK:
        raise InputError(
            "the archive is cut short", got=f"{len(data)} bytes", expected="whole blocks of 512 bytes"
        )
    return block


def _read_header(block: bytes) -> tuple[str, int]:
    """Name and size from a header, refused unless `_header` gives the same 512 bytes."""
    name = _decode_name(block[:_NAME_BYTES].rstrip(b"\0"))
    if kind := _KINDS.get(block[156:157]):
        raise InputError(f"`{name}` is {kind}", expected="plain files only", do=_REPACK)
    _check_name(name)
    octal = block[124:135]
    if not re.fullmatch(rb"[0-7]{11}", octal):
        raise InputError(
            f"the size of `{name}` does not parse", got=octal, expected="11 octal digits", do=_REPACK
        )
    size = int(octal, 8)
    if _header(name, size) != block:
        raise InputError(
            f"the header of `{name}` is not canonical", got="other owner, mode, time, version or hidden bytes",
            expected="a USTAR header with zeroed metadata", do=_REPACK,
        )  # fmt: skip
    return name, size


def _decode_name(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise InputError("a file's name is not ASCII", got=raw, do="Rename the file") from None


def _check_next(name: str, files: dict[str, bytes]) -> None:
    """Refuses early, before a long archive is read to its end."""
    if len(files) >= MAX_FILES:
        raise InputError(
            "the archive has too many files", got=f"more than {len(files)}", expected=f"<= {MAX_FILES}"
        )
    if name in files:
        raise InputError("the archive has a file twice", got=name, do=_REPACK)
    if files and name < next(reversed(files)):
        raise InputError("the archive's files are not sorted by name", got=name, do=_REPACK)


def _check_size(total: int) -> None:
    if total > MAX_BYTES:
        raise InputError("the files are too large together", got=f"{total} bytes", expected=f"<= {MAX_BYTES}")


def _check_names(names: Iterable[str]) -> None:
    """Each name portable; no two that one file system would take for the same, no file that is also a folder."""
    kinds: dict[str, tuple[str, str]] = {}
    for count, name in enumerate(names, 1):
        if count > MAX_FILES:
            raise InputError("there are too many files", expected=f"<= {MAX_FILES}", do="Send fewer files")
        _check_name(name)
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path, kind = "/".join(parts[:depth]), "file" if depth == len(parts) else "folder"
            known = kinds.setdefault(path.lower(), (path, kind))
            if known != (path, kind) or (kind == "file" and known[0] != path):
                raise InputError(
                    "two names collide", got=f"{kind} `{path}` and {known[1]} `{known[0]}`",
                    expected="names that differ by more than case", do="Rename one of them",
                )  # fmt: skip


def _check_name(name: str) -> None:
    parts = name.split("/")
    fits = all(_SEGMENT.fullmatch(part) and part not in (".", "..") for part in parts)
    if not fits or len(name) > _NAME_BYTES:
        raise InputError(
            "a file's name is not allowed in a bundle", got=repr(name[:200]),
            expected="a relative name of at most 100 letters, digits and ._+-/, without `..`", do="Rename the file",
        )  # fmt: skip
