"""The tables as they were when revisions began: what `user_version` 2 counted."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, PrimaryKeyConstraint, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None

Columns = dict[str, TypeEngine[Any]]

NUMBER, TRUTH, BYTES = BigInteger(), Boolean(), LargeBinary()
TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    for name, (key, columns, optional) in TABLES.items():
        made = (
            Column(column, kind, nullable=column in optional, autoincrement=False)
            for column, kind in columns.items()
        )
        op.create_table(name, *made, PrimaryKeyConstraint(*key))
    for table, parts in INDEXES:
        op.create_index(f"{table}_by_{'_'.join(parts)}", table, list(parts))


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name)


TABLES: dict[str, tuple[tuple[str, ...], Columns, tuple[str, ...]]] = {
    "accreditation": (
        ("account", "role"),
        {"account": TEXT, "role": BYTES, "issuer": TEXT, "valid_until": NUMBER},
        (),
    ),
    "announcement": (
        ("offer_digest", "document", "asset_id"),
        {
            "offer_digest": BYTES,
            "document": BYTES,
            "asset_id": TEXT,
            "by": TEXT,
            "block": NUMBER,
            "log_index": NUMBER,
        },
        (),
    ),
    "asset": (
        ("asset_id",),
        {
            "asset_id": TEXT,
            "kind": NUMBER,
            "owner": TEXT,
            "publisher": TEXT,
            "metadata": BYTES,
            "epoch": NUMBER,
            "status": NUMBER,
            "jobs": NUMBER,
            "block": NUMBER,
            "log_index": NUMBER,
        },
        (),
    ),
    "bond": (("provider",), {"provider": TEXT, "staked": TEXT, "leaving": TEXT, "leaves_at": NUMBER}, ()),
    "credit": (
        ("model_id", "account"),
        {"model_id": TEXT, "account": TEXT, "job_id": BYTES, "units": TEXT},
        (),
    ),
    "cursor": (("id",), {"id": NUMBER, "deployment": BYTES, "block": NUMBER, "hash": BYTES}, ()),
    "event": (
        ("block", "log_index"),
        {
            "block": NUMBER,
            "log_index": NUMBER,
            "block_hash": BYTES,
            "transaction": BYTES,
            "contract": TEXT,
            "name": TEXT,
            "job_id": BYTES,
            "data": TEXT,
        },
        ("job_id",),
    ),
    "grant": (
        ("offer_digest", "buyer"),
        {
            "offer_digest": BYTES,
            "buyer": TEXT,
            "provider": TEXT,
            "asset_id": TEXT,
            "price": NUMBER,
            "jobs_paid": NUMBER,
            "jobs_opened": NUMBER,
            "last_day": NUMBER,
        },
        (),
    ),
    "issuer": (("role", "issuer"), {"role": BYTES, "issuer": TEXT, "trusted": TRUTH}, ()),
    "job": (
        ("job_id",),
        {
            "job_id": BYTES,
            "provider": TEXT,
            "buyer": TEXT,
            "offer_digest": BYTES,
            "asset_id": TEXT,
            "index": NUMBER,
            "algorithm": BYTES,
            "spec": BYTES,
            "state": NUMBER,
            "price": NUMBER,
            "until": NUMBER,
            "fault": NUMBER,
            "ground": NUMBER,
            "note": BYTES,
            "credited_provider": NUMBER,
            "credited_buyer": NUMBER,
            "block": NUMBER,
            "log_index": NUMBER,
        },
        ("fault", "ground"),
    ),
    "listing": (
        ("asset_id",),
        {
            "asset_id": TEXT,
            "digest": BYTES,
            "status": TEXT,
            "reason": TEXT,
            "slug": TEXT,
            "name": TEXT,
            "description": TEXT,
            "rows": NUMBER,
            "purposes": TEXT,
            "words": TEXT,
            "document": TEXT,
        },
        (),
    ),
    "node": (
        ("participant",),
        {"participant": TEXT, "node": TEXT, "sealing_key": BYTES, "epoch": NUMBER, "isolation": NUMBER},
        (),
    ),
    "offerdocument": (
        ("offer_digest", "document", "asset_id"),
        {
            "offer_digest": BYTES,
            "document": BYTES,
            "asset_id": TEXT,
            "status": TEXT,
            "reason": TEXT,
            "signer": TEXT,
            "provider": TEXT,
            "buyer": TEXT,
            "price": NUMBER,
            "valid_until": NUMBER,
            "epoch": NUMBER,
            "text": TEXT,
        },
        (),
    ),
    "participant": (
        ("account",),
        {
            "account": TEXT,
            "spent": TEXT,
            "earned": TEXT,
            "refunded": TEXT,
            "withdrawn": TEXT,
            "jobs_bought": NUMBER,
            "jobs_run": NUMBER,
        },
        (),
    ),
    "pause": (("contract",), {"contract": TEXT, "paused": TRUTH}, ()),
    "receipt": (
        ("job_id",),
        {
            "job_id": BYTES,
            "input_root": BYTES,
            "output_digest": BYTES,
            "key_digest": BYTES,
            "environment_digest": BYTES,
            "isolation": NUMBER,
            "started_at": NUMBER,
            "finished_at": NUMBER,
            "signature": BYTES,
            "wrapped_key": BYTES,
        },
        (),
    ),
}
"""Name: key, columns in their order, and which of them may be NULL."""

INDEXES = (
    ("announcement", ("asset_id",)),
    ("asset", ("block", "log_index")),
    ("asset", ("owner",)),
    ("credit", ("account",)),
    ("credit", ("job_id",)),
    ("event", ("job_id",)),
    ("grant", ("asset_id",)),
    ("grant", ("buyer",)),
    ("job", ("asset_id",)),
    ("job", ("buyer",)),
    ("job", ("provider",)),
    ("offerdocument", ("asset_id",)),
)
