"""A program as the TPU compiler has laid it out: fused, scheduled, its memory assigned, before it is code.

libtpu spends most of a compilation on code (docs/explanations/prediction.md), and nothing of what is asked
here follows from it. XLA's dump has the rest as soon as it is settled; whoever does not want the code need
not wait for it.
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.stages import Compiled, Lowered

SCHEDULE, MEMORY = ".after_optimizations.txt", ".after_optimizations-memory-usage-report.txt"
HBM = re.compile(r"^Memory Space: default \(color=0\)\nTotal bytes: (\d+)", re.M)
POLL_SECONDS = 0.05
REFUSED_SECONDS = 1.0  # after a layout is written that it may be refused for its size: 15 ms were seen
LATE_SECONDS = 10.0  # that a file may be later than the program: a thread of its own writes them


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Of one device.

    text: the scheduled program, HLO.
    memory: bytes of HBM that it takes with its arguments and results, without its code.
    code: bytes of the code; None where it was not generated.
    """

    text: str
    memory: int
    code: int | None


def keep(folder: str) -> None:
    """Has the compiler write what it settles into a folder. To be called before anything is compiled."""
    flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=jit_(train|eval)_step"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


def lay_out(lowered: Lowered, folder: str, name: str, code: bool = False) -> Layout:
    """Compiles as far as is needed.

    Without the code, the compiler is left at work in a thread that cannot be ended: the process should end
    soon.

    Args:
      folder: that of ``keep``.
      name: of the traced function.
      code: compile to the end.

    Raises what compiling does: too little memory, most of all.
    """
    work = _Work(lowered)
    work.start()
    late = 0.0
    while late < LATE_SECONDS:
        work.join(POLL_SECONDS)
        if work.error:
            raise work.error
        if (work.compiled or not code) and (found := _read(folder, name, work.compiled)):
            work.join(REFUSED_SECONDS)
            if work.error:
                raise work.error
            return found
        if work.compiled:
            time.sleep(POLL_SECONDS)
            late += POLL_SECONDS
    return _of(work.compiled)


class _Work(threading.Thread):
    def __init__(self, lowered: Lowered) -> None:
        super().__init__(daemon=True)
        self._lowered = lowered
        self.compiled: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.compiled = self._lowered.compile()
        except Exception as error:  # raised again where it is waited for
            self.error = error


def _read(folder: str, name: str, compiled: Compiled | None) -> Layout | None:
    """What the compiler has written; None as long as it is not whole."""
    for path in Path(folder).glob(f"*.jit_{name}.*{SCHEDULE}"):
        report = Path(str(path).removesuffix(SCHEDULE) + MEMORY)
        text = path.read_text(encoding="utf-8")
        found = HBM.search(report.read_text(encoding="utf-8")) if report.exists() else None
        if found and "\nENTRY " in text and text.rstrip().endswith("\n}"):  # the entry is the last of it
            return Layout(text=text, memory=int(found[1]), code=_code(compiled) if compiled else None)
    return None


def _of(compiled: Compiled) -> Layout:
    """Of a compiler that writes no dump, or another one; its peak has the memory on the chip in it."""
    memory: Any = compiled.memory_analysis()
    return Layout(text=compiled.as_text() or "", memory=memory.peak_memory_in_bytes, code=_code(compiled))


def _code(compiled: Compiled) -> int:
    memory: Any = compiled.memory_analysis()
    return memory.generated_code_size_in_bytes
