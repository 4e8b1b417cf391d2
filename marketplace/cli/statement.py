"""`steelyard statement provider|buyer`: what your account earned, paid and holds, for your books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from marketplace.cli.output import clean, table_or
from marketplace.cli.periods import From, To, parse_period
from marketplace.cli.session import Session, session
from marketplace.core.books import Role
from marketplace.core.readable import euros, instant
from marketplace.core.statement import HELD, Statement
from marketplace.core.statement_forms import to_csv, to_html, to_json
from marketplace.core.vat import FILE, MAX_FILE_BYTES, Papers
from marketplace.errors import InputError
from marketplace.statements import read_statement
from marketplace.storage import write_atomically

app = typer.Typer(
    help=f"Statements of account, from the chain alone. Names, VAT ids and rates: {FILE} in your home.",
    no_args_is_help=True,
)

Form = Annotated[
    Literal["table", "csv", "html"] | None, typer.Option("--format", help="default: by the file's name")
]
File = Annotated[Path | None, typer.Option(metavar="FILE", help="write it there instead of showing it")]


@app.command()
def provider(
    context: typer.Context, first: From = "", last: To = "", form: Form = None, to_file: File = None
) -> None:
    """What your datasets earned: sales, fees, penalties, your bond, withdrawals, gas of you and your node."""
    _show(session(context), Role.provider, first, last, form, to_file)


@app.command()
def buyer(
    context: typer.Context, first: From = "", last: To = "", form: Form = None, to_file: File = None
) -> None:
    """What you paid for: uses, what became of them, refunds, disputes, withdrawals, gas."""
    _show(session(context), Role.buyer, first, last, form, to_file)


def _show(
    here: Session,
    role: Literal[Role.provider, Role.buyer],
    first: str,
    last: str,
    form: str | None,
    file: Path | None,
) -> None:
    form, period = _form(form, file), parse_period(first, last)
    papers = _papers(here)
    made = read_statement(
        here.chain, here.store, here.address, role, period, papers=papers, say=here.output.say
    )
    text = {"csv": to_csv, "html": to_html}.get(form, lambda _: "")(made)
    value = to_json(made)
    if file is not None:
        write_atomically(file, text.encode())
        closing = sum(made.closing.values())
        said = f"{len(made.lines)} lines, closing at {euros(closing)}: {file}"
        here.output.result({**value, "file": str(file)}, [said])
    elif text and not here.output.as_json:
        here.output.text(text)
    else:
        here.output.result(value, [*_lines(made), *_tables(made)])


def _form(form: str | None, file: Path | None) -> str:
    """csv or html for a file, by its name where nothing else is said; a table for a terminal."""
    if form is None:
        form = file.suffix.removeprefix(".").lower() if file else "table"
    if file and form not in ("csv", "html"):
        raise InputError("not a form of a statement", got=form, expected="--format csv or html")
    return form


def _papers(here: Session) -> Papers:
    path = here.home / FILE
    try:
        with path.open("rb") as file:
            return Papers.read(file.read(MAX_FILE_BYTES + 1))
    except FileNotFoundError:
        return Papers()
    except OSError as error:
        raise InputError(f"{FILE} cannot be read", got=f"{path}: {error.strerror}") from None


def _lines(made: Statement) -> list[str]:
    return [
        f"{name}: " + ", ".join(f"{pot} {euros(pots[pot])}" for pot in HELD)
        for name, pots in (("opening", made.opening), ("closing", made.closing))
    ]


def _tables(made: Statement) -> list[str | Table]:
    rows = [
        (
            instant(line.time)[:10],
            line.flow.kind,
            f"{line.source} > {line.target}",
            euros(line.flow.amount),
            clean(made.dataset_name(line.flow.asset)),
        )
        for line in made.lines
    ]
    sums = [(one.kind, f"{one.source} > {one.target}", one.count, euros(one.amount)) for one in made.sums()]
    return [
        table_or("Nothing moved in that time.", "Lines", ("day", "kind", "way", "amount", "dataset"), rows),
        *([table_or("", "Sums", ("kind", "way", "lines", "amount"), sums)] if sums else []),
    ]
