"""What may leave the sandbox, and what every attempt to take more is told."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.provider.release import ReleaseRefused, review
from marketplace.core.bundle import pack, unpack
from marketplace.core.environments import WantedEnvironment
from marketplace.core.manifest import MAX_OUTPUT_BYTES, Format, Limits, Manifest, Mode, Output
from marketplace.core.parameters import ParameterSchema
from marketplace.errors import UnavailableError

SECRET = b"patient 4711"


def declare(*outputs: tuple[str, Format], max_bytes: int = 10_000) -> Manifest:
    return Manifest(
        name="x",
        version="1.0.0",
        description="x",
        entrypoint="x.py",
        mode=Mode.SINGLE,
        environment=WantedEnvironment("python-ml"),
        outputs=tuple(Output(name, form, max_bytes, "x") for name, form in outputs),
        limits=Limits(),
        parameters=ParameterSchema({"type": "object"}),
    )


ONE_JSON = declare(("m.json", Format.JSON))


def refusal(
    folder: Path, manifest: Manifest = ONE_JSON, *, opaque_allowed: bool = False
) -> tuple[str, str, str]:
    with pytest.raises(ReleaseRefused) as caught:
        review(folder, manifest, opaque_allowed=opaque_allowed)
    return caught.value.fault, caught.value.reason, caught.value.detail


def test_declared_outputs_are_released_and_packed(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{ "b": 1.50,\n "a": [] }')
    (tmp_path / "t.csv").write_text('x,"y"\r\n1,"2"\r\n')
    released = review(tmp_path, declare(("m.json", Format.JSON), ("t.csv", Format.CSV)), opaque_allowed=False)
    assert released.files == {"m.json": b'{"a":[],"b":1.5}', "t.csv": b"x,y\n1,2\n"}
    assert unpack(pack(released.files)) == released.files


def test_a_missing_output_is_the_algorithms_fault(tmp_path: Path) -> None:
    assert refusal(tmp_path)[:2] == ("algorithm", "the declared output `m.json` is missing")


def test_an_undeclared_output_is_against_policy_even_where_another_is_missing(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(SECRET)
    assert refusal(tmp_path)[0] == "policy"


def test_the_reason_never_repeats_a_name_that_the_algorithm_chose(tmp_path: Path) -> None:
    (tmp_path / SECRET.decode()).write_bytes(b"")
    _, reason, detail = refusal(tmp_path)
    assert SECRET.decode() not in reason
    assert SECRET.decode() in detail


@pytest.mark.parametrize("content", [b'{"%s": 1, "%s": 2}' % (SECRET, SECRET), b'["%s' % SECRET])
def test_the_reason_never_repeats_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    fault, reason, _ = refusal(tmp_path)
    assert fault == "algorithm"
    assert SECRET.decode() not in reason


def test_a_hidden_file_is_undeclared(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{}")
    (tmp_path / ".cache").write_text("x")
    assert refusal(tmp_path)[0] == "policy"


def test_a_folder_is_refused_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "m.json").mkdir()
    assert refusal(tmp_path)[0] == "policy"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("{}")
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "m.json").symlink_to(tmp_path / "target")
    assert refusal(folder)[0] == "policy"


def test_a_folder_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnavailableError):
        review(tmp_path / "link", ONE_JSON, opaque_allowed=False)


def test_a_fifo_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.json")
    assert refusal(tmp_path)[0] == "policy"


def test_an_output_larger_than_declared_is_against_policy(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b" " * 9_999 + b"1")
    assert review(tmp_path, ONE_JSON, opaque_allowed=False).files == {"m.json": b"1"}
    (tmp_path / "m.json").write_bytes(b" " * 10_000 + b"1")
    assert refusal(tmp_path)[0] == "policy"


def test_a_huge_sparse_output_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "m.json").open("wb") as file:
        file.truncate(10 * 2**40)
    assert refusal(tmp_path)[0] == "policy"


def test_outputs_that_are_too_large_together_are_against_policy(tmp_path: Path) -> None:
    half = declare(("a", Format.OPAQUE), ("b", Format.OPAQUE), max_bytes=MAX_OUTPUT_BYTES // 2 + 1)
    for name in "ab":
        with (tmp_path / name).open("wb") as file:
            file.truncate(MAX_OUTPUT_BYTES // 2 + 1)
    assert refusal(tmp_path, half, opaque_allowed=True)[0] == "policy"


def test_opaque_outputs_leave_only_under_terms_that_allow_them(tmp_path: Path) -> None:
    manifest = declare(("m.pkl", Format.OPAQUE))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert refusal(tmp_path, manifest)[0] == "policy"
    released = review(tmp_path, manifest, opaque_allowed=True)
    assert released.files == {"m.pkl": pickle.dumps({"a": 1})}


def torch_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps([1]))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"w": [1.0]}), "a Python pickle"),
        (pickle.dumps({"w": [1.0]}, protocol=0), "a Python pickle"),
        (torch_archive(), "a torch .pt archive (pickle inside)"),
    ],
)
@pytest.mark.parametrize("form", [Format.SAFETENSORS, Format.JSON, Format.PNG, Format.CSV])
def test_a_pickle_under_another_name_is_recognised(
    tmp_path: Path, form: Format, content: bytes, words: str
) -> None:
    (tmp_path / "m").write_bytes(content)
    fault, reason, _ = refusal(tmp_path, declare(("m", form)), opaque_allowed=True)
    assert fault == "algorithm"
    assert f"{words}, an opaque format" in reason


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'id'\ntR.",
        b"N0cos\nsystem\n(S'id'\ntR.\nmore\n",
        b"(ios\nsystem\n.",
        b"N0" * 6_000,
        b"cos\nsystem\n(S'id'\ntR,",
    ],
)
def test_a_table_that_is_a_program_too_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    fault, reason, _ = refusal(tmp_path, declare(("t.csv", Format.CSV), max_bytes=20_000))
    assert fault == "algorithm"
    assert "program" in reason


@pytest.mark.parametrize(
    "content", [b"city\nBerlin\nHamburg\n", b"city\nBerlin\nSt.\n", b".5\n1\n", b"I1\n.\n"]
)
def test_a_table_that_only_begins_like_a_program_is_released(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert review(tmp_path, declare(("t.csv", Format.CSV)), opaque_allowed=False).files == {"t.csv": content}


def weights(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(start: int, end: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, object]:
    return {
        "dtype": dtype,
        "shape": [(end - start) // 4] if shape is None else shape,
        "data_offsets": [start, end],
    }


FLOATS = struct.pack("<2f", 1.0, -2.5)
GOOD_WEIGHTS = weights({"__metadata__": {"format": "pt"}, "b": tensor(0, 4), "a": tensor(4, 8)}, FLOATS)


def picture(*chunks: tuple[bytes, bytes], end: bytes = b"") -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body + end


def head(
    width: int = 2, height: int = 2, depth: int = 8, colour: int = 0, interlace: int = 0
) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)


PIXELS = (b"IDAT", zlib.compress(b"\0\1\2" * 2))
END = (b"IEND", b"")
GOOD_PICTURE = picture(head(), PIXELS, END)


def with_wrong_checksum(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


BROKEN = {
    Format.SAFETENSORS: [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        weights({"a": tensor(0, 8)}, FLOATS) + b"hidden",
        weights({"a": tensor(4, 8)}, FLOATS),
        weights({"a": tensor(0, 4), "b": tensor(0, 4)}, FLOATS[:4]),
        weights({"a": tensor(0, 8), "b": tensor(4, 8)}, FLOATS),
        weights({"a": tensor(0, 12)}, FLOATS),
        weights({"a": tensor(8, 0)}, FLOATS),
        weights({"a": tensor(0, 8, shape=[3])}, FLOATS),
        weights({"a": tensor(0, 8, shape=[-2])}, FLOATS),
        weights({"a": tensor(0, 8, shape=[True, 2])}, FLOATS),
        weights({"a": tensor(0, 8, shape=[1] * 8 + [2])}, FLOATS),
        weights({"a": tensor(0, 8, dtype="F4", shape=[2])}, FLOATS),
        weights({"a": {**tensor(0, 8), "note": SECRET.decode()}}, FLOATS),
        weights({"a": {"dtype": "F32", "shape": [2]}}, FLOATS),
        weights({"a": [0, 8]}, FLOATS),
        weights({"": tensor(0, 8)}, FLOATS),
        weights({"a" * 300: tensor(0, 8)}, FLOATS),
        weights({"é": tensor(0, 8)}, FLOATS),
        weights({"__metadata__": {"rows": SECRET.decode()}, "a": tensor(0, 8)}, FLOATS),
        weights({"__metadata__": {"format": SECRET.decode()}, "a": tensor(0, 8)}, FLOATS),
        weights({"__metadata__": [], "a": tensor(0, 8)}, FLOATS),
        weights(b'{"a": {}, "a": {}}'),
        weights(b"[]"),
        weights(b"{" + b" " * 70_000 + b"}"),
        weights(b'{"a":' * 100 + b"{}" + b"}" * 100),
        weights({"a": tensor(0, 8)}, struct.pack("<2f", 1.0, float("nan"))),
        weights({"a": tensor(0, 8)}, struct.pack("<2f", 1.0, float("inf"))),
        weights({"a": tensor(0, 8, dtype="F64", shape=[1])}, struct.pack("<d", float("inf"))),
        weights({"a": tensor(0, 2, dtype="F16", shape=[1])}, b"\x00\x7c"),
        weights({"a": tensor(0, 2, dtype="BF16", shape=[1])}, b"\x80\x7f"),
        weights({"a": tensor(0, 1, dtype="BOOL", shape=[1])}, b"\2"),
    ],
    Format.JSON: [
        b"", b"{", b"NaN", b"[Infinity]", b"1e999", b'{"a": 1, "a": 2}', b"\xff", b"{} {}", b"[" * 5_000,
        b"12345678901234567890", b'"\\ud800"', b"{'a': 1}", b"\xef\xbb\xbf{}",
    ],
    Format.CSV: [
        b"", b"\n", b"a,b\n1\n", b"a,b\n1,2,3\n", b"a,b\n\n", b"a\xff\n", b"a\0\n", b"a\x07\n", b'a\n"1', b'a\n"1"2\n',
        b"a,a\n1,2\n", b",".join(b"c%d" % n for n in range(5_000)), b"a,b\n1,2\n3\n", b"\xef\xbb\xbfa\n1\n",
    ],
    Format.PNG: [
        b"", GOOD_PICTURE[:-1], GOOD_PICTURE + b"hidden", GOOD_PICTURE[:8], GOOD_PICTURE[1:],
        with_wrong_checksum(GOOD_PICTURE),
        GOOD_PICTURE + GOOD_PICTURE[8:],
        picture(PIXELS, END),
        picture(head(), END),
        picture(head(), PIXELS),
        picture(head(), head(), PIXELS, END),
        picture(head(), PIXELS, (b"IEND", b"hidden")),
        picture(head(), PIXELS, (b"tEXt", b"x"), PIXELS, END),
        picture(head(), (b"EVIL", b""), PIXELS, END),
        picture((b"IHDR", b"short"), PIXELS, END),
        picture(head(0, 2), PIXELS, END),
        picture(head(100_000, 1), PIXELS, END),
        picture(head(16_000, 16_000, 16, 6), PIXELS, END),
        picture(head(colour=5), PIXELS, END),
        picture(head(depth=3), PIXELS, END),
        picture(head(interlace=1), PIXELS, END),
        picture(head(), (b"IDAT", zlib.compress(b"\0\1\2" * 2 + b"hidden")), END),
        picture(head(), (b"IDAT", zlib.compress(b"\0\1\2" * 2) + b"hidden"), END),
        picture(head(), (b"IDAT", zlib.compress(b"\0\1\2")), END),
        picture(head(), (b"IDAT", zlib.compress(b"\7\1\2" * 2)), END),
        picture(head(), (b"IDAT", b"not zlib"), END),
        picture(head(), (b"IDAT", zlib.compress(bytes(50_000_000))[:9_000]), END),
        picture(head(colour=3), PIXELS, END),
        picture(head(), (b"PLTE", b"\0\0\0"), PIXELS, END),
        picture(head(colour=3), (b"PLTE", bytes(4)), PIXELS, END),
        picture(head(colour=3), (b"PLTE", bytes(3 * 257)), PIXELS, END),
        picture(head(colour=3), PIXELS, (b"PLTE", bytes(3)), END),
        picture(head(), (b"tRNS", bytes(9)), PIXELS, END),
        picture(head(), (b"IDAT", b""), END),
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31) + b"IHDR" + bytes(20),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "content"), [(form, content) for form, contents in BROKEN.items() for content in contents]
)
def test_what_is_not_its_declared_format_is_the_algorithms_fault(
    tmp_path: Path, form: Format, content: bytes
) -> None:
    (tmp_path / "m").write_bytes(content)
    fault, reason, _ = refusal(tmp_path, declare(("m", form), max_bytes=200_000))
    assert fault == "algorithm"
    assert f"does not parse as {form}" in reason
    assert SECRET.decode() not in reason


def released(tmp_path: Path, form: Format, content: bytes) -> bytes:
    (tmp_path / "m").write_bytes(content)
    return review(tmp_path, declare(("m", form), max_bytes=100_000), opaque_allowed=False).files["m"]


def test_weights_leave_with_a_header_of_our_own(tmp_path: Path) -> None:
    spaced = {"__metadata__": {"format": "pt"}, "a": tensor(4, 8), "b": tensor(0, 4)}
    one = released(tmp_path, Format.SAFETENSORS, GOOD_WEIGHTS)
    other = released(tmp_path, Format.SAFETENSORS, weights(json.dumps(spaced, indent=3).encode(), FLOATS))
    assert one == other
    assert one.endswith(FLOATS)


def test_released_weights_are_read_by_the_reference_library(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    from safetensors.numpy import load, save

    tensors = {
        "f": np.arange(6, dtype="<f8").reshape(2, 3),
        "i": np.array([-1, 2], dtype="<i8"),
        "flag": np.array([True, False]),
        "half": np.array([1.5], dtype="<f2"),
        "none": np.zeros((0, 4), dtype="<f4"),
        "scalar": np.array(7, dtype=np.uint8),
    }
    read = load(released(tmp_path, Format.SAFETENSORS, save(tensors)))
    assert {name: value.tolist() for name, value in read.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }


def test_texts_in_a_picture_stay_behind(tmp_path: Path) -> None:
    texts = (b"tEXt", b"Comment\0" + SECRET), (b"eXIf", SECRET), (b"prVt", SECRET)
    data = picture(head(), *texts, PIXELS, (b"tIME", bytes(7)), END)
    clean = released(tmp_path, Format.PNG, data)
    assert SECRET not in clean
    assert clean == released(tmp_path, Format.PNG, GOOD_PICTURE)


def test_pixels_that_were_split_or_packed_otherwise_leave_as_the_same_bytes(tmp_path: Path) -> None:
    packed = zlib.compress(b"\0\1\2" * 2, 0)
    data = picture(head(), (b"IDAT", packed[:3]), (b"IDAT", b""), (b"IDAT", packed[3:]), END)
    assert released(tmp_path, Format.PNG, data) == released(tmp_path, Format.PNG, GOOD_PICTURE)


def test_a_released_picture_is_read_by_a_reference_library(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    colours = (b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    indexed = picture(
        head(colour=3), colours, (b"tRNS", b"\x80"), (b"IDAT", zlib.compress(b"\0\0\1" * 2)), END
    )
    with image.open(io.BytesIO(released(tmp_path, Format.PNG, indexed))) as read:
        assert read.convert("RGBA").getpixel((0, 0)) == (255, 0, 0, 128)
        assert read.convert("RGBA").getpixel((1, 1)) == (0, 0, 255, 255)


def test_cells_survive_the_rewriting_of_a_table(tmp_path: Path) -> None:
    data = 'a,"b ""x"""\r\n"1\n2",é\r\n"",","\r\n'.encode()
    clean = released(tmp_path, Format.CSV, data)
    assert clean == 'a,"b ""x"""\n"1\n2",é\n,","\n'.encode()
    assert released(tmp_path, Format.CSV, clean) == clean


