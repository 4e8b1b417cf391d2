"""Commands that touch plaintext or the node: they join `steelyard` through its entry points."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from compute.algorithms import builtin, bundle_of
from compute.provider.journal import Entry, Journal
from compute.provider.node import Node, Place
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from compute.provider.reporter import Reporter
from compute.provider.runner import Keys, Runner
from compute.provider.vault import Vault
from compute.sandbox import Sandbox
from marketplace.cli.output import euros, table
from marketplace.cli.session import NODE_WALLET, SEALING_KEY, Session, session
from marketplace.core import bundle
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.errors import InputError, NotFoundError
from marketplace.lookup import resolve
from marketplace.storage import LocalStore

_DAY = 86_400
_EUROS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")


def vault_of(here: Session) -> Vault:
    return Vault(here.home / "vault")


def outputs_of(here: Session) -> LocalStore:
    """Sealed outputs that have not left yet."""
    return LocalStore(here.home / "vault" / "outputs")


def journal_of(here: Session) -> Journal:
    return Journal(here.home / "node.db")


def node_init(context: typer.Context) -> None:
    """Make the node's keys and register them for your wallet."""
    here = session(context)
    if NODE_WALLET not in here.keyring.wallets():
        here.keyring.new_wallet(NODE_WALLET)
    if SEALING_KEY not in here.keyring.sealing_keys():
        here.keyring.new_sealing_key(SEALING_KEY)
    node, sealing = here.keyring.wallets()[NODE_WALLET], here.keyring.sealing_keys()[SEALING_KEY]
    sent = here.chain.send("ParticipantRegistry", "setNode", (node, sealing), here.account)
    here.output.result(
        {"provider": here.address, "node": node, "transaction": sent.transaction, "gas": sent.gas_used},
        [
            f"node {node} registered for {here.address}",
            "The node pays gas for receipts: send it some native coin.",
        ],
        then="steelyard node run",
    )


def node_run(context: typer.Context) -> None:
    """Follow the chain and run the jobs that your terms permit, until Ctrl-C."""
    here = session(context)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    account = here.keyring.wallet(NODE_WALLET)
    sealing = here.keyring.sealing_key(SEALING_KEY)
    with Sandbox() as sandbox:
        isolation = sandbox.probe()
        vault, outputs = vault_of(here), outputs_of(here)
        place = Place(
            here.chain, here.store, outputs, vault, journal_of(here), here.address, account, sealing.private
        )
        runner = Runner(sandbox, vault, outputs, Keys(sealing.public, sealing.private), here.chain.domain)
        reporter = Reporter(here.settings.hub, account, here.chain.domain)
        node = Node(place, runner, reporter, lambda text: here.output.event({"node": text}, text))
        here.output.event(
            {"service": "node", "address": account.address, "isolation": int(isolation)},
            f"node {account.address} serves {here.address}; isolation: {isolation!r}",
        )
        node.run(stop)


def node_status(context: typer.Context) -> None:
    """Jobs at this node and what each waits for."""
    here = session(context)
    rows = [_entry_json(entry) for entry in journal_of(here).entries(active=False)]
    cells = [(row["job"], row["step"], row["note"]) for row in rows]
    here.output.result({"jobs": rows}, [table("Jobs at this node", ("job", "step", "note"), cells)])


def _entry_json(entry: Entry) -> dict[str, Any]:
    failure = entry.data.get("failure", {})
    note = entry.data.get("detail") or failure.get("detail") or ""
    return {"job": "0x" + entry.job_id.hex(), "step": str(entry.step), "until": entry.until, "note": note}


