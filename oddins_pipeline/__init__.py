"""A Dagster pipeline that keeps a PostgreSQL catalog of football competitions in step."""

__version__ = "0.2.0"
