"""The functional core: a response's bytes become rows. No Dagster, no database, no network."""
