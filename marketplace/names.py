"""Finds datasets and their listings by what people call them, from chain and content alone; no hub, no database.

A name is a token id, a DID, `owner/slug` or a bare slug, each of the last two also with a version: `slug@1.0.0`. A
listing may say that it replaces another one. That counts only where one account published it and owns both, under the
same slug and with a higher version: then a slug means the newest of them that is sold. Whoever else says so has a
dataset of another owner that uses the same slug, which must be told apart by its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marketplace.chain.client import Chain
from marketplace.core.dataset import Listing
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import AssetPublished
from marketplace.core.ids import Did, Kind, Status, kind_of
from marketplace.errors import InputError, NotFoundError, RefusedError, SteelyardError, UnavailableError
from marketplace.storage import ContentStore, get_document

_MOST_NAMED = 5
"""Ids that an error names; anybody can publish any number of assets."""


@dataclass(frozen=True)
class Named:
    """A dataset whose listing could be read. publisher: who put it on chain."""

    token: int
    publisher: str
    listing: Listing


def did_of(chain: Chain, token: int) -> Did:
    return Did(chain.deployment.chain_id, chain.deployment.asset_registry, token)


def resolve(
    chain: Chain,
    store: ContentStore,
    text: str,
    *,
    strict: bool = False,
    say: Callable[[str], None] | None = None,
) -> int:
    """The token id that a person means by a name.

    strict: for what costs money; a slug counts only if every listing that could carry it can be read, since a
    gateway that hides one of two would choose between them. Else such listings are passed over, and `say` is told.
    Raises NotFoundError, RefusedError where `strict` refuses, or InputError where a slug is not unique or a DID is of
    another market.
    """
    if text.startswith("did:"):
        did = Did.parse(text)
        if did != did_of(chain, did.token):
            raise InputError("the DID is of another market", got=text, expected=str(did_of(chain, did.token)))
        return _existing(chain, did.token)
    if text.isascii() and text.isdigit() and len(text) <= 78:
        return _existing(chain, int(text))
    owner, _, last = text.rpartition("/")
    slug, _, version = last.partition("@")
    found, unread = _by_slug(chain, store, owner.lower(), slug)
    token = _meant(chain, found, unread, text, version)
    if unread and strict:
        raise _unsure(unread, text, owner)
    if unread and say:
        say(f"listings that cannot be read may be named {slug} too: {_list(unread)}")
    return token


def versions_of(chain: Chain, store: ContentStore, token: int) -> list[Named]:
    """The versions of a dataset that its present owner published, oldest first; with itself, whoever did.

    Raises NotFoundError, IntegrityError, InputError where its own listing cannot be read.
    """
    owner, publishers = chain.owner_of(token), dict(published_datasets(chain))
    itself = Named(token, publishers.get(token, ""), listing_of(chain, store, token))
    found, _ = _by_slug(chain, store, owner.lower(), itself.listing.slug)
    lines = _lines(chain, [*(one for one in found if one.token != token), itself])
    return next(line for line in lines if itself in line)


def published_datasets(chain: Chain) -> list[tuple[int, str]]:
    """(token id, publisher) of every dataset, oldest first."""
    return [
        (event.asset_id, event.owner)
        for event in chain.logs(types=(AssetPublished,))
        if kind_of(event.asset_id) is Kind.dataset
    ]


def listing_of(chain: Chain, store: ContentStore, token: int) -> Listing:
    """The listing that the chain names. Raises NotFoundError, IntegrityError, InputError."""
    return _parsed(chain, token, get_document(store, chain.metadata(token)))


def _parsed(chain: Chain, token: int, document: bytes) -> Listing:
    listing = Listing.parse(document)
    expected = str(did_of(chain, token))
    if str(listing.did) != expected:
        raise InputError("the listing names another asset", got=listing.did, expected=expected)
    return listing


def _existing(chain: Chain, token: int) -> int:
    kind_of(token)
    chain.owner_of(token)
    return token


def _by_slug(chain: Chain, store: ContentStore, owner: str, slug: str) -> tuple[list[Named], list[int]]:
    """The datasets of that slug, and those whose listing cannot be read, so that they may have it too."""
    found, unread = [], []
    for token, publisher in published_datasets(chain):
        if owner and not publisher.lower().startswith(owner):
            continue
        try:
            document = get_document(store, chain.metadata(token))
        except UnavailableError:
            raise  # a store that is away must not look like a name that nobody uses
        except SteelyardError:
            unread.append(token)
            continue
        try:
            listing = _parsed(chain, token, document)
        except SteelyardError:
            continue  # a document is there, but no listing of it: it has no slug
        if listing.slug == slug:
            found.append(Named(token, publisher, listing))
    return found, unread


def _lines(chain: Chain, found: Sequence[Named]) -> list[list[Named]]:
    """Datasets of one slug as lines of versions, each oldest version first."""
    line_of = {one.token: [one] for one in found}
    by_token = {one.token: one for one in found}
    for one in found:
        replaced = by_token.get(one.listing.replaces.token) if one.listing.replaces else None
        if replaced is not None and _replaces(chain, one, replaced):
            joined = line_of[replaced.token]
            if joined is not line_of[one.token]:
                joined += line_of[one.token]
                line_of.update(dict.fromkeys((member.token for member in joined), joined))
    lines = {id(line): line for line in line_of.values()}
    return [sorted(line, key=lambda one: one.listing.version_numbers) for line in lines.values()]


def _replaces(chain: Chain, new: Named, old: Named) -> bool:
    """Whether one account published the new one and owns both; anybody can write anything into a listing."""
    return (
        new.listing.replaces == old.listing.did
        and new.listing.version_numbers > old.listing.version_numbers
        and new.publisher == chain.owner_of(new.token) == chain.owner_of(old.token)
    )


def _meant(chain: Chain, found: list[Named], unread: list[int], name: str, version: str) -> int:
    """The one dataset of a name. Raises NotFoundError, or InputError where there are several."""
    lines = _lines(chain, found) if len(found) > 1 else [found] if found else []
    if version:
        lines = [kept for line in lines if (kept := [one for one in line if one.listing.version == version])]
    if not lines:
        rest = f" Listings that cannot be read: {_list(unread)}." if unread else ""
        raise NotFoundError("no dataset of that name", got=name, do=f"`dataset list` shows all.{rest}")
    if len(lines) > 1:
        raise InputError(
            "several datasets have that name",
            got=name,
            expected="owner/slug or an id",
            do=f"Ids: {_list([one.token for line in lines for one in line])}.",
        )
    (line,) = lines
    if len(line) == 1:
        return line[0].token
    sold = [one for one in line if chain.status(one.token) is Status.active]
    return (sold or line)[-1].token


def _unsure(unread: list[int], name: str, owner: str) -> RefusedError:
    """The refusal to pay for a name that others may have too, with a way that no unreadable listing bars."""
    ways = (
        "its id"
        if len(owner) == len(ZERO_ADDRESS)
        else "owner/slug, with the owner's whole address, or its id"
    )
    return RefusedError(
        "listings that cannot be read may have that name too",
        got=name,
        expected=ways,
        do=f"Name the dataset by {ways}; then these do not matter: {_list(unread)}.",
    )


def _list(tokens: list[int]) -> str:
    names = ", ".join(str(token) for token in tokens[:_MOST_NAMED])
    rest = len(tokens) - _MOST_NAMED
    return f"{names} and {rest} more" if rest > 0 else names
