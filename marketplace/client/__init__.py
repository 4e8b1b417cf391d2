"""The Python client: `Market(...)`, a thin layer over the flows that the command line uses; nothing is done twice.

    market = Market(deployment="deployment.json", wallet="startup")
    access = market.datasets["shuttle"].buy(uses=3, purpose="predictive maintenance")
    model = access.train("tabular-classifier", target="anomaly").result()

What is not named comes from the settings (`STEELYARD_*`), as for commands. Amounts are token units (6 decimals),
times Unix seconds. Every error is a `SteelyardError` of `marketplace.errors`; nothing is retried. `docs/python.md`
has examples, which run as tests.
"""

from __future__ import annotations

from marketplace.client.access import Access
from marketplace.client.datasets import Dataset, Datasets
from marketplace.client.earnings import Earnings
from marketplace.client.jobs import Job, Jobs, Model
from marketplace.client.market import Market

__all__ = ["Access", "Dataset", "Datasets", "Earnings", "Job", "Jobs", "Market", "Model"]
