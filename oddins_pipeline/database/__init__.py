"""PostgreSQL: connections, the lock, the archive, and the writing of the catalog."""
