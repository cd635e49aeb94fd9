"""Folders on this machine that no other user can write to, for what the trainer keeps and trusts."""

import os
import stat
from pathlib import Path

from trainer.errors import ConfigError
from trainer.runtime.environment import Variable

POD = "KUBERNETES_SERVICE_HOST"  # set in every pod
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(name: str) -> Path:
    """The folder of a cache of this user: ``$RESNET_CACHE/name``, by default in ~/.cache/resnet-launch."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get(Variable.CACHE) or Path(base) / "resnet-launch", name)


def private_folder(path: Path, setting: str) -> Path:
    """Create a folder with mode 0700, or check one that exists, and return it.

    Where it belongs to someone else or others may write to it, such as a mounted disk, it is a folder of this
    user's own below it. None of the folders above may be one in which every user can rename it.

    Args:
      setting: the setting that names the folder, for messages.

    Raises:
      ConfigError: a link of someone else stands there, the folder of this user belongs to someone else, or
        everyone can rename it.
      OSError: it cannot be created.
    """
    _check_parents(path, setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_own(path, setting):
        return path
    below = path / f"resnet-{os.geteuid()}"
    _check_parents(below, setting)
    if path.stat().st_uid not in _trusted() or below.is_symlink() or not _is_own(below, setting):
        raise _refusal(below, setting)
    return below


def _check_parents(path: Path, setting: str) -> None:
    if above := open_parent(path):
        mode = above.stat().st_mode & 0o7777
        problem = f"must not lie in a folder in which everyone can rename it, got {above} with mode {mode:o}"
        raise ConfigError(f"{setting}: {path} {problem}", f"chmod +t {above}, or name another folder")


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


def open_parent(path: Path) -> Path | None:
    """The nearest folder above a path in which every user can rename what it holds; None if there is none.

    /tmp is none, because of its sticky bit. The folders of a pod are its own, whatever their modes.
    """
    if POD in os.environ:
        return None
    for folder in filter(Path.exists, (*path.absolute().parents, *path.resolve().parents)):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return folder
    return None


def others_write(path: Path) -> bool:
    """Whether another user than this one and root owns a file or folder, or may write to it."""
    status = path.stat()
    return not is_trusted(status) or bool(status.st_mode & OTHERS_WRITE)


def is_trusted(status: os.stat_result) -> bool:
    """Whether a file, folder or link belongs to this user or to root."""
    return status.st_uid in _trusted()


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
