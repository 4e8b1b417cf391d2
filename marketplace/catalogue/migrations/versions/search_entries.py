"""Search by an index: what it looks through moves out of the listings into narrow entries in the order of the chain.

Parts of words are found by their grams, three characters each: SQLite's FTS5 with its trigram tokenizer, PostgreSQL's
GIN over an expression, which needs no extension. Triggers and the expression keep both equal to the entries.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger()
TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

FILL = """
INSERT INTO entry (place, asset_id, kind, words, purposes)
SELECT asset.block * 16777216 + asset.log_index, asset.asset_id, asset.kind, listing.words, listing.purposes
FROM listing JOIN asset ON asset.asset_id = listing.asset_id WHERE listing.status = 'ok'
"""

SQLITE = (
    """CREATE VIRTUAL TABLE entry_grams USING fts5(
    words, content='entry', content_rowid='place', tokenize='trigram case_sensitive 1', detail='none', columnsize=0
)""",
    """CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    INSERT INTO entry_grams(rowid, words) VALUES (new.place, new.words);
END""",
    """CREATE TRIGGER entry_dropped AFTER DELETE ON entry BEGIN
    INSERT INTO entry_grams(entry_grams, rowid, words) VALUES ('delete', old.place, old.words);
END""",
    """CREATE TRIGGER entry_changed AFTER UPDATE ON entry BEGIN
    INSERT INTO entry_grams(entry_grams, rowid, words) VALUES ('delete', old.place, old.words);
    INSERT INTO entry_grams(rowid, words) VALUES (new.place, new.words);
END""",
)

POSTGRESQL = (
    """CREATE FUNCTION entry_grams(words text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(a || b || c), '{}')
    FROM (SELECT string_to_array(words, NULL) AS l) AS letters,
    unnest(l[1:cardinality(l) - 2], l[2:cardinality(l) - 1], l[3:]) AS gram (a, b, c)
    WHERE a <> ' ' AND b <> ' ' AND c <> ' '
$$""",
    "CREATE INDEX entry_by_grams ON entry USING gin (entry_grams(words))",
)


def upgrade() -> None:
    op.create_table(
        "entry",
        Column(
            "place",
            BigInteger().with_variant(Integer(), "sqlite"),
            nullable=False,
            autoincrement=False,
        ),
        Column("asset_id", TEXT, nullable=False),
        Column("kind", NUMBER, nullable=False),
        Column("words", TEXT, nullable=False),
        Column("purposes", TEXT, nullable=False),
        PrimaryKeyConstraint("place"),
    )
    for statement in SQLITE if _is_sqlite() else POSTGRESQL:
        op.execute(statement)
    op.execute(FILL)
    op.create_index("entry_by_asset_id", "entry", ["asset_id"])
    op.create_index("offerdocument_by_price", "offerdocument", ["price"])
    op.drop_column("listing", "words")


def downgrade() -> None:
    op.add_column("listing", Column("words", TEXT, nullable=False, server_default=""))
    op.execute(
        "UPDATE listing SET words = entry.words FROM entry"
        " WHERE entry.asset_id = listing.asset_id AND listing.status = 'ok'"
    )
    op.drop_index("offerdocument_by_price", "offerdocument")
    if _is_sqlite():
        op.execute("DROP TABLE entry_grams")
    op.drop_table("entry")
    if not _is_sqlite():
        op.execute("DROP FUNCTION entry_grams(text)")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
