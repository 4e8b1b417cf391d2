"""A folder of data as one stream: a canonical tar, written and read piece by piece, never whole in memory. Pure.

One set of files has one archive: USTAR, plain files only, names sorted by their UTF-8 bytes, mode 0644, owner, group
and time zero, ended by two zero blocks. Names longer than 100 bytes use the prefix field, split at the first slash that
fits; sizes from 8 GiB on are written in base 256, as GNU tar does. What `pack` would not write is refused by `unpack`,
so nothing hides in headers, padding or after the end. As `bundle`, but for names and sizes that data has.

Covered: `..`, absolute names, links, devices, folders, names twice or out of order, a file that is also a folder,
names that hide characters, archives of more files than there may be, contents shorter or longer than they claim.
Not covered: what the files say; names that differ only by case, which one folder of Linux can hold.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from marketplace.errors import InputError

MAX_FILES = 100_000
MAX_NAME = 255
"""Bytes of a file's whole path."""

MAX_DEPTH = 16
_BLOCK = 512
_NAME, _PREFIX = 100, 155
_OCTAL = 8**11
_OCTAL_SIZE = re.compile(rb"[0-7]{11}\0")
_EXPECTED = (
    f"a relative path of at most {MAX_NAME} bytes, {MAX_DEPTH} deep, of characters that show, without `..`"
)


@dataclass(frozen=True)
class Member:
    """One file of an archive. content: its bytes, in pieces, to be read before the next member is asked for."""

    name: str
    size: int
    content: Iterable[bytes]


def check_name(name: str) -> None:
    """Raises InputError unless a file of data may have this path: it is shown under it in the sandbox."""
    parts = name.split("/")
    fits = all(part not in ("", ".", "..") for part in parts) and len(parts) <= MAX_DEPTH
    if not fits or not name.isprintable() or len(name.encode()) > MAX_NAME:
        raise InputError(
            "a file's name cannot be used", got=ascii(name)[:300], expected=_EXPECTED, do="Rename it."
        )
    _split(name)


def pack(members: Iterable[Member]) -> Iterator[bytes]:
    """The archive's bytes, in pieces. members: in the order of their names.

    Raises InputError for a name that cannot be used, members out of order or too many, content of another size than
    said; and what reading the content raises.
    """
    order = _Order()
    for member in members:
        order.check(member.name)
        yield _header(member.name, member.size)
        given = 0
        for piece in member.content:
            given += len(piece)
            yield piece
        if given != member.size:
            raise InputError(
                "a file changed its size while it was read", got=given, expected=f"{member.size} bytes"
            )
        yield bytes(-member.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def unpack(pieces: Iterable[bytes]) -> Iterator[Member]:
    """The files of an archive that `pack` made; what a member's content leaves unread is skipped.

    Raises InputError for every other archive, at the first byte that `pack` would not have written there.
    """
    source, order = _Source(pieces), _Order()
    while any(block := source.take(_BLOCK)):
        name, size = _read_header(block)
        order.check(name)
        content = source.give(size)
        yield Member(name, size, content)
        for _ in content:
            pass
        if any(source.take(-size % _BLOCK)):
            raise InputError(f"there are bytes hidden in the padding after `{name}`", expected="zeros")
    if any(source.take(_BLOCK)) or source.is_more():
        raise InputError("the archive does not end as it must", expected="two blocks of 512 zeros, no more")


def stream(pieces: Iterable[bytes]) -> io.BufferedReader:
    """Pieces as a file to be read once, from its beginning."""
    return io.BufferedReader(_Raw(iter(pieces)), 1 << 20)


class _Raw(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # a writable buffer, by the protocol
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Source:
    """Takes exact numbers of bytes from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), memoryview(b"")

    def is_more(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = memoryview(piece)
        return True

    def give(self, size: int) -> Iterator[bytes]:
        while size:
            if not self.is_more():
                raise InputError("the archive is cut short", expected=f"{size} bytes more")
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield bytes(piece)

    def take(self, size: int) -> bytes:
        return b"".join(self.give(size))


class _Order:
    """Names come sorted, each once, none of them also the folder of another."""

    def __init__(self) -> None:
        self._before = b""
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def check(self, name: str) -> None:
        check_name(name)
        if len(self._files) >= MAX_FILES:
            raise InputError("there are too many files", expected=f"at most {MAX_FILES}")
        if name.encode() <= self._before:
            raise InputError("the files are not sorted by name, each once", got=ascii(name)[:300])
        parts = name.split("/")
        folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if name in self._folders or not self._files.isdisjoint(folders):
            raise InputError("a name is both a file and a folder", got=ascii(name)[:300])
        self._files.add(name)
        self._folders |= folders
        self._before = name.encode()


def _split(name: str) -> tuple[bytes, bytes]:
    """(prefix, name) as the header holds them. Raises InputError where no slash splits a long name so."""
    whole = name.encode()
    if len(whole) <= _NAME:
        return b"", whole
    for place, byte in enumerate(whole[: _PREFIX + 1]):
        if byte == ord("/") and place and len(whole) - place - 1 <= _NAME:
            return whole[:place], whole[place + 1 :]
    raise InputError(
        "a file's name cannot be used",
        got=ascii(name)[:300],
        expected=f"at most {_NAME} bytes in the last part of its path",
        do="Rename it.",
    )


def _header(name: str, size: int) -> bytes:
    """The USTAR header of a plain file, 512 bytes; POSIX.1-1988, and GNU tar's base 256 for large sizes."""
    prefix, last = _split(name)
    octal = b"%011o\0" % size if size < _OCTAL else b"\x80" + size.to_bytes(11, "big")
    before = last.ljust(_NAME, b"\0") + b"0000644\0" + b"0000000\0" * 2 + octal + b"00000000000\0"
    after = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + prefix.ljust(_PREFIX, b"\0")
    after += bytes(12)
    checksum = sum(before) + sum(after) + 8 * ord(" ")  # the checksum counts itself as spaces
    return before + b"%06o\0 " % checksum + after


def _read_header(block: bytes) -> tuple[str, int]:
    """Name and size from a header, refused unless `_header` gives the same 512 bytes."""
    parts = (block[345 : 345 + _PREFIX].rstrip(b"\0"), block[:_NAME].rstrip(b"\0"))
    try:
        name = b"/".join(part for part in parts if part).decode()
    except UnicodeDecodeError:
        raise InputError("a file's name is not UTF-8", got=ascii(parts)[:300]) from None
    size = _read_size(block[124:136])
    check_name(name)
    if size is None or _header(name, size) != block:
        raise InputError(
            f"the header of `{name!a}` is not canonical",
            got="a link, device, folder, other owner, mode, time or hidden bytes",
            expected="a USTAR header of a plain file with zeroed metadata",
        )
    return name, size


def _read_size(field: bytes) -> int | None:
    if _OCTAL_SIZE.fullmatch(field):
        return int(field[:11], 8)
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else None
