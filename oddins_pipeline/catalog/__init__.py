"""The functional core: an answer's bytes become rows. No Dagster, no database, no network."""
