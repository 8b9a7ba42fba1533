"""One or two rooms of the package with real parts: PostgreSQL, sockets, Dagster."""
