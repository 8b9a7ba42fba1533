"""API-Football: one request, its answer or one of the errors of `oddins_pipeline.errors`."""
