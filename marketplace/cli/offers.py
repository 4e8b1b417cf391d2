"""A dataset's offers in words: the one that a purchase takes, and in what the others are unlike it."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from marketplace.cli.output import short, table_or
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.offer import Offer
from marketplace.core.policy import describe
from marketplace.core.readable import euros, instant
from marketplace.core.terms import Terms
from marketplace.lookup import NEEDS_ROLE, Standing, cheapest, offer_named


def to_json(found: Standing) -> dict[str, Any]:
    announced = found.announced
    return {"digest": announced.digest, "obstacle": found.obstacle, **announced.offer.to_json()}


def described(offers: list[Standing], digest: bytes | None) -> Standing | None:
    """The offer to describe: the named one, else the one that a purchase takes, else one that shows what is missing."""
    if digest is not None:
        return offer_named(offers, digest)
    accrediting = (found for found in offers if found.obstacle == NEEDS_ROLE)
    return cheapest(offers) or next(accrediting, offers[0] if offers else None)


def conditions(shown: Standing | None, terms: Terms | None, *, named: bool, anybody: bool) -> list[str]:
    """The offer, its terms in plain words, and its judges. anybody: it was chosen for no wallet in particular."""
    if shown is None or terms is None:
        return []
    offer = shown.announced.offer
    return [
        _headline(shown, named=named, anybody=anybody),
        f"  0x{shown.announced.digest.hex()}",
        f"  {euros(offer.price)} a use, of which {_fee(offer)} is kept when an algorithm fails",
        *describe(terms),
        *_judges(offer),
        *_role(offer),
    ]


def _headline(shown: Standing, *, named: bool, anybody: bool) -> str:
    whom = "everybody" if anybody else "your wallet"
    if named:
        bar = f", which is not open to {whom} now ({shown.obstacle})" if shown.obstacle else ""
        return f"the offer that you named{bar}:"
    if shown.obstacle:
        return f"no offer is open to {whom} now; one of them ({shown.obstacle}):"
    return f"`access buy` takes this offer, the cheapest open to {whom}:"


def _judges(offer: Offer) -> list[str]:
    judges = {"arbiter": offer.arbiter, "verifier": offer.verifier}
    named = [f"disputes: {what} {who}" for what, who in judges.items() if who != ZERO_ADDRESS]
    return named or ["disputes: nobody judges them"]


def _role(offer: Offer) -> list[str]:
    if offer.required_role == ZERO_BYTES32:
        return []
    return ["buyers need accreditation", f"  0x{offer.required_role.hex()}"]


def _fee(offer: Offer) -> str:
    return f"{offer.failure_fee_bps / 100:g}%"


def offer_table(offers: list[Standing], shown: Standing | None) -> str | Table:
    """All offers, newest first; each says in what it is unlike the one that is shown whole."""
    rows = [_row(found, shown) for found in offers]
    columns = ("price a\nuse", "most\nuses", "days", "failure\nfee", "until", "other", "offer")
    return table_or("Nobody can buy it: its owner has announced no offer.", "Offers", columns, rows)


def _row(found: Standing, shown: Standing | None) -> tuple[str, ...]:
    offer = found.announced.offer
    return (
        euros(offer.price),
        str(offer.max_uses),
        str(offer.term_days),
        _fee(offer),
        found.obstacle or instant(offer.valid_until).partition(" ")[0],
        "\n".join(_unlike(found, shown)),
        short(found.announced.digest),
    )


def _unlike(found: Standing, shown: Standing | None) -> list[str]:
    """What an offer has otherwise than the one that is shown, beside what the table shows of both."""
    if shown is None:
        return []
    one, other = found.announced.offer, shown.announced.offer
    unlike = {
        "terms": one.terms_digest != other.terms_digest,
        "judges": (one.arbiter, one.verifier) != (other.arbiter, other.verifier),
        "role": one.required_role != other.required_role,
    }
    return [what for what, differs in unlike.items() if differs]


def others(offers: list[Standing], shown: Standing | None) -> list[str]:
    """The other offers that can be bought, by what `--offer` takes, and whether the terms are theirs too."""
    rest = [found for found in offers if found is not shown and not found.obstacle]
    if not rest:
        return []
    alike = not any(_unlike(found, shown) for found in rest)
    said = "have the same terms and judges" if alike else "differ in what `other` names"
    return [
        f"Others open to you {said}; `show --offer` takes:",
        *(f"  0x{found.announced.digest.hex()}" for found in rest),
    ]
