"""The paths of files and folders that users name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lowerbound.data.known import known
from lowerbound.errors import ConfigurationError, DataError, near
from lowerbound.files import like


def existing(source: str | Path) -> Path:
    """A path with a regular file or a folder."""
    if not isinstance(source, str | os.PathLike):
        raise ConfigurationError(
            f"expected a known data set, or the path of a file or folder, got a "
            f"{type(source).__name__}; data.from_arrays takes arrays and data frames"
        )
    path = Path(os.path.expanduser(source))
    try:
        mode = os.stat(path if str(source) else "").st_mode
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"expected a path in UTF-8, got {os.fsencode(path)!r}; rename the file or folder"
        ) from None
    except (OSError, ValueError) as error:
        raise _nothing(source, path, error) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(
            f"{path}: expected a file or folder, got a pipe, socket or device; write its contents "
            "to a file"
        )
    return path


def _nothing(source: str | Path, path: Path, error: Exception) -> DataError:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        reason = getattr(error, "strerror", None) or error
        return DataError(f"{str(path)!r}: cannot be read: {reason}")
    if isinstance(source, str) and not path.suffix and os.sep not in source:
        return DataError(
            f"expected a known data set, or the path of a file or folder, got {source!r}; "
            f"{near(source.lower(), known())}"
        )
    hint = like(path) or "check it"
    return DataError(f"{path}: expected a file or folder, got a path with nothing there; {hint}")
