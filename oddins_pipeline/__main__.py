"""`python -m oddins_pipeline` is `oddins`."""

from oddins_pipeline.cli import main

try:
    main()
finally:
    # An interrupt within exec(), as dataclasses use it, makes CPython end `python -m` by SIGINT
    # whatever the exit code is; the next exec() clears that.
    exec("")  # noqa: S102
