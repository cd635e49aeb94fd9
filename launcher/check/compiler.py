"""The trainer's own steps compiled for a TPU slice that is not here: a process of its own, its answer kept.

The launcher has no jax; it starts `python -m trainer.check` and reads JSON. An answer is kept under a hash of
all that it follows from, so that the second question costs nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launcher.contract import CheckResult, StepResult, head
from launcher.errors import ActionError, Problem, RequestError
from launcher.hardware import facts, topology

if TYPE_CHECKING:
    from launcher.hardware.slices import Slice
    from launcher.request.job import TrainingJob

SECONDS = 3600.0  # longest compilation: ResNet-50 with its code took 14 minutes on two busy cores
MEMORY_SHARE = 0.85  # of this machine's memory that a compilation may take
POLL_SECONDS = 0.5
NEEDED = ("libtpu", "jax", "jaxlib", "flax", "optax")  # whose versions an answer depends on
HOST_BOUNDS = {1: "1x1x1", 4: "2x2x1", 8: "2x4x1"}  # chips of a host, as the compiler wants them

Show = Callable[[str], None]


def compile(
    job: TrainingJob,
    show: Show,
    *,
    seconds: float = SECONDS,
    steps: tuple[str, ...] = ("train", "eval"),
    estimate: bool = False,
    code: bool = False,
) -> CheckResult:
    """What the TPU compiler says of a job: sizes in bytes, FLOPs, collectives.

    A step that is laid out is a process of its own, since the compiler is left in the middle of its work.

    Args:
      show: gets a line for people whenever there is news.
      seconds: longest wait.
      estimate: count the operations instead, which takes seconds and goes for any hardware.
      code: have the code generated too, which takes minutes.

    Raises:
      RequestError: the trainer refuses the settings, or the slice is no TPU slice.
      ActionError: there is no compiler here, or it failed, or took too long or too much memory.
    """
    run = settings(job)
    where = estimating(job) if estimate else arguments(job.shape, job.num_slices)
    where += ["--code"] if code and not estimate else []
    until, results = time.monotonic() + seconds, []
    for group in [steps] if code or estimate else [(step,) for step in steps]:
        results.append(_answer([*where, "--steps", ",".join(group), "--", *run], show, until))
    merged = {key: value for result in results for key, value in result.items()}
    return cast(CheckResult, merged | {"cached": all(result["cached"] for result in results)})


def measured(result: CheckResult) -> list[StepResult]:
    """The steps that were asked for: training, and evaluation where it was one of them."""
    return [result["train"], *([result["eval"]] if "eval" in result else [])]


def _answer(words: list[str], show: Show, until: float) -> CheckResult:
    """Of one step, kept or new. until: time.monotonic() at which nobody waits any more."""
    path = _folder() / f"{_key(words)}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8")) | {"cached": True}
    found = json.loads(_run(words, show, until))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        json.dump(found, file)
    Path(file.name).replace(path)  # never half an answer
    return found | {"cached": False}


def arguments(shape: Slice, count: int) -> list[str]:
    """The slice as the compiler spells it.

    Raises RequestError for a slice that is not of TPUs.
    """
    row = facts.generations().get(shape.generation, {})
    if "aot" not in row or not shape.topology:
        text = f"must be a TPU slice to be compiled for here, got {shape.name!r}"
        raise RequestError(Problem("slice", text, "--estimate counts the operations instead"))
    words = ["--topology", f"{row['aot']['prefix']}:{shape.topology}", "--slices", str(count)]
    words += ["--host-bounds", HOST_BOUNDS[shape.chips_per_host]]
    words += ["--chip-config", row["aot"]["chip_config"]]
    return words + (["--wrap", rings] if (rings := _rings(shape.topology)) else [])


def settings(job: TrainingJob) -> list[str]:
    """The run's settings for the trainer: the same values are the same question, however they were given."""
    return [part for path, value in job.settings.items() for part in ("--set", f"{path}={value}")]


