"""What a buyer tells the node (the spec), and what comes back beside the output (report, model card). Pure."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from marketplace.core.document import CidText, Document, Hex32

Text = Annotated[str, Field(min_length=1, max_length=200)]


class AlgorithmReference(Document):
    """Where a bundle lies. digest: SHA-256 of the canonical plaintext bundle; header: sealed bundles only.

    A listed bundle is plain content under `cid`. A custom one is sealed: `cid` names its header's block and
    `key` opens it; the key travels only inside the sealed spec.
    """

    WHAT: ClassVar[str] = "an algorithm reference"
    name: Text
    digest: Hex32
    cid: CidText
    key: Hex32 | None = None


class Spec(Document):
    """A job's order: sealed to node and buyer, named on chain by the sealed block's digest.

    parameters: checked against the algorithm's JSON Schema by the node as well.
    result_key: the X25519 public key, made for this job, that the output is sealed to.
    """

    WHAT: ClassVar[str] = "a job's spec"
    version: Literal[1] = 1
    algorithm: AlgorithmReference
    parameters: dict[str, Any]
    environment: Text
    purpose: Text
    result_key: Hex32


class FailureReport(Document):
    """Why a job failed, as the node says; its digest stands on chain. No logs: they may hold the data."""

    WHAT: ClassVar[str] = "a failure report"
    version: Literal[1] = 1
    job: Hex32
    fault: Literal["node", "algorithm", "policy"]
    code: Text
    detail: Annotated[str, Field(max_length=500)]
    started_at: int
    finished_at: int


class ModelCard(Document):
    """What a registered model is: named by digests, so that everything it says can be checked."""

    WHAT: ClassVar[str] = "a model card"
    version: Literal[1] = 1
    name: Text
    job: Hex32
    dataset: Text
    algorithm: Hex32
    algorithm_name: Text
    output: Hex32
    purpose: Text
    metrics: dict[str, Any]
