"""Runs the migrations on the connection that `upgrade` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="oddins_alembic_version",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
