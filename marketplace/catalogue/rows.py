"""The rows of the read model, as types; `schema` makes one table of each.

KEY names the primary key. Integers wider than a database's 63 bits are marked Uint256 and stored as decimal text.
Amounts are units of the Market's token; times are Unix seconds; `block` and `log_index` say which event made the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Annotated, ClassVar

from marketplace.core.job import State

Uint256 = Annotated[int, "uint256"]
Placed = Annotated[int, "place"]
"""A place on the chain as one number; the lone key of its table."""


@dataclass(frozen=True)
class Row:
    """Base of all rows."""

    KEY: ClassVar[tuple[str, ...]] = ()
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def key(self) -> tuple[object, ...]:
        return taking(self.KEY)(self)


@cache
def taking(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    """What takes these attributes of a thing, as a tuple: made once for each list of names, for it is used often."""
    take = attrgetter(*names)
    return (lambda thing: (take(thing),)) if len(names) == 1 else take


@dataclass(frozen=True)
class EventRow(Row):
    """One confirmed event as it was parsed: the source of all other rows but the documents.

    data: the event's own fields as canonical JSON. job_id: the job it speaks of, else none.
    """

    block: int
    log_index: int
    block_hash: bytes
    transaction: bytes
    contract: str
    name: str
    job_id: bytes | None
    data: str

    KEY: ClassVar = ("block", "log_index")
    INDEXES: ClassVar = (("job_id",),)


@dataclass(frozen=True)
class Asset(Row):
    """An asset, its present owner and the epoch below which its offers are void. status: core.ids.Status."""

    asset_id: Uint256
    kind: int
    owner: str
    publisher: str
    metadata: bytes
    epoch: int
    status: int
    jobs: int
    block: int
    log_index: int

    KEY: ClassVar = ("asset_id",)
    INDEXES: ClassVar = (("block", "log_index"), ("owner",))


@dataclass(frozen=True)
class Announcement(Row):
    """Somebody (`by`, anyone) said that this document is that offer of this asset. Not yet believed."""

    offer_digest: bytes
    document: bytes
    asset_id: Uint256
    by: str
    block: int
    log_index: int

    KEY: ClassVar = ("offer_digest", "document", "asset_id")
    INDEXES: ClassVar = (("asset_id",),)


@dataclass(frozen=True)
class Grant(Row):
    """Uses that a buyer paid for. last_day: days since 1970-01-01, inclusive; 0 after a policy fault."""

    offer_digest: bytes
    buyer: str
    provider: str
    asset_id: Uint256
    price: int
    jobs_paid: int
    jobs_opened: int
    last_day: int

    KEY: ClassVar = ("offer_digest", "buyer")
    INDEXES: ClassVar = (("buyer",), ("asset_id",))


@dataclass(frozen=True)
class Job(Row):
    """A job as it stands. price: what is still held for it; until: deadline, then end of the window.

    note: the reason of a rejection or the digest of a fault's report; 32 zero bytes elsewhere. ground: of its dispute.
    """

    job_id: bytes
    provider: str
    buyer: str
    offer_digest: bytes
    asset_id: Uint256
    index: int
    algorithm: bytes
    spec: bytes
    state: int
    price: int
    until: int
    fault: int | None
    ground: int | None
    note: bytes
    credited_provider: int
    credited_buyer: int
    block: int
    log_index: int

    KEY: ClassVar = ("job_id",)
    INDEXES: ClassVar = (("provider",), ("buyer",), ("asset_id",))

    @property
    def phase(self) -> State:
        return State(self.state)


@dataclass(frozen=True)
class ReceiptRow(Row):
    """What the node claimed and signed, with the wrapped key of the output."""

    job_id: bytes
    input_root: bytes
    output_digest: bytes
    key_digest: bytes
    environment_digest: bytes
    isolation: int
    started_at: int
    finished_at: int
    signature: bytes
    wrapped_key: bytes

    KEY: ClassVar = ("job_id",)


@dataclass(frozen=True)
class Credit(Row):
    """Units of a model's credits that an account holds."""

    model_id: Uint256
    account: str
    job_id: bytes
    units: Uint256

    KEY: ClassVar = ("model_id", "account")
    INDEXES: ClassVar = (("account",), ("job_id",))


