"""API-Football: one request, its response or one of the errors of `oddins_pipeline.errors`."""
