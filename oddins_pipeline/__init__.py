"""A Dagster pipeline that keeps a PostgreSQL catalog of football competitions in sync."""

__version__ = "0.2.0"
