"""Questions to git about a directory. Nothing in the repository is changed, not even its index."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import Problem, RequestError, printable

SECONDS = 120.0  # a first look at a large tree on a network file system
# A monitor is a program that the repository's configuration names; neither is it needed.
SAFE = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
SUBMODULE = "160000"  # mode of an entry that is a commit of another repository


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What git tracks in a directory.

    Attributes:
      files: paths below the directory, with `/`; deleted files are left out.
      untracked: paths that are neither tracked nor ignored; a folder that is a repository ends with `/`.
      commit: HEAD in hexadecimal; empty before the first commit.
      dirty: a tracked file differs from HEAD, is staged, deleted, or is a changed submodule.
    """

    files: tuple[str, ...]
    untracked: tuple[str, ...]
    commit: str
    dirty: bool


def holds(directory: Path) -> bool:
    """Return whether a directory lies in a working tree, by the .git in it or in a folder above it."""
    directory = directory.resolve()
    return any(os.path.lexists(folder / ".git") for folder in (directory, *directory.parents))


def tracked(directory: Path) -> Tracked:
    """Return what git tracks in a directory, submodules that are checked out included.

    Raises:
      RequestError: git is not installed, refuses the repository, or a submodule is not checked out.
    """
    if _git(directory, "rev-parse", "--is-inside-work-tree").strip() != b"true":
        raise _wrong(
            f"must lie in a working tree of git, got {str(directory)!r}", "name a folder of the tree"
        )
    commit, dirty, untracked = "", False, []
    entries = _entries(
        _git(directory, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--", ".")
    )
    prefix = _text(_git(directory, "rev-parse", "--show-prefix")).removesuffix("\n")
    for entry in entries:
        if entry.startswith("# branch.oid "):
            oid = entry.removeprefix("# branch.oid ")
            commit = "" if oid.startswith("(") else oid
        elif entry.startswith("? "):
            untracked.append(entry.removeprefix("? ").removeprefix(prefix))  # relative to the top
        elif entry[:2] in ("1 ", "2 ", "u "):
            dirty = True
    files = tuple(sorted(dict.fromkeys(_files(directory, ""))))
    return Tracked(files=files, untracked=tuple(untracked), commit=commit, dirty=dirty)


def _files(directory: Path, prefix: str) -> Iterator[str]:
    """Yield tracked paths that exist, each with the prefix; of submodules too."""
    for entry in _entries(_git(directory, "ls-files", "-z", "--cached", "--stage")):
        mode_and_stage, _, name = entry.partition("\t")
        path = directory / name
        if mode_and_stage.startswith(SUBMODULE):
            if not os.path.lexists(path / ".git"):
                problem = f"must have its submodules checked out, got none in '{printable(prefix + name)}'"
                raise _wrong(problem, f"git -C {shlex.quote(str(directory))} submodule update --init")
            yield from _files(path, f"{prefix}{name}/")
        elif _is_there(directory, name):
            yield prefix + name


def _is_there(directory: Path, name: str) -> bool:
    """Return whether a tracked path exists; one below a link is gone, as git has it."""
    *folders, _ = Path(name).parts
    if any((directory / Path(*folders[: depth + 1])).is_symlink() for depth in range(len(folders))):
        return False
    path = directory / name
    return path.is_symlink() or (path.exists() and not path.is_dir())


def _entries(output: bytes) -> Iterator[str]:
    """Yield the entries of an output with -z; the old name of a renamed file is left out."""
    entries = iter(_text(output).split("\0"))
    for entry in entries:
        if entry.startswith("2 "):
            next(entries, None)
        if entry:
            yield entry


def _git(directory: Path, *arguments: str) -> bytes:
    """Return the output of a git command in a directory, whatever repository the environment names."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")  # whom to trust is the user's
    }
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environment["GIT_DISCOVERY_ACROSS_FILESYSTEM"] = "1"
    command = ["git", *SAFE, "-C", str(directory), *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        problem = f"must be outside git where git is not installed, got {str(directory)!r}"
        raise _wrong(problem, "install git: what it tracks is packed") from None
    except subprocess.TimeoutExpired:
        raise _wrong(f"git did not answer within {SECONDS:.0f} s in {str(directory)!r}") from None
    if done.returncode:
        raise _refused(directory, done.stderr.decode(errors="replace"))
    return done.stdout


def _refused(directory: Path, stderr: str) -> RequestError:
    """Return the error for what git says; its advice for a repository of another user is a hint."""
    if "dubious ownership" in stderr:
        advice = [line.strip() for line in stderr.splitlines() if line.strip().startswith("git config ")]
        hint = advice[0] if advice else "git config --global --add safe.directory DIR"
        return _wrong(f"must be a repository of yours, and {str(directory)!r} belongs to another user", hint)
    lines = [line for line in stderr.splitlines() if line.startswith(("fatal:", "error:"))]
    reason = printable((lines or stderr.splitlines() or ["no reason"])[0])[:300]
    return _wrong(f"must be a directory that git can read, got {str(directory)!r}: {reason}")


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def _wrong(problem: str, hint: str = "") -> RequestError:
    return RequestError(Problem("code", problem, hint))
