"""One training at a time in a folder, which must stay where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lowerbound.errors import StorageError
from lowerbound.files import is_at, locked

LOCK_FILE = ".lock"


class Claim:
    """A folder that is this process's alone to train into."""

    def __init__(self, folder: Path, file: BinaryIO) -> None:
        self.folder, self.file = folder, file

    @property
    def holds(self) -> bool:
        """Whether the folder is still there, and still the claimed one."""
        return is_at(self.file, self.folder / LOCK_FILE)

    def expect(self) -> None:
        """Raises StorageError: the folder is gone."""
        if not self.holds:
            raise StorageError(
                f"expected {self.folder} to stay while it is trained into, but it was deleted or "
                "moved; train again, or resume it where it is now"
            )


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """``folder``, made if need be, for the ``with``; the claim of a killed process has ended.

    Raises:
        StorageError: another process trains into it, or it cannot be made.
    """
    made = not folder.exists()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file, _ = stack.enter_context(locked(folder / LOCK_FILE, wait=False))
        except BlockingIOError:
            raise StorageError(
                f"expected a folder to train into alone, got {folder}, into which another process "
                "is training; wait until it has finished, or choose another folder"
            ) from None
        except OSError as error:
            raise StorageError(
                f"expected a folder that can be written to, got {folder} "
                f"({error.strerror or error}); choose another"
            ) from None
        claim = Claim(folder, file)
        try:
            yield claim
        finally:
            if claim.holds:
                (folder / LOCK_FILE).unlink(missing_ok=True)
                if made:
                    with suppress(OSError):
                        folder.rmdir()  # if nothing was begun in it
