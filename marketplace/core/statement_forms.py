"""A statement as a table for programs (CSV, RFC 4180), a page to print (HTML), and JSON. Pure.

Amounts are exact decimals of the token; cents are rounded half up, and said to be. Nothing that strangers wrote is run:
a cell of free text that a spreadsheet would take for a formula gets an apostrophe, and the page has neither scripts
nor anything to load.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from marketplace.core.books import Pot
from marketplace.core.readable import exact_coin, exact_euros, instant
from marketplace.core.statement import HELD, GasLine, Line, Statement

COLUMNS = (
    "time", "block", "transaction", "kind", "from", "to", "amount", "currency", "counterparty", "counterparty name",
    "dataset", "dataset name", "job", "gross cents", "VAT percent", "VAT cents", "net cents", "note", "seller VAT id",
    "buyer VAT id",
)  # fmt: skip
COIN = "native coin"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(statement: Statement) -> str:
    """One header row, opening balances, a row for each line, closing balances, then gas; CRLF at each end."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(statement):
        writer.writerow({name: _cell(str(value)) for name, value in row.items()})
    return written.getvalue()


def _rows(statement: Statement) -> Iterator[dict[str, object]]:
    yield from _standing(statement, "opening balance", statement.opening)
    for line in statement.lines:
        yield _row(statement, line)
    yield from _carried(statement)
    yield from _standing(statement, "closing balance", statement.closing)
    for cost in statement.gas:
        yield {
            "time": _iso(cost.time), "block": cost.block, "transaction": _hex(cost.transaction), "kind": "gas",
            "from": Pot.wallet.value, "amount": exact_coin(cost.wei), "currency": COIN, "note": f"by {cost.payer}",
        }  # fmt: skip


def _standing(statement: Statement, kind: str, pots: Mapping[Pot, int]) -> Iterator[dict[str, object]]:
    for pot, amount in pots.items():
        yield {
            "kind": kind,
            "to": pot.value,
            "amount": exact_euros(amount),
            "currency": statement.currency,
        }


def _carried(statement: Statement) -> Iterator[dict[str, object]]:
    """What the account did in its other role, as one row for each pot that it changed."""
    for pot, change in statement.elsewhere.items():
        if change:
            amount, end = exact_euros(abs(change)), "to" if change > 0 else "from"
            yield {
                "kind": "in the other role",
                end: pot.value,
                "amount": amount,
                "currency": statement.currency,
            }


def _row(statement: Statement, line: Line) -> dict[str, object]:
    """A line by the names of its columns; those that say nothing are left out."""
    flow = line.flow
    found: dict[str, object] = {
        "time": _iso(line.time), "block": flow.at.block, "transaction": _hex(flow.at.transaction),
        "kind": flow.kind.value, "from": line.source, "to": line.target, "amount": exact_euros(flow.amount),
        "currency": statement.currency, "counterparty": line.counterparty,
        "counterparty name": statement.name_of(line.counterparty), "dataset": statement.did(flow.asset),
        "dataset name": statement.dataset_name(flow.asset), "job": _hex(flow.job) if flow.job else "",
    }  # fmt: skip
    if tax := line.tax:
        seller, buyer = statement.parties(line)
        found |= {
            "gross cents": tax.gross_cents, "VAT percent": tax.percent, "VAT cents": tax.vat_cents,
            "net cents": tax.net_cents, "note": tax.note, "seller VAT id": seller.vat_id, "buyer VAT id": buyer.vat_id,
        }  # fmt: skip
    return {name: value for name, value in found.items() if value != ""}


def _cell(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA) else text


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


# A page


_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;color:#111;background:#fff;margin:2em;max-width:75em}"
    "table{border-collapse:collapse;margin:0 0 1.5em}th,td{padding:.2em .7em .2em 0;text-align:left;"
    "vertical-align:top;border-bottom:1px solid #ccc}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "code{font-size:11px;overflow-wrap:anywhere}h2{font-size:1.1em;margin:1.2em 0 .3em}"
    "thead{display:table-header-group}tr{break-inside:avoid}@media print{body{margin:0;font-size:11px}}"
)