def dataset_publish(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="a CSV or Parquet file")],
    slug: Annotated[str, typer.Option(help="short name: a-z, 0-9, hyphens")],
    name: Annotated[str, typer.Option(help="title")],
    description: Annotated[str, typer.Option(help="what it is, for people")],
    licence: Annotated[str, typer.Option(help="SPDX id or URL")],
    creator: Annotated[str, typer.Option(help="who made it")],
    algorithm: Annotated[
        list[str] | None, typer.Option(help="ready-made one that may run unasked; repeat")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="allowed purpose; repeat; none = all")] = None,
    custom: Annotated[
        CustomAlgorithms, typer.Option(help="other people's algorithms")
    ] = CustomAlgorithms.denied,
    review: Annotated[bool, typer.Option(help="look at the output of custom ones before it leaves")] = True,
    keyword: Annotated[list[str] | None, typer.Option(help="repeat")] = None,
    personal: Annotated[list[str] | None, typer.Option(help="kind of personal data in it; repeat")] = None,
) -> None:
    """Check, seal and list a dataset; the data stays here."""
    here = session(context)
    card = Card(
        slug,
        name,
        description,
        licence,
        creator,
        keywords=tuple(keyword or ()),
        sensitive=tuple(personal or ()),
    )
    purposes = tuple(Purpose.parse(text) for text in purpose) if purpose else None
    choice = TermsChoice(tuple(bundle_of(found) for found in algorithm or ()), purposes, custom, review)
    published = _publisher(here).publish(file, card, choice, here.output.step)
    did, sent = published.did, published.sent
    here.output.result(
        {
            "id": str(did.token),
            "did": str(did),
            "rows": published.profile.rows,
            "columns": len(published.profile.columns),
            "listing": str(published.listing.cid),
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"{did}", f"{published.profile.rows} rows sealed and listed; transaction {sent.transaction}"],
        then=f"steelyard dataset offer {slug} --price EUROS",
    )


def _publisher(here: Session) -> Publisher:
    keys = here.keyring.sealing_keys()
    if SEALING_KEY not in keys:
        raise NotFoundError("this home has no node yet", do="Run `steelyard node init` first.")
    return Publisher(here.chain, here.store, vault_of(here), here.account, keys[SEALING_KEY])


def dataset_offer(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="id, DID or slug")],
    price: Annotated[str, typer.Option(help="euros for one use, as 12.50")],
    max_uses: Annotated[int, typer.Option(min=1, max=65_535)] = 100,
    term_days: Annotated[int, typer.Option(min=1, max=3_650, help="days that a purchase lasts")] = 30,
    valid_days: Annotated[int, typer.Option(min=1, max=3_650, help="days that the offer stands")] = 90,
    failure_fee: Annotated[
        float, typer.Option(min=0, max=20, help="percent kept when an algorithm fails")
    ] = 10.0,
) -> None:
    """Sign an offer for a dataset and announce it."""
    here = session(context)
    if not math.isfinite(failure_fee):
        raise InputError("not a failure fee", got=failure_fee, expected="0 to 20 percent")
    token = resolve(here.chain, here.store, asset)
    terms = Price(
        _units(price),
        max_uses,
        term_days,
        here.chain.block_time() + valid_days * _DAY,
        round(failure_fee * 100),
    )
    offer, digest, sent = _publisher(here).offer(token, terms)
    here.output.result(
        {
            "offer": digest,
            "asset": str(token),
            **offer.to_json(),
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"offered at {euros(offer.price)} a use, up to {max_uses} uses, for {term_days} days"],
        then=f"steelyard dataset show {asset}",
    )


def _units(text: str) -> int:
    found = _EUROS.fullmatch(text)
    if not found or (units := int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0"))) >= 1 << 48:
        raise InputError(
            "not a price", got=text, expected="euros below 281 million, at most six decimals, as 12.50"
        )
    return units


def algorithm_list(context: typer.Context) -> None:
    """The ready-made algorithms and their digests."""
    here = session(context)
    rows: list[dict[str, Any]] = []
    for name in sorted(builtin()):
        data = bundle_of(name)
        manifest = bundle.parse_bundle(data).manifest
        rows.append({"name": name, "digest": bundle.digest(data), "description": manifest.description})
    cells = [(row["name"], row["digest"].hex(), row["description"]) for row in rows]
    here.output.result(
        {"algorithms": rows}, [table("Ready-made algorithms", ("name", "SHA-256", "what"), cells)]
    )


def model_evaluate(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="an opened result")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet with rows that the model has not seen")],
    target: Annotated[str, typer.Option(help="the column to predict")],
) -> None:
    """Score a delivered model on rows of your own."""
    here = session(context)
    from compute.algorithms.tabular_classifier.model import evaluate  # numpy only where it is used

    started = time.monotonic()
    scores = evaluate(folder, data, target)
    here.output.result(
        {**scores, "seconds": round(time.monotonic() - started, 3)},
        [
            f"balanced accuracy {scores['balanced_accuracy']:.4f} on {scores['rows']} rows",
            f"always guessing the most frequent class: {scores['majority_baseline']:.4f}",
        ],
    )
