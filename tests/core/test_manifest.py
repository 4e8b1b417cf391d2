"""The manifest of an algorithm, and its parameters."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.environments import WantedEnvironment
from marketplace.core.manifest import Format, Limits, Manifest, Mode
from marketplace.core.parameters import ParameterSchema
from marketplace.errors import InputError

HEAD = """
name = "ten-lines"
version = "1.2.3"
description = "counts rows"
entrypoint = "src/run.py"
mode = "single"
environment = "python-ml"
"""
LIMITS = "[limits]\nmemory_bytes = 1073741824\nwall_seconds = 60\nprocesses = 8\n"
OUTPUT = '[[outputs]]\nname = "count.json"\nformat = "json"\nmax_bytes = 1000\ndescription = "rows"\n'
PARAMETERS = """
[parameters]
type = "object"
required = ["target"]
[parameters.properties.target]
type = "string"
minLength = 1
[parameters.properties.epochs]
type = "integer"
minimum = 1
maximum = 100
default = 20
[parameters.properties.hidden]
type = "array"
items = { type = "integer", minimum = 1 }
maxItems = 4
default = [64, 32]
[parameters.properties.stop]
type = "object"
default = {}
additionalProperties = false
properties = { patience = { type = "integer", default = 3 } }
"""
TEXT = HEAD + LIMITS + OUTPUT + PARAMETERS


def parse(text: str) -> Manifest:
    return Manifest.parse(text.encode())


def test_a_manifest_is_parsed_into_closed_types() -> None:
    manifest = parse(TEXT)
    assert (manifest.name, manifest.version, manifest.entrypoint) == ("ten-lines", "1.2.3", "src/run.py")
    assert (manifest.mode, manifest.environment) == (Mode.SINGLE, WantedEnvironment("python-ml"))
    assert manifest.limits == Limits(memory_bytes=1073741824, wall_seconds=60, processes=8)
    (output,) = manifest.outputs
    assert (output.name, output.format, output.max_bytes) == ("count.json", Format.JSON, 1000)


def test_limits_and_parameters_may_be_left_out() -> None:
    manifest = parse(HEAD + OUTPUT)
    assert manifest.limits == Limits()
    assert manifest.check_parameters({}) == {}
    with pytest.raises(InputError, match="`x` is unknown"):
        manifest.check_parameters({"x": 1})


@pytest.mark.parametrize("key", ["name", "version", "description", "entrypoint", "mode", "environment"])
def test_a_missing_key_is_named(key: str) -> None:
    lines = [
        line for line in TEXT.splitlines() if not line.startswith(f"{key} =") or line == 'name = "count.json"'
    ]
    with pytest.raises(InputError, match=key):
        parse("\n".join(lines))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"ten-lines"', '"Ten Lines"', "name"),
        ('"ten-lines"', "7", "name"),
        ('"1.2.3"', '"1.2"', "version"),
        ('"src/run.py"', '"../run.py"', "entrypoint"),
        ('"src/run.py"', '"/run.py"', "entrypoint"),
        ('"single"', '"federated"', "mode"),
        ('"single"', '["single"]', "mode"),
        ('"python-ml"', '"Python"', "environment"),
        ('"python-ml"', '"../x"', "environment"),
        ('"python-ml"', '"python-ml@12ab"', "environment"),
        ('"python-ml"', '"python-ml@"', "environment"),
        ('"python-ml"', '["python-ml"]', "environment"),
        ('"json"', '"pickle"', "format"),
        ("max_bytes = 1000", "max_bytes = 0", "max_bytes"),
        ("max_bytes = 1000", "max_bytes = true", "max_bytes"),
        ("max_bytes = 1000", "max_bytes = 99999999999", "max_bytes"),
        ('"count.json"', '"a/b.json"', "name"),
        ('"count.json"', '".."', "name"),
        ("wall_seconds = 60", "wall_seconds = 0", "wall_seconds"),
        ("wall_seconds = 60", "wall_seconds = 1.5", "wall_seconds"),
        ("processes = 8", "processors = 8", "processors"),
        ('mode = "single"', 'mode = "single"\nnetwork = true', "network"),
        (OUTPUT, "", "outputs"),
        (OUTPUT, OUTPUT + OUTPUT.replace("count", "COUNT"), "twice"),
        (OUTPUT, OUTPUT.replace("1000", "60000000") * 2, "twice"),
        ('"counts rows"', "1979-05-27", "JSON cannot hold"),
        ('"counts rows"', "nan", "JSON cannot hold"),
        ('"counts rows"', "123456789012345678901234567890", "JSON cannot hold"),
        ('"counts rows"', '"unclosed', "not TOML"),
    ],
)
def test_a_wrong_value_is_named(old: str, new: str, named: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=named):
        parse(TEXT.replace(old, new, 1))


def test_outputs_that_are_too_large_together_are_refused() -> None:
    outputs = [OUTPUT.replace("count", f"c{n}").replace("1000", "60000000") for n in range(2)]
    with pytest.raises(InputError, match="together"):
        parse(HEAD + "".join(outputs))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe",
        b"x = " + b"[" * 16_000,
        b"x = " + b"9" * 6_000,
        b"a." * 8_000 + b"b = 1",
        b"#" * 70_000,
        b"",
        b"\0",
    ],
)
def test_hostile_toml_is_refused_quickly(data: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(InputError):
        Manifest.parse(data)
    assert time.monotonic() - start < 20


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_input_errors(data: bytes) -> None:
    with pytest.raises(InputError):
        Manifest.parse(data)


def test_defaults_are_filled_in_at_every_depth() -> None:
    given_parameters = {"target": "y"}
    filled = parse(TEXT).check_parameters(given_parameters)
    assert filled == {"target": "y", "epochs": 20, "hidden": [64, 32], "stop": {"patience": 3}}
    assert given_parameters == {"target": "y"}


def test_filled_defaults_are_copies() -> None:
    manifest = parse(TEXT)
    manifest.check_parameters({"target": "y"})["hidden"].append(7)
    assert manifest.check_parameters({"target": "y"})["hidden"] == [64, 32]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, "`target` is missing"),
        ({"target": 3}, "`target`"),
        ({"target": ""}, "`target`"),
        ({"target": "y", "epochs": 0}, "`epochs`"),
        ({"target": "y", "epochs": True}, "`epochs`"),
        ({"target": "y", "epochs": 1.5}, "`epochs`"),
        ({"target": "y", "epochs": float("nan")}, "JSON cannot hold"),
        ({"target": "y", "epochs": 10**400}, "JSON cannot hold"),
        ({"target": "y", "epochs": b"1"}, "JSON cannot hold"),
        ({"target": "y", "hidden": [64, 0]}, r"`hidden\[1\]`"),
        ({"target": "y", "hidden": [1] * 5}, "`hidden`"),
        ({"target": "y", "epoch": 3}, "`epoch` is unknown"),
        ({"target": "y", "stop": {"patience": "x"}}, "`stop.patience`"),
        ({"target": "y", "stop": {"extra": 1}}, "`stop.extra` is unknown"),
        ({"target": "y", 5: 1}, "not text"),
        ({"target": "y", "hidden": [1] * 5_000}, "too many values"),
        ([], "not an object"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse(TEXT).check_parameters(parameters)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ("text", "not the schema of an object"),
        ({"type": "array"}, "not the schema of an object"),
        ({"type": "object", "properties": {"a": {"$ref": "http://example.org/x"}}}, "ref"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "ref"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}, "pattern"),
        ({"type": "object", "allOf": [{}, {}]}, "allOf"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, "dialect"),
        ({"type": "object", "properties": {"a": {"type": "whole"}}}, "parameters.properties.a.type"),
        ({"type": "object", "properties": {"a": {"minimum": "1"}}}, "parameters.properties.a.minimum"),
        ({"type": "object", "properties": {"a": 5}}, "not a schema"),
        ({"type": "object", "properties": []}, "not JSON Schema"),
        ({"type": "object", "required": "a"}, "not JSON Schema"),
        ({"type": "object", "properties": {"a": {"multipleOf": 0}}}, "multipleOf"),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}, "default"),
        ({"type": "object", "properties": {"a": {"enum": list(range(300))}}}, "choices"),
        ({"type": "object", "properties": {"a": {"type": "string", "format": "email"}}}, "format"),
        (nested(40), "deeply"),
    ],
)
def test_a_schema_that_is_wrong_or_unbounded_is_refused(schema: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        ParameterSchema(schema)


COLUMN = {"type": "string", "format": "column"}
NAMING = ParameterSchema({
    "type": "object",
    "properties": {
        "target": COLUMN,
        "features": {"type": "array", "items": COLUMN},
        "plan": {"type": "object", "properties": {"by": COLUMN}},
        "note": {"type": "string"},
    },
})  # fmt: skip


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"target": "z"}, "`target`"),
        ({"features": ["a", "z"]}, r"`features\[1\]`"),
        ({"plan": {"by": "A"}}, "`plan.by`"),
    ],
)
def test_a_parameter_that_names_no_column_of_the_dataset_is_refused(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"{named} names no column of the dataset.*a, b"):
        NAMING.check_columns(values, ("a", "b"))


def test_parameters_that_name_columns_or_nothing_pass() -> None:
    NAMING.check_columns({"target": "a", "features": ["b"], "plan": {"by": "a"}, "note": "z"}, ("a", "b"))
    NAMING.check_columns({}, ())
