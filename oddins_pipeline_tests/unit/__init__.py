"""Pure functions over plain values: no server, no socket, no process."""
