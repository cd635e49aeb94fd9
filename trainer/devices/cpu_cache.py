"""Persistent cache of the programs of CPU hosts, so that one host compiles and a restart loads them.

In JAX's own cache the keys differ between the processes of a CPU job, so that every host would compile each
program, and all but the first again at each restart. Here a key holds everything that the machine code
depends on, which is the same on hosts of one kind. The first host compiles a program and writes it; the
others wait for its file. On TPU and GPU JAX's cache serves every host.
"""

import contextlib
import hashlib
import importlib.metadata
import itertools
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jax
from etils import epath
from jax.experimental import serialize_executable
from jax.stages import Compiled, Lowered

from trainer.devices import cpu_barrier
from trainer.errors import JoinError
from trainer.runtime.exchange import Exchange
from trainer.runtime.messages import warn
from trainer.runtime.private import others_write

CPU_INFO = Path("/proc/cpuinfo")


class Executables:
    """Compiled programs of a job. Whoever can write the folder can run code in the pods.

    Args:
      folder: a path or gs://… that all hosts share; None for no cache.
      exchange: of a job of several hosts, which compile programs of one name in the same order.
    """

    def __init__(self, folder: str | None, exchange: Exchange | None = None):
        self._folder = epath.Path(folder) if folder else None
        self._unsaved: list[tuple[epath.Path, Compiled]] = []
        self._exchange = exchange
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)

    def compile(self, lowered: Lowered, name: str) -> Compiled:
        """Load the program from the cache, or compile it, or wait for the first host to do so.

        Args:
          lowered: the program.
          name: what it is; the hosts may compile programs of different names at the same time.
        """
        path = self._folder / _key(lowered) if self._folder else None
        cached = path and _load(path, lowered)
        if self._exchange is None:
            return cached or self._compiled(path, lowered)
        topic = f"{name}-{next(self._numbers[name])}"
        if jax.process_index() == 0:
            return self._for_all(self._exchange, topic, path, lowered, cached)
        return cached or self._of_first(self._exchange, topic, path, lowered)

    def keep(self) -> None:
        """Write the programs compiled since the last call; a folder that cannot be written is a warning."""
        while self._unsaved:
            _write(*self._unsaved.pop())

    def _compiled(self, path: epath.Path | None, lowered: Lowered) -> Compiled:
        compiled = lowered.compile()
        if path:
            self._unsaved.append((path, compiled))
        return compiled

    def _for_all(
        self,
        exchange: Exchange,
        topic: str,
        path: epath.Path | None,
        lowered: Lowered,
        cached: Compiled | None,
    ) -> Compiled:
        """Return the program on the first host, which tells the others whether to wait for its file."""
        key = path.name if path and not cached else ""
        exchange.post(topic, key)
        compiled = cached or lowered.compile()
        if key:
            exchange.post(f"{topic}-written", key if path and _write(path, compiled) else "")
        return compiled

    def _of_first(
        self, exchange: Exchange, topic: str, path: epath.Path | None, lowered: Lowered
    ) -> Compiled:
        """Return the program that the first host compiles; compile it where that host is of another kind."""
        program = None
        with contextlib.suppress(JoinError):  # that took too long; where the host is gone JAX ends this one
            if path and exchange.read(topic, 0) == path.name == exchange.read(f"{topic}-written", 0):
                program = _load(path, lowered)
        return program or self._compiled(path, lowered)


NO_CACHE = Executables(None)


def _write(path: epath.Path, compiled: Compiled) -> bool:
    """Write a program as a whole file; return False, with a warning, where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path if "://" in str(path) else path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(serialize_executable.serialize(compiled)[0])
        if temporary != path:
            os.chmod(temporary, 0o600)
            temporary.replace(path)  # so that no reader sees half a program
    except Exception as error:  # every file system raises its own types
        warn(f"compiled program not saved to {path}: {error}")
        return False
    return True


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
        f"{jax.process_count()} processes, {jax.device_count()} devices",
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
