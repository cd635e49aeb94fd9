"""The files of a run directory: written whole or appended to, never through a link; errors name the path.

A run directory may be someone else's. A link, pipe or device in the place of one of its files is refused or
replaced, so that nobody who looks at a run writes outside it.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import IO

from etils import epath

from trainer.errors import RunDirectoryError, StorageError, TrainError, is_full, is_permanent, reason
from trainer.runtime.private import is_trusted

PERMISSIONS = 0o666  # of a new file, less the umask


@contextlib.contextmanager
def writing_to(path: str) -> Iterator[None]:
    """Convert the exceptions of a file system or a bucket's client into ours.

    Raises:
      RunDirectoryError: the directory is missing or not writable, which no restart can fix.
      StorageError: any other failure, such as a full disk, an overloaded bucket or a network that is down.
    """
    try:
        yield
    except TrainError:
        raise
    except Exception as error:  # each client has its own exceptions
        raise failure(path, error) from error


def failure(path: str, error: Exception, done: str = "written") -> StorageError | RunDirectoryError:
    """Return the error of a run directory that names its path and the system's reason.

    Args:
      done: what could not be done to it: written or read.
    """
    why = reason(error)
    if is_full(error):
        hint = "free space or raise the quota there, or use another --run-dir"
        return StorageError(f"run directory {path} cannot be written: {why}", hint)
    if not is_permanent(error):
        return StorageError(f"run directory {path} does not answer: {why}")
    hint = "use another --run-dir; on a bucket the pod's service account needs roles/storage.objectAdmin"
    absent = getattr(error, "code", None) == 404 or isinstance(error, FileNotFoundError)
    if path.startswith("gs://") and absent:
        hint = f"gcloud storage buckets create gs://{path.split('/')[2]}, or use another --run-dir"
    return RunDirectoryError(f"run directory {path} cannot be {done}: {why}", hint)


def is_bucket(path: epath.Path) -> bool:
    """Return whether a path lies in a bucket."""
    return "://" in str(path)


def has_checkpoint(root: epath.Path) -> bool:
    """Return whether a run directory has a whole checkpoint; one that is being written has a longer name."""
    folder = root / "checkpoints"
    return folder.exists() and any(path.name.isdigit() for path in folder.iterdir())


def write(path: epath.Path, text: str) -> None:
    """Replace a file by a new one, so that readers see the whole old or the whole new one.

    Raises:
      RunDirectoryError, StorageError: as ``writing_to``.
    """
    with writing_to(str(path.parent)):
        if is_bucket(path):
            path.write_text(text)
            return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(text)
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise OSError(error.errno, error.strerror, str(path)) from None


def append(path: epath.Path, text: str) -> None:
    """Append to a file of a local directory.

    Raises:
      RunDirectoryError, StorageError: as ``writing_to``.
    """
    with writing_to(str(path.parent)):
        try:
            with _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
                file.write(text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None


def check_links(root: epath.Path, path: epath.Path) -> None:
    """Refuse a path in a local run directory that leads through a link of another user.

    Raises:
      RunDirectoryError: one of its parts below ``root`` is such a link.
    """
    if is_bucket(root):
        return
    for part in (path, *path.parents):
        if part == root:
            return
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(part)
            if stat.S_ISLNK(status.st_mode) and not is_trusted(status):
                raise RunDirectoryError(
                    f"{part} must not be a link of another user, got one of user {status.st_uid}",
                    "use another --run-dir",
                )


def read(path: epath.Path) -> str | None:
    """Return the text of a regular file; None where there is none.

    Raises:
      RunDirectoryError: it cannot be read, or is not a regular file.
      StorageError: the bucket does not answer.
    """
    try:
        if is_bucket(path):
            return path.read_bytes().decode(errors="replace")
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            _check_regular(path, file.fileno())
            return file.read().decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except TrainError:
        raise
    except Exception as error:  # each client has its own exceptions
        if is_permanent(error):
            raise RunDirectoryError(f"{path} cannot be read: {_without_path(path, error)}") from error
        raise StorageError(f"{path} does not answer: {_without_path(path, error)}") from error


@contextlib.contextmanager
def _open(path: epath.Path, flags: int) -> Iterator[IO[str]]:
    """Open a regular file that is not a link; a pipe without a reader does not make it wait."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, PERMISSIONS)
    with open(descriptor, "w", encoding="utf-8") as file:
        _check_regular(path, descriptor)
        yield file
        file.flush()  # a full disk is noticed here and not in close()


def open_lock(path: epath.Path) -> int:
    """Return a descriptor of a lock file, which is created where it does not exist.

    Raises:
      RunDirectoryError, StorageError: as ``writing_to``.
    """
    with writing_to(str(path.parent)):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, PERMISSIONS)
        try:
            _check_regular(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _check_regular(path: epath.Path, descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise RunDirectoryError(f"{path} must be a regular file, got a folder, a pipe or a device")


def _without_path(path: epath.Path, error: Exception) -> str:
    return reason(error).removeprefix(f"{path}: ")
