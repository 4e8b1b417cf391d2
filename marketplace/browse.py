"""Search without a hub: every listing on chain is read and compared. Slower than a hub, and nothing is hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from marketplace.chain.client import Chain
from marketplace.core.dataset import Listing
from marketplace.errors import SteelyardError, UnavailableError
from marketplace.lookup import listing_of, published_datasets
from marketplace.storage import ContentStore


@dataclass(frozen=True)
class Found:
    """A dataset whose listing has the words. publisher: who published it; it may have another owner now."""

    token: int
    publisher: str
    listing: Listing


def search(
    chain: Chain, store: ContentStore, words: str, *, say: Callable[[str], None] | None = None
) -> Iterator[Found]:
    """Datasets whose slug, name, description or keywords have all of the words, oldest first.

    say: is told of listings that cannot be read, which are left out.
    Raises UnavailableError where the store is away: that is no empty market.
    """
    wanted = words.lower().split()
    for token, publisher in published_datasets(chain):
        try:
            listing = listing_of(chain, store, token)
        except UnavailableError:
            raise
        except SteelyardError as error:
            if say:
                say(f"left out {token}: {error}")
            continue
        text = " ".join((listing.slug, listing.name, listing.description, *listing.keywords)).lower()
        if all(word in text for word in wanted):
            yield Found(token, publisher, listing)
