"""Statements and earnings as a user gets them, from a real chain: they agree with what the contracts hold."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from marketplace.client import Job
from marketplace.errors import IntegrityError
from marketplace.statements import Account
from tests.cli.conftest import Command
from tests.support.catalogue import Town
from tests.support.homes import Home
from tests.support.works import PRICE, Works


@pytest.fixture(scope="module")
def owner_home(town: Town, works: Works, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("homes") / "owner", town)
    home.keyring.import_wallet("works", bytes(works.owner.key))
    return home


def test_a_providers_and_a_buyers_statement_tell_the_same_sale_and_end_at_the_contracts_balances(
    command: Command, town: Town, works: Works, buyer_home: Home, owner_home: Home, settled: Job
) -> None:
    (owner_home.path / "statement.toml").write_text(
        '[own]\nname = "Works"\nvat_id = "DE1"\nvat_rate = "19"\n'
    )
    provider = command(owner_home, "statement", "provider").value
    buyer = command(buyer_home, "statement", "buyer").value
    (sold,) = (line for line in provider["lines"] if line.get("job") == settled.id)
    (bought,) = (line for line in buyer["lines"] if line.get("job") == settled.id)
    assert (sold["kind"], sold["to"], sold["amount"], sold["VAT_cents"]) == ("sale", "balance", PRICE, 32)
    assert (bought["kind"], bought["from"], bought["dataset_name"]) == ("sale", "escrow", "valves")
    assert bought["counterparty_name"] == "North Works" and sold["transaction"] == bought["transaction"]
    chain = town.market.chain
    assert provider["closing"]["balance"] == chain.balance(works.owner.address)
    assert provider["closing"]["bond"] == chain.bond(works.owner.address).held()
    assert buyer["closing"]["balance"] == chain.balance(buyer["account"])
    hot = {line["payer"] for line in provider["gas"]}
    assert hot == {works.owner.address, works.hot.address}
    assert 0 < provider["gas_wei"] == sum(int(line["wei"]) for line in provider["gas"])


def test_files_are_written_by_their_names_and_days_bound_them(
    command: Command, owner_home: Home, settled: Job, tmp_path: Path
) -> None:
    table, page = tmp_path / "statement.csv", tmp_path / "statement.html"
    assert command(owner_home, "statement", "provider", "--to-file", str(table)).value["file"] == str(table)
    assert command(owner_home, "statement", "provider", "--to-file", str(page)).code == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert settled.id in {row["job"] for row in rows}
    assert page.read_text().startswith("<!doctype html>")
    early = command(owner_home, "statement", "provider", "--to", "2001-01-01").value
    assert (early["lines"], early["closing"]["bond"]) == ([], 0)
    shown = command(owner_home, "statement", "provider", as_json=False).out
    assert "opening: balance 0 EUR" in shown and "counterparty > balance" in shown
    piped = command(owner_home, "statement", "provider", "--format", "csv", as_json=False).out
    assert piped.startswith("time,block,transaction,kind")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--from", "yesterday"), "not a day"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "the period ends before it begins"),
        (("--to-file", "statement.doc"), "not a form of a statement"),
    ],
)
def test_what_no_statement_can_be_made_of_is_refused(
    command: Command, owner_home: Home, words: tuple[str, ...], what: str
) -> None:
    ran = command(owner_home, "statement", "provider", *words)
    assert (ran.code, ran.error["what"]) == (2, what)


def test_papers_that_do_not_parse_stop_the_statement(command: Command, idle_home: Home) -> None:
    papers = idle_home.path / "statement.toml"
    papers.write_text("[own]\nvat_rate = 19\n")
    try:
        ran = command(idle_home, "statement", "buyer")
        assert (ran.code, ran.error["what"]) == (2, "statement.toml does not parse at own/vat_rate")
    finally:
        papers.unlink()


def test_earnings_name_datasets_what_is_pending_and_what_was_withdrawn(
    command: Command, works: Works, owner_home: Home, settled: Job
) -> None:
    before = command(owner_home, "earnings", "show").value
    assert before["owed"] >= PRICE
    assert command(owner_home, "earnings", "withdraw").value["amount"] == before["owed"]
    after = command(owner_home, "earnings", "show").value
    assert (after["owed"], after["datasets"]) == (0, before["datasets"])
    assert all(one["sales"] == one["jobs"] * PRICE for one in after["datasets"])
    earned = sum(one["sales"] + one["fees"] for one in after["datasets"])
    assert earned == sum(one["amount"] for one in after["withdrawals"])
    assert {one["to"] for one in after["withdrawals"]} == {works.owner.address}
    shown = command(owner_home, "earnings", "show", as_json=False).out
    assert "Earned" in shown and "Withdrawn" in shown and "valves" in shown


def test_events_that_an_endpoint_hides_are_found_out(works: Works, settled: Job) -> None:
    account = Account.read(works.chain, works.owner.address)
    blind = Account(account.chain, account.address, account.block, ())
    with pytest.raises(IntegrityError, match="do not add up"):
        blind.lines()
