"""What a provider says about a dataset and allows with it, and the documents that come of it: listing and terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO

from marketplace.core import bundle, unixfs
from marketplace.core.bundle import parse_bundle
from marketplace.core.cid import Cid
from marketplace.core.dataset import Content, Creator, Environment, ListedAlgorithm, Listing, Responsible
from marketplace.core.ids import Did
from marketplace.core.policy import CustomAlgorithms, Purpose, Terms
from marketplace.errors import InputError


@dataclass(frozen=True)
class Card:
    """What a provider says about a dataset."""

    slug: str
    name: str
    description: str
    licence: str
    creator: str
    version: str = "1.0.0"
    keywords: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    """Kinds of personal data in it; none means that it holds no personal data."""


@dataclass(frozen=True)
class TermsChoice:
    """What a provider allows. algorithms: ready-made bundles, as bytes."""

    algorithms: tuple[bytes, ...]
    purposes: tuple[Purpose, ...] | None
    custom: CustomAlgorithms
    review_output: bool = True
    assignee: str | None = None
    expires_at: int | None = None


def card_of(
    given: dict[str, str], keywords: tuple[str, ...], sensitive: tuple[str, ...], before: Listing | None
) -> Card:
    """A card from what was given; of a new version, what is left out is as in the listing `before`.

    given: by the names of a card's fields, empty where left out. Raises InputError for another slug than before, or a
    version that is no higher.
    """
    values = given
    if before is not None:
        known = {name: getattr(before, name) for name in ("slug", "name", "description", "licence")}
        known |= {"creator": before.creator.name, "version": _next(before)}
        values = {name: value or known[name] for name, value in given.items()}
        keywords, sensitive = keywords or before.keywords, sensitive or before.responsible.sensitive
        if values["slug"] != before.slug:
            raise InputError("a version keeps its slug", got=values["slug"], expected=before.slug)
    card = Card(
        **(values | {"version": values["version"] or "1.0.0"}), keywords=keywords, sensitive=sensitive
    )
    if before is not None:
        _require_higher(card.version, before)
    return card


def choice_of(
    algorithms: tuple[bytes, ...],
    purposes: tuple[Purpose, ...] | None,
    custom: CustomAlgorithms | None,
    review: bool | None,
    before: TermsChoice | None,
) -> TermsChoice:
    """Terms from what was given; of a new version, what is left out (empty or None) is as `before`."""
    usual = before or TermsChoice((), None, CustomAlgorithms.denied)
    return TermsChoice(
        algorithms or usual.algorithms,
        purposes if purposes is not None else usual.purposes,
        usual.custom if custom is None else custom,
        usual.review_output if review is None else review,
        usual.assignee,
        usual.expires_at,
    )


def _next(before: Listing) -> str:
    first, second, _ = before.version_numbers
    return f"{first}.{second + 1}.0"


def _require_higher(version: str, before: Listing) -> None:
    numbers = version.split(".")
    if not all(part.isascii() and part.isdigit() for part in numbers) or (
        tuple(map(int, numbers)) <= before.version_numbers
    ):
        raise InputError(
            "a new version has a higher number", got=version, expected=f"more than {before.version}"
        )


def draft_of(
    did: Did,
    card: Card,
    choice: TermsChoice,
    content: Content,
    terms: Terms,
    environments: tuple[Environment, ...],
    *,
    in_place: bool = False,
    replaces: Did | None = None,
) -> Listing:
    """The listing but for its header, which is known only once the data is sealed. Raises InputError."""
    listing = Listing(
        did=did,
        slug=card.slug,
        name=card.name,
        description=card.description,
        licence=card.licence,
        creator=Creator(card.creator),
        version=card.version,
        published=_today(),
        header=Cid.raw(bytes(32)),
        terms=terms.cid,
        content=content,
        environments=environments,
        personal_data=bool(card.sensitive),
        algorithms=tuple(_listed(data) for data in choice.algorithms),
        keywords=card.keywords,
        responsible=Responsible(sensitive=card.sensitive),
        in_place=in_place,
        replaces=replaces,
    )
    listing.to_bytes()  # raises where it is too long for one block
    return listing


def _listed(data: bytes) -> ListedAlgorithm:
    root = unixfs.build(unixfs.pieces(BytesIO(data), unixfs.LEAF), lambda cid, block: None)
    return ListedAlgorithm(parse_bundle(data).manifest.name, bundle.digest(data), root.cid)


def terms_for(did: Did, provider: str, choice: TermsChoice) -> Terms:
    """The terms of a dataset. Raises InputError where nothing could run under them."""
    if not choice.algorithms and choice.custom is CustomAlgorithms.denied:
        raise InputError(
            "nothing could run on this dataset",
            do="Name an --algorithm, or allow custom ones with --custom approval.",
        )
    return Terms(
        asset=did,
        provider=provider,
        algorithms=tuple(bundle.digest(data) for data in choice.algorithms),
        purposes=choice.purposes,
        custom_algorithms=choice.custom,
        review_output=choice.review_output,
        assignee=choice.assignee,
        expires_at=choice.expires_at,
    )


def _today() -> date:
    return datetime.now(UTC).date()
