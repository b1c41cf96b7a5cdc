"""Where the library tells what it does: where data came from, what was left out."""

import logging

log = logging.getLogger("lowerbound")
