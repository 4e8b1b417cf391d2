"""Profiles: what is read, what is refused, and that no cell is ever quoted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.provider.table import Column, Profile
from marketplace.core.dataset import Column as ListedColumn
from marketplace.core.dataset import ColumnKind as Kind
from marketplace.errors import InputError, NotFoundError
from tests.fuzz import documents
from tests.support.profiles import read_profile

SECRET = "Erika Mustermann"


@pytest.fixture
def profile_of(tmp_path: Path) -> Callable[[bytes | str], Profile]:
    def profile(data: bytes | str) -> Profile:
        path = tmp_path / "table.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_profile(path)

    return profile


Read = Callable[[bytes | str], Profile]


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_a_csv_file_is_read_with_its_kinds_and_missing_cells(profile_of: Read) -> None:
    text = (
        "id,weight,ok,when,name,code\n"
        "1,2.5,true,2026-01-31,Ada,007\n"
        "2,,False,2026-02-01T10:30:00Z,NA,12\n"
        "-3,1e3,TRUE,,Bo,x\n"
    )
    profile = profile_of(text)
    assert profile == Profile(
        format=profile.format,
        rows=3,
        bytes=len(text),
        columns=(
            Column("id", Kind.integer, 0),
            Column("weight", Kind.number, 1),
            Column("ok", Kind.boolean, 0),
            Column("when", Kind.date, 1),
            Column("name", Kind.text, 1),
            Column("code", Kind.text, 0),
        ),
        warnings=("column 6 (code) mixes kinds of values, first in row 2: it is listed as text",),
    )
    assert profile.format == "csv"
    assert profile.listed_columns()[0] == ListedColumn("id", Kind.integer)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2"], Kind.integer),
        (["1", "2.5"], Kind.number),
        (["2.5", "1"], Kind.number),
        (["+1", "-0"], Kind.integer),
        (["1.", ".5", "1e-7", "1.5E+10"], Kind.number),
        (["1_000"], Kind.text),
        (["\u0661"], Kind.text),
        ([" 1"], Kind.text),
        (["0x10"], Kind.text),
        (["inf"], Kind.text),
        (["007"], Kind.text),
        (["9" * 18], Kind.integer),
        (["9" * 19], Kind.text),
        (["true", "0"], Kind.text),
        (["2026-13-01"], Kind.text),
        (["2026-12-31 23:59"], Kind.date),
        (["2026-12-31T23:59:59.123+02:00"], Kind.date),
        (["2026-12-31", "5"], Kind.text),
        (["", "NA", "null"], Kind.text),
        (["NaN", "1"], Kind.integer),
    ],
)
def test_the_kind_of_a_column_is_that_of_all_its_cells(
    profile_of: Read, cells: list[str], kind: Kind
) -> None:
    profile = profile_of("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
    assert profile.columns[0].kind is kind


def test_a_column_without_values_is_text_and_warned_about(profile_of: Read) -> None:
    assert profile_of("a,b\n,1\nNA,2\n").warnings == ("column 1 (a) has no values: it is listed as text",)


def test_a_column_that_turns_in_a_later_batch_names_the_row(profile_of: Read) -> None:
    rows = ["1"] * 20_000
    rows[12_345] = SECRET
    warning = profile_of("a\n" + "\n".join(rows)).warnings[0]
    assert "row 12346" in warning
    assert SECRET not in warning


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa,b\r\n1,2\r\n",
        b"a,b\n1,2",
        b"a,b\n1,2\n\n\n",
        b'"a","b"\n"1","2"\n',
    ],
    ids=["windows", "no end", "blank end", "quoted"],
)
def test_the_dialects_of_spreadsheets_are_read(profile_of: Read, data: bytes) -> None:
    profile = profile_of(data)
    assert profile.rows == 1
    assert profile.columns == (Column("a", Kind.integer, 0), Column("b", Kind.integer, 0))


def test_quoted_fields_may_hold_commas_quotes_and_line_breaks(profile_of: Read) -> None:
    profile = profile_of('a,b\n"x, ""y""\nz",1\n"1\n2",3\n')
    assert profile.rows == 2
    assert profile.columns[0].kind is Kind.text


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "only a mark": (b"\xef\xbb\xbf", "first line is blank"),
    "blank first line": (b"\na,b\n1,2\n", "first line is blank"),
    "header only": (b"a,b\n", "no rows"),
    "short row": (f"a,b\n1,2\n{SECRET}\n".encode(), r"row 2 \(line 3\) is ragged; got 1 fields; expected 2"),
    "long row": (f"a,b\n{SECRET},2,3\n".encode(), r"row 1 \(line 2\) is ragged; got 3"),
    "line of a row after a break": (f'a,b\n"x\ny",1\n{SECRET}\n'.encode(), r"row 2 \(line 4\)"),
    "blank row": (f"a,b\n1,2\n\n{SECRET},4\n".encode(), r"row 2 \(line 3\) is blank"),
    "doubled name": (f"{SECRET},b,{SECRET}\n1,2,3\n".encode(), "columns 1 and 3 have the same name"),
    "nameless column": (b"a,,c\n1,2,3\n", "column 2 has no name"),
    "name of spaces": (b"a,  \n1,2\n", "column 2 has no name"),
    "name with a space": (b"a, b\n1,2\n", "name of column 2"),
    "name with a break": (b'a,"b\nc"\n1,2\n', "name of column 2"),
    "hidden name": ("a,b\u202ec\n1,2\n".encode(), "name of column 2"),
    "long name": (b"a," + b"x" * 201 + b"\n1,2\n", "name of column 2"),
    "no header, decimals": (f"{SECRET},3.25\nBo,1.5\n".encode(), "looks like values"),
    "no header, one number": (f"{SECRET},34\nBo,35\n".encode(), "looks like values.*column 2"),
    "no header, numbers": (b"4,1,900\n5,2,800\n", "looks like values"),
    "no header, a date": (f"{SECRET},1999-01-31\n".encode(), "looks like values"),
    "semicolons": (b"a;b\n1;2\n", "not separated by commas"),
    "tabs": (b"a\tb\n1\t2\n", "not separated by commas"),
    "latin-1": ("a,b\nMüller,1\n".encode("latin-1"), "not UTF-8 at byte 5"),
    "cut in a letter": ("a,b\nMü".encode()[:-1], "not UTF-8 at byte 5"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "not UTF-8 at byte 0|NUL byte"),
    "nul": (f"a,b\n{SECRET},1\0\n".encode(), "NUL byte at byte 22"),
    "open quote": (f'a,b\n"{SECRET},1\n'.encode(), "quoted wrongly"),
    "text after a quote": (f'a,b\n"{SECRET}"x,1\n'.encode(), r"row 1 \(line 2\) is quoted wrongly"),
    "carriage return": (f"a,b\r{SECRET},1\r".encode(), "carriage return"),
    "too many columns": (b",".join(b"c%d" % n for n in range(1_001)) + b"\n", "number of columns"),
    "a long field": (b"a,b\n1," + b"x" * 200_000 + b"\n", "field that does not end"),
    "an endless line": (b"a,b\n1," + b"x" * 9_000_000, "does not end"),
    "an endless record": (b"a,b\n1," + b'"x\n",' * 2_000_000, "does not end|ragged"),
    "zip": (b"PK\x03\x04....", "zip or Excel"),
    "gzip": (b"\x1f\x8b....", "gzip"),
    "half a parquet": (b"PAR1....", "has no end"),
    "only parquet's marks": (b"PAR1\x00\x00\x00\x00PAR1", "footer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_without_quoting_a_cell(profile_of: Read, name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        profile_of(data)
    assert "Erika" not in str(caught.value)
    assert "Erika" not in repr(caught.value.__cause__)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_no_error_or_warning_quotes_a_cell(profile_of: Read, data: st.DataObject) -> None:
    words = [f"secret{n}" for n in range(6)]
    cells = st.sampled_from([*words, "1", "2.5", "", '"', 'a"b', "x\r", "é", "2026-01-01"])
    rows = data.draw(st.lists(st.lists(cells, min_size=1, max_size=4), max_size=6))
    text = "name,other,third\n" + "\n".join(",".join(row) for row in rows)
    broken = data.draw(st.sampled_from(["", "\0", '"', "\n\n"]))
    try:
        said = " ".join(profile_of(text + broken).warnings)
    except InputError as error:
        said = str(error.to_json())
    assert "secret" not in said


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(profile_of: Read, data: bytes) -> None:
    try:
        assert profile_of(data).rows >= 1
    except InputError as error:
        assert str(error)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**17), 10**17),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_what_pandas_writes_comes_back_with_its_rows(tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    path = tmp_path / "p.csv"
    pd.DataFrame(rows, columns=["i", "n", "b", "t"]).to_csv(path, index=False)
    profile = read_profile(path)
    kinds = [column.kind for column in profile.columns]
    assert profile.rows == len(rows)
    assert kinds[:3] == [Kind.integer, Kind.number, Kind.boolean]
    assert [column.missing for column in profile.columns[:3]] == [0, 0, 0]


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.csv"
    os.mkfifo(fifo)
    with pytest.raises(InputError, match="a FIFO"):
        read_profile(fifo)
    with pytest.raises(InputError, match="a device"):
        read_profile(Path("/dev/zero"))
    with pytest.raises(NotFoundError, match="does not exist"):
        read_profile(tmp_path / "nothing.csv")
    with pytest.raises(NotFoundError, match="does not exist"):
        read_profile(fifo / "below")


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing.csv"
    path.write_text("a\n" + ("x" * 1_000 + "\n") * 4_000)
    monkeypatch.setattr("compute.provider.profile._QUIET_SECONDS", 0.0)

    def write(_done: int, _total: int) -> None:
        with path.open("a") as file:
            file.write("1\n")

    with pytest.raises(InputError, match="changed while it was read"):
        read_profile(path, progress=write)


def test_progress_is_told_only_of_slow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + ("x" * 1_000 + "\n") * 4_000)
    calls: list[tuple[int, int]] = []
    (tmp_path / "small.csv").write_text("a\n1\n")
    read_profile(tmp_path / "small.csv", progress=lambda done, total: calls.append((done, total)))
    assert calls == []
    monkeypatch.setattr("compute.provider.profile._QUIET_SECONDS", 0.0)
    monkeypatch.setattr("compute.provider.profile._PROGRESS_SECONDS", 0.0)
    read_profile(path, progress=lambda done, total: calls.append((done, total)))
    size = path.stat().st_size
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {size}
    assert calls[-1][0] == size


def test_a_footer_that_ends_arrows_process_is_refused(tmp_path: Path) -> None:
    good = documents.parquet()
    path = tmp_path / "t.parquet"
    path.write_bytes(good[:1326] + good[1328:])
    with pytest.raises(InputError, match="footer of the Parquet file cannot be read"):
        read_profile(path)


def test_a_parquet_file_is_read_with_its_kinds_and_missing_cells(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        {
            "i": pa.array([1, None, 3], pa.int32()),
            "f": pa.array([1.0, float("nan"), None], pa.float32()),
            "b": pa.array([True, False, None]),
            "s": pa.array(["x", None, "y"]),
            "d": pa.array([0, 1, None], pa.date32()),
            "ts": pa.array([0, 1, 2], pa.timestamp("us")),
            "dec": pa.array([None, None, None], pa.decimal128(10, 2)),
            "cat": pa.array(["u", "v", "u"]).dictionary_encode(),
        },
    )
    profile = read_profile(path)
    assert (profile.format, profile.rows, profile.bytes) == ("parquet", 3, path.stat().st_size)
    assert [(c.name, c.kind, c.missing) for c in profile.columns] == [
        ("i", Kind.integer, 1),
        ("f", Kind.number, 2),
        ("b", Kind.boolean, 1),
        ("s", Kind.text, 1),
        ("d", Kind.date, 1),
        ("ts", Kind.date, 0),
        ("dec", Kind.number, 3),
        ("cat", Kind.text, 0),
    ]
    assert profile.warnings == ("column 7 (dec) has no values",)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[1], [2]]), "column 2 has a type.*nested"),
        (pa.array([{"a": SECRET}, {"a": "x"}]), "column 2 has a type.*nested"),
        (pa.array([b"\xff", b"x"]), "column 2 has a type.*binary"),
        (pa.array([1, 2], pa.duration("s")), "column 2 has a type"),
        (pa.array([1, 2], pa.time32("s")), "column 2 has a type"),
        (pa.nulls(2), "column 2 has a type"),
        (pa.array([SECRET * 10_000, "x"]), "column 2 .* too long"),
        (pa.array([b"\xff\xfe" + SECRET.encode(), b"x"]).view(pa.string()), "column 2 .* not UTF-8"),
    ],
    ids=["list", "struct", "bytes", "duration", "time", "null", "long", "not utf-8"],
)
def test_a_parquet_column_that_is_no_plain_column_is_refused(tmp_path: Path, column: Any, words: str) -> None:
    path = parquet(tmp_path / "t.parquet", {"a": [1, 2], "b": column})
    with pytest.raises(InputError, match=words) as caught:
        read_profile(path)
    assert "Erika" not in str(caught.value)


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        read_profile(parquet(tmp_path / "t.parquet", {"a": pa.array([], pa.int64())}))


def test_names_of_parquet_columns_follow_the_same_rules(tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="columns 1 and 2 have the same name"):
        read_profile(tmp_path / "t.parquet")


def test_a_file_that_only_claims_to_be_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no Parquet file"):
        read_profile(path)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_parquet_footer_of_a_hostile_length_is_refused(tmp_path: Path, length: int) -> None:
    path = parquet(tmp_path / "t.parquet", {"a": [1, 2]})
    data = bytearray(path.read_bytes())
    data[-8:-4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="footer"):
        read_profile(path)


@pytest.mark.slow
def test_a_parquet_file_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"a": list(range(50)), "b": [SECRET + str(n) for n in range(50)]})
    whole = path.read_bytes()
    dice = random.Random(7)
    for _ in range(30):  # each costs a process; scripts/fuzz tries many more
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        try:
            assert read_profile(path).rows >= 1
        except InputError as error:
            assert "Erika" not in str(error)


# Written as a program of its own, so that the memory of other tests is not counted.
MEASURE = """
import resource, sys
from pathlib import Path
from tests.support.profiles import read_profile
from marketplace.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(read_profile(Path(sys.argv[1])).rows)
except InputError as error:
    print(error.what)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def measure(path: Path) -> tuple[str, int]:
    """What the profile says in its first line, and by how many MiB the memory grew at its peak."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=280
    )
    said, grown = run.stdout.splitlines()
    return said, int(grown)


def test_one_long_text_repeated_in_parquet_takes_little_memory(tmp_path: Path) -> None:
    text = pa.array(["x" * 1_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), text)
    path = parquet(tmp_path / "bomb.parquet", {"a": column})
    said, grown = measure(path)
    assert "too long" in said
    assert grown < 100


@pytest.mark.slow
def test_a_csv_file_of_200_megabytes_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    rows = "".join(f"{n},{n * 0.25},colour {n % 7},2026-01-{1 + n % 28:02}\n" for n in range(20_000))
    times = 200_000_000 // len(rows) + 1
    with path.open("w") as file:
        file.write("id,weight,colour,day\n")
        for _ in range(times):
            file.write(rows)
    said, grown = measure(path)
    assert said == str(20_000 * times)
    assert grown < 100


@pytest.mark.slow
def test_a_parquet_file_of_200_megabytes_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    dice = random.Random(7)
    schema = pa.schema([("a", pa.float64()), ("b", pa.int64()), ("c", pa.string())])
    rows = 0
    with pq.ParquetWriter(path, schema) as writer:
        while path.stat().st_size < 200_000_000:
            count = 200_000
            values = [dice.random() for _ in range(count)]
            words = [f"{dice.getrandbits(64):x}" for _ in range(count)]
            writer.write_table(pa.table([values, range(count), words], schema=schema))
            rows += count
    said, grown = measure(path)
    assert said == str(rows)
    assert grown < 100