@dataclass(frozen=True)
class Node(Row):
    """A participant's present node, its sealing key (X25519, 32 bytes), and the isolation that it claims, in bits."""

    participant: str
    node: str
    sealing_key: bytes
    epoch: int
    isolation: int

    KEY: ClassVar = ("participant",)


@dataclass(frozen=True)
class Bond(Row):
    """What a provider pledges. leaves_at: last second in which `leaving` stays."""

    provider: str
    staked: Uint256
    leaving: Uint256
    leaves_at: int

    KEY: ClassVar = ("provider",)


@dataclass(frozen=True)
class Accreditation(Row):
    """That an issuer vouches for an account in a role; it counts while the issuer is trusted with the role."""

    account: str
    role: bytes
    issuer: str
    valid_until: int

    KEY: ClassVar = ("account", "role")


@dataclass(frozen=True)
class Issuer(Row):
    """Whether an issuer is trusted with a role."""

    role: bytes
    issuer: str
    trusted: bool

    KEY: ClassVar = ("role", "issuer")


@dataclass(frozen=True)
class Participant(Row):
    """Totals of one account. owed to it now: earned + refunded - withdrawn.

    earned: from jobs, as a provider or a judge. refunded: prices, stakes, penalties and bonds that came back to it.
    """

    account: str
    spent: Uint256
    earned: Uint256
    refunded: Uint256
    withdrawn: Uint256
    jobs_bought: int
    jobs_run: int

    KEY: ClassVar = ("account",)

    @property
    def owed(self) -> int:
        return self.earned + self.refunded - self.withdrawn


@dataclass(frozen=True)
class Pause(Row):
    """Whether a contract starts anything new."""

    contract: str
    paused: bool

    KEY: ClassVar = ("contract",)


@dataclass(frozen=True)
class Listing(Row):
    """What the shared store holds under an asset's metadata digest.

    status: `ok`, `unavailable` (tried again) or `invalid` (never tried again), with the reason.
    rows: of the table, 0 where there is none. document: the document's text, empty unless ok.
    """

    asset_id: Uint256
    digest: bytes
    status: str
    reason: str
    slug: str
    name: str
    description: str
    rows: int
    purposes: str
    document: str

    KEY: ClassVar = ("asset_id",)


@dataclass(frozen=True)
class Entry(Row):
    """What search looks through: one for each listing that was read, narrow, in the order of the chain.

    place: of the event that published the asset, as `place_of` numbers it. words: the listing's, case folded.
    purposes: as in Listing.
    """

    place: Placed
    asset_id: Uint256
    kind: int
    words: str
    purposes: str

    KEY: ClassVar = ("place",)
    INDEXES: ClassVar = (("asset_id",),)


LOGS_IN_BLOCK = 1 << 24
"""More than any block can hold; leaves 2^39 blocks."""


def place_of(block: int, log_index: int) -> int:
    """An event's place on the chain as one number: places are ordered as the events are."""
    return block * LOGS_IN_BLOCK + log_index


@dataclass(frozen=True)
class OfferDocument(Row):
    """What the shared store holds under an announcement; status as in Listing.

    Only facts of the document stand here: who signed it (`signer`). Whether that is the owner, whether the epoch
    stands and whether it has run out is asked at the time of reading. document: its JSON, empty unless ok.
    """

    offer_digest: bytes
    document: bytes
    asset_id: Uint256
    status: str
    reason: str
    signer: str
    provider: str
    buyer: str
    price: int
    valid_until: int
    epoch: int
    text: str

    KEY: ClassVar = ("offer_digest", "document", "asset_id")
    INDEXES: ClassVar = (("asset_id",), ("price",))


@dataclass(frozen=True)
class Cursor(Row):
    """How far the chain was read: a block and its hash. deployment: the digest of the file that all rows belong to."""

    id: int
    deployment: bytes
    block: int
    hash: bytes

    KEY: ClassVar = ("id",)


FOLDED: tuple[type[Row], ...] = (
    Asset,
    Announcement,
    Grant,
    Job,
    ReceiptRow,
    Credit,
    Node,
    Bond,
    Accreditation,
    Issuer,
    Participant,
    Pause,
)
"""Made from events alone, by `fold`."""

DOCUMENTS: tuple[type[Row], ...] = (Listing, Entry, OfferDocument)
"""Made from the shared store, by `documents`."""

SOURCES: tuple[type[Row], ...] = (Cursor, EventRow)
"""Made from the chain."""
