"""Settings, Dagster's home, and which provider and database a process works with."""
