"""A requirements file is a list of pins and nothing else; pip fetches just those."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from compute.environments import Environments
from compute.environments.built import interpreter
from compute.environments.requirements import parse_pins, read_pins
from marketplace.errors import InputError, RefusedError, UnavailableError
from tests.support.environments import install

HASH = "--hash=sha256:" + "ab" * 32


def test_pins_comments_hashes_and_lines_that_go_on_are_read() -> None:
    text = f"# made by hand\nB_c==1.0 \\\n    {HASH} \\\n    {HASH}\n\na==2.0+cpu {HASH}  # why\n"
    assert [pin.line() for pin in parse_pins(text)] == [f"a==2.0+cpu {HASH}", f"b-c==1.0 {HASH} {HASH}"]


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=2",
        "numpy==2.*",
        "numpy==2,<3",
        "numpy[extra]==2",
        "numpy==2; python_version > '3'",
        "numpy @ https://example.org/numpy.whl",
        "https://example.org/numpy.whl",
        "git+https://example.org/numpy",
        "./numpy.whl",
        "../numpy",
        "-e .",
        "-r more.txt",
        "--index-url https://example.org",
        "--extra-index-url=https://example.org",
        "--trusted-host example.org",
        "--no-binary :all:",
        "numpy==2 --global-option=x",
        "numpy==2 --hash=md5:00",
        "numpy==2 --hash=sha256:00",
        "${HOME}==1",
        "numpy==2 \\\n--index-url=https://example.org",
        "numpy==2\nNumPy==2",
        "numpy==2 \\",
        f"a==1 {HASH}\nb==1",
        "",
        "# nothing",
    ],
)
def test_whatever_is_no_pin_is_refused(line: str) -> None:
    with pytest.raises(InputError):
        parse_pins(f"{line}\n")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pins").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "pins", tmp_path / "absent", tmp_path):
        with pytest.raises(InputError):
            read_pins(path)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip is configured to take packages from, and no index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, needs in (("small-part", ()), ("small-tool", ("small-part>=1",))):
        site = tmp_path / name
        module = name.replace("-", "_")
        install(site, name, {f"{module}.py": b"X = 1\n"}, needs=needs)
        information = f"{module}-1.0.dist-info"
        (site / information / "WHEEL").write_text(
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
            for path in sorted(site.rglob("*")):
                if path.is_file():
                    wheel.write(path, path.relative_to(site))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_fetches_the_pins_and_nothing_else(wheels: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    pins = parse_pins("small-tool==1.0\nsmall-part==1.0\n")
    built = Environments(tmp_path / "all").build_pinned("mine", pins, steps.append)
    assert built.record.packages == [interpreter(), "small-part==1.0", "small-tool==1.0"]
    assert sorted(path.name for path in built.folder.iterdir()) == [
        "environment.json",
        "files.txt",
        "packages",
    ]
    assert (built.packages / "__pycache__").is_dir()
    assert built.check() == []
    assert any("small" in step for step in steps)


def test_pins_that_need_more_than_they_name_are_refused_and_nothing_is_left(
    wheels: Path, tmp_path: Path
) -> None:
    environments = Environments(tmp_path / "all")
    with pytest.raises(RefusedError, match="small-tool needs a package that is not there; got small-part"):
        environments.build_pinned("mine", parse_pins("small-tool==1.0"), lambda step: None)
    with pytest.raises(UnavailableError, match=r"pip could not install .* Expected sha256 abab"):
        environments.build_pinned("mine", parse_pins(f"small-part==1.0 {HASH}"), lambda step: None)
    assert [path.name for path in (tmp_path / "all").iterdir()] == [".lock"]
