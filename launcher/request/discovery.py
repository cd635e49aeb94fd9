"""The resnet-launch.yaml that a command uses, and whether this user may rely on it.

The file decides which image runs with the team's secrets and, in `local`, the environment of programs of this
user. The rules are those of git for its repositories: a file of this user or of root, which nobody else can
change, and none above the repository or the home directory.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from launcher.errors import Problem, RequestError

FILE = "resnet-launch.yaml"


def find_file(directory: Path) -> Path | None:
    """Return resnet-launch.yaml of a directory, or the nearest one above it, or None.

    Raises:
      RequestError: others than this user and root own the file or can change it.
    """
    for folder in _upwards(directory):
        path = folder / FILE
        if os.path.isfile(path):
            if reason := _danger(path):
                problem = f"must belong to you or root, and be writable by nobody else: {reason}"
                raise RequestError(Problem(str(path), problem, _remedy(path, directory)))
            return path
    return None


def _upwards(directory: Path) -> Iterator[Path]:
    """Yield a directory and those above it, up to the root of its repository or the home directory."""
    home = os.path.realpath(os.path.expanduser("~"))
    for folder in (directory, *directory.parents):
        yield folder
        if os.path.lexists(folder / ".git") or os.path.realpath(folder) == home:
            return


def _danger(path: Path) -> str:
    """Return who else can decide what the file says; an empty string where nobody can."""
    if not hasattr(os, "getuid"):
        return ""  # Windows: owners and modes say nothing
    owners = {0, os.getuid()}
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        owners.add(int(os.environ["SUDO_UID"]))
    for status in (path.lstat(), path.stat()):
        if status.st_uid not in owners:
            return f"it belongs to {_user(status.st_uid)}"
        if stat.S_ISLNK(status.st_mode):
            continue
        if status.st_mode & stat.S_IWOTH:
            return "everyone can write to it"
        if status.st_mode & stat.S_IWGRP and not _private(status.st_gid):
            return f"the group {_group(status.st_gid)} can write to it"
    return ""


def _remedy(path: Path, directory: Path) -> str:
    if path.lstat().st_uid == os.getuid() == path.stat().st_uid:
        return f"chmod go-w {shlex.quote(str(path))}"
    if path.parent == directory:
        return "work in a folder of your own"
    return f"look at it, then copy it: cp {shlex.quote(str(path))} {shlex.quote(str(directory))}"


def _private(gid: int) -> bool:
    """Whether a group is that of this user alone, as Debian gives one to each user, or root's."""
    return gid == 0 or (gid == os.getgid() and _group(gid) == _user(os.getuid()))


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
