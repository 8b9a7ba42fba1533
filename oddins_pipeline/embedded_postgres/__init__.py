"""The embedded PostgreSQL server; it knows nothing of the catalog."""
