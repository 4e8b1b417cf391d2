"""What is shown is what is bought: the offer, its terms, its judges, its price, and whose dataset it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.offer import Offer
from marketplace.core.terms import Purpose
from marketplace.lookup import terms_of
from marketplace.storage import put_block
from tests.cli.conftest import Command, Ran, away
from tests.support.catalogue import Town
from tests.support.chain import account_named
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, PRICE, Dataset, Works, algorithm, open_works

JUDGE, SECOND = account_named("a judge").address, account_named("a second judge").address
STRANGER = account_named("another buyer").address


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def on_offer(works: Works, slug: str) -> Dataset:
    return works.publish(algorithm("count", COUNT_ROWS), slug=slug)


def announced(works: Works, dataset: Dataset, **changes: Any) -> Offer:
    """One more offer, unlike the dataset's first in `changes`."""
    salt = sha256(repr(changes).encode())
    offer = dataclasses.replace(dataset.offer, **{"salt": salt, **changes})
    works.town.announce(offer, by=works.owner)
    return offer


def digest_of(works: Works, offer: Offer) -> str:
    return "0x" + offer.digest(works.chain.domain).hex()


def for_purpose(works: Works, dataset: Dataset, purpose: Purpose) -> bytes:
    """The digest of terms like the dataset's, for one purpose alone."""
    terms = dataclasses.replace(terms_of(works.town.store, dataset.offer), purposes=(purpose,))
    return put_block(works.town.store, terms.to_bytes()).digest


@pytest.fixture
def own_home(town: Town, empty_home: Home, request: pytest.FixtureRequest) -> Home:
    """A home whose wallet only one test spends from."""
    account = town.market.account(f"cli {request.node.name}", euros=100)
    empty_home.keyring.import_wallet("startup", bytes(account.key))
    return empty_home


def bought(town: Town, home: Home) -> int:
    return 100_000_000 - town.market.chain.token_balance(home.keyring.wallets()["startup"])


@pytest.fixture
def varied(works: Works, request: pytest.FixtureRequest) -> tuple[Dataset, dict[str, Offer]]:
    """A dataset with a first offer, a cheaper one, a still cheaper one for somebody else, and a newest, dear one."""
    dataset = on_offer(works, "varied-" + sha256(request.node.name.encode()).hex()[:8])
    security = for_purpose(works, dataset, Purpose.security)
    education = for_purpose(works, dataset, Purpose.education)
    return dataset, {
        "cheap": announced(works, dataset, price=500_000, arbiter=JUDGE, terms_digest=security),
        "private": announced(works, dataset, price=1, buyer=STRANGER, verifier=SECOND),
        "newest": announced(works, dataset, price=9_000_000, terms_digest=education),
    }


Varied = tuple[Dataset, dict[str, Offer]]


# What is shown


@pytest.mark.parametrize("who", ["buyer_home", "empty_home"])
def test_what_is_shown_of_a_dataset_is_what_is_bought(
    command: Command, works: Works, varied: Varied, who: str, request: pytest.FixtureRequest
) -> None:
    home: Home = request.getfixturevalue(who)
    dataset, offers = varied
    cheap = digest_of(works, offers["cheap"])
    value = command(home, "dataset", "show", str(dataset.token)).value
    assert (value["offer"], value["purposes"]) == (cheap, ["security"])
    shown = command(home, "dataset", "show", str(dataset.token), as_json=False).out
    assert cheap in shown and "0.5 EUR a use, of which 10% is kept when an algorithm fails" in shown
    assert "protecting people" in shown and f"disputes: arbiter {JUDGE}" in shown
    assert "teaching" not in shown and SECOND not in shown
    assert shown.splitlines()[-1] == f"next: steelyard access buy {dataset.token} --offer {cheap} --uses 1"


