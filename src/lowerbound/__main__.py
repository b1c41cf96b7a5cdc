"""``lowerbound`` and ``python -m lowerbound``."""

from lowerbound.cli import run as main

if __name__ == "__main__":
    main()
