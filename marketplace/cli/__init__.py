"""The command line: `steelyard <group> <command>`; thin commands over the flows.

Commands of other packages join through the entry-point group `steelyard.commands`, named `group.command`. Only
the group that is asked for is imported, so that each command starts as fast as what it needs. The entry points
`steelyard.first` name what comes even before that: what a process must be for a command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
import typer.exceptions

from marketplace.cli.output import Output
from marketplace.errors import SteelyardError

_HELP = "Steelyard: a market for data that stays with its owner. Every command takes --json."
_INTERRUPTED = 130
"""The shell's code for Ctrl-C, typer's as well."""
_GROUPS = {
    "chain": "services:chain_app",
    "gateway": "services:gateway_app",
    "hub": "services:hub_app",
    "wallet": "wallet:app",
    "dataset": "dataset:app",
    "access": "access:app",
    "job": "disputing:app",
    "model": "model:app",
    "earnings": "earnings:app",
    "statement": "statement:app",
    "bond": "bond:app",
    "accreditation": "accreditation:app",
    "audit": "audit:app",
}
_COMMANDS = {"up": "up:up", "doctor": "doctor:doctor"}
"""Commands of no group."""

_JOINING = {
    "demo": "The market that `steelyard up --demo` opens.",
    "algorithm": "Ready-made algorithms that a provider can list and a buyer can order; a dry run of any.",
    "environment": "Packages that algorithms find in the sandbox: named lists, each a folder of its own.",
    "node": "The node beside your data: register it, run it, see its jobs. It judges and runs what buyers order.",
    "request": "Jobs that wait for you as a dataset's owner: read the code or its output, then approve or refuse.",
}
"""What groups are for that consist of joining commands alone."""


def build(words: Sequence[str]) -> typer.Typer:
    """The application, as far as `words` need it: one group, or all of them for help."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group="steelyard.commands"), key=lambda found: found.name):
        points.setdefault(point.name.partition(".")[0], []).append(point)
    names = [*_COMMANDS, *_GROUPS, *(name for name in points if name not in _GROUPS)]
    wanted = [words[0]] if words and words[0] in names else names
    for name in wanted:
        if name in _COMMANDS:
            app.command(name)(_named(_COMMANDS[name]))
        else:
            app.add_typer(_group(name, points.get(name, [])), name=name)
    if len(wanted) == 1:
        app.callback()(lambda: None)  # keeps the group's name in front of its commands
    return app


def _named(place: str) -> Any:
    """What stands in a module of this package, as `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(f"marketplace.cli.{module}"), attribute)


def _group(name: str, points: list[EntryPoint]) -> typer.Typer:
    if name in _GROUPS:
        group: typer.Typer = _named(_GROUPS[name])
    else:
        group = typer.Typer(help=_JOINING.get(name, f"Commands for {name}s."), no_args_is_help=True)
    known = {command.name for command in group.registered_commands}
    for name, point in ((point.name.partition(".")[2], point) for point in points):
        if name not in known:  # a module's group lives on: another command of this process may have joined it
            group.command(name)(point.load())
    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command. Exit codes: 0 done, 1 a check failed or was refused, 2 usage or bad input, 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for point in entry_points(group="steelyard.first", name=".".join(words[:2])):
        point.load()()
    output = Output(as_json="--json" in words)
    sys.exit(run([word for word in words if word != "--json"], output))


def run(words: list[str], output: Output) -> int:
    """One command's exit code; no exception leaves."""
    try:
        command = typer.main.get_command(build(words))
        if output.as_json:
            _leave_help_to_people(command)
        code = command.main(words, prog_name="steelyard", standalone_mode=False, obj=output)
    except SteelyardError as error:
        output.error(error)
        return error.exit_code
    except typer.exceptions.TyperException as error:
        context = getattr(error, "ctx", None)
        output.usage(error.format_message(), context.get_usage() if context else "")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except BrokenPipeError:  # nobody reads on, as with `| head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter complains at its end
        return 1
    except Exception as error:  # a defect: a person still gets a sentence, not a traceback
        found = f"this should not happen ({type(error).__name__}: {error})"
        output.error(SteelyardError(found, do="Please report it."))
        return 1
    if code == _INTERRUPTED:
        output.error(SteelyardError("stopped"))
    return code if isinstance(code, int) else 0


def _leave_help_to_people(command: Any) -> None:
    """A group without a command is an error for programs; its help is no JSON."""
    command.no_args_is_help = False
    for inner in getattr(command, "commands", {}).values():
        _leave_help_to_people(inner)
