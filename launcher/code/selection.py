"""The files of a directory that are packed: what git tracks, or outside git what .dockerignore leaves."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.code import dockerignore, git
from launcher.errors import Problem, RequestError, printable

IGNORE = ".dockerignore"
NEVER = (".git", "__pycache__")  # outside git, at any depth: no program reads them
RUN = {"attempts.jsonl", "config.json"}  # by which the directory of a trainer's run is known
ARCHIVE = re.compile(r"[0-9a-f]{64}\.tar\.gz")  # packed code that a run keeps in its folder `code`
LARGEST = 64 << 20  # bytes of all files together, before compression
SHOWN = 3  # names in a message
POINTER = b"version https://git-lfs.github.com/spec/"  # how a file of Git LFS begins that was not fetched
POINTER_BYTES = 1024  # the longest pointer that Git LFS writes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or symbolic link.

    Attributes:
      path: below the directory, with `/`; bytes that are not UTF-8 are lone surrogates.
      content: bytes of the file; empty for a link.
      target: what a link names; empty for a file.
      executable: its owner may execute the file.
    """

    path: str
    content: bytes = b""
    target: str = ""
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The entries of a directory, sorted by path, where they come from, and what a person should know."""

    entries: tuple[Entry, ...]
    commit: str = ""
    dirty: bool = False
    notes: tuple[str, ...] = ()


def select(directory: Path) -> Selection:
    """Read the files of a directory that belong to its code.

    Raises:
      RequestError: there is no such directory, it has no files, too many bytes, a link that leaves it, or
        something that is neither file nor link; or git refuses it.
    """
    if not directory.is_dir():
        problem = "a file" if directory.exists() else "which does not exist"
        raise _wrong(f"must be a directory, got '{printable(str(directory))}', {problem}")
    notes: list[str] = []
    hint = "replace the link by the file, or leave it out"
    if git.holds(directory):
        tracked = git.tracked(directory)
        paths, commit, dirty = list(tracked.files), tracked.commit, tracked.dirty
        if tracked.untracked:
            notes.append(_not_packed(tracked.untracked))
        if not paths:
            problem = f"must hold files that git tracks, got none in '{printable(str(directory))}'"
            raise _wrong(problem, "git add FILE makes git track a file; its changes need no commit")
    else:
        hint = f"{hint}: {_of_ignore(directory)}"
        paths, commit, dirty = list(_left(directory, notes)), "", False
        if not paths:
            raise _wrong(f"must hold files, got none in '{printable(str(directory))}'", _of_ignore(directory))
    _require_small(directory, paths)
    entries = tuple(_entry(directory, path) for path in sorted(paths, key=os.fsencode))
    _require_inside({entry.path for entry in entries}, entries, hint)
    if pointers := [entry.path for entry in entries if _is_pointer(entry)]:
        state = "file of Git LFS is a pointer" if len(pointers) == 1 else "files of Git LFS are pointers"
        notes.append(f"{len(pointers)} {state} only: {_names(pointers)} (git lfs pull)")
    return Selection(entries=entries, commit=commit, dirty=dirty, notes=tuple(notes))


def _left(directory: Path, notes: list[str]) -> Iterator[str]:
    """Yield the paths that .dockerignore leaves."""
    file = directory / IGNORE
    try:
        rules = dockerignore.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        rules = []
        notes.append(f"{printable(str(directory))} has neither git nor {IGNORE}: all of its files are packed")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _wrong(
            f"must have a {IGNORE} that can be read, got '{printable(str(file))}': {reason}"
        ) from None
    runs: list[str] = []
    yield from (path for path in _walk(directory, "", runs) if not dockerignore.ignored(path, rules))
    if kept := [run for run in runs if not dockerignore.ignored(run, rules)]:
        kind = "1 run directory is" if len(kept) == 1 else f"{len(kept)} run directories are"
        notes.append(f"{kind} not packed: {_names(kept)}")


def _walk(directory: Path, prefix: str, runs: list[str]) -> Iterator[str]:
    """Yield the files below a directory, and collect the run directories, whose files are results."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise _wrong(f"must be readable, got '{printable(str(directory))}': {error.strerror}") from None
    if prefix and _is_run(directory, {entry.name for entry in entries}):
        runs.append(prefix.removesuffix("/"))
        return
    for entry in entries:
        if entry.name in NEVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", runs)
        else:
            yield prefix + entry.name


