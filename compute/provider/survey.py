"""What lies at a path, as a provider wants to list it: a table, a table in parts, pictures, or files.

Every file is looked into before anything is written, in bounded memory: tables cell by cell, pictures by their headers.
Files of other kinds are not looked into, so they are listed only where the provider says so: an archive or an Excel
file among tables is a slip more often than a wish.

Covered: as `profile`, `lying` and `formats.pictures`; parts whose columns differ, pictures among which something else
lies or that lie both in folders of classes and beside them, names that say another format than the bytes.
Not covered: a class's name may say something about people, and it is published.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath

from compute.formats.pictures import read_header
from compute.provider.lying import Lying, Seen, look
from compute.provider.profile import PARQUET_SUFFIXES, paced, profile_file
from compute.provider.table import Column, Profile
from marketplace.core.content import MAX_MEDIA_TYPES, Content, Files, Images, PictureFormat, Table
from marketplace.core.listing_parts import ColumnKind
from marketplace.errors import InputError

Progress = Callable[[int, int], None]
_CSV_SUFFIXES = frozenset({".csv"})
_PICTURE_SUFFIXES = {
    ".png": PictureFormat.png,
    ".jpg": PictureFormat.jpeg,
    ".jpeg": PictureFormat.jpeg,
}
_UNKNOWN = "application/octet-stream"
_TYPES = mimetypes.MimeTypes()  # Python's own table: the machine's would make listings differ
_NUMBERS = frozenset({ColumnKind.integer, ColumnKind.number})


class DataKind(StrEnum):
    """What a provider says that something is."""

    table = "table"
    images = "images"
    files = "files"


@dataclass(frozen=True)
class Survey:
    """What was found. warnings: plain sentences for the provider, who goes on all the same."""

    lying: Lying
    content: Content
    warnings: tuple[str, ...] = ()


def survey(path: Path, kind: DataKind | None = None, *, progress: Progress | None = None) -> Survey:
    """Looks at a file or at all of a folder. kind: None, to find it out.

    progress: called with (bytes done, bytes in all), now and then. Raises InputError naming the file, and what does
    not fit in it; NotFoundError; UnavailableError if the disk fails.
    """
    lying = look(path)
    kind = kind or _kind_of(lying)
    if kind is DataKind.files:
        return Survey(lying, Files(len(lying.files), _media_types(lying.files)))
    tick = paced(progress, lying.size)
    return _images(lying, tick) if kind is DataKind.images else _table(lying, tick)


def _kind_of(lying: Lying) -> DataKind:
    """By the names: all of one kind."""
    if not lying.folder:
        return DataKind.table
    suffixes = {_suffix(seen.name): seen.name for seen in reversed(lying.files)}
    for kind, known in (
        (DataKind.table, _CSV_SUFFIXES),
        (DataKind.table, PARQUET_SUFFIXES),
        (DataKind.images, _PICTURE_SUFFIXES.keys()),
    ):
        if suffixes.keys() <= known:
            return kind
    tables = _CSV_SUFFIXES | PARQUET_SUFFIXES | _PICTURE_SUFFIXES.keys()
    odd = next((suffixes[one] for one in sorted(suffixes) if one not in tables), min(suffixes.values()))
    raise InputError(
        f"{lying.path} holds files of several kinds, or of one that is not read here",
        got=odd,
        expected="only CSV, only Parquet, or only PNG and JPEG files",
        do="Move the others away, or list all as they are, unread, by --kind files.",
    )


def _media_types(files: Sequence[Seen]) -> tuple[str, ...]:
    found = {_media_type(seen.name) for seen in files}
    return tuple(sorted(found)) if len(found) <= MAX_MEDIA_TYPES else (_UNKNOWN,)


def _media_type(name: str) -> str:
    guessed, packed = _TYPES.guess_type(f"x{_suffix(name)}")
    return _UNKNOWN if packed or guessed is None else guessed.lower()


def _table(lying: Lying, tick: Callable[[int], None]) -> Survey:
    parts = [(seen.name, profile) for seen, profile in _profiles(lying, tick)]
    if not lying.folder:
        profile = parts[0][1]
        content = Table(profile.format, profile.rows, profile.listed_columns())
        return Survey(lying, content, profile.warnings)
    joined = parts[0]
    for part in parts[1:]:
        joined = _join(joined, part)
    first = parts[0][1]
    rows = sum(profile.rows for _, profile in parts)
    content = Table(first.format, rows, joined[1].listed_columns(), len(parts))
    return Survey(lying, content, tuple(_warnings(parts)))


def _profiles(lying: Lying, tick: Callable[[int], None]) -> Iterator[tuple[Seen, Profile]]:
    done = 0
    for seen in lying.files:
        suffix = _suffix(seen.name)
        if lying.folder and suffix not in _CSV_SUFFIXES | PARQUET_SUFFIXES:
            raise InputError(
                f"{seen.name} is no part of a table", expected="names that end in .csv or .parquet"
            )
        with _naming(seen, lying), lying.open(seen) as file:
            begun = done
            profile = profile_file(file, seen.size, lying.place(seen), lambda now: tick(begun + now))  # noqa: B023
        if lying.folder and (str(profile.format) == "parquet") != (suffix in PARQUET_SUFFIXES):
            raise InputError(f"{seen.name} is not of the format that its name says", got=profile.format)
        yield seen, profile
        done += seen.size


class _naming:  # noqa: N801 - used as a function
    """Errors in a folder's file say which one it is; a single file's error says so by its path or needs not."""

    def __init__(self, seen: Seen, lying: Lying) -> None:
        self._name = seen.name if lying.folder else ""

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: object, __: object) -> None:
        if self._name and type(error) is InputError and self._name not in error.what:
            raise InputError(
                f"{self._name}: {error.what}", got=error.got, expected=error.expected, do=error.do
            ) from None


def _join(before: tuple[str, Profile], part: tuple[str, Profile]) -> tuple[str, Profile]:
    """The columns of both, under the first one's name. Raises InputError naming file and column that differ."""
    (first, joined), (name, profile) = before, part
    if profile.format != joined.format:
        raise InputError(f"{name} is {profile.format}", expected=f"{joined.format}, as {first}")
    if len(profile.columns) != len(joined.columns):
        raise InputError(
            f"{name} has another number of columns than {first}",
            got=len(profile.columns),
            expected=len(joined.columns),
        )
    pairs = zip(joined.columns, profile.columns, strict=True)
    columns = [
        _join_column(left, right, joined.rows, profile.rows, f"column {number} of {name}", first)
        for number, (left, right) in enumerate(pairs, 1)
    ]
    return first, replace(joined, columns=tuple(columns), rows=joined.rows + profile.rows)


