"""`steelyard doctor`: what is missing for daily use, and how to mend it. Looks only; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import typer
from rich.text import Text

from marketplace.cli import checks_machine, checks_market
from marketplace.cli.findings import Check, Finding, Level, LookingSession, of_error, run_checks
from marketplace.cli.output import Output, clean
from marketplace.errors import RefusedError, SteelyardError
from marketplace.settings import Settings, load_settings

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
    "gateway": checks_market.gateway,
    "hub": checks_market.hub,
}


def doctor(context: typer.Context) -> None:
    """Say what is missing on this machine and in this home, and how to mend it; exit code 1 if something is wrong."""
    output = context.obj
    if not isinstance(output, Output):
        raise RefusedError("a command runs outside the command line")
    findings = _findings(output)
    fine = all(found.level is not Level.wrong for found in findings)
    value = [
        {"level": str(found.level), "name": found.name, "what": found.what, "do": found.do or None}
        for found in findings
    ]
    output.result({"ok": fine, "checks": value}, [line for found in findings for line in _lines(found)])
    if not fine:
        raise typer.Exit(1)


def _findings(output: Output) -> list[Finding]:
    try:
        settings = load_settings()
    except SteelyardError as error:  # nothing of this home can be looked at before that is mended
        return [of_error("settings", error)]
    return [*_checked(output, settings)]


def _checked(output: Output, settings: Settings) -> list[Finding]:
    patient = settings.model_copy(update={"timeout": min(settings.timeout, _PATIENCE)})
    here = LookingSession(output, patient)
    try:
        return list(run_checks({**_CHECKS, **_joining()}, here, limit=_LIMIT))
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