def test_the_command_that_comes_next_buys_what_was_shown_though_something_cheaper_came(
    command: Command, works: Works, varied: Varied, buyer_home: Home
) -> None:
    dataset, offers = varied
    then = command(buyer_home, "dataset", "show", str(dataset.token)).value["next"]
    announced(works, dataset, price=100_000)
    ran = command(buyer_home, *then.split()[1:]).value
    assert (ran["offer"], ran["cost"]) == (digest_of(works, offers["cheap"]), 500_000)


def test_offers_for_others_are_marked_and_those_with_other_terms_or_judges_say_so(
    command: Command, works: Works, varied: Varied, buyer_home: Home
) -> None:
    dataset, offers = varied
    value = command(buyer_home, "dataset", "show", str(dataset.token)).value
    assert [found["obstacle"] for found in value["offers"]] == ["", "for others", "", ""]
    shown = command(buyer_home, "dataset", "show", str(dataset.token), as_json=False).out
    table = shown[shown.index("Offers") :]
    lines = [line.split() for line in table.splitlines()]
    (dear,) = (n for n, line in enumerate(lines) if line[:2] == ["9", "EUR"])
    assert "terms" in lines[dear] and lines[dear + 1] == ["judges"]
    (private,) = (line for line in table.splitlines() if "0.000001 EUR" in line)
    assert "for others" in private and "terms" in private
    assert "Others open to you differ in what `other` names" in table
    assert digest_of(works, offers["newest"]) in table and digest_of(works, dataset.offer) in table
    assert digest_of(works, offers["private"]) not in table
    assert max(len(line) for line in table.splitlines() if not line.startswith("next: ")) <= 80


def test_another_offer_is_shown_whole_where_it_is_named(
    command: Command, works: Works, varied: Varied, buyer_home: Home
) -> None:
    dataset, offers = varied

    def show(name: str) -> Ran:
        digest = digest_of(works, offers[name])
        return command(buyer_home, "dataset", "show", str(dataset.token), "--offer", digest, as_json=False)

    newest = show("newest").out
    assert "teaching and learning" in newest and "disputes: nobody judges them" in newest
    assert newest.endswith(f"--offer {digest_of(works, offers['newest'])} --uses 1\n")
    private = show("private").out
    assert f"disputes: verifier {SECOND}" in private and "next:" not in private
    assert "the offer that you named, which is not open to your wallet now (for others):" in private


def test_a_private_offer_is_shown_to_the_one_whom_it_is_for(
    command: Command, works: Works, idle_home: Home
) -> None:
    dataset = on_offer(works, "for-one")
    private = announced(works, dataset, price=7, buyer=idle_home.keyring.wallets()["startup"])
    value = command(idle_home, "dataset", "show", "for-one").value
    assert value["offer"] == digest_of(works, private)


def test_a_home_with_several_wallets_is_shown_what_everybody_can_buy(
    command: Command, works: Works, empty_home: Home
) -> None:
    one, _ = (empty_home.keyring.new_wallet(name).address for name in ("one", "two"))
    dataset = on_offer(works, "several")
    private = announced(works, dataset, price=7, buyer=one)
    shown = command(empty_home, "dataset", "show", "several", as_json=False).out
    assert "the cheapest open to everybody" in shown and digest_of(works, dataset.offer) in shown
    value = command(empty_home, "dataset", "show", "several", WALLET="one").value
    assert value["offer"] == digest_of(works, private)
    assert command(empty_home, "dataset", "show", "several", WALLET="three").code == 2


def test_where_nothing_can_be_bought_the_missing_accreditation_is_shown(
    command: Command, works: Works, buyer_home: Home
) -> None:
    dataset = on_offer(works, "guarded")
    works.chain.send("Market", "raiseEpoch", (dataset.token,), works.owner)
    epoch, role = works.chain.epoch(dataset.token), b"\x07" * 32
    announced(works, dataset, epoch=epoch, required_role=role)
    announced(works, dataset, epoch=epoch, buyer=STRANGER)
    shown = command(buyer_home, "dataset", "show", "guarded", as_json=False).out
    assert "no offer is open to your wallet now; one of them (needs role):" in shown
    assert f"buyers need accreditation\n  0x{role.hex()}\n" in shown
    assert "next:" not in shown


