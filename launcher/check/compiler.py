"""Compilation of the trainer's own steps for a TPU slice, on a machine that has no TPU; results are cached.

The launcher has no jax: it starts `python -m trainer.check` and reads JSON. A result is cached under a hash
of everything that it depends on, so that the same question is answered at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launcher import extras, files
from launcher.check import kept
from launcher.contract import CheckResult, StepResult, head
from launcher.errors import ActionError, Problem, RequestError
from launcher.hardware import facts, topology
from launcher.local import unpacked
from launcher.request import summary

if TYPE_CHECKING:
    from launcher.hardware.slices import Slice
    from launcher.request.job import TrainingJob

SECONDS = 3600.0  # longest compilation: ResNet-50 with its code took 14 minutes on two busy cores
MEMORY_SHARE = 0.85  # share of this machine's memory that a compilation may use
POLL_SECONDS = 0.5
HOST_BOUNDS = {1: "1x1x1", 4: "2x2x1", 8: "2x4x1"}  # chips per host -> their arrangement, for the compiler

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
    """Compile the steps of a job and return sizes in bytes, FLOPs and collectives.

    Without `code` each step has a process of its own, because that process leaves the compiler in the middle
    of its work.

    Args:
      job: the job.
      show: is called with a line of text at each stage.
      seconds: longest time that the compilation may take.
      steps: the steps to compile, `train` and `eval`.
      estimate: count the operations instead, which takes seconds and works for any hardware.
      code: also generate the code, which takes minutes.

    Raises:
      RequestError: the slice has no TPUs.
      ActionError: the compiler is not installed, failed, or took too much time or memory; or the trainer
        refused the settings.
    """
    until, results = time.monotonic() + seconds, []
    with unpacked.temporary(job.code, os.environ) as directory:
        own = {"PYTHONPATH": unpacked.path(directory, os.environ)} if directory else {}
        for arguments in _questions(job, steps, estimate, code):
            imported = [*summary.imported(job)]
            # What own code says may change from one moment to the next.
            if own or imported:
                results.append(_answered(arguments, show, until, own, imported))
            else:
                results.append(_cached(arguments, show, until))
    merged = {key: value for result in results for key, value in result.items()}
    return cast(CheckResult, merged | {"cached": all(result["cached"] for result in results)})


def newest(job: TrainingJob) -> kept.Kept | None:
    """Return the newest kept result of the training step of this very request; nothing is computed.

    It is what `compile` would return: for a slice without TPUs an estimate, else what a compiler has laid
    out. None where there is none, as for code of one's own, whose results are never kept.
    """
    if job.code or [*summary.imported(job)] or not files.cache_folder("check").is_dir():
        return None
    estimate = job.shape.kind != "tpu"
    try:
        questions = [
            _questions(job, steps, estimate, code)[0]
            for steps in (("train", "eval"), ("train",))
            for code in (False, True)
        ]
    except RequestError:  # nothing is known of its chip
        return None
    results = map(kept.read, kept.places(questions, os.environ))
    return max(filter(None, results), key=lambda one: one.computed, default=None)


def step_results(result: CheckResult) -> list[StepResult]:
    """Return the result of the training step and, where it was asked for, of the evaluation step."""
    return [result["train"], *([result["eval"]] if "eval" in result else [])]


def _questions(job: TrainingJob, steps: tuple[str, ...], estimate: bool, code: bool) -> list[list[str]]:
    """Return the arguments of each process of trainer.check for a job; that of the training step is first."""
    settings = setting_flags(job)
    hardware = estimate_flags(job) if estimate else slice_flags(job.shape, job.num_slices)
    hardware += ["--code"] if code and not estimate else []
    groups = [steps] if code or estimate else [(step,) for step in steps]
    return [[*hardware, "--steps", ",".join(group), "--", *settings] for group in groups]


def _cached(arguments: list[str], show: Show, until: float) -> CheckResult:
    """Return the result for these arguments of trainer.check, from the cache where it has one."""
    [path] = kept.places([arguments], os.environ)
    if stored := kept.read(path):
        return cast(CheckResult, stored.result | {"cached": True})
    result = _answered(arguments, show, until)
    try:
        kept.write(path, result)
    except OSError as error:  # a full disk must not lose the result of a long compilation
        show(f"the result is not kept for the next check: {error}")
    return result


def _answered(
    arguments: list[str],
    show: Show,
    until: float,
    variables: Mapping[str, str] | None = None,
    imported: Sequence[str] = (),
) -> CheckResult:
    """Return what trainer.check answers to these arguments.

    Args:
      variables: of its environment, beside those of this process.
      imported: what it imports for the request, for the error where it ends without a word.
    """
    extras.require("train", "`check`")  # the compiler's own package is named by the trainer
    answer = _run(arguments, show, until, variables or {}, imported)
    try:
        return json.loads(answer) | {"cached": False}
    except ValueError:
        raise _silent(0, imported) from None


def slice_flags(shape: Slice, count: int) -> list[str]:
    """Return the flags of trainer.check that describe `count` slices to the compiler.

    Raises:
      RequestError: the slice has no TPUs.
    """
    row = facts.generations().get(shape.generation, {})
    if "chip" not in row and shape.kind == "tpu":
        text = (
            f"must be a slice whose chip is in the catalogue, got {shape.name!r}: its compiler, memory and "
        )
        text += "speed are not known, so nothing of it can be predicted"
        raise RequestError(Problem("slice", text, "--estimate counts the operations of a step"))
    if "aot" not in row or not shape.topology:
        text = f"must be a TPU slice to be compiled for here, got {shape.name!r}"
        raise RequestError(Problem("slice", text, "--estimate counts operations instead"))
    flags = ["--topology", f"{row['aot']['prefix']}:{shape.topology}", "--slices", str(count)]
    flags += ["--host-bounds", HOST_BOUNDS[shape.chips_per_host]]
    flags += ["--chip-config", row["aot"]["chip_config"]]
    return flags + (["--wrap", rings] if (rings := _rings(shape.topology)) else [])


def setting_flags(job: TrainingJob) -> list[str]:
    """Return all settings of the run as flags; equal settings give equal flags, however they were spelled.

    A recipe that is a module stands for itself: only the trainer can read it.
    """
    known = job.settings if job.recipe_settings is not None else job.requested
    flags = [] if job.recipe_settings is not None else ["--recipe", job.used_recipe]
    return [*flags, *(part for path, value in known.items() for part in ("--set", f"{path}={value}"))]


def estimate_flags(job: TrainingJob) -> list[str]:
    """Return the flags of trainer.check that make it count operations for the job's devices."""
    return ["--estimate", f"{job.shape.kind}:{job.devices}"]


