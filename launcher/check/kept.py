"""Results of `trainer.check` that are kept on this machine, in `$RESNET_CACHE/check`.

Each is kept under a hash of everything that it depends on, so that the same question is answered at once, and
no question by the result of another version.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from launcher import files
from launcher.contract import CheckResult

PACKAGES = ("libtpu", "jax", "jaxlib", "flax", "optax")  # packages whose versions a result depends on
# Variables that change what the compiler makes; the check itself sets the platform.
VARIABLES, PREFIX, SET = ("XLA_FLAGS", "LIBTPU_INIT_ARGS"), "JAX_", "JAX_PLATFORMS"
# Keys of each result; one process compiles a single step, and the launcher adds `cached`.
ALWAYS = CheckResult.__annotations__.keys() - {"train", "eval", "cached"}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A result of this version, and when it was computed, in unix seconds."""

    result: CheckResult
    computed: float


def places(questions: Sequence[Sequence[str]], environ: Mapping[str, str]) -> list[Path]:
    """Return where the results for arguments of trainer.check are kept, in the same order.

    A name is a hash of the arguments, the trainer's source, the versions of the packages that trace and
    compile, and the variables that both of them read.
    """
    versions = {name: _version(name) for name in PACKAGES}
    variables = {
        name: value
        for name, value in sorted(environ.items())
        if name in VARIABLES or (name.startswith(PREFIX) and name != SET)
    }
    common = hashlib.sha256(json.dumps([versions, variables]).encode())
    spec = importlib.util.find_spec("trainer")
    root = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    for path in sorted(root.rglob("*.py")) if spec else []:
        common.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    names = []
    for arguments in questions:
        digest = common.copy()
        digest.update(json.dumps([*arguments]).encode())
        names.append(f"{digest.hexdigest()[:32]}.json")
    return [files.cache_folder("check") / name for name in names]


def read(path: Path) -> Kept | None:
    """Return what is kept in a file; None for half of one, for another version's or for another person's."""
    try:
        if not _is_own(path):
            return None
        computed, result = path.stat().st_mtime, json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(result, dict) and result.keys() >= ALWAYS and ("train" in result or "eval" in result)
    return Kept(result=cast(CheckResult, result), computed=computed) if whole else None


def write(path: Path, result: CheckResult) -> None:
    """Keep a result. Raises OSError where it cannot be written; then nothing is left."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write(path, json.dumps(result))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _is_own(path: Path) -> bool:
    """Return whether a file and its folder are this user's or root's, and not everybody's to write."""
    if os.name != "posix":
        return True
    entries = path.parent.stat(), path.lstat()
    trusted = all(entry.st_uid in (0, os.geteuid()) and not entry.st_mode & 0o002 for entry in entries)
    return trusted and not path.is_symlink()
