"""The archive of a folder: one for each set of files, streamed, read by others' tar, and nothing else is read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.archive import MAX_FILES, Member, check_name, pack, stream, unpack
from marketplace.errors import InputError

BLOCK = 512
unhurried = settings(deadline=None, max_examples=60)
parts = st.text(st.sampled_from("abcé ü.-_1"), min_size=1, max_size=30).filter(lambda part: part.strip("."))
names = st.lists(parts, min_size=1, max_size=6).map("/".join).filter(lambda name: len(name.encode()) <= 255)
files = st.dictionaries(names, st.binary(max_size=1_500), min_size=1, max_size=8)


def members(content: dict[str, bytes]) -> Iterator[Member]:
    for name in sorted(content, key=str.encode):
        yield Member(name, len(content[name]), [content[name]] if content[name] else [])


def packed(content: dict[str, bytes]) -> bytes:
    return b"".join(pack(members(content)))


def unpacked(data: bytes, piece: int = 700) -> dict[str, bytes]:
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    return {member.name: b"".join(member.content) for member in unpack(pieces)}


SMALL = {"cat/1.png": b"one", "cat/2.png": b"", "dog/1.png": b"x" * 600}


@unhurried
@given(files, st.integers(1, 2_000))
def test_what_was_packed_is_unpacked_whatever_pieces_it_comes_in(
    content: dict[str, bytes], piece: int
) -> None:
    try:
        data = packed(content)
    except InputError as error:  # a file that is also a folder, or a long last part
        assert "folder" in error.what or "name" in error.what
        return
    assert unpacked(data, piece) == content
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {one.name: tar.extractfile(one).read() for one in tar} == content  # type: ignore[union-attr]


def test_one_set_of_files_has_one_archive_without_times_or_owners() -> None:
    assert packed(SMALL) == packed(dict(reversed(SMALL.items())))
    with tarfile.open(fileobj=io.BytesIO(packed(SMALL))) as tar:
        assert {(one.mtime, one.uid, one.gid, one.mode, one.uname) for one in tar} == {(0, 0, 0, 0o644, "")}


def test_a_file_of_more_than_8_gib_has_a_header_that_other_tars_read() -> None:
    size = 9 << 30
    header = next(pack([Member("large.bin", size, [])]))
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size


def test_the_stream_is_read_in_pieces_and_never_whole() -> None:
    def endless() -> Iterator[bytes]:
        for number in range(1_000):
            yield bytes([number % 256]) * 1_000_000
            assert number < 5, "more was read than was asked for"

    with stream(pack([Member("a", 1 << 40, endless())])) as file:
        assert len(file.read(BLOCK)) == BLOCK
        assert file.read(3) == b"\0\0\0"


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a\nb", "a\x1b[2J", "a\u202eb", "x" * 256,
     "x" * 101, "/".join("a" * 17), "nul\0"],
    ids=ascii,
)  # fmt: skip
def test_a_name_that_no_folder_of_data_may_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="name cannot be used"):
        check_name(name)


@pytest.mark.parametrize(
    "order",
    [["b", "a"], ["a", "a"], ["a", "a/b"], ["a", "a-b", "a/b"]],
    ids=["unsorted", "twice", "both", "later"],
)
def test_files_out_of_order_twice_or_also_folders_are_refused(order: list[str]) -> None:
    with pytest.raises(InputError, match=r"not sorted|both a file and a folder"):
        list(pack(Member(name, 0, []) for name in order))


def test_more_files_than_there_may_be_are_refused() -> None:
    with pytest.raises(InputError, match="too many files"):
        for _ in pack(Member(f"{number:06}", 0, []) for number in range(MAX_FILES + 1)):
            pass


@pytest.mark.parametrize("content", [b"", b"12", b"1234"])
def test_content_of_another_size_than_said_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="changed its size"):
        list(pack([Member("a", 3, [content])]))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_an_archive_with_anything_but_plain_files_is_refused(kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(InputError, match=r"not canonical|name cannot be used"):
        unpacked(out.getvalue())


@unhurried
@given(st.data())
def test_an_archive_changed_anywhere_is_refused_or_holds_other_content(data: st.DataObject) -> None:
    whole = bytearray(packed(SMALL))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unpacked(bytes(whole))
    except InputError:
        return
    assert packed(found) == bytes(whole)


@pytest.mark.parametrize("cut", [0, 100, BLOCK, BLOCK + 2, -BLOCK, -2 * BLOCK, -1])
def test_an_archive_that_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(InputError):
        unpacked(packed(SMALL)[:cut])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(InputError, match="does not end"):
        unpacked(packed(SMALL) + b"\0")
