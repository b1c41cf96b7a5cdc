"""Files that are written whole, and read with limits.

A reader, a crash, a full disk or a second writer never leaves half a file behind: what is written
replaces what was there before, or nothing happens.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import pydantic

from lowerbound.errors import ConfigurationError, StorageError, brief, closest

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
HALF = ".half"
SEAL = "sha256"
MAX_JSON_BYTES, MAX_JSON_DEPTH = 64 * 2**20, 100
MOST_LISTED = 1000
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


def write_atomic(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write ``content``, or its pieces, to ``path``: all on disk, or what was there before.

    What a killed write left is taken up by the next one to the same path, where files can be
    locked.

    Raises:
        StorageError: it cannot be written.
    """
    with replacing(path) as file:
        for piece in [content] if isinstance(content, bytes) else content:
            file.write(piece)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes the one at ``path`` at the end of the ``with``, unless that fails.

    Raises:
        StorageError: it cannot be written.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _half(path) as file:
            half = Path(file.name)
            try:
                file.truncate(0)
                file.seek(0)
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(half, path)
            except BaseException:
                half.unlink(missing_ok=True)
                raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Errors of the system become `StorageError`; one that is raised within stays as it is."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another "
            "place, and try again"
        ) from None


@contextmanager
def _half(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path`` that this write has alone: by a lock, or else by its random name."""
    half = path.with_name(f".{path.name}{HALF}")
    with locked(half) as (file, holds):
        if holds:
            yield file
            return
    half.unlink(missing_ok=True)
    with half.with_name(f".{path.name}.{secrets.token_hex(8)}{HALF}").open("xb") as file:
        yield file


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[tuple[BinaryIO, bool]]:
    """The file at ``path``, made if need be, while no other process has it, and whether that holds.

    It does not on file systems without locks.  A lock ends with the process, however that ends.

    Raises:
        BlockingIOError: another process has it, and ``wait`` is not set.
    """
    while True:
        with path.open("ab") as file:
            holds = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno not in NO_LOCKS:  # of file systems, some of clusters among them
                    raise
                holds = False
            if is_at(file, path):  # not if who had it before has moved or deleted it
                yield file, holds
                return


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open ``file`` is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which is at ``path`` once all is done, and gone if anything goes wrong.

    Raises:
        StorageError: ``path`` is a file or a folder with something in it, or cannot be written.
    """
    path = path.absolute()
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}{HALF}")
    try:
        with _writing(path):
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise StorageError(f"expected a new or empty folder, got {path}; choose another")
            half.mkdir(parents=True)
            yield half
            os.rename(half, path)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically.

    Raises:
        ConfigurationError: it holds what JSON cannot, such as NaN or an array.
    """
    # A lone surrogate, as in file names that are not UTF-8, is written as its escape.
    write_atomic(path, f"{to_json(value, indent=2)}\n".encode(errors="backslashreplace"))


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object with the SHA-256 of all that is in it, which `read_json` checks."""
    write_json(path, {**values, SEAL: _seal(json.loads(to_json(values)))})


def to_json(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON text.

    Raises:
        ConfigurationError: it holds what JSON cannot, such as NaN or an array.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            "expected finite numbers, text, and lists and dictionaries of them, which a file can "
            f"hold, got others ({brief(error)})"
        ) from None


def read_regular(path: Path, what: str, limit: int | None = None) -> bytes:
    """The bytes, at most ``limit``, of a file that holds ``what``.

    Raises:
        StorageError: it is missing, too large, no regular file, or cannot be read.
    """
    try:
        status = path.stat()
        regular = stat.S_ISREG(status.st_mode)
        if regular and (limit is None or status.st_size <= limit):
            return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        there = path.parent.is_dir()
        missing = f"no {path.name} there" if there else "no such folder"
        missing = "a file" if path.parent.is_file() else missing
        remedy = "check the path, or restore the file"
        if not there:
            remedy = like(path.parent) or "check the path"
        raise StorageError(f"expected {what} in {path.parent}, got {missing}; {remedy}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or brief(error)
        raise StorageError(
            f"{path}: cannot be read ({reason}); make it readable, or restore the file"
        ) from None
    if not regular:
        raise StorageError(
            f"{path}: expected a regular file with {what}, got a folder, pipe, socket or device; "
            "choose another, or restore the file"
        )
    raise StorageError(
        f"{path}: expected {what} in at most {limit:,} bytes, got {status.st_size:,}; the file is "
        "damaged: restore it"
    )


def like(path: Path) -> str:
    """A hint at what there is by a name like that of ``path``, which is missing; or nothing."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST_LISTED)]
    except OSError:
        return ""
    close = [str(path.parent / name) for name in closest(path.name, names) if name != path.name]
    return f"did you mean {' or '.join(close)}?" if close else ""


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file that holds ``what``, as it was sealed if it was.

    Raises:
        StorageError: the file is missing, too large, no JSON object, or was changed.
    """
    value = parse_json(path, read_regular(path, what, MAX_JSON_BYTES))
    if not isinstance(value, dict):
        raise StorageError(f"{path}: expected a JSON object, got {json.dumps(value):.40}")
    if SEAL in value and value[SEAL] != (found := _seal(value)):
        raise StorageError(
            f"{path}: was changed after it was written (expected SHA-256 {value[SEAL]!s:.64}, got "
            f"{found}); restore the file"
        )
    return value


def parse_json(path: Path, text: str | bytes) -> Any:
    """JSON that stands in the file at ``path``: of finite numbers, and not too deep.

    Raises:
        StorageError: it is something else.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise StorageError(f"{path}: nested too deeply; the file is damaged") from None
    except ValueError as error:
        raise StorageError(
            f"{path}: cannot be read ({brief(error)}); the file is damaged"
        ) from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [inner for outer in level for inner in _members(outer)]
    if level:
        raise StorageError(
            f"{path}: expected JSON of at most {MAX_JSON_DEPTH} levels; the file is damaged"
        )
    return value


def validated(path: Path, schema: type[T], value: Any) -> T:
    """``value``, read from the file at ``path``, as ``schema`` says.

    Raises:
        StorageError: it is something else.
    """
    try:
        return pydantic.TypeAdapter(schema).validate_python(value)
    except pydantic.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        reason = problem["msg"][0].lower() + problem["msg"][1:]
        raise StorageError(f"{path}: damaged ({place}: {reason})") from None


def hash_tensors(text: str, tensors: Mapping[str, Tensor]) -> bytes:
    """The SHA-256 of ``text`` and of ``tensors``: their names, types, shapes and values."""
    import torch

    digest = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _seal(values: dict[str, Any]) -> str:
    """The SHA-256 of all values but the seal itself."""
    values = {name: value for name, value in values.items() if name != SEAL}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
