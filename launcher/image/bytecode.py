"""Compiled modules: a pod cannot write them, and without them every start compiles the packages anew."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from launcher.errors import ActionError
from launcher.image import uv
from launcher.image.target import PYTHON

# The bytes depend on the source and on Python only: no times, no order of sets, one path for all machines.
# Unchecked: the files' times are none, so that Python must not compare them.
COMPILE = """
import compileall, py_compile, sys
compileall.compile_dir(
    sys.argv[1], stripdir=sys.argv[1], prependdir=sys.argv[2], quiet=2, force=True, workers=int(sys.argv[3]),
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)
"""
VERSION = "import sys; print(*sys.version_info[:3], sys.implementation.name, sep='.')"


@functools.cache
def compiler() -> tuple[str, str]:
    """Return the path and the version of a Python like that of the image; two empty strings where none is."""
    if sys.version_info[:2] == PYTHON and sys.implementation.name == "cpython":
        return sys.executable, ".".join(map(str, sys.version_info[:3]))
    for path in _candidates():
        version = _version(path) if path else ""
        if version.startswith("{}.{}.".format(*PYTHON)) and version.endswith(".cpython"):
            return path, version.removesuffix(".cpython")
    return "", ""


def _candidates() -> Iterator[str]:
    """Yield the Pythons that pyenv has installed, which may not be on PATH, then the one that uv finds."""
    root = Path(os.environ.get("PYENV_ROOT") or Path(os.path.expanduser("~"), ".pyenv"))
    yield from map(str, sorted(root.glob("versions/{}.{}*/bin/python".format(*PYTHON))))
    yield uv.python(PYTHON)


def _version(path: str) -> str:
    try:
        done = subprocess.run([path, "-I", "-c", VERSION], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def compile_folder(folder: Path, place: str, processes: int = 1) -> None:
    """Write the bytecode of each module of a folder that can be compiled.

    Args:
      place: the folder's path in the image, which tracebacks show.
      processes: that compile at the same time; one is quicker for few modules.

    Raises:
      ActionError: the disk is full, or Python fails.
    """
    path, _ = compiler()
    environ = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"}
    command = [path, "-I", "-c", COMPILE, str(folder), place, str(processes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ActionError(f"Python {'.'.join(map(str, PYTHON))} could not compile {folder}: {last}")
