"""What Alembic runs: the migrations in the transaction that `migrate` has begun, so that all of them count or none."""

from __future__ import annotations

from alembic import context

from marketplace.catalogue.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