# What is bought


def test_the_offer_that_is_named_is_bought_and_no_other(
    command: Command, works: Works, varied: Varied, buyer_home: Home
) -> None:
    dataset, offers = varied
    first = digest_of(works, dataset.offer)
    ran = command(buyer_home, "access", "buy", str(dataset.token), "--offer", first).value
    assert (ran["offer"], ran["cost"]) == (first, PRICE)
    private = digest_of(works, offers["private"])
    refused = command(buyer_home, "access", "buy", str(dataset.token), "--offer", private)
    assert (refused.code, refused.error["what"]) == (1, "you cannot buy that offer now")
    assert "for others" in refused.error["got"]
    unknown = command(buyer_home, "access", "buy", str(dataset.token), "--offer", "0x" + "11" * 32)
    assert (unknown.code, unknown.error["error"]) == (2, "NotFoundError")


@pytest.mark.parametrize("text", ["", "0x", "0x1234", "11" * 32, "0x" + "11" * 33, "0x" + "zz" * 32])
@pytest.mark.parametrize("words", [("access", "buy"), ("dataset", "show")], ids=" ".join)
def test_what_is_no_whole_digest_names_no_offer(
    command: Command, listed: Dataset, idle_home: Home, words: tuple[str, str], text: str
) -> None:
    ran = command(idle_home, *words, "valves", f"--offer={text}")
    assert (ran.code, ran.error["what"]) == (2, "not an offer's digest")


def test_nothing_is_bought_above_the_price_that_the_buyer_would_pay(
    command: Command, town: Town, works: Works, own_home: Home
) -> None:
    dataset = on_offer(works, "capped")
    before = bought(town, own_home)

    def buy(most: str) -> Ran:
        return command(own_home, "access", "buy", str(dataset.token), "--uses", "2", "--most", most)

    ran = buy("1.999999")
    assert (ran.code, ran.error["got"], ran.error["expected"]) == (1, "2 EUR", "at most 1.999999 EUR")
    assert (buy("cheap").code, buy("-1").code, buy("0").code) == (2, 2, 1)
    assert bought(town, own_home) == before
    assert buy("2").value["cost"] == 2 * PRICE  # the price of each use counts, not the sum
    assert bought(town, own_home) == before + 2 * PRICE


# Whose dataset it is


def test_a_hidden_listing_lets_no_squatter_be_paid_and_no_job_be_opened(
    command: Command, town: Town, works: Works, own_home: Home, tmp_path: Path
) -> None:
    honest = on_offer(works, "coveted")
    squatter = open_works(town, works.sandbox, tmp_path, "cli squatter")
    taken = on_offer(squatter, "coveted")
    before = bought(town, own_home)
    start = ("job", "start", "coveted", "--algorithm", "count", "--purpose", "research")
    with away(town, Cid.raw(works.chain.metadata(honest.token))):
        for words in (("access", "buy", "coveted"), start):
            ran = command(own_home, *words)
            assert (ran.code, ran.error["error"]) == (1, "RefusedError")
            assert "cannot be read" in ran.error["what"] and "owner/slug" in ran.error["expected"]
            assert str(honest.token) in ran.error["do"] and str(taken.token) not in ran.error["do"]
        assert bought(town, own_home) == before
        shown = command(own_home, "dataset", "show", "coveted")
        assert shown.value["id"] == str(taken.token)
        assert str(honest.token) in shown.err and "cannot be read" in shown.err
        assert command(own_home, "access", "buy", str(honest.token)).value["asset"] == str(honest.token)
    named = f"{works.owner.address}/coveted"
    with away(town, Cid.raw(works.chain.metadata(taken.token))):
        assert command(own_home, "access", "buy", named).value["asset"] == str(honest.token)
        assert command(own_home, "job", "start", named, *start[3:]).code == 0
