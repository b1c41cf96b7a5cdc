"""``lowerbound`` and ``python -m lowerbound``."""

import os


def main() -> None:
    """Run the command line."""
    # Threads that spin while they wait slow each other down many times over on a shared core.
    # The OpenMP runtime reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from lowerbound.cli import run

    run()


if __name__ == "__main__":
    main()
