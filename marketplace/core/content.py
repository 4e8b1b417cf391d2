"""What a dataset consists of, as its listing says it: a table, pictures, or files. Pure.

A table is one file, or parts with the same columns in a folder. Pictures lie in a folder, those of a class in a folder
of the class's name. Files are whatever else, of which nothing is known but how many they are and of which types.
Published are names and kinds of columns, names of classes, and how many rows and files there are in all; no file's
name, and nothing counted for a column or a class.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from marketplace.core.canonical import JsonValue
from marketplace.core.exact import brief
from marketplace.core.listing_parts import MAX_COLUMNS, Column, TableFormat
from marketplace.core.text import check_line
from marketplace.errors import InputError

MAX_CLASSES = 1_000
MAX_MEDIA_TYPES = 64
_MOST = 2**53 - 1
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+_-]{0,100}")
_LABEL = "([^/]+)/[^/]+$"
"""The folder that a picture lies in, found in its path."""


class PictureFormat(StrEnum):
    """The format of a picture."""

    png = "png"
    jpeg = "jpeg"


_TABLE_TYPES = {TableFormat.csv: "text/csv", TableFormat.parquet: "application/x-parquet"}
_TABLE_NAMES = {TableFormat.csv: ("*.csv",), TableFormat.parquet: ("*.parquet", "*.pq")}
_PICTURE_NAMES = {PictureFormat.png: ("*.png",), PictureFormat.jpeg: ("*.jpg", "*.jpeg")}


@dataclass(frozen=True)
class Table:
    """Rows with named columns. rows: at least 1. files: of a table in parts; None: it is one file."""

    format: TableFormat
    rows: int
    columns: tuple[Column, ...]
    files: int | None = None

    def __post_init__(self) -> None:
        _check_count(self.rows, "rows")
        if self.files is not None:
            _check_count(self.files, "files")
        if not 1 <= len(self.columns) <= MAX_COLUMNS:
            raise InputError("the number of columns", got=len(self.columns), expected=f"1 to {MAX_COLUMNS}")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise InputError("two columns have the same name", do="Rename one of them.")

    @property
    def records(self) -> int:
        return self.rows

    def words(self) -> str:
        parts = f" in {self.files} {self.format} files" if self.files else ""
        return f"{self.rows} rows{parts}"

    def distribution(self, within: str) -> JsonValue:
        media = _TABLE_TYPES[self.format]
        if self.files is not None:
            return _file_set("table", within, [media], _TABLE_NAMES[self.format], self.files)
        return {
            "@type": "cr:FileObject",
            "@id": "table",
            "name": f"table.{self.format}",
            "contentUrl": f"table.{self.format}",
            "containedIn": {"@id": within},
            "encodingFormat": media,
        }

    def record_sets(self) -> list[JsonValue]:
        place = "fileObject" if self.files is None else "fileSet"
        fields = [column.to_json(index, place) for index, column in enumerate(self.columns)]
        return [_record_set("records", self.rows, fields)]

    @classmethod
    def of_json(cls, files: Any, records: Mapping[str, Any]) -> Table:
        found = _required(records, "records")
        rows, columns = int(found["steelyard:rows"]), tuple(Column.of_json(one) for one in found["field"])
        if "steelyard:files" not in files:
            return cls(TableFormat(files["name"].removeprefix("table.")), rows, columns)
        formats = {media: form for form, media in _TABLE_TYPES.items()}
        return cls(formats[files["encodingFormat"][0]], rows, columns, int(files["steelyard:files"]))


@dataclass(frozen=True)
class Images:
    """Pictures. classes: names of the folders that they lie in, sorted; none: they have no classes."""

    pictures: int
    formats: tuple[PictureFormat, ...]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_count(self.pictures, "pictures")
        _check_sorted(self.formats, "the formats of the pictures", most=len(PictureFormat), least=1)
        _check_sorted(self.classes, "the classes", most=MAX_CLASSES)
        for name in self.classes:
            check_line(name, "a class's name")

    @property
    def records(self) -> int:
        return self.pictures

    def words(self) -> str:
        classes = f" of {len(self.classes)} classes" if self.classes else ""
        return f"{self.pictures} pictures ({', '.join(self.formats)}){classes}"

    def distribution(self, within: str) -> JsonValue:
        names = tuple(name for form in self.formats for name in _PICTURE_NAMES[form])
        return _file_set("images", within, [f"image/{form}" for form in self.formats], names, self.pictures)

    def record_sets(self) -> list[JsonValue]:
        fields = [_of_files("image", "sc:ImageObject", "content")]
        if not self.classes:
            return [_record_set("pictures", self.pictures, fields)]
        label = _of_files("label", "sc:Text", "fullpath")
        label["source"]["transform"] = {"regex": _LABEL}
        label["references"] = {"field": {"@id": "classes/name"}}
        return [_classes(self.classes), _record_set("pictures", self.pictures, [*fields, label])]

    @classmethod
    def of_json(cls, files: Any, records: Mapping[str, Any]) -> Images:
        _required(records, "pictures")
        classes = records["classes"]["data"] if "classes" in records else ()
        return cls(
            int(files["steelyard:files"]),
            tuple(PictureFormat(media.removeprefix("image/")) for media in files["encodingFormat"]),
            tuple(one["classes/name"] for one in classes),
        )


@dataclass(frozen=True)
class Files:
    """Files that nothing was read of. media_types: by their suffixes, sorted."""

    files: int
    media_types: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_count(self.files, "files")
        _check_sorted(self.media_types, "the media types", most=MAX_MEDIA_TYPES, least=1)
        for name in self.media_types:
            if not _MEDIA_TYPE.fullmatch(name):
                raise InputError("not a media type", got=brief(name), expected="as application/pdf")

    @property
    def records(self) -> int:
        return self.files

    def words(self) -> str:
        return f"{self.files} files ({', '.join(self.media_types)})"

    def distribution(self, within: str) -> JsonValue:
        return _file_set("files", within, list(self.media_types), ("**",), self.files)

    def record_sets(self) -> list[JsonValue]:
        return []

    @classmethod
    def of_json(cls, files: Any, records: Mapping[str, Any]) -> Files:
        return cls(int(files["steelyard:files"]), tuple(files["encodingFormat"]))


Content: TypeAlias = Table | Images | Files

_KINDS: Mapping[str, Callable[[Any, Mapping[str, Any]], Content]] = {
    "table": Table.of_json,
    "images": Images.of_json,
    "files": Files.of_json,
}


def kind_of(content: Content) -> str:
    """table, images or files."""
    return type(content).__name__.lower()


def counted(kind: str, records: int) -> str:
    """How much there is, in words: as `40 rows`. kind: as `kind_of` says it."""
    return f"{records} {_RECORDS.get(kind, 'records')}"


_RECORDS = {"table": "rows", "images": "pictures", "files": "files"}


def content_of(document: Any) -> Content:
    """What a listing that fits the schema says of the data. Raises InputError where its parts do not fit together."""
    files = document["distribution"][1]
    records = {one["@id"]: one for one in document.get("recordSet", ())}
    return _KINDS[files["@id"]](files, records)


def _file_set(name: str, within: str, media: list[str], includes: tuple[str, ...], files: int) -> JsonValue:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": {"@id": within},
        "encodingFormat": list(media),
        "includes": list(includes),
        "steelyard:files": files,
    }


def _record_set(name: str, rows: int, fields: list[Any]) -> JsonValue:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "steelyard:rows": rows, "field": fields}


def _of_files(name: str, data_type: str, file_property: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"pictures/{name}",
        "name": name,
        "dataType": data_type,
        "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": file_property}},
    }


def _classes(names: tuple[str, ...]) -> JsonValue:
    """Croissant's enumeration: the names themselves stand in the document."""
    field: JsonValue = {
        "@type": "cr:Field",
        "@id": "classes/name",
        "name": "name",
        "dataType": "sc:Text",
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/name"},
        "field": [field],
        "data": [{"classes/name": name} for name in names],
    }


def _required(records: Mapping[str, Any], name: str) -> Any:
    if name not in records:
        raise InputError(
            "the listing's recordSet does not fit its distribution", expected=f"one named {name}"
        )
    return records[name]


def _check_count(value: int, what: str) -> None:
    if not 1 <= value <= _MOST:
        raise InputError(f"a listed dataset has {what}", got=value, expected="at least 1")


def _check_sorted(values: tuple[str, ...], what: str, *, most: int, least: int = 0) -> None:
    if not least <= len(values) <= most or list(values) != sorted(set(values)):
        raise InputError(
            f"{what} do not fit", got=f"{len(values)} names", expected=f"{least} to {most}, sorted, each once"
        )
