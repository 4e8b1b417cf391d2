"""`steelyard environment`: the packages that algorithms find in the sandbox."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from compute.environments import BuiltEnvironment, ready_made
from compute.environments.requirements import read_pins
from compute.environments.store import Found
from compute.provider.home import environments_of
from marketplace.cli.output import table_or
from marketplace.cli.session import session
from marketplace.core.environments import named
from marketplace.errors import IntegrityError

Name = Annotated[str, typer.Argument(help="as python-ml, or python-ml@12 hex digits")]


def environment_build(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="a ready-made one, as python-ml, or a new name")],
    requirements: Annotated[
        Path | None, typer.Option(help="packages for a new one, a line each: name==version, and its hashes")
    ] = None,
) -> None:
    """Build an environment; a running node offers it from the next job on."""
    here = session(context)
    started, environments = time.monotonic(), environments_of(here)
    if requirements is None:
        built = environments.build_ready(name, here.output.step)
    else:
        built = environments.build_pinned(name, read_pins(requirements), here.output.step)
    here.output.result(
        {**_json(built), "seconds": round(time.monotonic() - started, 3)},
        [f"{named([built])}: {len(built.record.packages)} packages in {built.folder}"],
        then=f"steelyard environment show {built.name}",
    )


def environment_list(context: typer.Context) -> None:
    """The environments of this home, and those that are ready to be built."""
    here = session(context)
    found = environments_of(here).all()
    rows = [_found_json(one) for one in found]
    cells = [(_name(one), _built_at(one), one.wrong or "whole") for one in found]
    others = [one for name, one in ready_made().items() if name not in {row.get("name") for row in rows}]
    shown = table_or("This home has no environment yet.", "Environments", ("name", "built", "state"), cells)
    here.output.result(
        {"environments": rows, "ready_made": sorted(ready_made())},
        [shown, *(f"ready to be built: {one.name}. {one.description}" for one in others)],
        then=f"steelyard environment show {_name(found[0])}"
        if found
        else "steelyard environment build python-ml",
    )


def environment_show(context: typer.Context, name: Name) -> None:
    """The packages of an environment."""
    here = session(context)
    built = environments_of(here).require(name)
    here.output.result(
        {**_json(built), "packages": built.record.packages},
        [f"{named([built])}, digest 0x{built.digest.hex()}", *built.record.packages],
        then=f"steelyard environment check {name}",
    )


def environment_check(context: typer.Context, name: Name) -> None:
    """Read every file of an environment; exit code 1 where one is not as it was built."""
    here = session(context)
    built = environments_of(here).require(name)
    if wrongs := built.check():
        raise IntegrityError(
            f"the environment {named([built])} is not as it was built",
            got="; ".join(wrongs),
            do="No job runs in it from now on. Install again what was changed, then `steelyard environment build`.",
        )
    here.output.result(_json(built), [f"{named([built])} is whole, every byte of it"])


def _json(built: BuiltEnvironment) -> dict[str, Any]:
    return {
        "name": built.name,
        "digest": built.digest,
        "folder": str(built.folder),
        "built_at": built.record.built_at,
    }


def _found_json(one: Found) -> dict[str, Any]:
    about = _json(one.built) if one.built else {"folder": one.folder}
    return {**about, "whole": not one.wrong, "wrong": one.wrong}


def _name(one: Found) -> str:
    return named([one.built]) if one.built else one.folder


def _built_at(one: Found) -> str:
    return f"{datetime.fromtimestamp(one.built.record.built_at, UTC):%Y-%m-%d %H:%M}" if one.built else ""
