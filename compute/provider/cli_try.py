"""`steelyard algorithm try`: an algorithm over made-up rows, on this machine, for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from compute.algorithms import builtin, bundle_of
from compute.provider.dry_run import Trial, dry_run
from compute.provider.execution import Failure
from compute.provider.home import environments_of
from compute.sandbox import Sandbox, Wall
from marketplace import jobs, results
from marketplace.cli.session import Session, parse_parameters, read_object, session
from marketplace.core.bundle import parse_bundle
from marketplace.core.canonical import canonical
from marketplace.core.dataset import Listing
from marketplace.core.environments import named
from marketplace.core.manifest import Manifest
from marketplace.core.terms import Terms
from marketplace.errors import InputError, NotFoundError
from marketplace.lookup import listing_of, resolve
from marketplace.storage import get_document

_MIB = 1024 * 1024


def algorithm_try(
    context: typer.Context,
    algorithm: Annotated[
        str, typer.Argument(help="a listed or ready-made one's name, or ./folder with algorithm.toml")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="id, DID, owner/slug or slug of a listed dataset")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="a listing in a file instead, as `dataset show --json` prints it")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="name=value; repeat")] = None,
    params: Annotated[Path | None, typer.Option(help="JSON file with parameters")] = None,
    rows: Annotated[int, typer.Option(min=2, max=100_000, help="rows that are made up")] = 100,
    to: Annotated[Path | None, typer.Option(help="a new or empty folder for the outputs")] = None,
) -> None:
    """Run an algorithm over made-up rows here, as a node would; exit code 1 where it fails or would be refused."""
    here = session(context)
    values = parse_parameters(param or [], params)
    listing, terms = _described(here, dataset, schema)
    chosen = _algorithm(here, listing, algorithm, by_file=schema is not None)
    log: list[str] = []

    def on_line(line: str) -> None:
        log.append(line)
        here.output.step(f"| {line}")

    with Sandbox(wall=Wall(here.settings.wall)) as sandbox:
        trial = dry_run(
            sandbox,
            environments_of(here),
            chosen,
            listing,
            terms,
            values,
            rows=rows,
            on_line=on_line,
            on_step=here.output.step,
            on_progress=lambda stage, done, of: here.output.step(f"{stage} {done}/{of}" if of else stage),
        )
    released = trial.finished.result
    written = [] if isinstance(released, Failure) or to is None else results.write_files(dict(released), to)
    manifest = chosen.parsed.manifest
    here.output.result(
        {**_json(trial), "rows": rows, "log": log, "files": [str(path) for path in written]},
        [
            *_outcome(trial),
            *_used(trial, manifest),
            *map(str, written),
            *_remarks(trial),
            _warning(rows, listing),
        ],
        then=None
        if _went_wrong(trial)
        else f"steelyard job start {dataset or 'DATASET'} --algorithm {algorithm} ...",
    )
    if _went_wrong(trial):
        raise typer.Exit(1)


def _described(here: Session, dataset: str | None, schema: Path | None) -> tuple[Listing, Terms | None]:
    if (dataset is None) == (schema is None):
        raise InputError(
            "a dry run needs one table to imitate", do="Name --dataset, or --schema with a listing."
        )
    if schema is not None:
        found = read_object(schema, "the listing")
        return Listing.parse(canonical(found.get("listing", found))), None
    token = resolve(here.chain, here.store, str(dataset), say=here.output.say)
    listing = listing_of(here.chain, here.store, token)
    return listing, Terms.parse(get_document(here.store, listing.terms.digest))


def _algorithm(here: Session, listing: Listing, name: str, *, by_file: bool) -> jobs.Algorithm:
    """A folder's; or a listed one's from the shared store; or a ready-made one's of this installation."""
    if "/" in name:
        return jobs.own_algorithm(Path(name))
    if not by_file:
        try:
            return jobs.listed_algorithm(here.store, listing, name)
        except NotFoundError:
            if name not in builtin():
                raise
    data = bundle_of(name)
    return jobs.Algorithm(data, parse_bundle(data), listed=False)


def _went_wrong(trial: Trial) -> bool:
    return bool(trial.objections) or isinstance(trial.finished.result, Failure)


def _json(trial: Trial) -> dict[str, Any]:
    finished, result = trial.finished, trial.finished.result
    return {
        "synthetic": True,
        "environment": named([trial.environment]),
        "seconds": round(finished.seconds, 3),
        "memory_bytes": finished.peak_bytes,
        "outputs": {} if isinstance(result, Failure) else {name: len(data) for name, data in result.items()},
        "failure": _failure_json(result) if isinstance(result, Failure) else None,
        "refused": list(trial.objections),
        "notes": list(trial.notes),
    }


def _failure_json(failure: Failure) -> dict[str, str]:
    return {"fault": failure.fault.name, "code": failure.code, "detail": failure.detail}


def _outcome(trial: Trial) -> list[str]:
    result = trial.finished.result
    if isinstance(result, Failure):
        return [
            f"it failed, by a fault of the {result.fault.name}: {result.code}: {result.detail}",
            "on real data that would cost the offer's failure fee",
        ]
    return [f"{name}  {len(data)} bytes may leave" for name, data in result.items()]


def _used(trial: Trial, manifest: Manifest) -> list[str]:
    finished, limits = trial.finished, manifest.limits
    peak = (
        "memory not counted here"
        if finished.peak_bytes is None
        else f"{finished.peak_bytes // _MIB} MiB of memory"
    )
    most = f"its limits are {limits.wall_seconds} s and {limits.memory_bytes // _MIB} MiB"
    return [f"took {finished.seconds:.1f} s, {peak}; {most}; in {named([trial.environment])}"]


def _remarks(trial: Trial) -> list[str]:
    return [*(f"the node would refuse it: {why}" for why in trial.objections), *trial.notes]


def _warning(rows: int, listing: Listing) -> str:
    what = f"{rows} rows made up from the names and kinds of {len(listing.columns)} columns"
    return f"SYNTHETIC DATA: {what}. Any score on them means nothing."
