"""What an algorithm declares of itself in `algorithm.toml`, parsed into closed types; pure.

```toml
name = "tabular-classifier"
version = "1.0.0"
description = "..."
entrypoint = "algorithm.py"
mode = "single"
environment = "python-ml"  # or "python-ml@1f2e3d4c5b6a": that list of packages and no other

[limits]
memory_bytes = 2147483648

[[outputs]]
name = "model.safetensors"
format = "safetensors"
max_bytes = 16777216
description = "..."

[parameters]
type = "object"
```

Nothing unknown is accepted: a key that this version does not know is an error, never ignored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from marketplace.core.environments import WantedEnvironment
from marketplace.core.parameters import ParameterSchema, plain_json
from marketplace.errors import InputError

MANIFEST = "algorithm.toml"
MAX_MANIFEST_BYTES = 16_384  # dotted keys cost tomllib the square of their length
MAX_OUTPUTS = 64
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", re.ASCII)
_ENTRYPOINT = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+-]*/)*[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)


class Mode(StrEnum):
    """How an algorithm takes part: `single` runs once, beside one dataset."""

    SINGLE = "single"


class Format(StrEnum):
    """What an output claims to be, and is parsed as before it leaves; `opaque` is parsed as nothing."""

    SAFETENSORS = "safetensors"
    JSON = "json"
    PNG = "png"
    CSV = "csv"
    OPAQUE = "opaque"


@dataclass(frozen=True)
class Output:
    """A file that the algorithm must leave in `/data/outputs`; max_bytes: its largest size, in bytes."""

    name: str
    format: Format
    max_bytes: int
    description: str


@dataclass(frozen=True)
class Limits:
    """What one run may use at most; a node may allow less.

    memory_bytes: of all processes together. wall_seconds: from start to end. processes: threads count too.
    log_bytes: of stdout and stderr together.
    """

    memory_bytes: int = 2 * 1024**3
    wall_seconds: int = 600
    processes: int = 64
    log_bytes: int = 1024 * 1024


_LIMIT_RANGES = {
    "memory_bytes": (64 * 1024**2, 1024**4),
    "wall_seconds": (1, 7 * 86_400),
    "processes": (4, 4_096),
    "log_bytes": (1_024, 16 * 1024**2),
}


@dataclass(frozen=True)
class Manifest:
    """An algorithm's declaration; every field is checked."""

    name: str
    version: str
    description: str
    entrypoint: str
    mode: Mode
    environment: WantedEnvironment
    outputs: tuple[Output, ...]
    limits: Limits
    parameters: ParameterSchema

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest in `algorithm.toml`. Raises InputError that names the key."""
        table = _Table(_toml(data), MANIFEST)
        table.only("name", "version", "description", "entrypoint", "mode", "environment", "outputs", "limits",
                   "parameters")  # fmt: skip
        return cls(
            name=table.match(
                "name", _NAME, "lower-case words joined by `-`, at most 64 characters", longest=64
            ),
            version=table.match("version", _VERSION, "three numbers, as 1.0.0", longest=20),
            description=table.text("description", longest=4_000),
            entrypoint=table.match(
                "entrypoint", _ENTRYPOINT, "the name of a file in the bundle", longest=100
            ),
            mode=Mode(table.choice("mode", Mode)),
            environment=WantedEnvironment.parse(table.text("environment", longest=200)),
            outputs=_outputs(table.get("outputs")),
            limits=_limits(table.get("limits", {})),
            parameters=ParameterSchema(table.get("parameters", {"type": "object", "properties": {}})),
        )

    def check_parameters(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with defaults filled in; a copy. Raises InputError that names the parameter."""
        return self.parameters.check(params)


class _Table:
    """One TOML table, and what to call it in errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{where} is not a table", got=type(value).__name__, expected="a table")
        self.value: dict[str, Any] = value
        self.where = where

    def only(self, *known: str) -> None:
        for key in self.value:
            if key not in known:
                raise InputError(
                    f"{self.where} has an unknown key", got=f"`{key}`", expected=", ".join(known)
                )

    def get(self, key: str, default: object = None) -> Any:
        value = self.value.get(key, default)
        if value is None:
            raise InputError(f"{self.where} lacks a key", expected=f"`{key}`", do=f"Add `{key}`")
        return value

    def text(self, key: str, *, longest: int) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise self.wrong(key, f"a text of 1 to {longest} characters")
        return value

    def match(self, key: str, pattern: re.Pattern[str], expected: str, *, longest: int) -> str:
        value = self.text(key, longest=longest)
        if not pattern.fullmatch(value):
            raise self.wrong(key, expected)
        return value

    def choice(self, key: str, allowed: type[StrEnum]) -> str:
        value = self.get(key)
        if not isinstance(value, str) or value not in list(allowed):
            raise self.wrong(key, f"one of {', '.join(allowed)}")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def wrong(self, key: str, expected: str) -> InputError:
        got = self.value.get(key)
        return InputError(f"`{key}` of {self.where} is wrong", got=repr(got), expected=expected)


def _toml(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise InputError(
            f"{MANIFEST} is too large", got=f"{len(data)} bytes", expected=f"<= {MAX_MANIFEST_BYTES}"
        )
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{MANIFEST} is not TOML", got=error, expected="TOML 1.0 in UTF-8") from None
    return {key: plain_json(value, f"`{key}` of {MANIFEST}") for key, value in table.items()}


def _outputs(value: object) -> tuple[Output, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_OUTPUTS:
        raise InputError(
            f"`outputs` of {MANIFEST} is wrong",
            got=repr(value),
            expected=f"1 to {MAX_OUTPUTS} tables [[outputs]]",
        )
    outputs = tuple(_output(item, f"output {number} of {MANIFEST}") for number, item in enumerate(value, 1))
    names = [output.name.lower() for output in outputs]
    if len(set(names)) < len(names):
        raise InputError(
            f"{MANIFEST} declares an output twice", got=", ".join(names), expected="different names"
        )
    total = sum(output.max_bytes for output in outputs)
    if total > MAX_OUTPUT_BYTES:
        raise InputError(
            f"the outputs of {MANIFEST} may be too large together", got=f"{total} bytes",
            expected=f"<= {MAX_OUTPUT_BYTES}", do="Lower their `max_bytes`",
        )  # fmt: skip
    return outputs


def _output(value: object, where: str) -> Output:
    table = _Table(value, where)
    table.only("name", "format", "max_bytes", "description")
    return Output(
        name=table.match("name", _FILE, "a file's name without folders", longest=100),
        format=Format(table.choice("format", Format)),
        max_bytes=table.integer("max_bytes", 1, MAX_OUTPUT_BYTES),
        description=table.text("description", longest=1_000),
    )


def _limits(value: object) -> Limits:
    table = _Table(value, f"`limits` of {MANIFEST}")
    table.only(*_LIMIT_RANGES)
    defaults = Limits()
    return Limits(
        **{
            field.name: table.integer(field.name, *_LIMIT_RANGES[field.name], getattr(defaults, field.name))
            for field in fields(Limits)
        }
    )