@pytest.mark.parametrize("header", [b"id,a", b"time,load", b"index", b"title,x", b"timestamp"])
def test_a_table_whose_header_begins_as_a_pickle_could_is_released(tmp_path: Path, header: bytes) -> None:
    data = header + b"\n" + b",".join([b"1"] * (header.count(b",") + 1)) + b"\n"
    assert released(tmp_path, Format.CSV, data) == data


@pytest.mark.parametrize("data", [b"cos\nsystem\n(S'x'\ntR.", b"(S'x'\nios\nsystem\n.", b"ios\nsystem\n"])
def test_a_table_that_pickle_would_call_code_from_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(ReleaseRefused):
        review(tmp_path, declare(("t.csv", Format.CSV)), opaque_allowed=False)


FUZZED = [Format.SAFETENSORS, Format.JSON, Format.PNG, Format.CSV]


def review_or_refuse(folder: Path, form: Format, content: bytes) -> None:
    """Either it is released, and what was released is released again unchanged, or it is refused."""
    try:
        clean = released(folder, form, content)
    except ReleaseRefused as refused:
        assert refused.fault in ("policy", "algorithm")
        return
    assert released(folder, form, clean) == clean


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(form=st.sampled_from(FUZZED), content=st.binary(max_size=400))
def test_random_bytes_raise_only_refusals(tmp_path: Path, form: Format, content: bytes) -> None:
    review_or_refuse(tmp_path, form, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    case=st.sampled_from(
        [
            (Format.SAFETENSORS, GOOD_WEIGHTS),
            (Format.PNG, GOOD_PICTURE),
            (Format.JSON, b'{"a": [1.5, "x", null], "b": {"c": 2}}'),
            (Format.CSV, b'a,b\n"1","2"\n'),
        ]
    ),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), min_size=1, max_size=3),
)
def test_changed_bytes_raise_only_refusals(
    tmp_path: Path, case: tuple[Format, bytes], changes: list[tuple[int, bytes]]
) -> None:
    form, data = case
    for position, inserted in changes:
        place = position % len(data) if data else 0
        data = data[:place] + inserted + data[place + 1 :]
    review_or_refuse(tmp_path, form, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BOOL", "I64", "x"]),
                "shape": st.lists(st.integers(-1, 2**53 - 1), max_size=9),
                "data_offsets": st.lists(st.integers(-1, 20), max_size=3),
            }
        )
        | st.recursive(st.none() | st.integers(0, 9) | st.text(max_size=3), st.lists, max_leaves=4),
    ),
    body=st.binary(max_size=20),
)
def test_random_headers_of_weights_raise_only_refusals(
    tmp_path: Path, header: dict[str, object], body: bytes
) -> None:
    review_or_refuse(tmp_path, Format.SAFETENSORS, weights(header, body))
