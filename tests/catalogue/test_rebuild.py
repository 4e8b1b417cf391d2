"""`steelyard hub rebuild`: a catalogue that is damaged, and one that is whole, end as a fresh one would be."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from marketplace.api.hub import rebuild
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.schema import Database
from marketplace.settings import load_settings
from tests.support.catalogue import Town


def test_a_rebuild_fills_a_damaged_catalogue_from_chain_and_store_while_a_hub_is_on_it(
    town: Town, database: Database, tmp_path: Path
) -> None:
    chain = town.market.chain
    town.announce(town.market.offer(town.publish(b"\1" * 32)))
    indexer = Indexer(chain, town.store, database)
    indexer.run_once()
    before = database.dump()
    (tmp_path / "deployment.json").write_bytes(chain.deployment.to_bytes())
    settings = load_settings(
        home=tmp_path,
        rpc=town.market.embedded.url,
        gateway=town.gateway,
        database=database.url.render_as_string(hide_password=False),
    )
    with database.write() as connection:
        connection.execute(text("DELETE FROM asset"))
        connection.execute(text("DROP TABLE listing"))

    counts = rebuild(settings)

    assert counts == {name: len(rows) for name, rows in before.items()}
    indexer.run_once()
    with closing(Database.of(settings)) as again:
        assert again.dump() == database.dump() == before