def _join_column(left: Column, right: Column, rows: int, more: int, where: str, first: str) -> Column:
    if left.name != right.name:
        raise InputError(f"{where} has another name than in {first}", got=right.name, expected=left.name)
    missing = left.missing + right.missing
    if right.missing == more or left.kind is right.kind:
        return replace(left, missing=missing)
    if left.missing == rows:  # so far without any value
        return replace(right, missing=missing)
    if {left.kind, right.kind} == _NUMBERS:
        return replace(left, kind=ColumnKind.number, missing=missing)
    raise InputError(
        f"{where} ({left.name}) holds another kind of values than in {first}",
        got=right.kind,
        expected=left.kind,
        do="Write all parts with the same kinds of columns.",
    )


def _warnings(parts: Sequence[tuple[str, Profile]]) -> Iterator[str]:
    for name, profile in parts:
        yield from (f"{name}: {warning}" for warning in profile.warnings)


def _images(lying: Lying, tick: Callable[[int], None]) -> Survey:
    if not lying.folder:
        raise InputError(f"{lying.path} is one file", expected="a folder of pictures, or of folders of them")
    formats, classes, done = set(), set(), 0
    for seen in lying.files:
        formats.add(_picture(lying, seen))
        classes.add(PurePosixPath(seen.name).parent.name)
        done += seen.size
        tick(done)
    if "" in classes and len(classes) > 1:
        alone = next(seen.name for seen in lying.files if "/" not in seen.name)
        raise InputError(
            "some pictures lie in folders of classes, others beside them",
            got=alone,
            expected="all as CLASS/NAME, or none",
        )
    content = Images(len(lying.files), tuple(sorted(formats)), tuple(sorted(classes - {""})))
    named = f"the listing names these classes: {', '.join(content.classes)}"
    return Survey(lying, content, (named,) if content.classes else ())


def _picture(lying: Lying, seen: Seen) -> PictureFormat:
    expected = _PICTURE_SUFFIXES.get(_suffix(seen.name))
    if expected is None:
        raise InputError(f"{seen.name} is no picture by its name", expected=", ".join(_PICTURE_SUFFIXES))
    with lying.open(seen) as file:
        try:
            found = read_header(file)
        except InputError as error:
            raise InputError(
                f"{seen.name} cannot be listed as a picture: {error.what}",
                got=error.got,
                expected=error.expected,
                do="Mend it or move it away.",
            ) from None
    if found.format != expected:
        raise InputError(f"{seen.name} is not of the format that its name says", got=found.format)
    return expected


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
