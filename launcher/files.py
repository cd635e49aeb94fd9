"""Files of this machine: written whole or not at all, locked or not, and where those of a cache go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes, mode: int = 0o600, *, new: bool = False) -> None:
    """Write a file beside its place, and then give it its name; a failure leaves nothing behind.

    Args:
      content: text is written as UTF-8, with the line ends that it has.
      mode: permissions of the file.
      new: the name must be free: a file that got it meanwhile stays as it is.

    Raises:
      FileExistsError: the name is taken, and the file was to be new.
      OSError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        scratch = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            scratch.chmod(mode)
            if new:
                os.link(scratch, path)  # unlike a rename, it never replaces
            else:
                scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock (flock) on a file; a file that cannot be opened has none."""
    import fcntl  # not on Windows, where no command needs it

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def cache_folder(name: str) -> Path:
    """Return the absolute path of a folder for what this user's commands keep: `$RESNET_CACHE/NAME`."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("RESNET_CACHE") or Path(base) / "resnet-launch").absolute() / name
