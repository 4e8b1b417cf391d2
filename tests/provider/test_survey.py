"""What lies at a path: tables in parts, pictures, files; and all that is refused by name before anything is written."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compute.formats.pictures import MAX_SIDE, read_header
from compute.provider.lying import look
from compute.provider.survey import DataKind, survey
from marketplace.core.content import Files, Images, PictureFormat, Table
from marketplace.core.listing_parts import Column, ColumnKind, TableFormat
from marketplace.errors import InputError, NotFoundError

SECRET = "Erika Mustermann"
Lay = Callable[..., Path]


def png(width: int = 2, height: int = 3) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(12))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg(width: int = 2, height: int = 3, *, before: bytes = b"") -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8\xff\xe0\0\x04ab" + before + b"\xff" + frame + b"\xff\xd9"


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lays files out in a folder."""

    def make(files: dict[str, bytes]) -> Path:
        root = tmp_path / "data"
        root.mkdir()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root

    return make


def test_a_table_in_parts_is_one_table_with_the_columns_of_all(lay: Lay) -> None:
    found = survey(lay({"2020/a.csv": b"x,y\n1,\n2,\n", "2021/b.CSV": b"x,y\n1.5,k\n"}))
    columns = (Column("x", ColumnKind.number), Column("y", ColumnKind.text))
    assert found.content == Table(TableFormat.csv, 3, columns, 2)
    assert [seen.name for seen in found.lying.files] == ["2020/a.csv", "2021/b.CSV"]
    assert found.warnings == ("2020/a.csv: column 2 (y) has no values: it is listed as text",)


