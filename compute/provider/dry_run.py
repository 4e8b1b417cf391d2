"""A dry run: an algorithm over a made-up table, on the buyer's machine, through the code that a node runs.

Covered: the parameters, the columns they name, the environment, the layout, the limits, forbidden calls, the log's
lines, and the review of what would leave.
Not covered: what real data holds (missing values, rare classes, sizes, odd texts), so that no score means anything; the
owner's approval and review by eye; another machine's speed and memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.environments import BuiltEnvironment, Environments
from compute.provider.execution import Finished, Run, asks_for_too_much, execute
from compute.provider.lines import OnProgress
from compute.provider.opened import Opened
from compute.provider.sample import sample
from compute.sandbox import Bound, Sandbox, Tree
from marketplace.core.content import kind_of
from marketplace.core.dataset import Listing, Table
from marketplace.core.environments import named
from marketplace.core.policy import CustomAlgorithms, Permit, Terms
from marketplace.errors import InputError, RefusedError, UnavailableError
from marketplace.jobs import Algorithm


@dataclass(frozen=True)
class Trial:
    """What came of a dry run. objections: why the dataset's node would refuse the job before running it.

    notes: what else differs there.
    """

    finished: Finished
    environment: BuiltEnvironment
    objections: tuple[str, ...]
    notes: tuple[str, ...]


def dry_run(
    sandbox: Sandbox,
    environments: Environments,
    algorithm: Algorithm,
    listing: Listing,
    terms: Terms | None,
    parameters: Mapping[str, Any],
    *,
    rows: int,
    on_line: Callable[[str], None],
    on_step: Callable[[str], None],
    on_progress: OnProgress,
) -> Trial:
    """Runs an algorithm over `rows` made-up rows of a listed table; terms: None where they are not known.

    Raises InputError for data that is no table and for parameters that fit neither the algorithm nor the listing,
    RefusedError where this machine lacks the environment or the memory.
    """
    manifest, table = algorithm.parsed.manifest, _table_of(listing)
    values = manifest.check_parameters(parameters)
    manifest.parameters.check_columns(values, listing.column_names)
    if why := asks_for_too_much(manifest):
        raise RefusedError(why)
    environment = environments.obtain(manifest.environment, on_step)
    run = Run(
        algorithm.parsed,
        "0x" + algorithm.digest.hex(),
        values,
        _permit(algorithm, listing, terms),
        listing.did,
        listing.to_bytes(),
        environment.packages,
    )
    on_step(f"making up {rows} rows from the names and kinds of {len(table.columns)} columns")
    single = {column for where, column in manifest.parameters.named_columns(values) if "[" not in where}
    made = sample(table.columns, rows, table.format, classes=single)
    finished = _execute(sandbox, run, table, made, on_line, on_progress)
    objections = tuple(_objections(algorithm, listing, terms))
    return Trial(finished, environment, objections, tuple(_notes(environment, listing)))


def _execute(
    sandbox: Sandbox,
    run: Run,
    table: Table,
    made: bytes,
    on_line: Callable[[str], None],
    on_progress: OnProgress,
) -> Finished:
    seconds = run.algorithm.manifest.limits.wall_seconds
    with sandbox.folder(len(made)) as (folder, _):
        try:
            data = _laid_out(folder, run.did.folder, table, made)
        except OSError as error:
            raise UnavailableError(
                "the made-up table does not fit into memory", got=error.strerror, do="Ask for fewer --rows."
            ) from None
        return execute(
            sandbox,
            run,
            data,
            seconds=seconds,
            fair_seconds=seconds,
            on_line=on_line,
            on_progress=on_progress,
            stop=threading.Event(),
        )


def _laid_out(folder: Path, name: str, table: Table, made: bytes) -> Opened:
    """As a node lays the real one out; of a table in parts it is the one part."""
    if table.files is None:
        path = _written(folder / "0", made)
        return Opened({f"table.{table.format}": path, f"{name}/0": path})
    parts = folder / "files"
    parts.mkdir()
    parts.chmod(0o755)  # whatever the umask
    part = _written(parts / f"part-0.{table.format}", made)
    return Opened(trees={name: Tree(Bound(parts), (part.name,))})


def _written(path: Path, made: bytes) -> Path:
    path.write_bytes(made)
    path.chmod(0o444)  # the folder above lets nobody in; the sandbox binds what is below it
    return path


def _table_of(listing: Listing) -> Table:
    if not isinstance(listing.content, Table):
        raise InputError(
            "only tables can be made up from a listing",
            got=kind_of(listing.content),
            do="Try the algorithm on files of your own.",
        )
    return listing.content


def _is_listed(algorithm: Algorithm, listing: Listing, terms: Terms | None) -> bool:
    digests = terms.algorithms if terms else tuple(one.digest for one in listing.algorithms)
    return algorithm.digest in digests


def _permit(algorithm: Algorithm, listing: Listing, terms: Terms | None) -> Permit:
    """As the node's, as far as terms alone tell."""
    if _is_listed(algorithm, listing, terms):
        return Permit(needs_approval=False, review_output=False, opaque_outputs=False)
    opaque = terms is not None and terms.opaque_outputs
    return Permit(needs_approval=True, review_output=True, opaque_outputs=opaque)


def _objections(algorithm: Algorithm, listing: Listing, terms: Terms | None) -> Iterator[str]:
    denied = terms is not None and terms.custom_algorithms is CustomAlgorithms.denied
    if denied and not _is_listed(algorithm, listing, terms):
        yield "the terms do not list this algorithm, and custom ones may not run"
    try:
        listing.require_environment(algorithm.parsed.manifest.environment)
    except RefusedError as error:
        yield str(error)


def _notes(environment: BuiltEnvironment, listing: Listing) -> Iterator[str]:
    theirs = [one for one in listing.environments if one.name == environment.name]
    if theirs and not any(one.digest == environment.digest for one in theirs):
        here, there = set(environment.record.packages), set(theirs[0].packages)
        differs = ", ".join(sorted(there - here)[:5]) or "fewer packages"
        yield f"your {named([environment])} is not the node's {named(theirs)}, which has: {differs}"
