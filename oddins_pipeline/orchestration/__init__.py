"""The Dagster layer: thin, one concept a file."""