def estimating(job: TrainingJob) -> list[str]:
    """What has the operations counted for the job's devices."""
    return ["--estimate", f"{job.shape.kind}:{job.devices}"]


def _rings(shape: str) -> str:
    """Which axes are closed to rings: all of a torus of whole cubes, the sides of 16 of a 2-D slice."""
    sides = topology.dimensions(shape)
    closed = [side == 16 for side in sides] if len(sides) == 2 else [min(sides) >= 4] * 3
    return "x".join(str(int(ring)) for ring in [*closed, False][:3]) if any(closed) else ""


def _run(words: list[str], show: Show, until: float) -> str:
    """Standard output of the compiling process, watched for time and memory."""
    said: list[str] = []
    output: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,  # of all that it writes, however it ends
        subprocess.Popen(
            [sys.executable, "-m", "trainer.check", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": folder},
        ) as process,
    ):
        readers = [
            threading.Thread(target=_read, args=(process.stderr, said, show), daemon=True),
            threading.Thread(target=output.extend, args=(process.stdout,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            why = _watch(process, until)
        finally:
            process.kill()
        for reader in readers:
            reader.join(10)
    if why:
        raise ActionError(why, "a smaller network or slice compiles in less; --estimate needs seconds")
    if process.returncode:
        raise _failure(process.returncode, said)
    return "".join(output)


def _watch(process: subprocess.Popen[str], until: float) -> str:
    """Waits for the end; says why it must be ended, or nothing."""
    begun = time.monotonic()
    limit = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    while process.poll() is None:
        if time.monotonic() > until:
            return f"the compilation took more than {until - begun:.0f} s"
        if (used := _resident(process.pid)) > limit:
            return f"the compilation took more than {used / 2**30:.1f} GiB of memory"
        time.sleep(POLL_SECONDS)
    return ""


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _read(lines: Any, said: list[str], show: Show) -> None:
    """Keeps what is said, and shows what is meant for people."""
    for line in lines:
        said.append(line.rstrip())
        if line.startswith(head("progress")):
            show(line.removeprefix(head("progress")).rstrip())


def _failure(code: int, said: list[str]) -> Exception:
    """The error of a process that failed, from its last words."""
    errors = [n for n, line in enumerate(said) if line.startswith(head("error"))]
    if errors:
        message = [line for line in said[errors[-1] :] if not line.startswith(head("hint"))]
        hint = " ".join(line.removeprefix(head("hint")) for line in said if line.startswith(head("hint")))
        text = " ".join(message).removeprefix(head("error"))
        return ActionError(text, hint)
    if any("No module named 'trainer" in line or "No module named 'jax'" in line for line in said):
        return ActionError("the trainer is not installed here", "pip install 'resnet-launch[check]'")
    if code < 0 or code > 128:
        return _crash(code, said)
    return ActionError(f"the compilation failed with exit code {code}: {' '.join(said[-3:])[-500:]}")


def _crash(code: int, said: list[str]) -> ActionError:
    steps = [line.removeprefix(head("progress")) for line in said if line.startswith(head("progress"))]
    signals = [line.strip("* ").split(" received")[0] for line in said if line.startswith("*** SIG")]
    return ActionError(
        f"the TPU compiler crashed while {steps[-1] if steps else 'starting'}: "
        f"{signals[0] if signals else f'signal {abs(code) % 128}'}",
        "a fault of this libtpu: an image with the same version would crash on the slice too",
    )


def _key(words: list[str]) -> str:
    """Names everything that the answer follows from: the question, the trainer's text, the versions."""
    whole = hashlib.sha256(json.dumps([words, {name: _version(name) for name in NEEDED}]).encode())
    spec = importlib.util.find_spec("trainer")
    root = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    for path in sorted(root.rglob("*.py")) if spec else []:
        whole.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return whole.hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RESNET_CACHE") or Path(base) / "resnet-launch") / "check"
