"""An algorithm's parameters: its JSON Schema (draft 2020-12), checked, and values checked against it; pure.

The schema comes from a stranger and is evaluated outside the sandbox, so only keywords whose cost is bounded by the
size of schema and value are known: no `$ref` (expansion can be exponential, and a remote one is a request), no
`pattern` (regular expressions can backtrack for ever), no `uniqueItems` (quadratic), no combinators; and values are
counted. Names that the schema does not know are refused: a parameter that was misspelt must not be dropped in silence.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match

from marketplace.errors import InputError

MAX_DEPTH = 16
MAX_VALUES = 4_096
MAX_CHOICES = 256
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KEYWORDS = frozenset({
    "$schema", "$comment", "title", "description", "examples", "default", "type", "enum", "const", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "items", "minItems", "maxItems",
    "properties", "required", "additionalProperties", "format",
})  # fmt: skip
COLUMN = "column"
"""The one `format`: text that names a column of the dataset."""
_COLUMNS_SHOWN = 40
_LARGEST = 2**53 - 1


class ParameterSchema:
    """A checked JSON Schema of type object.

    Raises InputError where it is not draft 2020-12, uses an unknown keyword, or a default does not fit its own schema.
    """

    def __init__(self, schema: object) -> None:
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise InputError(
                "`parameters` is not the schema of an object", got=repr(schema), expected="type = 'object'"
            )
        self.schema: dict[str, Any] = {
            "properties": {},
            **copy.deepcopy(schema),
            "additionalProperties": False,
        }
        _check_keywords(self.schema, "parameters", 0)
        try:
            Draft202012Validator.check_schema(self.schema)
        except SchemaError as error:
            where = ".".join(["parameters", *map(str, error.absolute_path)])
            raise InputError(
                f"`{where}` is not JSON Schema", got=error.message, expected="draft 2020-12"
            ) from None
        _check_defaults(self.schema, "parameters")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterSchema) and self.schema == other.schema

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.schema["properties"])))

    def check(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with defaults filled in, as a copy. Raises InputError that names the parameter."""
        if not isinstance(params, Mapping):
            raise InputError(
                "the parameters are not an object", got=type(params).__name__, expected="names and values"
            )
        given = plain_json(dict(params), "the parameters")
        if (count := _count(given)) > MAX_VALUES:
            raise InputError("the parameters hold too many values", got=count, expected=f"<= {MAX_VALUES}")
        values = _fill(self.schema, given)
        if error := best_match(Draft202012Validator(self.schema).iter_errors(values)):
            raise _explain(error)
        return dict(values)

    def named_columns(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(parameter, column) for every value of `format = "column"`; in a list as `features[0]`."""
        return list(_named_columns(self.schema, values, ""))

    def check_columns(self, values: Mapping[str, Any], columns: Sequence[str]) -> None:
        """Raises InputError where a parameter of `format = "column"` names none of a dataset's columns."""
        for where, name in self.named_columns(values):
            if name not in columns:
                more = ", ..." if len(columns) > _COLUMNS_SHOWN else ""
                raise InputError(
                    f"the parameter `{where}` names no column of the dataset",
                    got=repr(name),
                    expected=", ".join(columns[:_COLUMNS_SHOWN]) + more,
                )


def plain_json(value: object, what: str, depth: int = 0) -> Any:
    """A deep copy that holds JSON's own types only: finite numbers, whole ones within +-(2**53 - 1), bounded depth.

    what: how errors call the value. Raises InputError.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"{what} is nested too deeply", expected=f"<= {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise InputError(f"{what} has a name that is not text", expected="text as names")
        return {key: plain_json(item, what, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item, what, depth + 1) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and abs(value) <= _LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    got = f"a number of {value.bit_length()} bits" if isinstance(value, int) else repr(value)
    raise InputError(
        f"{what} has a value that JSON cannot hold", got=got, expected="text, true, a finite number, ..."
    )


def _count(value: object) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, items))


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        yield from properties.items()
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield keyword, schema[keyword]


def _check_keywords(schema: object, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InputError(
            "the schema of the parameters is nested too deeply", expected=f"<= {MAX_DEPTH} levels"
        )
    if not isinstance(schema, dict):
        raise InputError(f"`{where}` is not a schema", got=repr(schema), expected="a table")
    if schema.get("$schema", _DIALECT) != _DIALECT:
        raise InputError(f"`{where}` is of another dialect", got=schema["$schema"], expected=_DIALECT)
    if schema.get("format", COLUMN) != COLUMN:
        raise InputError(f"`{where}` has a format that is not known", got=schema["format"], expected=COLUMN)
    for keyword in schema:
        if keyword not in _KEYWORDS:
            raise InputError(
                f"`{where}` uses a keyword that is not allowed", got=f"`{keyword}`",
                expected=", ".join(sorted(_KEYWORDS)), do="Write the schema out with these keywords",
            )  # fmt: skip
    if isinstance(schema.get("enum"), list) and len(schema["enum"]) > MAX_CHOICES:
        raise InputError(
            f"`{where}` has too many choices", got=len(schema["enum"]), expected=f"<= {MAX_CHOICES}"
        )
    for name, child in _children(schema):
        _check_keywords(child, f"{where}.{name}", depth + 1)


def _check_defaults(schema: Mapping[str, Any], where: str) -> None:
    if "default" in schema:
        error = best_match(Draft202012Validator(schema).iter_errors(schema["default"]))
        if error:
            raise InputError(f"the default of `{where}` does not fit its own schema", got=error.message)
    for name, child in _children(schema):
        _check_defaults(child, f"{where}.{name}")


def _named_columns(schema: Mapping[str, Any], value: Any, where: str) -> Iterator[tuple[str, str]]:
    """(parameter, column) for every text that the schema calls a column."""
    if isinstance(value, str) and schema.get("format") == COLUMN:
        yield where, value
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for number, item in enumerate(value):
            yield from _named_columns(schema["items"], item, f"{where}[{number}]")
    elif isinstance(value, Mapping):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _named_columns(child, value[name], f"{where}.{name}".lstrip("."))


def _fill(schema: Mapping[str, Any], value: Any) -> Any:
    """Defaults of absent properties, in objects at every depth."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_fill(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    properties: Mapping[str, Any] = schema.get("properties", {})
    absent = {name: child["default"] for name, child in properties.items() if "default" in child}
    filled = {**copy.deepcopy(absent), **value}
    return {
        name: _fill(properties[name], item) if name in properties else item for name, item in filled.items()
    }


def _explain(error: ValidationError) -> InputError:
    """The fault in words that name the parameter: `hidden_layers[1]`, `target`."""
    name = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    ).lstrip(".")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        unknown = next(key for key in error.instance if key not in known)
        return InputError(
            f"the parameter `{f'{name}.{unknown}'.lstrip('.')}` is unknown",
            expected=", ".join(sorted(known)) or "no parameters at all",
            do="Check its spelling",
        )
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return InputError(
            f"the parameter `{f'{name}.{missing}'.lstrip('.')}` is missing", expected="a value", do="Set it"
        )
    expected = f"{error.validator} {error.validator_value}"
    return InputError(
        f"the parameter `{name or 'parameters'}` does not fit", got=repr(error.instance), expected=expected
    )
