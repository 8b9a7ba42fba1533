"""`make bench`: the sync beside its peers, and beside the shortest road that there is."""
