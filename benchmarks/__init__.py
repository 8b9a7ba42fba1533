"""`make bench`: the sync compared with its peers and with a minimal implementation."""
