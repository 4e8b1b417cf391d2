"""`steelyard demo fill`: what `steelyard up --demo` runs beside its services."""

from __future__ import annotations

import shlex

import typer

from compute.demo.fields import FIELDS, Field
from compute.demo.fill import BUYER, fill, start_words
from compute.demo.people import Person
from marketplace.cli.session import session

_SHOWN = next(field for field in FIELDS if field.name == "health")


def demo_fill(context: typer.Context) -> None:
    """Make the demo's providers, data, jobs and models, or go on where it stopped; `steelyard up --demo` calls it."""
    here = session(context)
    buyer = fill(here.settings, lambda text: here.output.event({"step": text}, text))
    commands = next_commands(buyer, _SHOWN)
    here.output.result({"filled": True, "next_commands": commands}, commands)


def next_commands(buyer: Person, field: Field) -> list[str]:
    """What a person types, or pastes, to trade as the demo's buyer."""
    home = shlex.quote(str(buyer.home))
    start = " ".join(start_words(field, field.slug))
    return [
        f"export STEELYARD_HOME={home} STEELYARD_PASSPHRASE_FILE={home}/passphrase",
        "steelyard dataset list",
        f"steelyard dataset show {field.slug}",
        f"steelyard access buy {field.slug}",
        f"job=$(steelyard {start} --json | grep -o '0x[0-9a-f]*' | head -1)",
        "steelyard job watch $job",
        f"steelyard job result $job --to {BUYER}-$job",
        "steelyard job accept $job",
        "steelyard audit verify $job",
    ]
