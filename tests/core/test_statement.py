"""Statements: they add up over random histories and any period, tax is exact, and what strangers wrote runs nowhere."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.books import Books, Kind, Pot, Role
from marketplace.core.readable import exact_coin, exact_euros
from marketplace.core.statement import (
    HELD,
    OTHER,
    GasLine,
    Line,
    Names,
    Period,
    Statement,
    changes,
    earned_by_dataset,
    lines_of,
    statement,
)
from marketplace.core.statement_forms import COLUMNS, to_csv, to_html, to_json
from marketplace.core.vat import Papers, Tax, cents_half_up
from marketplace.errors import InputError
from tests.core.registers import ARBITER, BUYER, LIMITS, PEOPLE, PROVIDER, RULES, VERIFIER
from tests.core.replayed import fold
from tests.core.world import World, begun, refunded, submitted, worlds

EVERYBODY = [*PEOPLE, ARBITER, VERIFIER]
MARKET: dict[str, Any] = {"currency": "EURT", "chain_id": RULES.chain_id, "registry": RULES.registry}
PAPERS = Papers.read(
    f"""
[own]
name = "North Works GmbH"
address = "Quay 1, 20457 Hamburg"
vat_id = "DE123456789"
vat_rate = "19"

[counterparties."{BUYER}"]
name = '=HYPERLINK("http://x","<b>")'
vat_id = "FR12345678901"
reverse_charge = true
""".encode()
)


def lines(world: World, account: str, papers: Papers | None = None) -> list[Line]:
    return lines_of(Books.of(world.events, LIMITS).flows, account, world.times, papers)


def made(world: World, account: str, role: Role = Role.provider, **period: int) -> Statement:
    assert role in (Role.provider, Role.buyer)
    found = lines(world, account, PAPERS)
    chosen = Period(period.get("first"), period.get("end"))
    return statement(found, account, role, chosen, block=world.block, papers=PAPERS, **MARKET)


# Adding up


@settings(deadline=None, max_examples=40)
@given(worlds(), st.integers(0, 2_000_000), st.integers(0, 2_000_000), st.sampled_from(EVERYBODY))
def test_opening_and_lines_make_the_closing_and_periods_join_without_a_gap(
    world: World, one: int, other: int, account: str
) -> None:
    start = min(world.times.values())
    first, end = sorted((start + one, start + other))
    for role in (Role.provider, Role.buyer):
        before, within, after = (
            made(world, account, role, end=first),
            made(world, account, role, first=first, end=end),
            made(world, account, role, first=end),
        )
        for found in (before, within, after):
            shown = changes(found.lines)
            for pot in HELD:
                assert found.opening[pot] + shown[pot] + found.elsewhere[pot] == found.closing[pot]
        assert before.closing == within.opening
        assert within.closing == after.opening
        ledger = fold(world)
        assert after.closing[Pot.balance] == ledger.balances.get(account, 0)
        assert after.closing[Pot.bond] == ledger.bond_of(account).held()


@settings(deadline=None, max_examples=30)
@given(worlds(least=20))
def test_what_one_account_pays_another_gets(world: World) -> None:
    paid = got = 0
    for account in EVERYBODY:
        found = lines(world, account)
        paid += sum(line.flow.amount for line in found if line.target == OTHER)
        got += sum(line.flow.amount for line in found if line.source == OTHER)
    assert paid == got


@settings(deadline=None, max_examples=30)
@given(worlds(least=20))
def test_what_datasets_earned_is_what_the_ledger_credited_for_their_jobs(world: World) -> None:
    ledger = fold(world)
    for account in PEOPLE:
        found = lines(world, account)
        told = sum(one.sales + one.fees for one in earned_by_dataset(found))
        forfeited = sum(
            line.flow.amount
            for line in found
            if line.flow.kind is Kind.forfeit and line.role is Role.provider
        )
        others = [job for job in ledger.jobs.values() if job.request.buyer != account]
        assert told + forfeited == sum(job.to_provider for job in others if job.job.provider == account)


# Lines, as a person would check them


def test_a_settled_job_is_a_sale_to_one_and_a_purchase_to_the_other() -> None:
    world, job = submitted()
    world.settle("", 0)
    (sold,) = (line for line in lines(world, PROVIDER) if line.flow.kind is Kind.sale)
    (bought,) = (line for line in lines(world, BUYER) if line.flow.kind is Kind.sale)
    assert (sold.source, sold.target, sold.role, sold.counterparty) == (
        OTHER,
        "balance",
        Role.provider,
        BUYER,
    )
    assert (bought.source, bought.target, bought.role) == ("escrow", OTHER, Role.buyer)
    assert sold.flow.job == bought.flow.job == job


def test_a_dispute_that_the_provider_loses_shows_price_stake_fee_and_penalty_each_by_itself() -> None:
    world = refunded()
    found = {line.flow.kind: line for line in lines(world, BUYER) if line.flow.at.block == world.block}
    (job,) = fold(world).jobs.values()
    price, taken = job.paid, job.slashed
    assert {kind: line.flow.amount for kind, line in found.items()} == {
        Kind.judge_fee: 40, Kind.refund: price, Kind.stake: 50, Kind.penalty: taken,
    }  # fmt: skip
    assert found[Kind.judge_fee].counterparty == ARBITER
    assert lines(world, ARBITER)[0].role is Role.judge


# Tax


@given(st.integers(0, 2**50), st.integers(0, 9_999))
def test_net_and_vat_make_the_gross_to_the_cent_and_are_the_nearest(units: int, rate: int) -> None:
    tax = Tax(units, rate)
    assert tax.net_cents + tax.vat_cents == tax.gross_cents == cents_half_up(units)
    assert abs(tax.vat_cents * 10_000 * (10_000 + rate) - units * rate) * 2 <= 10_000 * (10_000 + rate)
    assert 0 <= tax.vat_cents <= tax.gross_cents


@pytest.mark.parametrize(
    ("units", "rate", "cents"),
    [
        (11_900_000, 1_900, (1190, 190, 1000)),
        (10_000, 1_900, (1, 0, 1)),
        (4_999, 0, (0, 0, 0)),
        (5_000, 0, (1, 0, 1)),
    ],
)
def test_vat_is_taken_out_of_the_price(units: int, rate: int, cents: tuple[int, int, int]) -> None:
    tax = Tax(units, rate)
    assert (tax.gross_cents, tax.vat_cents, tax.net_cents) == cents


def test_the_owners_rate_counts_for_sales_a_counterpartys_for_purchases_and_a_reversed_charge_for_both() -> (
    None
):
    assert PAPERS.tax(1_000_000, BUYER, selling=True) == Tax(1_000_000, 0, "reverse charge")
    assert PAPERS.tax(1_190_000, ARBITER, selling=True) == Tax(1_190_000, 1_900)
    assert PAPERS.tax(1_190_000, ARBITER, selling=False) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("own = 3", "does not parse at own"),
        ('[own]\nvat_rate = "19%"', "does not parse at own/vat_rate"),
        ("[own]\nvat_rate = 19.0", "does not parse at own/vat_rate"),
        ('[own]\nname = "a\\u0000b"', "does not parse at own/name"),
        ('[own]\niban = "DE"', "does not parse at own/iban"),
        ('[counterparties."0x12"]\nname = "x"', "does not fit"),
        ("[own", "is not TOML"),
        ("#" * 65_537, "is too large"),
    ],
)
def test_papers_that_do_not_fit_are_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Papers.read(text.encode())


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    from datetime import date

    with pytest.raises(InputError, match="ends before it begins"):
        Period.of_days(date(2026, 2, 1), date(2026, 1, 31))
    assert Period.of_days(date(1970, 1, 2), date(1970, 1, 2)) == Period(86_400, 172_800)


# Forms


def whole() -> Statement:
    world, _ = submitted()
    world.settle("", 0)
    asset = next(iter(world.owners))
    names = Names({asset: "@SUM(A1)<script>"}, {})
    gas = (GasLine(world.now, world.block, b"\7" * 32, PROVIDER, 10**15 + 1),)
    found = lines(world, PROVIDER, PAPERS)
    return statement(
        found,
        PROVIDER,
        Role.provider,
        Period(),
        block=9,
        gas=gas,
        papers=PAPERS,
        names=names,
        **MARKET,
    )


def test_the_table_parses_adds_up_exactly_and_holds_no_formula() -> None:
    found = whole()
    text = to_csv(found)
    assert text.endswith("\r\n") and text.count("\r\n") == text.count("\n")
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert set(rows[0]) == set(COLUMNS)
    assert not any(
        value.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for value in row.values()
    )
    sale = next(row for row in rows if row["kind"] == "sale")
    assert sale["counterparty name"].startswith("'=HYPERLINK") and sale["dataset name"].startswith("'@SUM")
    assert (sale["VAT percent"], sale["note"]) == ("0", "reverse charge")
    assert sale["dataset"].startswith(f"did:steelyard:31337:{RULES.registry}:")
    assert (sale["seller VAT id"], sale["buyer VAT id"]) == ("DE123456789", "FR12345678901")
    units = {
        kind: {row["to"]: int(row["amount"].replace(".", "")) for row in rows if row["kind"] == kind}
        for kind in ("opening balance", "closing balance")
    }
    assert units["closing balance"] == {pot.value: amount for pot, amount in found.closing.items()}
    assert next(row for row in rows if row["kind"] == "gas")["amount"] == "0.001000000000000001"


def test_the_page_is_whole_in_itself_and_shows_what_strangers_wrote_as_text() -> None:
    page = to_html(whole())
    assert "&lt;script&gt;" in page and "<script" not in page and "<b>" not in page
    assert not re.search(r"<[^>]*(?:src=|href=)|url\(", page)
    assert "North Works GmbH" in page and "VAT id DE123456789" in page
    assert page.count("<table>") == page.count("</table>") == 5


def test_json_holds_integers_and_every_line() -> None:
    found = whole()
    value = to_json(found)
    assert [line["amount"] for line in value["lines"]] == [line.flow.amount for line in found.lines]
    assert sum(one["amount"] for one in value["sums"]) == sum(line.flow.amount for line in found.lines)
    assert value["gas_wei"] == 10**15 + 1


def test_a_statement_of_nothing_has_balances_and_no_lines() -> None:
    found = made(begun(), ARBITER)
    assert (found.lines, found.sums(), found.taxes(), found.gas_wei()) == ((), [], [], 0)
    assert to_csv(found).count("\r\n") == 7
    assert (exact_euros(-1), exact_coin(10**18)) == ("-0.000001", "1.000000000000000000")
