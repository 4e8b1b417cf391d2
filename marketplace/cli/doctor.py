"""`steelyard doctor`: what is missing for daily use, and how to mend it. Looks only; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated

import typer
from rich.text import Text

from marketplace.cli import checks_machine, checks_market
from marketplace.cli.findings import Check, Finding, Level, LookingSession, of_error, run_checks
from marketplace.cli.output import Output, clean
from marketplace.errors import NotFoundError, RefusedError, SteelyardError
from marketplace.settings import load_settings

_LIMIT = 60.0
_PATIENCE = 5.0
_STYLES = {Level.ok: "green", Level.warning: "yellow", Level.wrong: "bold red"}
_CHECKS: Mapping[str, Check] = {
    "python": checks_machine.interpreter,
    "home": checks_machine.home,
    "keys": checks_machine.keys,
    "identity": checks_market.wallet,
    "up": checks_machine.services,
    "chain": checks_market.chain,
    "gateway": checks_market.shared_store,
    "hub": checks_market.hub,
}


def doctor(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Argument(help="checks to make; none: all of them")] = None,
) -> None:
    """Say what is missing on this machine and in this home, and how to mend it; exit code 1 if something is wrong."""
    output = context.obj
    if not isinstance(output, Output):
        raise RefusedError("a command runs outside the command line")
    findings = _findings(output, _chosen(only or []))
    fine = all(found.level is not Level.wrong for found in findings)
    value = [
        {"level": str(found.level), "name": found.name, "what": found.what, "do": found.do or None}
        for found in findings
    ]
    output.result({"ok": fine, "checks": value}, [line for found in findings for line in _lines(found)])
    if not fine:
        raise typer.Exit(1)


def _chosen(names: list[str]) -> dict[str, Check]:
    """The named checks, or all. Raises NotFoundError for a name that none has."""
    known = {**_CHECKS, **_joining()}
    for name in names:
        if name not in known:
            raise NotFoundError("no such check", got=name, expected=", ".join(known))
    return {name: check for name, check in known.items() if name in names or not names}


def _findings(output: Output, checks: dict[str, Check]) -> list[Finding]:
    try:
        settings = load_settings()
    except SteelyardError as error:  # nothing of this home can be looked at before that is mended
        return [of_error("settings", error)]
    here = LookingSession(output, settings.model_copy(update={"timeout": min(settings.timeout, _PATIENCE)}))
    try:
        return list(run_checks(checks, here, limit=_LIMIT))
    finally:
        here.close()


def _joining() -> dict[str, Check]:
    """Checks of other packages, in the order of their names."""
    points = sorted(entry_points(group="steelyard.checks"), key=lambda point: point.name)
    return {point.name: point.load() for point in points}


def _lines(found: Finding) -> list[Text]:
    level = (f"{found.level:<8}", _STYLES[found.level])
    lines = [Text.assemble(level, f" {found.name:<14} ", clean(found.what))]
    if found.do:
        lines.append(Text.assemble(" " * 24, ("-> ", "bold"), clean(found.do)))
    return lines
