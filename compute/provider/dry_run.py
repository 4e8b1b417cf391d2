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
from typing import Any

from compute.environments import BuiltEnvironment, Environments
from compute.provider.execution import Finished, Run, asks_for_too_much, execute
from compute.provider.lines import OnProgress
from compute.provider.sample import sample
from compute.sandbox import Sandbox
from marketplace.core.dataset import Listing
from marketplace.core.environments import named
from marketplace.core.policy import CustomAlgorithms, Permit, Terms
from marketplace.errors import RefusedError, UnavailableError
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

    Raises InputError for parameters that fit neither the algorithm nor the listing, RefusedError where this machine
    lacks the environment or the memory.
    """
    manifest = algorithm.parsed.manifest
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
        f"table.{listing.format}",
        listing.to_bytes(),
        environment.packages,
    )
    on_step(f"making up {rows} rows from the names and kinds of {len(listing.columns)} columns")
    single = {column for where, column in manifest.parameters.named_columns(values) if "[" not in where}
    table = sample(listing.columns, rows, listing.format, classes=single)
    finished = _execute(sandbox, run, table, on_line, on_progress)
    objections = tuple(_objections(algorithm, listing, terms))
    return Trial(finished, environment, objections, tuple(_notes(environment, listing)))


def _execute(
    sandbox: Sandbox, run: Run, table: bytes, on_line: Callable[[str], None], on_progress: OnProgress
) -> Finished:
    seconds = run.algorithm.manifest.limits.wall_seconds
    with sandbox.folder() as folder:
        data = folder / "0"
        try:
            data.write_bytes(table)
        except OSError as error:
            raise UnavailableError(
                "the made-up table does not fit into memory", got=error.strerror, do="Ask for fewer --rows."
            ) from None
        data.chmod(0o444)  # the folder lets nobody in; the sandbox binds the file alone
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