def _is_run(directory: Path, names: set[str]) -> bool:
    """Return whether a directory keeps a run: that of the trainer, or of a program with packed code."""
    if names >= RUN:
        return True
    try:
        return "code" in names and any(map(ARCHIVE.fullmatch, os.listdir(directory / "code")))
    except OSError:
        return False  # a file, or a folder that reading it refuses


def _entry(directory: Path, path: str) -> Entry:
    """Read one file or link."""
    full = directory / path
    try:
        status = full.lstat()
        if stat.S_ISLNK(status.st_mode):
            return Entry(path=path, target=os.readlink(full))
        if not stat.S_ISREG(status.st_mode):
            kind = "a device, socket or pipe"
            raise _wrong(f"must hold only files, folders and links, got {kind} at '{printable(path)}'")
        content = full.read_bytes()
    except OSError as error:
        raise _wrong(f"must hold files that can be read, got '{printable(path)}': {error.strerror}") from None
    return Entry(path=path, content=content, executable=bool(status.st_mode & stat.S_IXUSR))


def _require_small(directory: Path, paths: list[str]) -> None:
    """Refuse more than LARGEST bytes before any of them is read."""
    sizes = {path: _size(directory / path) for path in paths}
    if sum(sizes.values()) > LARGEST:
        raise _wrong(
            f"must be at most {size_text(LARGEST)}, got {size_text(sum(sizes.values()))} "
            f"in {len(sizes)} files; the largest are {largest(sizes)}",
            "data belongs in a bucket (--data) or a --mount; git rm --cached FILE stops tracking a file"
            if git.holds(directory)
            else _of_ignore(directory),
        )


def largest(sizes: dict[str, int]) -> str:
    """Return the largest files with their sizes: `a.bin (70 MB), b.bin (2 MB)`."""
    biggest = sorted(sizes, key=lambda path: (-sizes[path], path))[:SHOWN]
    return ", ".join(f"{printable(path)} ({size_text(sizes[path])})" for path in biggest)


def size_text(count: int) -> str:
    """Return a number of bytes for people: `812 bytes`, `14 kB`, `1.4 MB`."""
    if count < 1000:
        return f"{count} byte{'s' * (count != 1)}"
    return f"{count / 1e3:.0f} kB" if count < 999_500 else f"{count / 1e6:.1f} MB"


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # reading it says what is wrong


def _require_inside(paths: set[str], entries: tuple[Entry, ...], hint: str) -> None:
    """Refuse a link to what is not packed: in the pods it would lead nowhere, or out of the directory."""
    folders = {"/".join(path.split("/")[:depth]) for path in paths for depth in range(path.count("/") + 1)}
    for entry in entries:
        if not entry.target:
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
        if entry.target.startswith("/") or target == ".." or target.startswith("../"):
            reason = "which leaves the directory"
        elif target not in paths | folders and target != ".":
            reason = "which is not packed"
        else:
            continue
        raise _wrong(
            f"must hold only links to what is packed, got '{printable(entry.path)}' "
            f"-> '{printable(entry.target)}', {reason}",
            hint,
        )


def _is_pointer(entry: Entry) -> bool:
    return len(entry.content) <= POINTER_BYTES and entry.content.startswith(POINTER)


def _not_packed(paths: tuple[str, ...]) -> str:
    verb = "is" if len(paths) == 1 else "are"
    count = f"{len(paths)} untracked file{'s' * (len(paths) != 1)}"
    return f"{count} {verb} not packed: {_names(paths)} (git add FILE packs it too)"


def _names(paths: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(printable, paths[:SHOWN])) + more


def _of_ignore(directory: Path) -> str:
    return f"{printable(str(directory / IGNORE))} names what to leave out"


def _wrong(problem: str, hint: str = "") -> RequestError:
    return RequestError(Problem("code", problem, hint))
