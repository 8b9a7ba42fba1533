"""What users run, as processes: the command line, Dagster, documents, kills."""
