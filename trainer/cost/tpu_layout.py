"""Programs as the TPU compiler lays them out: fused, scheduled, with memory assigned, before code generation.

libtpu spends most of a compilation on generating code (docs/explanations/prediction.md). FLOPs, traffic,
collectives and memory do not depend on the code, and XLA's dump has them as soon as they are final. So a
check that does not need the code does not wait for it.
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
REFUSED_SECONDS = 1.0  # wait for a refusal of a layout that is too large: 15 ms after its dump in trials
LATE_SECONDS = 10.0  # wait for the dump of a finished program: a separate thread writes it


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A laid-out program on one device.

    Attributes:
      text: the scheduled program, as HLO.
      memory: bytes of HBM for arguments, results and temporaries, without the code.
      code: bytes of the code; None where it was not generated.
    """

    text: str
    memory: int
    code: int | None


def dump_to(folder: str) -> None:
    """Make XLA dump the programs of the two steps into a folder. Call it before the first compilation."""
    flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=jit_(train|eval)_step"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


def lay_out(lowered: Lowered, folder: str, name: str, code: bool = False) -> Layout:
    """Compile a program until its layout is known.

    Without ``code`` the compiler goes on in a thread that cannot be stopped, so the process should end soon.

    Args:
      lowered: the program.
      folder: the folder that ``dump_to`` was called with.
      name: name of the traced function.
      code: compile to the end.

    Raises:
      Exception: whatever the compiler raises, such as JaxRuntimeError for a program too large for HBM.
    """
    compilation = _Compilation(lowered)
    compilation.start()
    late = 0.0
    while late < LATE_SECONDS:
        compilation.join(POLL_SECONDS)
        if compilation.error:
            raise compilation.error
        finished = compilation.compiled
        if (finished or not code) and (layout := _read_dump(folder, name, finished)):
            compilation.join(REFUSED_SECONDS)
            if compilation.error:
                raise compilation.error
            return layout
        if compilation.compiled:
            time.sleep(POLL_SECONDS)
            late += POLL_SECONDS
    return _without_dump(compilation.compiled)


class _Compilation(threading.Thread):
    def __init__(self, lowered: Lowered) -> None:
        super().__init__(daemon=True)
        self._lowered = lowered
        self.compiled: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.compiled = self._lowered.compile()
        except Exception as error:  # lay_out raises it again
            self.error = error


def _read_dump(folder: str, name: str, compiled: Compiled | None) -> Layout | None:
    """Return the layout from the dump; None until the dump is complete."""
    for path in Path(folder).glob(f"*.jit_{name}.*{SCHEDULE}"):
        report = Path(str(path).removesuffix(SCHEDULE) + MEMORY)
        text = path.read_text(encoding="utf-8")
        memory = HBM.search(report.read_text(encoding="utf-8")) if report.exists() else None
        if memory and "\nENTRY " in text and text.rstrip().endswith("\n}"):  # the entry is written last
            return Layout(text=text, memory=int(memory[1]), code=_code(compiled) if compiled else None)
    return None


def _without_dump(compiled: Compiled) -> Layout:
    """Layout of a compiled program that has no dump in the known form; its memory includes VMEM."""
    memory: Any = compiled.memory_analysis()
    return Layout(text=compiled.as_text() or "", memory=memory.peak_memory_in_bytes, code=_code(compiled))


def _code(compiled: Compiled) -> int:
    memory: Any = compiled.memory_analysis()
    return memory.generated_code_size_in_bytes
