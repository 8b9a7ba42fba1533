"""`oddins`, also as `python -m oddins_pipeline`."""

import signal


def main() -> None:
    """The command line. Ctrl-C while its modules are imported ends the process without a trace."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from oddins_pipeline.cli import main as run

    run()


if __name__ == "__main__":
    try:
        main()
    finally:
        # An interrupt within exec(), as dataclasses use it, makes CPython end `python -m` by SIGINT
        # whatever the exit code is; the next exec() clears that.
        exec("")  # noqa: S102
