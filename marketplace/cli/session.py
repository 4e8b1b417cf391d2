"""What a command works with: a participant's chain, store and keys, and where its output goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from marketplace.cli.output import Output
from marketplace.core.canonical import MAX_DOCUMENT, parse_json
from marketplace.errors import InputError, RefusedError
from marketplace.participant import Participant
from marketplace.settings import Settings, load_settings


class Session(Participant):
    """One command's view of the market."""

    def __init__(self, output: Output, settings: Settings | None = None) -> None:
        super().__init__(settings or load_settings())
        self.output = output


def session(context: typer.Context) -> Session:
    """The session of a command; tests may put one into the context."""
    if isinstance(context.obj, Session):
        return context.obj
    if not isinstance(context.obj, Output):
        raise RefusedError("a command runs outside the command line")
    here = Session(context.obj)
    context.obj = here
    context.call_on_close(here.close)
    return here


def parse_parameters(pairs: list[str], file: Path | None) -> dict[str, Any]:
    """Parameters from a JSON file and `name=value` pairs; a value is JSON where it parses, else text."""
    values = read_object(file, "the parameters file") if file else {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise InputError("a parameter does not parse", got=pair, expected="name=value")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def read_object(file: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError naming `what`."""
    try:
        with file.open("rb") as opened:
            found = parse_json(opened.read(MAX_DOCUMENT + 1), what=what)
    except OSError as error:
        raise InputError(f"{what} cannot be read", got=f"{file}: {error.strerror}") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} does not parse", got=type(found).__name__, expected="a JSON object")
    return found
