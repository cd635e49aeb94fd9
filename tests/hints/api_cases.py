"""Situations in which commands that speak to a cluster print a hint, with the objects of that cluster."""

import shlex
from collections.abc import Callable
from typing import Any

from api_server import jobset
from cases import Arguments, Case, paste, swap, with_flags

RUNS, SUBMIT = "launcher/runs/", "submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --name"
FOREIGN = {"resnet-launch/submitted-by": "somebody-else"}


def queue(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"clusterQueue": "all"}}


def runs(**annotations: str) -> dict[str, Any]:
    run = jobset("run")
    run["metadata"]["annotations"] |= annotations
    return {"jobsets": [run], "localqueues": [queue("team")], "workloadpriorityclasses": [queue("high")]}


def drop_last(count: int) -> Callable[[Arguments, str], Arguments]:
    return lambda arguments, _: arguments[:-count]


CASES = [
    (
        Case(f"{RUNS}lookup.py", "resnet-launch list shows the runs of the namespace", "status gone", paste),
        runs(),
    ),
    (
        Case("launcher/cli/verbs/delete.py", "resnet-launch delete {} --yes", "delete run", paste),
        runs(),
    ),
    (
        Case(f"{RUNS}ownership.py", "--yes {}, if {} agrees", "delete run --yes", swap),
        runs(**FOREIGN),
    ),
    (
        Case(
            "launcher/cli/verbs/suspend.py",
            "resnet-launch delete {}, then submit again",
            "suspend run",
            lambda arguments, hint: [*paste(arguments, hint), "--yes"],
        ),
        {"jobsets": [jobset("run", ended="Failed")]},
    ),
    (
        Case(
            f"{RUNS}submission.py",
            "resnet-launch {} {}, submit --replace, or another --name",
            f"{SUBMIT} run",
            paste,
        ),
        runs(),
    ),
    (
        Case(
            f"{RUNS}submission.py",
            "resnet-launch {} {}, submit --replace, or another --name",
            f"{SUBMIT} run",
            lambda arguments, hint: [*arguments, "--replace"],
        ),
        runs(),
    ),
    (
        Case(
            f"{RUNS}submission.py",
            "resnet-launch {} {}, submit --replace, or another --name",
            f"{SUBMIT} run",
            with_flags("--name", "other"),
        ),
        runs(),
    ),
    (
        Case(
            f"{RUNS}queueing.py",
            "{}: {}",
            f"{SUBMIT} new --queue zzz",
            lambda arguments, hint: swap(arguments, f"--queue {hint.split(': ')[1]}"),
        ),
        runs(),
    ),
    (
        Case(
            f"{RUNS}queueing.py",
            "{}: {}",
            f"{SUBMIT} new --queue team --priority zzz",
            lambda arguments, hint: swap(arguments, f"--priority {hint.split(': ')[1]}"),
        ),
        runs(),
    ),
    (
        Case(
            f"{RUNS}queueing.py",
            "install Kueue, or submit without a queue: --no-queue",
            f"{SUBMIT} new --queue team",
            lambda arguments, hint: [*arguments[:-2], *shlex.split(hint.rpartition(": ")[2])],
        ),
        {"jobsets": []},
    ),
    (
        Case(
            f"{RUNS}watch.py", "resnet-launch status {} shows what it is doing", "wait run --timeout 0", paste
        ),
        runs(),
    ),
    (
        Case(
            "launcher/cli/verbs/logs.py",
            "SLICE-HOST, such as 0-1",
            "logs run --host 3-0",
            lambda arguments, hint: swap(arguments, f"--host {hint.split()[-1]}"),
        ),
        runs(),
    ),
]
