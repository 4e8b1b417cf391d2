"""Datasets of a market: found, read, bought."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property

from marketplace import browse, purchase, verify
from marketplace.client.access import Access
from marketplace.client.place import Place
from marketplace.core.dataset import Listing
from marketplace.core.ids import Did, Status, parse_digest
from marketplace.core.readable import euros, parse_euros
from marketplace.core.terms import Purpose, Terms
from marketplace.hub import HubClient
from marketplace.lookup import (
    Standing,
    did_of,
    listing_of,
    offers_for,
    published_datasets,
    resolve,
    terms_of,
    usable_offer,
)
from marketplace.verify import Report


class Datasets:
    """All datasets of a market. Iterating goes over all that were ever published, oldest first, and reads none yet."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getitem__(self, name: str) -> Dataset:
        """The dataset of an `owner/slug`, slug, token id or DID.

        Raises NotFoundError; InputError where several have that slug; RefusedError where a listing that cannot be
        read may have it too, since whoever hides one of two would choose whom you pay.
        """
        return Dataset(self._place, resolve(self._place.chain, self._place.store, name, strict=True))

    def __iter__(self) -> Iterator[Dataset]:
        for token, _ in published_datasets(self._place.chain):
            yield Dataset(self._place, token)

    def search(self, words: str = "") -> Iterator[Dataset]:
        """Datasets that have all of the words in name, slug, description or keywords.

        Asks the hub where there is one (newest first, at most 100); else reads every listing from chain and store,
        which is slower (oldest first). A hub only says which: the rest is read from chain and store all the same.
        """
        place = self._place
        if place.settings.hub:
            for hit in HubClient(place.settings.hub, place.settings.timeout).search(words):
                yield Dataset(place, int(hit["id"]))
        else:
            for found in browse.search(place.chain, place.store, words, say=place.say):
                yield Dataset(place, found.token)


class Dataset:
    """One dataset. What a listing says is read at first use, and kept; what changes is read anew each time."""

    def __init__(self, place: Place, token: int) -> None:
        self._place = place
        self.token = token
        """The asset's id on chain, a uint256."""

    def __repr__(self) -> str:
        return f"Dataset({self.token})"

    @property
    def did(self) -> Did:
        return did_of(self._place.chain, self.token)

    @cached_property
    def listing(self) -> Listing:
        """All that its owner says of it. Raises NotFoundError or IntegrityError where the document is not there."""
        return listing_of(self._place.chain, self._place.store, self.token)

    @property
    def slug(self) -> str:
        return self.listing.slug

    @property
    def name(self) -> str:
        return self.listing.name

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The names that `Access.train` takes."""
        return tuple(entry.name for entry in self.listing.algorithms)

    @property
    def owner(self) -> str:
        return self._place.chain.owner_of(self.token)

    @property
    def status(self) -> Status:
        return self._place.chain.status(self.token)

    @property
    def offers(self) -> list[Standing]:
        """Every offer as this wallet finds it, newest first: `.announced.offer`, `.obstacle` where it cannot buy."""
        place = self._place
        return offers_for(place.chain, place.store, self.token, place.address, place.chain.block_time())

    def terms(self, offer: Standing) -> Terms:
        """What may be done under an offer."""
        return terms_of(self._place.store, offer.announced.offer)

    def buy(
        self,
        uses: int = 1,
        *,
        purpose: str | None = None,
        most: str | int | Decimal | None = None,
        offer: str | None = None,
    ) -> Access:
        """Pays for `uses` uses at the cheapest offer that is open to this wallet, in one transaction.

        purpose: what the jobs of this access are for, in the words of the terms; it stays here, not on chain.
        most: euros that a use may cost, as "12.50". offer: the digest of another offer, 0x-hex.
        Raises InputError for a purpose or an amount that is none, RefusedError where nothing can be bought.
        """
        declared = None if purpose is None else Purpose.parse(purpose)
        limit = None if most is None else parse_euros(str(most))
        digest = None if offer is None else parse_digest(offer, "offer's digest")
        place, now = self._place, self._place.chain.block_time()
        found = usable_offer(place.chain, place.store, self.token, place.address, now, digest=digest)
        place.say(f"buying {uses} uses for {euros(uses * found.offer.price)}")
        purchase.buy(place.chain, place.account, found, uses, pay="permit", most=limit)
        return Access(self, found.digest, declared)

    def verify(self) -> Report:
        """Audits the dataset and all that was done with it. `.ok`, `.checks`, `.failures()`."""
        return verify.verify(self._place.chain, self._place.store, self.token)