def to_html(statement: Statement) -> str:
    """One page with everything on it, for printing; all text is escaped."""
    own = statement.papers.own
    who = [own.name, own.address, own.vat_id and f"VAT id {own.vat_id}", statement.account]
    title = f"Statement of a {statement.role.value}"
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
        "<p>" + "<br>".join(escape(text) for text in who if text) + "</p>",
        f"<p>{escape(_period(statement))}; read from the chain up to block {statement.block}.</p>",
        _section("Balances", ("", *HELD), _balances(statement)),
        _section("Sums", ("kind", "from", "to", "lines", "amount"), _sums(statement)),
        _section("VAT", ("", "percent", "gross", "VAT", "net", "note"), _taxes(statement)),
        _section("Lines", _LINE_COLUMNS, [_shown(statement, line) for line in statement.lines]),
        _section("Gas", ("time", "transaction", "paid by", "amount"), [_gas(line) for line in statement.gas]),
        f"<p>Amounts in {escape(statement.currency)}. Net and VAT are rounded half up to the cent, line by line;"
        f" prices include VAT. Names are yours, else what listings claim."
        f" Gas is in the chain's own coin, {exact_coin(statement.gas_wei())} in all.</p>",
        "</body></html>\n",
    ]
    return "".join(parts)


_LINE_COLUMNS = ("time", "kind", "from", "to", "amount", "counterparty", "dataset", "job and transaction")


def _section(title: str, columns: Iterable[str], rows: list[tuple[str, ...]]) -> str:
    """A table with a heading; nothing where it would be empty. Cells are escaped; those with `0x` are code."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(map(_td, row)) + "</tr>" for row in rows)
    return f"<h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _td(text: str) -> str:
    if text.replace(".", "").isdigit():
        return f"<td class=n>{escape(text)}</td>"
    shown = escape(text).replace("\n", "<br>")
    return f"<td><code>{shown}</code></td>" if "0x" in text else f"<td>{shown}</td>"


def _period(statement: Statement) -> str:
    first, end = statement.period.first, statement.period.end
    since = "From the beginning" if first is None else f"From {instant(first)}"
    return f"{since} until {'now' if end is None else 'before ' + instant(end)}"


def _balances(statement: Statement) -> list[tuple[str, ...]]:
    rows = {
        "opening": statement.opening,
        "in the other role": statement.elsewhere,
        "closing": statement.closing,
    }
    if not any(statement.elsewhere.values()):
        del rows["in the other role"]
    return [(name, *(exact_euros(pots[pot]) for pot in HELD)) for name, pots in rows.items()]


def _sums(statement: Statement) -> list[tuple[str, ...]]:
    return [
        (one.kind.value, one.source, one.target, str(one.count), exact_euros(one.amount))
        for one in statement.sums()
    ]


def _taxes(statement: Statement) -> list[tuple[str, ...]]:
    return [
        (tax.way, tax.percent, *map(_cents, (tax.gross_cents, tax.vat_cents, tax.net_cents)), tax.note)
        for tax in statement.taxes()
    ]


def _cents(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _shown(statement: Statement, line: Line) -> tuple[str, ...]:
    flow, other = line.flow, statement.papers.party(line.counterparty)
    who = [statement.name_of(line.counterparty), other.vat_id and f"VAT id {other.vat_id}", line.counterparty]
    dataset = [statement.dataset_name(flow.asset), statement.did(flow.asset)]
    ids = [_hex(flow.job) if flow.job else "", _hex(flow.at.transaction)]
    return (
        instant(line.time), flow.kind.value, line.source, line.target, exact_euros(flow.amount),
        *("\n".join(text for text in texts if text) for texts in (who, dataset, ids)),
    )  # fmt: skip


def _gas(line: GasLine) -> tuple[str, ...]:
    return instant(line.time), _hex(line.transaction), line.payer, exact_coin(line.wei)


# For programs


def to_json(statement: Statement) -> dict[str, Any]:
    """Everything, amounts as integers: token units, cents, wei."""
    return {
        "account": statement.account,
        "role": statement.role.value,
        "from": statement.period.first,
        "before": statement.period.end,
        "block": statement.block,
        "currency": statement.currency,
        "opening": dict(statement.opening),
        "closing": dict(statement.closing),
        "in_the_other_role": dict(statement.elsewhere),
        "sums": [
            {"kind": one.kind, "from": one.source, "to": one.target, "lines": one.count, "amount": one.amount}
            for one in statement.sums()
        ],
        "vat": [vars(tax) for tax in statement.taxes()],
        "lines": [_json_line(statement, line) for line in statement.lines],
        "gas_wei": statement.gas_wei(),
        "gas": [
            {"time": line.time, "transaction": line.transaction, "payer": line.payer, "wei": line.wei}
            for line in statement.gas
        ],
    }


def _json_line(statement: Statement, line: Line) -> dict[str, object]:
    found = {name.replace(" ", "_"): value for name, value in _row(statement, line).items()}
    return found | {"amount": line.flow.amount}
