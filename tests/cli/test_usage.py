"""What was typed wrong: exit code 2, a sentence that helps, one JSON object where JSON was asked for."""

from __future__ import annotations

import pytest

from marketplace.cli import build
from tests.cli.conftest import Command
from tests.support.homes import Home
from tests.support.works import Dataset

JOB = "0x" + "11" * 32
WRONG = [
    ("nonsense",),
    ("nonsense", "list"),
    ("dataset", "nonsense"),
    ("dataset", "show"),
    ("dataset", "show", "a", "b"),
    ("dataset", "list", "--nonsense"),
    ("--nonsense",),
    ("job", "start", "valves", "--purpose", "research"),
    ("access", "buy", "valves", "--uses", "many"),
    ("access", "buy", "valves", "--uses", "0"),
    ("access", "buy", "valves", "--uses", "65536"),
    ("access", "buy", "valves", "--pay", "later"),
    ("gateway", "run", "--port", "70000"),
    ("chain", "run", "--window", "0"),
    ("wallet", "fund", "--euros", "-1"),
    ("dataset", "offer", "valves", "--price", "1", "--term-days", "0"),
    ("dataset", "publish", "x.csv", "--slug", "x"),
    ("request", "approve"),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_words_that_are_no_command_end_with_code_2(command: Command, words: tuple[str, ...]) -> None:
    ran = command(None, *words)
    assert ran.code == 2
    assert ran.error["error"] == "UsageError"
    assert ran.error["what"]


@pytest.mark.parametrize("words", WRONG[:6], ids=" ".join)
def test_people_are_told_what_was_wrong_and_how_it_is_used(command: Command, words: tuple[str, ...]) -> None:
    ran = command(None, *words, as_json=False)
    assert (ran.code, ran.out) == (2, "")
    assert "error:" in ran.err


@pytest.mark.parametrize("words", [(), ("dataset",), ("job",)], ids=repr)
def test_a_group_without_a_command_shows_what_there_is(command: Command, words: tuple[str, ...]) -> None:
    ran = command(None, *words, as_json=False)
    assert ran.code == 2
    assert "Usage" in ran.out + ran.err
    assert command(None, *words).error["error"] == "UsageError"


@pytest.mark.parametrize(
    "words",
    [("--help",), ("dataset", "--help"), ("dataset", "publish", "--help"), ("job", "start", "--help")],
)
def test_help_is_no_error(command: Command, words: tuple[str, ...]) -> None:
    ran = command(None, *words, as_json=False)
    assert ran.code == 0
    assert "Usage" in ran.out


def test_all_groups_are_there_and_one_alone_is_built_for_its_commands() -> None:
    groups = {group.name for group in build([]).registered_groups}
    assert groups >= {
        "access", "algorithm", "audit", "chain", "dataset", "earnings", "gateway", "hub", "job", "model", "node",
        "request", "statement", "wallet",
    }  # fmt: skip
    assert [group.name for group in build(["wallet", "show"]).registered_groups] == ["wallet"]
    for _ in range(2):  # commands that join a group join it once
        dataset = build(["dataset"]).registered_groups[0].typer_instance
        assert dataset
        names = [command.name or command.callback.__name__ for command in dataset.registered_commands]  # type: ignore[union-attr]
        assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("words", [("job", "status"), ("request", "refuse")], ids=" ".join)
def test_what_is_no_job_id_is_refused(command: Command, empty_home: Home, words: tuple[str, ...]) -> None:
    for job in ("", "0x", "0x12", JOB[:-1], JOB + "0", JOB[2:], "0x" + "zz" * 32, "../../etc"):
        ran = command(empty_home, *words, "--", job)
        assert (ran.code, ran.error["error"], ran.error["what"]) == (2, "InputError", "not a job id")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIMEOUT", "soon"), ("TIMEOUT", "0"), ("TIMEOUT", "nan"), ("CONFIRMATIONS", "-1"), ("CONFIRMATIONS", "1.5"),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_named(
    command: Command, empty_home: Home, name: str, value: str
) -> None:
    ran = command(empty_home, "dataset", "list", **{name: value})
    assert ran.code == 2
    assert f"STEELYARD_{name}" in ran.error["what"]


@pytest.mark.parametrize("name", ["RPC", "GATEWAY", "HUB"])
def test_an_address_that_is_none_is_said(
    command: Command, empty_home: Home, listed: Dataset, name: str
) -> None:
    for value in ("no url", "ftp://127.0.0.1", "http://[:::", "file:///etc/passwd"):
        ran = command(empty_home, "dataset", "list", **{name: value})
        assert ran.code == (1 if name == "HUB" else 2)
        assert ran.error["what"]


def test_a_purpose_that_nobody_knows_is_refused_with_those_there_are(
    command: Command, empty_home: Home
) -> None:
    ran = command(empty_home, "job", "start", "valves", "--algorithm", "a", "--purpose", "fun")
    assert (ran.code, ran.error["what"]) == (2, "not a purpose")
    assert "predictive-maintenance" in ran.error["expected"]


@pytest.mark.parametrize("param", ["", "=", "=5", "depth"])
def test_a_parameter_without_name_or_value_is_refused(command: Command, empty_home: Home, param: str) -> None:
    words = ("job", "start", "valves", "--algorithm", "a", "--purpose", "research", "--param", param)
    ran = command(empty_home, *words)
    assert (ran.code, ran.error["what"]) == (2, "a parameter does not parse")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b"{}" + b" " * 300_000,
    ],
    ids=["empty", "open", "a list", "null", "not UTF-8", "twice", "NaN", "nested", "too long"],
)
def test_a_file_of_parameters_that_does_not_parse_is_refused(
    command: Command, empty_home: Home, data: bytes
) -> None:
    file = empty_home.path / "params.json"
    file.write_bytes(data)
    words = ("job", "start", "valves", "--algorithm", "a", "--purpose", "research", "--params", str(file))
    ran = command(empty_home, *words)
    assert ran.code == 2
    assert "the parameters file" in ran.error["what"]


def test_a_file_of_parameters_that_cannot_be_read_is_refused(command: Command, empty_home: Home) -> None:
    for file in (empty_home.path, empty_home.path / "missing.json"):
        words = ("job", "start", "valves", "--algorithm", "a", "--purpose", "research", "--params", str(file))
        ran = command(empty_home, *words)
        assert (ran.code, ran.error["what"]) == (2, "the parameters file cannot be read")


def test_pairs_are_json_where_they_parse_and_text_elsewhere_and_win_over_the_file(empty_home: Home) -> None:
    from marketplace.cli.session import parse_parameters

    file = empty_home.path / "params.json"
    file.write_text('{"epochs": 3, "target": "fault"}')
    pairs = ["epochs=5", "rate=0.5", "name=a=b", "deep=[1,{}]", "text=[1", "big=" + "9" * 5_000, "n=null"]
    assert parse_parameters(pairs, file) == {
        "epochs": 5, "target": "fault", "rate": 0.5, "name": "a=b", "deep": [1, {}], "text": "[1",
        "big": "9" * 5_000, "n": None,
    }  # fmt: skip
    assert parse_parameters(["deep=" + "[" * 100_000], None)["deep"] == "[" * 100_000
