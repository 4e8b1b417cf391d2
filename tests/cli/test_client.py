"""The Python client on a real market with a node at work; `docs/python.md` has more, run by tests/test_docs.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from marketplace import Market
from marketplace.client import Job, Model
from marketplace.core.job import State
from marketplace.core.terms import CustomAlgorithms
from marketplace.errors import InputError, NotFoundError, RefusedError, SteelyardError, UnavailableError
from tests.cli.conftest import Command
from tests.support.catalogue import Town
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm, open_works


def test_a_buyer_finds_a_dataset_opens_what_came_back_and_verifies_it(
    market: Market, settled: Job, listed: Dataset, tmp_path: Path
) -> None:
    (dataset,) = (found for found in market.datasets.search("valves") if found.token == listed.token)
    assert dataset.token in {found.token for found in market.datasets}
    assert (dataset.slug, dataset.algorithms, dataset.status.name) == ("valves", ("count",), "active")
    assert dataset.terms(dataset.offers[0]).algorithms
    assert dataset.token in {access.dataset.token for access in market.access}
    model = settled.result(timeout=30)
    assert isinstance(model, Model)
    assert model.files == {"result.json": b'{"rows":40}'}
    assert [path.name for path in model.save(tmp_path / "model")] == ["result.json"]
    report = model.verify()
    assert report.ok and report.checks and report.failures() == []
    assert settled.id in {mine.id for mine in market.jobs}
    assert market.jobs[settled.id].request == settled.request


def test_a_settled_jobs_model_is_registered_once_and_accepted_no_more(market: Market, settled: Job) -> None:
    model = settled.result()
    with pytest.raises(RefusedError, match="cannot be accepted"):
        model.accept()
    assert str(model.register("counted")).startswith("did:steelyard:")
    with pytest.raises(RefusedError, match="registered already"):
        model.register("counted again")
    with pytest.raises(RefusedError, match="names nobody who judges"):
        model.dispute("malformed")


def test_waiting_for_an_owner_ends_with_the_time_and_the_job_goes_on(
    command: Command, town: Town, buyer_home: Home, works: Works, settled: Job, tmp_path: Path
) -> None:
    said: list[str] = []
    quiet = open_works(town, works.sandbox, tmp_path, "client quiet")
    dataset = quiet.publish(algorithm("count", COUNT_ROWS), slug="quiet", custom=CustomAlgorithms.approval)
    offer = replace(dataset.offer, salt=b"another".ljust(32))
    digest = "0x" + town.announce(offer, by=quiet.owner).hex()
    with buyer_home.market(say=said.append) as market:
        access = market.datasets["quiet"].buy(purpose="research", offer=digest)
        job = access.run(algorithm("own-count", COUNT_ROWS))
        assert "the owner must approve this algorithm before it runs" in said
        with pytest.raises(UnavailableError, match="the time ran out"):
            job.wait(timeout=0.3)
        with pytest.raises(RefusedError, match="no use left"):
            access.train("count")
        assert (job.state, access.unused) == (State.open, 0)
    late = command(buyer_home, "job", "wait", job.id, "--timeout", "0.2")
    assert (late.code, late.error["error"]) == (1, "UnavailableError")
    assert late.error["got"].startswith("a job that is open after")
    came = command(buyer_home, "job", "wait", settled.id, "--for", "ended", "--timeout", "30")
    assert (came.code, came.value["state"]) == (0, "settled")


def test_what_does_not_fit_is_refused_before_anything_is_paid(market: Market, listed: Dataset) -> None:
    held = market.earnings.held
    dataset = market.datasets[str(listed.token)]
    refusals: list[tuple[type[SteelyardError], str, dict[str, object]]] = [
        (InputError, "not a purpose", {"purpose": "world domination"}),
        (RefusedError, "costs more", {"most": "1.99"}),
        (InputError, "not an amount", {"most": 0.1 + 0.2}),
        (NotFoundError, "no readable offer", {"offer": "0x" + "12" * 32}),
        (InputError, "not an offer's digest", {"offer": "0x12"}),
        (InputError, "that many uses", {"uses": 0}),
    ]
    for kind, words, arguments in refusals:
        with pytest.raises(kind, match=words):
            dataset.buy(**arguments)  # type: ignore[arg-type]  # the last line of defence is at run time
    with pytest.raises(NotFoundError, match="no dataset of that name"):
        market.datasets["nobody-listed-this"]
    with pytest.raises(InputError, match="not a job id"):
        market.jobs["0x12"]
    assert market.earnings.held == held


def test_a_market_without_a_wallet_searches_and_audits(town: Town, listed: Dataset, empty_home: Home) -> None:
    with empty_home.market() as market:
        assert listed.token in {found.token for found in market.datasets.search("valve readings")}
        assert market.datasets[str(listed.token)].verify().ok
        with pytest.raises(NotFoundError, match="no wallet"):
            market.fund()


def test_a_new_wallet_is_funded_on_a_development_chain(town: Town, empty_home: Home) -> None:
    empty_home.keyring.new_wallet("newcomer")
    with empty_home.market(wallet="newcomer") as market:
        assert market.fund(25) == 25_000_000


def test_only_the_client_is_at_the_top_of_the_package() -> None:
    import marketplace

    assert marketplace.Market is Market
    with pytest.raises(AttributeError):
        marketplace.Hub  # noqa: B018