def _rings(shape: str) -> str:
    """Return `1` for each axis whose links close to a ring, else `0`; an empty string where no axis does.

    In 3-D a torus of whole 4x4x4 cubes closes all axes. In 2-D an axis of 16 chips closes.
    """
    sides = topology.dimensions(shape)
    closed = [side == 16 for side in sides] if len(sides) == 2 else [min(sides) >= 4] * 3
    return "x".join(str(int(ring)) for ring in [*closed, False][:3]) if any(closed) else ""


def _run(
    arguments: list[str],
    show: Show,
    until: float,
    variables: Mapping[str, str],
    imported: Sequence[str],
) -> str:
    """Return what trainer.check prints on stdout, or end it where it takes too much time or memory.

    until: time.monotonic() at which it is ended.
    variables: of its environment, beside the launcher's.
    imported: what it imports for the request, for an error.
    """
    log: list[str] = []
    output: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,  # so that nothing the compiler writes is left behind
        subprocess.Popen(
            # -P: no module of the current directory takes the place of an installed one.
            [sys.executable, "-P", "-m", "trainer.check", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": folder} | dict(variables),
        ) as process,
    ):
        readers = [
            threading.Thread(target=_read, args=(process.stderr, log, show), daemon=True),
            threading.Thread(target=output.extend, args=(process.stdout,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            exceeded = _wait(process, until)
        finally:
            process.kill()
        for reader in readers:
            reader.join(10)
    if exceeded:
        raise ActionError(exceeded, "a smaller network or slice needs less; --estimate takes seconds")
    if process.returncode:
        raise _failure(process.returncode, log, imported)
    return "".join(output)


def _wait(process: subprocess.Popen[str], until: float) -> str:
    """Wait until the process ends, or return the limit that it exceeded."""
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
    """Return the bytes of memory that a process uses, or 0 where the system has no such number."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _read(lines: Any, log: list[str], show: Show) -> None:
    """Append each line to `log`, and show the progress lines."""
    for line in lines:
        log.append(line.rstrip())
        if line.startswith(head("progress")):
            show(line.removeprefix(head("progress")).rstrip())


def _failure(code: int, log: list[str], imported: Sequence[str] = ()) -> Exception:
    """Return the error of a process that failed, from its exit code and the lines of its log."""
    errors = [n for n, line in enumerate(log) if line.startswith(head("error"))]
    if errors:
        message = [line for line in log[errors[-1] :] if not line.startswith(head("hint"))]
        hint = " ".join(line.removeprefix(head("hint")) for line in log if line.startswith(head("hint")))
        text = " ".join(message).removeprefix(head("error"))
        return ActionError(text, hint)
    if code < 0 or code > 128:
        return _crash(code, log)
    if not any(log):
        return _silent(code, imported)
    return ActionError(f"the compilation failed with exit code {code}: {' '.join(log[-3:])[-500:]}")


def _silent(code: int, imported: Sequence[str]) -> ActionError:
    """Return the error of a process that ended without a result and without a reason."""
    text = f"the compilation ended without a result or a reason, with exit code {code}"
    if imported:
        return ActionError(f"{text}: the code of {' and '.join(imported)} may have ended its process")
    return ActionError(text)


def _crash(code: int, log: list[str]) -> ActionError:
    """Return the error of a process that a signal ended, with the stage that it was at."""
    stages = [line.removeprefix(head("progress")) for line in log if line.startswith(head("progress"))]
    signals = [line.strip("* ").split(" received")[0] for line in log if line.startswith("*** SIG")]
    return ActionError(
        f"the TPU compiler crashed while {stages[-1] if stages else 'starting'}: "
        f"{signals[0] if signals else f'signal {abs(code) % 128}'}",
        "a bug in this version of libtpu: an image with the same version would crash on the slice too",
    )
