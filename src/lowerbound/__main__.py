"""``lowerbound`` and ``python -m lowerbound``."""

import signal

# Until the command line is there to say something, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from lowerbound.cli import run as main  # noqa: E402

if __name__ == "__main__":
    main()
