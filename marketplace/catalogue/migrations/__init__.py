"""The catalogue's tables through its versions, by Alembic. `migrate` runs them; `versions` holds one file for each."""