def test_a_parquet_table_in_parts_is_read(lay: Lay) -> None:
    root = lay({})
    for number in range(3):
        pq.write_table(pa.table({"a": [number, 2], "b": ["x", None]}), root / f"part-{number}.parquet")
    content = survey(root).content
    columns = (Column("a", ColumnKind.integer), Column("b", ColumnKind.text))
    assert content == Table(TableFormat.parquet, 6, columns, 3)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (b"x\n1\n", "b.csv has another number of columns than a.csv"),
        (b"x,z\n1,2\n", "column 2 of b.csv has another name than in a.csv; got z; expected y"),
        (b"y,x\n1,2\n", "column 1 of b.csv has another name"),
        (
            f"x,y\n1,{SECRET}\n".encode(),
            r"column 2 of b.csv \(y\) holds another kind of values than in a.csv",
        ),
        (b"x,y\n1\n", "b.csv: row 1"),
        (b"", "b.csv is empty"),
        (b"x,y\n", "b.csv: the table has names but no rows"),
        (b"PK\x03\x04" + bytes(100), "b.csv is a zip"),
        (b"PAR1" + bytes(100) + b"PAR1", "b.csv"),
        (b"\x1f\x8b" + bytes(100), "b.csv is a gzip"),
    ],
)
def test_a_part_that_does_not_fit_is_named_and_no_cell_of_it(lay: Lay, part: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        survey(lay({"a.csv": b"x,y\n1,2\n", "b.csv": part}))
    assert SECRET not in str(caught.value)


def test_pictures_in_folders_are_listed_with_their_classes_and_nothing_counted_for_one(lay: Lay) -> None:
    found = survey(lay({"dog/1.png": png(), "cat/1.jpg": jpeg(), "cat/2.JPEG": jpeg(before=b"\xff\xd0")}))
    assert found.content == Images(3, (PictureFormat.jpeg, PictureFormat.png), ("cat", "dog"))
    assert found.warnings == ("the listing names these classes: cat, dog",)


def test_pictures_may_have_no_classes(lay: Lay) -> None:
    assert survey(lay({"1.png": png(), "2.png": png()})).content == Images(2, (PictureFormat.png,))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (png(50_000, 50_000), "too many pixels"),
        (png(MAX_SIDE, MAX_SIDE), "too many pixels"),
        (png(0, 5), "too many pixels or none"),
        (png(2**31 - 1, 1), "too many pixels"),
        (png()[:-4], "cut short"),
        (png()[:20], "no PNG header"),
        (png() + b"PK\x03\x04", "cut short, or bytes follow"),
        (jpeg(), "not of the format that its name says"),
        (b"PK\x03\x04" + bytes(1000), "no picture"),
        (b"", "no picture"),
    ],
    ids=["bomb", "wide and high", "none", "wide", "cut", "header", "zip behind", "jpeg", "zip", "empty"],
)
def test_a_picture_that_is_a_bomb_or_none_is_refused_by_name(lay: Lay, picture: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        survey(lay({"a/1.png": png(), "a/2.png": picture}))
    assert "a/2.png" in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (jpeg(50_000, 50_000), "too many pixels"),
        (jpeg(5, 0), "too many pixels or none"),
        (b"\xff\xd8" + b"\xff\xd0" * 100_000, "no frame"),
        (b"\xff\xd8" + b"\xff" * 1_000_000, "no frame"),
        (b"\xff\xd8\xff\xe0\xff\xff", "no frame"),
        (b"\xff\xd8\xff\xda\0\x04ab", "no frame"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08", "no frame"),
        (b"\xff\xd8\xff\xe0\0\0", "no frame"),
    ],
)
def test_a_jpeg_that_is_a_bomb_or_endless_is_refused_in_a_few_reads(picture: bytes, words: str) -> None:
    class Counted(BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            assert size is not None and 0 <= size <= 64
            return super().read(size)

    file = Counted(picture)
    with pytest.raises(InputError, match=words):
        read_header(file)
    assert file.reads < 20_000


def test_pictures_both_in_classes_and_beside_them_are_refused(lay: Lay) -> None:
    with pytest.raises(InputError, match=r"others beside them; got 1.png"):
        survey(lay({"1.png": png(), "cat/1.png": png()}))


@pytest.mark.parametrize(
    "files",
    [
        {"a.csv": b"x\n1\n", "b.parquet": b""},
        {"a.csv": b"x\n1\n", "notes.txt": b""},
        {"cat/1.png": b"", "cat/Thumbs.db": b""},
        {"a.csv": b"x\n1\n", "more.zip": b"PK\x03\x04"},
        {"scan.dcm": b""},
        {"a": b""},
    ],
)
def test_a_folder_of_several_or_unknown_kinds_is_listed_only_where_its_owner_says_files(
    lay: Lay, files: dict[str, bytes]
) -> None:
    root = lay(files)
    with pytest.raises(InputError, match="--kind files"):
        survey(root)
    assert survey(root, DataKind.files).content.records == len(files)


def test_files_have_media_types_by_their_names_whatever_the_machine_thinks(lay: Lay) -> None:
    root = lay({"a.pdf": b"", "b/c.PDF": b"", "d.json": b"{}", "e.unheardof": b"", "f.tar.gz": b"", "g": b""})
    types = ("application/json", "application/octet-stream", "application/pdf")
    assert survey(root, DataKind.files).content == Files(6, types)


def test_what_is_no_file_in_a_folder_is_refused_by_name(lay: Lay, tmp_path: Path) -> None:
    root = lay({"a.csv": b"x\n1\n"})
    odd = root / "odd.csv"
    for make, words in (
        (lambda: odd.symlink_to("/etc/passwd"), "a symbolic link"),
        (lambda: odd.symlink_to(root), "a symbolic link"),
        (lambda: os.mkfifo(odd), "a FIFO"),
        (lambda: os.mknod(odd, 0o600 | 0o020000, os.makedev(1, 5)), "a device"),
    ):
        try:
            make()
        except PermissionError:
            continue
        with pytest.raises(InputError, match=words):
            survey(root)
        odd.unlink()
    odd.mkdir()
    with pytest.raises(InputError, match=r"odd\.csv is empty"):
        survey(root)
    with pytest.raises(NotFoundError):
        survey(tmp_path / "nothing")


@pytest.mark.parametrize(
    "name",
    [b"esc\x1b[2J.csv", b"line\nbreak.csv", b"not-utf8-\xff.csv", b"turned-\xe2\x80\xae.csv", b"x" * 101],
)
def test_a_name_that_cannot_be_shown_is_refused(lay: Lay, name: bytes) -> None:
    root = lay({"a.csv": b"x\n1\n"})
    (root / os.fsdecode(name)).write_bytes(b"x\n1\n")
    with pytest.raises(InputError, match=r"file's name (cannot be used|is not UTF-8)") as caught:
        survey(root)
    assert str(caught.value).isprintable()


def test_folders_deeper_than_one_may_show_are_refused(lay: Lay) -> None:
    with pytest.raises(InputError, match="deep"):
        survey(lay({"/".join("abcdefghijklmnopq") + "/1.csv": b"x\n1\n"}))


def test_a_file_that_is_exchanged_between_two_looks_is_refused(lay: Lay) -> None:
    root = lay({"a.csv": b"x\n1\n"})
    lying = look(root)
    (root / "new").write_bytes(b"x\n1\n")
    (root / "new").replace(root / "a.csv")
    with pytest.raises(InputError, match="was changed"), lying.open(lying.files[0]):
        pass
    (root / "a.csv").unlink()
    os.mkfifo(root / "a.csv")
    with pytest.raises(InputError, match="was changed"), lying.open(lying.files[0]):
        pass
