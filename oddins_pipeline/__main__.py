"""`python -m oddins_pipeline` is `oddins`."""

from oddins_pipeline.cli import main

main()
