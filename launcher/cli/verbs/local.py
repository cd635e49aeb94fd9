"""`resnet-launch local`: the run's pods as processes of this machine."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options
from launcher.errors import ActionError, Problem, RequestError
from launcher.local import paths
from launcher.request import rules, sources, summary
from launcher.request.job import TrainingJob

if TYPE_CHECKING:
    from launcher.local.typed import Typed

# The fields that apply without a cluster: what to train, and a few others.
FIELDS = [name for name, field in sources.FIELDS.items() if field.metadata["group"] == "Run"]
FIELDS = [name for name in FIELDS if name not in ("args", "bucket")]
FIELDS += ["env", "secret_env", "notify", "grace", "max_restarts"]
# Field -> its help where there is no cluster.
TEXTS = {
    "slice": "processes and devices: cpu-<processes>x<devices per process>, or local-gpu",
    "workdir": "directory in which the command starts; the current one if not given",
    "name": "name of the run; ARCH-SLICE-DATA if not given",
    "data": "dataset: a name, a folder of this machine or gs://…",
    "run_dir": "directory that keeps the run: a path of this machine or gs://…; runs/NAME if not given",
    "env": "environment variable of the run's processes",
    "notify": "any SECRET/KEY: send messages to the URL in RESNET_NOTIFY_URL of this environment",
    "secret_env": "variable of this environment that the processes get, as a Secret gives it on a cluster",
}


@click.command(
    "local",
    cls=options.Command,
    params=options.flags(FIELDS, TEXTS),
    example="resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits",
)
def command(**flags: Any) -> None:
    """Run the same JobSet on this machine, one process per pod.

    CPU slices (cpu-<hosts>x<devices per host>) run everywhere; local-gpu uses all GPUs of this machine. The
    run is ARCH-SLICE-DATA without --name, in runs/NAME. The failure policy applies: preempted and hung pods
    restart, a wrong setting fails the run. Ctrl-C and SIGTERM let the run save a checkpoint; a second signal
    kills it. On a terminal the trainer's lines are written for people, unless log.format is set.
    """
    from launcher import extras
    from launcher.local import attempts, outcome, typed, unpacked

    job = request(flags)
    if not job.command:
        extras.require("train", "`local`")
    elif job.workdir and not os.path.isdir(job.workdir):
        problem = f"must be a directory of this machine, got {job.workdir!r}"
        raise RequestError(Problem("workdir", problem, "--workdir ."))
    jobset = rendered(job)
    _create(job.run_dir)
    options.announce(flags, FIELDS)
    options.warn(job)
    print(f"{job.name}: {'; '.join(summary.lines(job))}", file=sys.stderr, flush=True)
    with typed.kept(_typed(job, flags)), unpacked.directory(job, os.environ) as code:
        started = time.monotonic()
        restarts = attempts.run(jobset, os.environ, _shown(job), code)
    seconds = time.monotonic() - started
    print(*outcome.lines(job, flags, restarts, seconds), sep="\n", file=sys.stderr)


def rendered(job: TrainingJob) -> dict[str, Any]:
    """Return the JobSet of a run of this machine.

    Raises:
      RequestError: this environment lacks a variable that the pods get from a Secret.
    """
    from launcher.local import pods
    from launcher.rendering.jobset import render

    [jobset] = render(job)
    pods.expand(jobset, "", 0, os.environ)  # as each attempt does; here before anything is written
    return jobset


def _typed(job: TrainingJob, flags: Mapping[str, Any]) -> Typed:
    """Return the command line of a run, for a command that goes on with it on another slice."""
    from launcher.local.typed import Typed

    others = {name: value for name, value in flags.items() if name not in ("name", "slice", "run_dir")}
    return Typed(
        name=job.name,
        run_dir=job.run_dir,
        slice=job.slice,
        arguments=[str(part) for part in options.again(others)],
        trainer_arguments=[*options.trainer_arguments()],
        directory=os.getcwd(),
        grace=job.grace,
        process=os.getpid(),
    )


def _shown(job: TrainingJob) -> Callable[[str], str]:
    """Return the function that writes a pod's line: for people on a terminal, unless a format is set."""
    from launcher.runs import trainer_log

    people = sys.stdout.isatty() and job.requested.get("log.format", "auto") == "auto"
    return trainer_log.for_people if people else str


def request(flags: dict[str, Any]) -> TrainingJob:
    """Return the job of a command line, on a slice that this machine can run."""
    origins = options.sources_of(flags)
    merged, _ = sources.merge(*origins)
    with options.located(origins):
        values = paths.resolve({name: value for name, value in merged.items() if name in FIELDS})
    if values.get("slice") == "local-gpu":
        values["slice"] = f"local-gpu-{count_gpus(os.environ)}"
    run_dir = values.pop("run_dir", None)
    with options.located(origins):
        if isinstance(values.get("code"), str):
            values["code"] = options.pack(values["code"])
        values = sources.with_recipe(values)
        job = TrainingJob(**values, args=options.trainer_arguments(), platform="local")
    if job.shape.kind == "tpu" or job.shape.accelerator:
        shape = job.shape
        raise RequestError(
            Problem(
                "slice",
                f"must be cpu-<hosts>x<devices per host> or local-gpu here, got {job.slice!r}",
                f"--slice cpu-{shape.hosts}x{shape.devices_per_host} has as many hosts and devices",
            )
        )
    name = job.name if merged.get("name") else _default_name(job)
    run_dir = run_dir or paths.absolute("run-dir", f"runs/{name}")
    return dataclasses.replace(job, name=name, run_dir=run_dir)


def _default_name(job: TrainingJob) -> str:
    """Return ARCH-SLICE-DATA, so that runs on different data do not meet in one run directory."""
    data = os.path.basename(str(job.requested.get("data.name", "")).rstrip("/"))
    suffix = re.sub(r"[^a-z0-9]+", "-", data.lower())
    room = rules.LONGEST_NAME - len(rules.longest_pod("", job.num_slices, job.shape.hosts))
    return f"{job.name}-{suffix}"[:room].rstrip("-")


def _create(run_dir: str) -> None:
    """Create a run directory of this machine, so that a wrong path is an error before any pod starts."""
    if run_dir.startswith("gs://"):
        return
    try:
        Path(run_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot write the run directory {run_dir}: {error.strerror}"
        raise ActionError(message, "--run-dir DIR") from None


def count_gpus(environ: Mapping[str, str]) -> int:
    """Return the number of GPUs that CUDA shows on this machine. Raises ActionError where there are none."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([entry for entry in visible.split(",") if entry.strip() not in ("", "-1")])
    else:
        try:
            listing = subprocess.run(
                ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
            )
            count = listing.stdout.count("GPU ")
        except (OSError, subprocess.TimeoutExpired):
            count = 0
    if not count:
        raise ActionError("this machine has no GPU", "--slice cpu-1x1 runs on its CPU")
    return count
