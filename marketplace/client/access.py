"""Access that was bought: jobs are started on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketplace import jobs, purchase
from marketplace.client.jobs import Job
from marketplace.core.bundle import parse_bundle
from marketplace.core.job import Grant
from marketplace.core.terms import Purpose
from marketplace.errors import InputError, RefusedError
from marketplace.lookup import offer_of

if TYPE_CHECKING:
    from marketplace.client.datasets import Dataset


class Access:
    """Uses of a dataset under one offer. purpose: what its jobs are for; None where it was not said yet."""

    def __init__(self, dataset: Dataset, offer_digest: bytes, purpose: Purpose | None = None) -> None:
        self.dataset = dataset
        self.offer_digest = offer_digest
        self.purpose = purpose
        self._place = dataset._place

    def __repr__(self) -> str:
        return f"Access({self.dataset!r}, offer=0x{self.offer_digest.hex()})"

    @property
    def grant(self) -> Grant:
        """Price, uses paid and opened, and the last day, as the chain has it now."""
        return self._place.chain.grant(self.offer_digest, self._place.address)

    @property
    def unused(self) -> int:
        """Uses that are paid and not opened."""
        return self.grant.unused()

    def for_purpose(self, purpose: str) -> Access:
        """The same access for jobs of another purpose. Raises InputError for a word that is none."""
        return Access(self.dataset, self.offer_digest, Purpose.parse(purpose))

    def train(self, algorithm: str, /, **parameters: Any) -> Job:
        """Opens a job with an algorithm that the dataset lists, by its name or SHA-256.

        parameters: by the algorithm's own names, checked against its schema and the dataset's columns.
        Raises NotFoundError naming those listed, InputError for parameters that do not fit, RefusedError where the
        terms do not permit the job or no use is left; before a use is spent.
        """
        listed = jobs.listed_algorithm(self._place.store, self.dataset.listing, algorithm)
        return self._start(listed, parameters)

    def run(self, code: str | Path | bytes, /, **parameters: Any) -> Job:
        """Opens a job with code of your own: a folder with `algorithm.toml`, or a packed bundle.

        It is sealed to the dataset's node. Where the terms ask for approval, the owner reads it first: `say` is told.
        Raises as `train` does.
        """
        if isinstance(code, bytes):
            own = jobs.Algorithm(code, parse_bundle(code), False)
        else:
            own = jobs.own_algorithm(Path(code))
        return self._start(own, parameters)

    def _start(self, algorithm: jobs.Algorithm, parameters: dict[str, Any]) -> Job:
        place, purpose, grant = self._place, self._declared(), self.grant
        if not grant.unused() or purchase.has_ended(grant, place.chain.block_time()):
            raise RefusedError("this access has no use left", do="Buy more: dataset.buy(uses=...).")
        waits = jobs.require_permitted(
            place.chain,
            place.store,
            asset=self.dataset.token,
            offer_digest=self.offer_digest,
            grant=grant,
            buyer=place.address,
            algorithm=algorithm,
            purpose=purpose,
        )
        if waits:
            place.say("the owner must approve this algorithm before it runs")
        place.say(f"sealing the order for {algorithm.parsed.manifest.name}")
        order = jobs.start(
            place.chain,
            place.store,
            place.keyring,
            place.account,
            offer_digest=self.offer_digest,
            grant=grant,
            listing=self.dataset.listing,
            algorithm=algorithm,
            parameters=parameters,
            purpose=purpose,
        )
        return Job(place, order.request)

    def _declared(self) -> Purpose:
        if self.purpose is None:
            raise InputError(
                "the purpose of the job is not said",
                expected=", ".join(Purpose),
                do="Name it: dataset.buy(purpose=...), or access.for_purpose(...).",
            )
        return self.purpose

    def refund(self) -> int:
        """Credits the unused uses to your balance; returns the amount in token units.

        Raises RefusedError while the access lasts and its provider keeps its side.
        """
        place = self._place
        held = purchase.Access(self.offer_digest, self.dataset.token, self.grant)
        offer = offer_of(place.chain, place.store, self.offer_digest).offer
        return purchase.claim_unused(place.chain, place.account, held, offer)[1]
