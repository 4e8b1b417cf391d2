"""Bundles: one archive per content, and nothing else is read."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core import bundle
from marketplace.core.bundle import digest, pack, parse_bundle, unpack
from marketplace.errors import InputError

MANIFEST = b"""
name = "ten-lines"
version = "1.0.0"
description = "counts rows"
entrypoint = "run.py"
mode = "single"
environment = "python-ml"
[[outputs]]
name = "count.json"
format = "json"
max_bytes = 1000
description = "the number of rows"
"""
FILES = {"algorithm.toml": MANIFEST, "run.py": b"print('hello')\n", "lib/a.py": b"", "lib/b.py": b"x" * 1500}

_segments = st.text(st.sampled_from("abXY_.+-1"), min_size=1, max_size=8)
_names = st.lists(_segments, min_size=1, max_size=3).map("/".join)


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, link, 0
    return info


def test_packing_does_not_depend_on_the_order_of_the_files() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))


def test_packing_gives_the_same_bytes_on_each_machine() -> None:
    expected = "083cacf4fa23d08472d3f5ec2f722624f5474e07434fac025c8bf267f6d1b3e2"
    assert hashlib.sha256(pack(FILES)).hexdigest() == expected
    assert digest(pack(FILES)).hex() == expected


def test_unpacking_gives_back_what_was_packed() -> None:
    assert unpack(pack(FILES)) == FILES
    assert list(unpack(pack(FILES))) == sorted(FILES)
    assert unpack(pack({})) == {}


def test_a_packed_bundle_is_a_tar_for_everyone() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as archive:
        read = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
        assert all(info.mtime == info.uid == info.gid == 0 and info.mode == 0o644 for info in archive)
    assert read == FILES


@given(st.dictionaries(_names, st.binary(max_size=1100), max_size=6))
def test_every_set_of_files_is_packed_and_read_back_or_refused(files: dict[str, bytes]) -> None:
    try:
        data = pack(files)
    except InputError:
        return
    assert unpack(data) == files


@given(st.binary(max_size=2048))
def test_random_bytes_raise_only_input_errors(data: bytes) -> None:
    with pytest.raises(InputError):
        unpack(data or b"x")


@given(st.integers(0, len(pack(FILES)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_digest(position: int, change: int) -> None:
    data = bytearray(pack(FILES))
    data[position] ^= change
    try:
        files = unpack(bytes(data))
    except InputError:
        return
    assert pack(files) == bytes(data)
    assert digest(bytes(data)) != digest(pack(FILES))


BAD_NAMES = [
    "../x", "a/../b", "/etc/passwd", "a//b", "a/", "", ".", "./a", "a\\b", "a\0b", "ä", "a b", "-rf", "a\n", "a:b",
    "x" * 101, "a/.", "..",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_packing_refuses_a_name_that_is_not_portable(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        pack({name: b""})


@pytest.mark.parametrize(
    "name", [name for name in BAD_NAMES if "\0" not in name and len(name) <= 100 and name]
)
def test_unpacking_refuses_a_name_that_is_not_portable(name: str) -> None:
    with pytest.raises(InputError):
        unpack(tar_of([(member(name), b"data")]))


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"), (tarfile.FIFOTYPE, "FIFO"), (tarfile.DIRTYPE, "folder"),
    ],
)  # fmt: skip
def test_unpacking_refuses_links_devices_and_folders(kind: bytes, word: str) -> None:
    with pytest.raises(InputError, match=word):
        unpack(tar_of([(member("a", kind, "/etc/passwd"), b"")]))


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_unpacking_refuses_other_dialects_of_tar(tar_format: int) -> None:
    with pytest.raises(InputError):
        unpack(tar_of([(member("a" * 90 + "/" + "b" * 90), b"data")], tar_format))


@pytest.mark.parametrize(
    "files",
    [{"a.py": b"", "A.py": b""}, {"a": b"", "a/b": b""}, {"A/x": b"", "a/y": b""}, {"a": b"", "A/b": b""}],
)
def test_packing_refuses_names_that_collide_on_some_file_system(files: dict[str, bytes]) -> None:
    with pytest.raises(InputError, match="collide"):
        pack(files)


def _spliced(*archives: bytes) -> bytes:
    return b"".join(archive[:-1024] for archive in archives) + bytes(1024)


def test_unpacking_refuses_names_that_collide() -> None:
    with pytest.raises(InputError, match="collide"):
        unpack(_spliced(pack({"A": b""}), pack({"a": b""})))


def test_unpacking_refuses_a_file_that_stands_twice() -> None:
    with pytest.raises(InputError, match="twice"):
        unpack(_spliced(pack({"a": b"1"}), pack({"a": b"2"})))


def test_unpacking_refuses_files_that_are_not_sorted() -> None:
    with pytest.raises(InputError, match="sorted"):
        unpack(_spliced(pack({"b": b"1"}), pack({"a": b"2"})))


def test_ten_thousand_files_are_refused() -> None:
    many = [pack({f"f{number:05}": b""})[:-1024] for number in range(10_000)]
    with pytest.raises(InputError, match="too many files"):
        unpack(b"".join(many) + bytes(1024))
    with pytest.raises(InputError, match="too many files"):
        pack({f"f{number:05}": b"" for number in range(10_000)})


def test_a_thousand_files_are_accepted() -> None:
    files = {f"f{number:05}": b"" for number in range(bundle.MAX_FILES)}
    assert unpack(pack(files)) == files


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    claim = pack({"a": b""})[:-1024].replace(b"00000000000\x0000000000000", b"77777777777\x0000000000000", 1)
    checked = bytearray(claim)
    checked[148:156] = b" " * 8
    checked[148:156] = b"%06o\0 " % sum(checked[:512])
    with pytest.raises(InputError, match="too large"):
        unpack(bytes(checked) + bytes(1024))
    with pytest.raises(InputError, match="too large"):
        pack({"a": bytes(bundle.MAX_BYTES + 1)})


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\0", lambda data: data + bytes(512), lambda data: data[:-512], lambda data: data[:-1],
        lambda data: data[:-1] + b"\1", lambda data: data[:700], lambda data: b"", lambda data: data[:100],
    ],
)  # fmt: skip
def test_unpacking_refuses_an_end_that_is_not_canonical(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InputError):
        unpack(change(pack({"a": b"x" * 600})))


def test_unpacking_refuses_bytes_hidden_in_the_padding() -> None:
    data = bytearray(pack({"a": b"x"}))
    data[600] = 7
    with pytest.raises(InputError, match="hidden"):
        unpack(bytes(data))


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "mtime", "uname"])
def test_unpacking_refuses_metadata(field: str) -> None:
    info = member("a")
    setattr(info, field, "root" if field == "uname" else 1)
    data = tar_of([(info, b"data")])
    with pytest.raises(InputError, match="not canonical"):
        unpack(data[:1024] + bytes(1024))


def test_a_bundle_holds_its_manifest_and_its_files() -> None:
    parsed = parse_bundle(pack(FILES))
    assert parsed.manifest.name == "ten-lines"
    assert parsed.files == FILES


@pytest.mark.parametrize("missing", ["algorithm.toml", "run.py"])
def test_a_bundle_without_manifest_or_entrypoint_is_refused(missing: str) -> None:
    files = {name: content for name, content in FILES.items() if name != missing}
    with pytest.raises(InputError, match=missing):
        parse_bundle(pack(files))
