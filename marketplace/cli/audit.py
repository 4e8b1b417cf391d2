"""`steelyard audit`: verify everything from chain and content alone; needs no wallet, home or hub."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.text import Text

from marketplace.cli.happened import in_words
from marketplace.cli.output import clean, short, table_or
from marketplace.cli.session import Session, session
from marketplace.core.audit import Check
from marketplace.core.ids import parse_digest
from marketplace.core.scope import Subject
from marketplace.lookup import resolve
from marketplace.verify import trace as trace_events
from marketplace.verify import verify as verify_subject

_LONG = re.compile(r"0x[0-9a-fA-F]{40,64}|[0-9]{40,78}|bafk[a-z2-7]{40,60}")

app = typer.Typer(help="Verify and trace, trusting nobody.", no_args_is_help=True)

About = Annotated[str, typer.Argument(help="all, a job id, or a dataset's id, DID or slug")]


@app.command()
def verify(context: typer.Context, about: About = "all") -> None:
    """Check everything that can be checked; exit code 1 if any line does not hold."""
    here = session(context)
    subject = _subject(here, about)
    show = None if here.output.as_json else lambda check: here.output.event({}, _line(check))
    report = verify_subject(here.chain, here.store, subject, show)
    proved = [check for check in report.checks if check.kind == "proved"]
    good = sum(check.ok is True for check in proved)
    claimed = len(report.checks) - len(proved)
    lines = [
        f"{good} of {len(proved)} checks hold at block {report.block}; {claimed} lines are claims that nobody proves",
        f"trust root: deployment file 0x{report.deployment.hex()}",
        *(f"WRONG: {_text(check)}" for check in report.failures()),
    ]
    here.output.result(report.to_json(), lines, then=None if report.ok else f"steelyard audit trace {about}")
    if not report.ok:
        raise typer.Exit(1)


def _subject(here: Session, about: str) -> Subject:
    if about == "all":
        return None
    if about.startswith("0x"):
        return parse_digest(about, "job id")
    return resolve(here.chain, here.store, about)


def _line(check: Check) -> Text:
    if check.kind == "claimed":
        return Text(f"claimed  {_text(check)}", style="dim")
    mark, style = ("ok      ", "green") if check.ok else (f"{check.problem or 'wrong':8}", "bold red")
    return Text.assemble((f"{mark} ", style), _text(check))


def _text(check: Check) -> str:
    """A line for people: ids are shortened where it holds, whole where it does not. Programs take --json."""
    found = f"{check.name} [{check.subject}]: {check.compared}"
    if check.ok:
        return clean(_LONG.sub(lambda name: short(name[0]), found))
    compared = [
        f"{what} {value}" for what, value in (("expected", check.expected), ("got", check.got)) if value
    ]
    return clean("; ".join([found, *compared]))


@app.command()
def trace(context: typer.Context, about: About = "all") -> None:
    """What happened, oldest first, with transactions."""
    here = session(context)
    entries = trace_events(here.chain, _subject(here, about))
    rows = [
        (entry.block, entry.event, in_words(entry.details), short(entry.transaction)) for entry in entries
    ]
    shown = table_or(
        "Nothing has happened yet.", "Events", ("block", "event", "details", "transaction"), rows
    )
    then = None if rows else "steelyard dataset list"
    here.output.result({"events": [entry.to_json() for entry in entries]}, [shown], then=then)
