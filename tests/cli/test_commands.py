"""Commands that do what they say: what they print for programs and for people, and what they never print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compute.provider.journal import Step
from marketplace.cli.output import Output, clean, plain, short, table
from marketplace.core.cid import Cid
from marketplace.core.job import Request, State
from marketplace.core.readable import euros
from marketplace.lookup import job_opened, request_of
from tests.cli.conftest import Command, away
from tests.support.buyers import await_state
from tests.support.catalogue import Town
from tests.support.homes import PASSPHRASE, Home
from tests.support.works import COUNT_ROWS, PRICE, Dataset, Works, algorithm

EURO = 1_000_000


@pytest.mark.slow
def test_one_job_from_buying_to_the_money_without_a_hub(
    command: Command, town: Town, works: Works, listed: Dataset, buyer_home: Home, tmp_path: Path
) -> None:
    """Every command that a buyer types, in this process; the demo types them in processes of their own."""
    shown = command(buyer_home, "dataset", "show", "valves").value
    assert (shown["id"], shown["offers"][0]["price"]) == (str(listed.token), PRICE)
    before = {row["offer"]: row["unused"] for row in command(buyer_home, "access", "list").value["access"]}
    bought = command(buyer_home, "access", "buy", "valves", "--uses", "2", "--pay", "approve")
    had = before.get(bought.value["offer"], 0)
    assert (bought.code, bought.value["cost"], bought.value["unused"]) == (0, 2 * PRICE, had + 2)
    opened = command(
        buyer_home, "job", "start", "valves", "--algorithm", "count", "--purpose", "predictive maintenance"
    ).value
    job = opened["job"]
    assert opened["next"] == f"steelyard job watch {job}"
    assert command(buyer_home, "job", "result", job, "--to", str(tmp_path / "early")).code == 1
    assert command(buyer_home, "job", "accept", job).code == 1
    with works.running():
        watched = [json.loads(line) for line in command(buyer_home, "job", "watch", job).out.splitlines()]
    assert watched[0]["state"] == "open"
    assert watched[-1]["state"] in ("submitted", "settled")
    result = command(buyer_home, "job", "result", job, "--to", str(tmp_path / "out"))
    assert (result.code, result.value["files"]) == (0, ["result.json"])
    assert (tmp_path / "out" / "result.json").read_bytes() == b'{"rows":40}'
    assert command(buyer_home, "job", "result", job, "--to", str(tmp_path / "out")).code == 2
    with works.running():
        waited = command(buyer_home, "job", "wait", job, "--for", "ended")
    assert (waited.code, waited.value["state"]) == (0, "settled")
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"balanced_accuracy": 0.97, "classes": ["a"], "note": "fine"}')
    model = command(buyer_home, "model", "register", job, "--name", "valves", "--metrics", str(metrics))
    assert (model.code, model.value["units"]) == (0, 1_000_000)
    assert command(buyer_home, "model", "register", job, "--name", "valves").code == 1
    rows = command(buyer_home, "access", "list").value["access"]
    (row,) = (row for row in rows if row["offer"] == bought.value["offer"])
    assert (row["unused"], row["ended"]) == (had + 1, False)
    assert command(buyer_home, "access", "refund", "valves").code == 1
    audit = command(buyer_home, "audit", "verify", job)
    assert (audit.code, audit.value["ok"]) == (0, True)
    events = [event["event"] for event in command(buyer_home, "audit", "trace", job).value["events"]]
    assert events.index("JobOpened") < events.index("ReceiptSubmitted") < events.index("JobSettled")
    assert town.market.chain.balance(works.owner.address) >= PRICE


def test_a_model_without_a_proper_name_is_refused_before_anything_is_sent(
    command: Command, works: Works, listed: Dataset, buyer_home: Home
) -> None:
    command(buyer_home, "access", "buy", "valves")
    job = command(
        buyer_home, "job", "start", "valves", "--algorithm", "count", "--purpose", "research"
    ).value["job"]
    with works.running():
        command(buyer_home, "job", "wait", job)
    for name in ("", "x" * 201):
        ran = command(buyer_home, "model", "register", job, f"--name={name}")
        assert (ran.code, ran.error["what"]) == (2, "a model card does not parse at name")


def test_a_provider_sees_shows_approves_and_refuses_what_waits(
    command: Command,
    town: Town,
    works: Works,
    listed: Dataset,
    buyer_home: Home,
    empty_home: Home,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    manifest = Path(__file__).parents[2] / "scripts" / "demo_algorithms" / "crash" / "algorithm.toml"
    text = manifest.read_text().replace("Divides", "\\u001b[2JDivides").replace("crash.py", "own.py")
    (folder / "algorithm.toml").write_text(text)
    (folder / "own.py").write_text("print('\x1b[2J\x07 harmless')\n")
    command(buyer_home, "access", "buy", "valves")
    job = command(
        buyer_home, "job", "start", "valves", "--algorithm", f"{folder}", "--purpose", "research"
    ).value["job"]
    home = provider_home(works, empty_home)
    with works.running():
        works.await_step(_request(works, job), Step.approval)
        listed_ = command(home, "request", "list")
        assert [row["job"] for row in listed_.value["requests"]] == [job]
        shown = command(home, "request", "show", job, "--to", str(tmp_path / "read"), as_json=False)
        assert "'\\x1b[2J\\x07 harmless'" in shown.out and "Divides" in shown.out
        assert not {"\x1b", "\x07"} & set(shown.out)
        assert (tmp_path / "read" / "own.py").read_bytes() == (folder / "own.py").read_bytes()
        assert command(home, "request", "refuse", job).code == 0
        assert await_state(town, _request(works, job)) is State.rejected
    status = command(buyer_home, "job", "wait", job)
    assert (status.code, status.value["state"], status.value["note"]) == (1, "rejected", "refused-by-owner")
    jobs = command(home, "node", "status").value["jobs"]
    assert next(row for row in jobs if row["job"] == job)["note"] == "the owner refused the algorithm"
    assert command(home, "request", "approve", job).code == 1
    made = command(home, "request", "history").value["decisions"]
    assert [(row["what"], row["by"]) for row in made if row["job"] == job] == [
        ("refused algorithm", works.owner.address)
    ]
    assert "refused algorithm" in command(home, "request", "history", as_json=False).out


def provider_home(works: Works, home: Home) -> Home:
    """The provider's own files under a home of the command line, with its keys in it."""
    keyring = home.keyring
    keyring.import_wallet("works", bytes(works.owner.key))
    keyring._write("sealing", ".sealing.json", works.private, {"x25519": works.public.hex()})
    for name in ("node.db", "node.db-wal", "node.db-shm", "vault"):
        if (works.home / name).exists() or name.startswith("node.db"):
            (home.path / name).symlink_to(works.home / name)
    return home


