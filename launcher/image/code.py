"""The layer of code: the trainer of this launcher, and beside it a directory of somebody's own."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from launcher import extras
from launcher.errors import Problem, RequestError
from launcher.image import bytecode, layer
from launcher.image.cache import Cache
from launcher.image.layer import Layer, Member

APP = "opt/app"  # the working directory of pods, on PYTHONPATH
FORMAT = "1"  # a layer that an older version made otherwise is made anew


@functools.cache
def trainer() -> tuple[Member, ...]:
    """Return the files of the trainer that is installed beside this launcher.

    Raises:
      ActionError: there is none.
    """
    spec = importlib.util.find_spec("trainer")
    if spec is None or not spec.submodule_search_locations:
        raise extras.lacking("train", "the trainer is not installed beside this launcher")
    root = Path(next(iter(spec.submodule_search_locations)))
    paths = [path for path in root.rglob("*") if "__pycache__" not in path.parts and path.is_file()]
    return tuple(
        Member(path=f"trainer/{path.relative_to(root).as_posix()}", content=path.read_bytes())
        for path in sorted(paths)
    )


def digest(members: Iterable[Member]) -> str:
    """Return `sha256:…` of the paths and contents of files and links."""
    sha256 = hashlib.sha256()
    for member in members:
        content = member.content if isinstance(member.content, bytes) else member.content.read_bytes()
        parts = [member.path, member.target, member.executable, hashlib.sha256(content).hexdigest()]
        sha256.update(json.dumps(parts).encode())
    return f"sha256:{sha256.hexdigest()}"


def added(directory: Path) -> tuple[Member, ...]:
    """Return the files of a directory: what git tracks there, or what .dockerignore leaves.

    Raises:
      RequestError: it is missing, holds nothing, a link that leaves it, or a `trainer` of its own.
    """
    from launcher.code import selection

    try:
        selected = selection.select(directory)
    except RequestError as error:
        raise RequestError(*(Problem("add", p.message, p.hint, p.place) for p in error.problems)) from None
    tops = {entry.path.partition("/")[0] for entry in selected.entries}
    if taken := tops & {"trainer", "trainer.py"}:
        problem = f"must not hold {taken.pop()!r}, the name of the package that pods run"
        raise RequestError(Problem("add", problem, "rename it"))
    return tuple(
        Member(path=entry.path, content=entry.content, target=entry.target, executable=entry.executable)
        for entry in selected.entries
    )


def code_layer(members: tuple[Member, ...], cache: Cache) -> Layer:
    """Return the layer of code, with bytecode where this machine has a Python like the image's.

    Raises:
      ActionError: the disk is full.
    """
    _, compiler = bytecode.compiler()
    key = hashlib.sha256(json.dumps(["code", FORMAT, digest(members), compiler]).encode()).hexdigest()[:40]

    def make(folder: Path, file: BinaryIO) -> Layer:
        if compiler:
            for member in members:
                _write(folder, member)
            bytecode.compile_folder(folder, f"/{APP}")
        return layer.write(_placed(members, folder), file)

    return cache.layer(key, make, lambda: None)


def _write(folder: Path, member: Member) -> None:
    if not member.path.endswith(".py") or member.target or "__pycache__" in member.path.split("/"):
        return
    path = folder / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(member.content if isinstance(member.content, bytes) else member.content.read_bytes())


def _placed(members: Iterable[Member], compiled: Path) -> Iterator[Member]:
    for member in members:
        yield Member(
            path=f"{APP}/{member.path}",
            content=member.content,
            target=member.target,
            executable=member.executable,
        )
    for path in compiled.rglob("*.pyc"):
        yield Member(path=f"{APP}/{path.relative_to(compiled).as_posix()}", content=path)
