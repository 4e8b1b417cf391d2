"""What somebody sees who is here for the first time: what comes next, why not, and lines that fit a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compute.provider import requests
from compute.provider.journal import Step
from marketplace.cli.happened import in_words
from marketplace.cli.orderable import Orderable
from marketplace.cli.output import table
from marketplace.core import bundle
from marketplace.core.cid import Cid
from marketplace.core.listing_parts import ListedAlgorithm
from marketplace.core.readable import day, instant
from marketplace.errors import InputError
from marketplace.lookup import job_opened, listing_of, request_of
from marketplace.settings import load_settings
from tests.cli.conftest import Command, away
from tests.cli.test_commands import provider_home
from tests.support.catalogue import Town
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm

CRASH = Path(__file__).parents[2] / "scripts" / "demo_algorithms" / "crash"
PARAMETERS = """
type = "object"
required = ["target"]
[parameters.properties]
target = { type = "string", format = "column", title = "Target" }
depth = { type = "integer", minimum = 1, default = 3 }
kind = { enum = ["fast", "good"] }
weights = { type = "array", items = { type = "number" } }
"""


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def start(command: Command, home: Home, name: str = "count") -> str:
    """A job on `valves`, opened on one use that is bought for it; its id."""
    command(home, "access", "buy", "valves")
    ran = command(home, "job", "start", "valves", "--algorithm", name, "--purpose", "research")
    return str(ran.value["job"])


def widest(text: str) -> int:
    """Columns of the longest line; the next command may be as long as it is."""
    return max(len(line) for line in text.splitlines() if not line.startswith("next: "))


# A job: what comes next, and what does not


@pytest.mark.slow
def test_each_step_of_a_job_names_the_next_and_none_is_taken_twice(
    command: Command, works: Works, listed: Dataset, buyer_home: Home, tmp_path: Path
) -> None:
    job = start(command, buyer_home)
    early = command(buyer_home, "job", "accept", job).error
    assert (early["got"], early["expected"]) == ("a job that is open", "one that is submitted")
    soon = command(buyer_home, "job", "expire", job).error
    assert soon["what"] == "the job cannot be expired yet" and "its deadline, 20" in soon["expected"]
    with works.running():
        watched = command(buyer_home, "job", "watch", job, as_json=False)
    assert (watched.code, watched.out.splitlines()[-1]) == (
        0,
        f"next: steelyard job result {job} --to FOLDER",
    )

    def next_of_result(folder: str) -> str:
        return str(command(buyer_home, "job", "result", job, "--to", f"{tmp_path / folder}").value["next"])

    assert next_of_result("submitted") == f"steelyard job accept {job}"
    command(buyer_home, "job", "accept", job)
    for action in ("accept", "expire"):
        again = command(buyer_home, "job", action, job)
        assert (again.code, again.error["got"]) == (1, "a job that is settled")
    assert next_of_result("settled") == f"steelyard model register {job} --name NAME"
    model = command(buyer_home, "model", "register", job, "--name", "valves").value
    twice = command(buyer_home, "model", "register", job, "--name", "valves")
    assert (twice.code, twice.error["what"]) == (1, "the job's model is registered already")
    assert twice.error["got"] == f"model {model['did']}"
    assert next_of_result("registered") == f"steelyard audit verify {job}"


def test_watching_a_job_without_a_result_ends_with_the_reason_and_code_1(
    command: Command, works: Works, listed: Dataset, buyer_home: Home
) -> None:
    job = start(command, buyer_home, str(CRASH))
    with works.running():
        request = request_of(job_opened(works.chain, bytes.fromhex(job[2:])))
        works.await_step(request, Step.approval)
        requests.refuse(works.journal, request.job_id)
        ran = command(buyer_home, "job", "watch", job, as_json=False)
    assert ran.code == 1
    assert ran.out.splitlines()[-2:] == [
        "state on chain: rejected: refused-by-owner",
        "next: steelyard earnings show",
    ]
    last = command(buyer_home, "job", "watch", job)
    assert (last.code, last.value["state"], last.value["note"]) == (1, "rejected", "refused-by-owner")


# Wallets, prices, settings


def test_a_new_wallet_on_a_development_chain_is_told_how_to_be_funded(
    command: Command, empty_home: Home
) -> None:
    assert command(empty_home, "wallet", "new", "mine").value["next"] == "steelyard wallet fund"
    (empty_home.path / "deployment.json").unlink()
    assert command(empty_home, "wallet", "new", "other").value["next"] == "steelyard wallet show"


@pytest.mark.parametrize("words", [("--price", "0"), ("--price", "0.00"), ("--price", "1", "--free"), ()])
def test_nothing_is_offered_for_nothing_by_a_slip(
    command: Command, idle_home: Home, listed: Dataset, words: tuple[str, ...]
) -> None:
    ran = command(idle_home, "dataset", "offer", "valves", *words)
    assert ran.code == 2
    assert "--free" in ran.error["what"] + ran.error["do"]


def test_what_is_meant_to_be_free_is_offered_and_bought_for_nothing(
    command: Command, works: Works, buyer_home: Home, empty_home: Home
) -> None:
    works.publish(algorithm("count", COUNT_ROWS), slug="gift")
    offered = command(provider_home(works, empty_home), "dataset", "offer", "gift", "--free")
    assert (offered.code, offered.value["price"]) == (0, 0)
    assert command(buyer_home, "access", "buy", "gift").value["cost"] == 0


def test_a_licence_is_said_to_be_unchecked(command: Command) -> None:
    shown = command(None, "dataset", "publish", "--help", as_json=False).out
    assert "SPDX" in shown and "nobody checks" in re.sub(r"[\s│]+", " ", shown)


def test_a_setting_that_does_not_fit_is_explained_in_our_words(command: Command, empty_home: Home) -> None:
    error = command(empty_home, "dataset", "list", CONFIRMATIONS="101").error
    assert (error["what"], error["got"]) == ("the setting STEELYARD_CONFIRMATIONS does not fit", "101")
    assert error["expected"] == "a whole number of blocks from 0 to 100"
    assert error["do"] == "Set STEELYARD_CONFIRMATIONS anew, or unset it for its default."


@pytest.mark.parametrize("name", ["passphrase", "passphrase_file"])
def test_a_passphrase_that_does_not_fit_is_not_repeated(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(**{name: 271_828})
    assert f"STEELYARD_{name.upper()}" in caught.value.what
    assert "271828" not in str(caught.value)


# A dataset, as a buyer reads it


def test_a_dataset_shows_the_words_that_a_job_takes_and_what_an_offer_costs(
    command: Command, works: Works, empty_home: Home
) -> None:
    dataset = works.publish(algorithm("tree", COUNT_ROWS, schema=PARAMETERS), slug="words")
    shown = command(empty_home, "dataset", "show", "words", as_json=False).out
    assert "for --purpose: research, commercial-research, " in shown
    assert shown[shown.index("  tree") :].splitlines()[:5] == [
        "  tree 1.0.0",
        "    target: a column's name, required (Target)",
        "    depth: a whole number, at least 1, default 3",
        "    kind: one of fast, good, may be left out",
        "    weights: a list, each a number, may be left out",
    ]
    offers = shown[shown.index("Offers") :]
    assert "10%" in offers and instant(dataset.offer.valid_until)[:10] in offers
    assert widest(offers) <= 80
    value = command(empty_home, "dataset", "show", "words").value
    assert value["algorithms"][0]["parameters"]["required"] == ["target"]
    assert "research" in value["purposes"]


def test_a_dataset_is_shown_also_where_an_algorithm_is_missing(
    command: Command, town: Town, works: Works, empty_home: Home
) -> None:
    dataset = works.publish(algorithm("gone", COUNT_ROWS, files={"more": b"of it"}), slug="gap")
    listing = listing_of(works.chain, town.store, dataset.token)
    with away(town, listing.algorithms[0].cid):
        ran = command(empty_home, "dataset", "show", "gap", as_json=False)
        value = command(empty_home, "dataset", "show", "gap").value
    assert ran.code == 0
    assert "  gone: its parameters are unknown: its bundle cannot be read (" in ran.out
    assert value["algorithms"][0]["problem"].startswith("its bundle cannot be read")


def test_a_void_offer_is_shown_as_void_and_no_purchase_is_suggested(
    command: Command, works: Works, empty_home: Home
) -> None:
    dataset = works.publish(algorithm("count", COUNT_ROWS), slug="void")
    works.chain.send("Market", "raiseEpoch", (dataset.token,), works.owner)
    ran = command(empty_home, "dataset", "show", "void", as_json=False)
    assert re.search(r"2 EUR .* void ", ran.out)
    assert "next:" not in ran.out


def test_parameters_that_a_stranger_wrote_stay_on_their_line() -> None:
    schema = 'type = "object"\n[parameters.properties."a\\nb"]\ntitle = "x\\ny"\ntype = ["string", "null"]\n'
    schema += 'default = "p\\nq"\n'
    manifest = bundle.parse_bundle(algorithm("sly", COUNT_ROWS, schema=schema)).manifest
    lines = Orderable(ListedAlgorithm("sly", bytes(32), Cid.of("raw", b"")), manifest).lines()
    assert lines == ["  sly 1.0.0", "    ab: text or null, default pq (xy)"]


# What fits a terminal


def test_lists_fit_eighty_columns_and_hold_what_the_next_command_takes_whole(
    command: Command, works: Works, listed: Dataset, buyer_home: Home, empty_home: Home
) -> None:
    job = start(command, buyer_home, str(CRASH))
    jobs = command(buyer_home, "job", "list", as_json=False).out
    access = command(buyer_home, "access", "list", as_json=False).out
    datasets = command(buyer_home, "dataset", "list", as_json=False).out
    home = provider_home(works, empty_home)
    with works.running():
        request = request_of(job_opened(works.chain, bytes.fromhex(job[2:])))
        works.await_step(request, Step.approval)
        waiting = command(home, "request", "list", as_json=False).out
        requests.refuse(works.journal, request.job_id)
        command(buyer_home, "job", "wait", job)
    assert max(map(widest, (jobs, access, datasets, waiting))) <= 80
    assert job in re.split(r"\s", jobs) and job in waiting.splitlines()
    assert re.search(r"^valves +0x", access, re.MULTILINE)
    assert re.search(r"^valves +", datasets, re.MULTILINE)


def test_the_longest_state_fits_beside_the_id_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    from marketplace.cli.output import Output

    job = "0x" + "ab" * 32
    Output(as_json=False).result({}, [table("Jobs", ("job", "state"), [(job, "submitted")])])
    assert f"{job}   submitted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence", "then"),
    [
        (("access", "list"), "You have bought no access yet.", "steelyard dataset list"),
        (("job", "list"), "You have opened no job yet.", "steelyard dataset list"),
        (("request", "list"), "Nothing waits for you.", "steelyard node status"),
        (("dataset", "list", "zebra"), "No dataset has all of these words.", "steelyard dataset list"),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_where_there_is_nothing_a_sentence_says_so(
    command: Command, idle_home: Home, words: tuple[str, ...], sentence: str, then: str
) -> None:
    assert command(idle_home, *words, as_json=False).out == f"{sentence}\nnext: {then}\n"


def test_a_home_without_wallets_says_so(command: Command, empty_home: Home) -> None:
    shown = command(empty_home, "wallet", "show", as_json=False).out
    assert shown == "This home has no wallet yet.\nnext: steelyard wallet new NAME\n"


def test_access_is_listed_without_the_shared_store(
    command: Command, listed: Dataset, buyer_home: Home
) -> None:
    command(buyer_home, "access", "buy", "valves")
    ran = command(buyer_home, "access", "list", as_json=False, GATEWAY="http://127.0.0.1:9")
    assert (ran.code, "ids instead of names" in ran.err) == (0, True)
    assert str(listed.token)[:20] in ran.out


# What happened, and what groups are for


def test_a_trace_is_in_euros_and_short_names_for_people(
    command: Command, town: Town, listed: Dataset, buyer_home: Home
) -> None:
    bought = command(buyer_home, "access", "buy", "valves").value
    shown = command(buyer_home, "audit", "trace", "valves", as_json=False).out
    assert widest(shown) <= 80
    assert re.sub(r"\s+", " ", shown).count("price 2 EUR") >= 1
    assert bought["transaction"][:10] in shown and bought["transaction"] not in shown
    events = command(buyer_home, "audit", "trace", "valves").value["events"]
    assert (
        next(event for event in events if event["event"] == "AccessBought")["details"]["price"] == 2_000_000
    )


def test_details_are_read_out_by_what_they_mean() -> None:
    details = {
        "job_id": "0x" + "12" * 32, "fault": 1, "fee": 200_000, "until": 0, "last_day": 20_000, "paused": True,
        "reason": "0x" + b"too-late".ljust(32, b"\0").hex(), "receipt": {"jobId": "0x", "inputRoot": "0x34"},
    }  # fmt: skip
    assert in_words(details) == (
        "job 0x12121212…121212, fault algorithm, fee 0.2 EUR, until 1970-01-01 00:00:00 UTC, "
        "last day 2024-10-04, paused yes, reason too-late, input root 0x34"
    )


def test_times_that_no_calendar_has_are_shown_as_numbers() -> None:
    assert (instant(1 << 40), day(0)) == ("Unix second 1099511627776", "1970-01-01")


@pytest.mark.parametrize(("group", "words"), [("algorithm", "order"), ("node", "data"), ("request", "owner")])
def test_groups_that_join_say_what_they_are_for(command: Command, group: str, words: str) -> None:
    shown = command(None, group, "--help", as_json=False).out
    assert f"Commands for {group}s." not in shown
    assert words in shown.partition("Options")[0]
