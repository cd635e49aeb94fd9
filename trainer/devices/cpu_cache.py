"""Persistent cache of the programs of CPU hosts, so that a restart loads them.

Only process 0 writes JAX's own cache, and its keys differ between the processes of a CPU job. So every other
host would compile again at each restart. Here each host caches its own programs, under a key of everything
that they depend on. On TPU and GPU JAX's cache serves every host.
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

from trainer.devices import cpu_barrier
from trainer.runtime.messages import warn
from trainer.runtime.private import others_write

CPU_INFO = Path("/proc/cpuinfo")


class Executables:
    """Compiled programs of this host. Whoever can write the folder can run code in the pods.

    Args:
      folder: a path or gs://…; None for no cache.
    """

    def __init__(self, folder: str | None):
        self._folder = epath.Path(folder) if folder else None
        self._unsaved: list[tuple[epath.Path, Compiled]] = []

    def compile(self, lowered: Lowered) -> Compiled:
        """Load the program from the cache, or compile it."""
        if self._folder is None:
            return lowered.compile()
        path = self._folder / f"{_key(lowered)}.{jax.process_index()}"
        if cached := _load(path, lowered):
            return cached
        compiled = lowered.compile()
        self._unsaved.append((path, compiled))
        return compiled

    def keep(self) -> None:
        """Write the programs compiled since the last call; a folder that cannot be written is a warning."""
        while self._unsaved:
            path, compiled = self._unsaved.pop()
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path if "://" in str(path) else path.with_name(f"{path.name}.{os.getpid()}")
                temporary.write_bytes(serialize_executable.serialize(compiled)[0])
                if temporary != path:
                    os.chmod(temporary, 0o600)
                    temporary.replace(path)  # so that no reader sees half a program
            except Exception as error:  # every file system raises its own types
                warn(f"compiled program not saved to {path}: {error}")


NO_CACHE = Executables(None)


def _load(path: epath.Path, lowered: Lowered) -> Compiled | None:
    try:
        if not path.exists():
            return None
        if "://" not in str(path) and others_write(Path(path)):
            raise PermissionError("other users may write to it")
        return serialize_executable.deserialize_and_load(path.read_bytes(), lowered.in_tree, lowered.out_tree)
    except Exception as error:  # damaged, or from another build with the same version
        warn(f"compiled program {path} cannot be used: {error}")
        return None


def _key(lowered: Lowered) -> str:
    """Return a hash of everything that the machine code depends on."""
    parts = [
        lowered.as_text(),
        *(importlib.metadata.version(name) for name in ("jax", "jaxlib")),
        f"{cpu_barrier.OPTIONS} {os.environ.get('XLA_FLAGS', '')}",
        f"{jax.process_index()} of {jax.process_count()}, {jax.device_count()} devices",
        _processor(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Return the processor's model and features: code for another processor may not run."""
    if not CPU_INFO.exists():
        return platform.processor()
    first_core = CPU_INFO.read_text().partition("\n\n")[0].splitlines()
    return "\n".join(
        line for line in first_core if line.startswith(("model", "flags", "Features", "CPU part"))
    )
