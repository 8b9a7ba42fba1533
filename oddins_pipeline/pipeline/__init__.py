"""The use cases without Dagster: sync, dry run, policies, failures, notifications."""
