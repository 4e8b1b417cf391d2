"""JSON Schemas and contexts of the documents that the core reads and writes, shipped as package data."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def load(name: str) -> dict[str, Any]:
    """The JSON object in `<name>.json` beside this file; shared, so never to be changed."""
    value: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
    return value
