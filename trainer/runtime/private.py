"""Folders on this machine that no other user can write to, for what the trainer keeps and trusts."""

import os
import stat
from pathlib import Path

from trainer.errors import ConfigError
from trainer.runtime.environment import Variable

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(name: str) -> Path:
    """The folder of a cache of this user: ``$RESNET_CACHE/name``, by default in ~/.cache/resnet-launch."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get(Variable.CACHE) or Path(base) / "resnet-launch", name)


def private_folder(path: Path, setting: str) -> Path:
    """Create a folder with mode 0700, or check one that exists, and return it.

    Where it belongs to someone else or others may write to it, such as a mounted disk, it is a folder of this
    user's own below it.

    Args:
      setting: the setting that names the folder, for messages.

    Raises:
      ConfigError: a link of someone else stands there, or the folder of this user belongs to someone else.
      OSError: it cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_own(path, setting):
        return path
    below = path / f"resnet-{os.geteuid()}"
    if path.stat().st_uid not in _trusted() or below.is_symlink() or not _is_own(below, setting):
        raise _refusal(below, setting)
    return below


def _is_own(path: Path, setting: str) -> bool:
    """Whether the folder, which is created if need be, is this user's and closed to others.

    Raises:
      ConfigError: it is a link of another user.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_symlink() and path.lstat().st_uid not in _trusted():
            raise _refusal(path, setting) from None
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & OTHERS_WRITE


def others_write(path: Path) -> bool:
    """Whether another user than this one and root owns a file or folder, or may write to it."""
    status = path.stat()
    return status.st_uid not in _trusted() or bool(status.st_mode & OTHERS_WRITE)


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _refusal(path: Path, setting: str) -> ConfigError:
    place = path if path.is_symlink() or path.exists() else path.parent
    kind = "a link" if place.is_symlink() else "a folder"
    return ConfigError(
        f"{setting}: {place} must be a folder of this user that others cannot write to, "
        f"got {kind} of user {place.lstat().st_uid} with mode {place.lstat().st_mode & 0o7777:o}",
        "name another folder",
    )
