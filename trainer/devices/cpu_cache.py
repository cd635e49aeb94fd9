"""Compiled programs of CPU hosts, kept in a folder so that a restart loads them.

JAX's own cache is written by process 0 alone and its keys differ between the processes of a CPU job, so every
other host would compile again at each restart. Here each host keeps its own programs, under a key of all that
they depend on. On TPU and GPU JAX's cache serves every host.
"""

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import jax
from etils import epath
from jax.experimental import serialize_executable
from jax.stages import Compiled, Lowered

from trainer.runtime.messages import warn

CPU_INFO = Path("/proc/cpuinfo")


class Executables:
    """Programs of this host; whoever can write the folder can run code in the pods.

    Args:
      folder: a path or gs://…; None keeps nothing.
    """

    def __init__(self, folder: str | None):
        self._folder = epath.Path(folder) if folder else None
        self._fresh: list[tuple[epath.Path, Compiled]] = []

    def compile(self, lowered: Lowered) -> Compiled:
        """Loads the program where it was kept, else compiles it."""
        if self._folder is None:
            return lowered.compile()
        path = self._folder / f"{_key(lowered)}.{jax.process_index()}"
        if found := _load(path, lowered):
            return found
        compiled = lowered.compile()
        self._fresh.append((path, compiled))
        return compiled

    def keep(self) -> None:
        """Writes what was compiled here. A folder that cannot be written costs time at a restart, no more."""
        while self._fresh:
            path, compiled = self._fresh.pop()
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path if "://" in str(path) else path.with_name(f"{path.name}.{os.getpid()}")
                temporary.write_bytes(serialize_executable.serialize(compiled)[0])
                if temporary != path:
                    temporary.replace(path)  # never half a program
            except Exception as error:  # each file system has its own kinds
                warn(f"compiled program not kept in {path}: {error}")


KEEP_NOTHING = Executables(None)


def _load(path: epath.Path, lowered: Lowered) -> Compiled | None:
    try:
        if not path.exists():
            return None
        return serialize_executable.deserialize_and_load(path.read_bytes(), lowered.in_tree, lowered.out_tree)
    except Exception as error:  # damaged, or of a build that says the same version
        warn(f"compiled program {path} cannot be used: {error}")
        return None


def _key(lowered: Lowered) -> str:
    """Names everything that the machine code follows from."""
    parts = [
        lowered.as_text(),
        *(importlib.metadata.version(name) for name in ("jax", "jaxlib")),
        os.environ.get("XLA_FLAGS", ""),
        f"{jax.process_index()} of {jax.process_count()}, {jax.device_count()} devices",
        _processor(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Model and features: code for another one may not run."""
    if not CPU_INFO.exists():
        return platform.processor()
    first = CPU_INFO.read_text().partition("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.startswith(("model", "flags", "Features", "CPU part")))
