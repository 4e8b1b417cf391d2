"""`steelyard node backup|restore`: a home in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compute.provider import backup
from compute.provider.alone import alone_in
from marketplace.cli.session import session


def node_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="a new file; keep it somewhere else")],
    data: Annotated[bool, typer.Option("--data", help="with the sealed data, not its index alone")] = False,
) -> None:
    """Write this home's keys, wraps, vault index and journal into one file; your passphrase opens the keys in it."""
    here = session(context)
    made = backup.backup(here.home, file, data=data)
    here.output.result(
        {
            "file": str(file),
            "files": made.files,
            "bytes": made.bytes,
            "keys": made.keys,
            "datasets": made.datasets,
        },
        [
            f"{made.keys} keys and {made.datasets} datasets in {file}, {made.bytes} bytes",
            "environments are not in it: where it is restored, they are built again",
        ],
        then=f"STEELYARD_HOME=NEW-FOLDER steelyard node restore {file}",
    )


def node_restore(context: typer.Context, file: Annotated[Path, typer.Argument(help="a backup")]) -> None:
    """Put a backup into this home, which must have no keys yet."""
    here = session(context)
    with alone_in(here.home):
        found = backup.restore(file, here.home)
    here.output.result(
        {"home": str(here.home), "files": found.files, "keys": found.keys, "datasets": found.datasets},
        [f"{found.keys} keys and {found.datasets} datasets are back in {here.home}"],
        then="steelyard node run" if found.datasets else "steelyard wallet show",
    )
