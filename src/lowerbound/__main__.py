"""``lowerbound`` and ``python -m lowerbound``."""

import signal


def main() -> None:
    """Run the command line; until it can say something, Ctrl-C ends the process silently."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lowerbound.cli import run

    run()


if __name__ == "__main__":
    main()
