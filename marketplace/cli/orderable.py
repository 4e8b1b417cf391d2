"""What a buyer can order on a dataset: each listed algorithm's parameters, read from its bundle, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.core.dataset import Listing
from marketplace.core.listing_parts import ListedAlgorithm
from marketplace.core.manifest import Manifest
from marketplace.core.parameters import COLUMN
from marketplace.errors import SteelyardError
from marketplace.hub import printable
from marketplace.jobs import listed_algorithm
from marketplace.storage import ContentStore

_MOST_READ = 16
"""Bundles that are fetched to be described; a listing may name many large ones."""
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True)
class Orderable:
    """A listed algorithm. manifest: None where its bundle cannot be read; `problem` says why."""

    listed: ListedAlgorithm
    manifest: Manifest | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.listed.name, "digest": self.listed.digest}
        if self.manifest is None:
            return {**found, "problem": self.problem}
        return {**found, "version": self.manifest.version, "parameters": self.manifest.parameters.schema}

    def lines(self) -> list[str]:
        """The algorithm, then a line for each parameter."""
        if self.manifest is None:
            return [f"  {self.listed.name}: its parameters are unknown: {self.problem}"]
        schema = self.manifest.parameters.schema
        required = schema.get("required", ())
        parameters = [_parameter(name, one, name in required) for name, one in schema["properties"].items()]
        return [f"  {self.listed.name} {self.manifest.version}", *(parameters or ["    no parameters"])]


def orderables(store: ContentStore, listing: Listing) -> list[Orderable]:
    """The listed algorithms; of a long list, only the first are read."""
    read = [_read(store, listing, listed) for listed in listing.algorithms[:_MOST_READ]]
    rest = listing.algorithms[_MOST_READ:]
    return read + [Orderable(listed, problem="too many to be read here") for listed in rest]


def _read(store: ContentStore, listing: Listing, listed: ListedAlgorithm) -> Orderable:
    try:
        found = listed_algorithm(store, listing, listed.digest.hex())
    except SteelyardError as error:
        return Orderable(listed, problem=f"its bundle cannot be read ({error.what})")
    return Orderable(listed, found.parsed.manifest)


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> str:
    """As `epochs: a whole number, at least 1, default 20 (Epochs)`. What strangers wrote stays on its line."""
    facts = [_kind(schema), *_bounds(schema)]
    if "default" in schema:
        facts.append(f"default {_value(schema['default'])}")
    else:
        facts.append("required" if required else "may be left out")
    title = schema.get("title")
    return f"    {printable(name, 80)}: {', '.join(facts)}" + (f" ({printable(title, 80)})" if title else "")


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + _values(schema["enum"])
    if "const" in schema:
        return f"always {_value(schema['const'])}"
    if schema.get("format") == COLUMN:
        return "a column's name"
    kinds = schema.get("type", "any value")
    if kinds == "array" and isinstance(schema.get("items"), dict):
        return f"a list, each {_kind(schema['items'])}"
    return " or ".join(_TYPES.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    words = {
        "minimum": "at least", "exclusiveMinimum": "more than",
        "maximum": "at most", "exclusiveMaximum": "less than",
    }  # fmt: skip
    return [f"{word} {schema[keyword]}" for keyword, word in words.items() if keyword in schema]


def _values(values: Iterable[Any]) -> str:
    return printable(", ".join(_value(value) for value in values), 300)


def _value(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value), 80)