def _request(works: Works, job: str) -> Request:
    return request_of(job_opened(works.chain, bytes.fromhex(job[2:])))


def test_a_new_wallet_gets_test_money_and_no_output_holds_its_secrets(
    command: Command, empty_home: Home
) -> None:
    outputs = [
        command(empty_home, "wallet", "new", "mine"),
        command(empty_home, "wallet", "fund", "--euros", "7"),
        command(empty_home, "wallet", "show"),
        command(empty_home, "earnings", "show"),
        command(empty_home, "wallet", "show", as_json=False),
        command(empty_home, "access", "buy", "no-such-thing"),
    ]
    assert [ran.code for ran in outputs] == [0, 0, 0, 0, 0, 2]
    assert outputs[2].value["wallets"][0]["units"] == 7 * EURO
    key = bytes(empty_home.keyring.wallet("mine").key).hex()
    for ran in outputs:
        assert key not in (ran.out + ran.err).lower()
        assert PASSPHRASE not in ran.out + ran.err


def test_an_audit_of_everything_passes_and_needs_no_wallet(
    command: Command, listed: Dataset, empty_home: Home
) -> None:
    ran = command(empty_home, "audit", "verify")
    assert (ran.code, ran.value["ok"]) == (0, True)
    assert not (empty_home.path / "keys").exists()


def test_listings_that_cannot_be_read_are_noted_and_hide_no_other(
    command: Command, town: Town, works: Works, listed: Dataset, empty_home: Home
) -> None:
    token = works.publish(algorithm("count", COUNT_ROWS), slug="lost").token
    with away(town, Cid.raw(works.chain.metadata(token))):
        ran = command(empty_home, "dataset", "list", "valve")
    assert "valves" in [row["slug"] for row in ran.value["datasets"]]
    assert "left out" in json.loads(ran.err.splitlines()[0])["note"]
    nothing = command(empty_home, "dataset", "list", "nothing of the kind").value
    assert nothing == {"datasets": [], "next": "steelyard dataset list"}


# What is shown


def test_json_is_read_alike_by_every_program() -> None:
    value = {
        "id": 1 << 248,
        "small": 2**53 - 1,
        "flag": True,
        "bytes": b"\xab",
        "list": [1 << 60, None],
        7: "x",
    }
    assert plain(value) == {
        "id": str(1 << 248), "small": 2**53 - 1, "flag": True, "bytes": "0xab", "list": [str(1 << 60), None], "7": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0 EUR"),
        (1, "0.000001 EUR"),
        (2_500_000, "2.5 EUR"),
        (10 * EURO, "10 EUR"),
        (2**48 - 1, "281474976.710655 EUR"),
    ],
)
def test_money_is_shown_to_the_last_unit(units: int, text: str) -> None:
    assert euros(units) == text


def test_long_names_are_shortened_and_short_ones_kept() -> None:
    assert (short("0x1234"), short(7)) == ("0x1234", "7")
    assert short(bytes(32)) == "0x00000000…000000"


def test_nothing_that_strangers_wrote_moves_the_cursor_or_is_taken_for_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x1b[2J\x9b1m\u202e[bold red]name[/]\x07\r\x08"
    output = Output(as_json=False)
    output.result({}, [hostile, table("T", ("a",), [(hostile,)])], then="next")
    output.say(hostile)
    output.step("a step")
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert shown.count("[bold red]name[/]") == 3
    assert not {"\x1b", "\x9b", "\u202e", "\x07", "\r", "\x08"} & set(shown)
    assert clean("two\nlines\t!") == "two\nlines!"
