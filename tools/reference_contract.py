"""The reference pages of what launcher and trainer agree on: exit codes, events, log lines, environment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import contract
from markup import code, table

# what a command of the launcher ends with
LAUNCHER_CODES = (
    ("0", "done"),
    ("1", "the action failed, or for `wait` the run; for `diff` something would change"),
    ("2", "the request was wrong, and nothing was done"),
    ("3", "`wait` and `delete`: not over after `--timeout`"),
    (
        "4",
        "not known: the cluster stopped answering or no longer accepts the credentials, a request that was "
        "sent got no answer, the command was interrupted (Ctrl-C), or it has a bug",
    ),
)
# variable: what the launcher, `check` and the data verbs take from it
LAUNCHER_VARIABLES = {
    "RESNET_LAUNCH_FLAG": "value of a flag, such as RESNET_LAUNCH_BUCKET; commas separate several values",
    "KUBECONFIG": "kubeconfig file; ~/.kube/config if not set",
    "XDG_CACHE_HOME": "folder of caches; ~/.cache if not set",
}
# variable: what the rendered manifest sets besides those of the trainer
POD_VARIABLES = {
    "JAX_PLATFORMS": "platforms of JAX: tpu,cpu or cuda,cpu or cpu",
    "JAX_NUM_CPU_DEVICES": "CPU slices: devices of the host",
    "LD_LIBRARY_PATH": "GPU slices on GKE: the driver's libraries",
    "HOME": "/tmp, which a pod may write",
    "PYTHONUNBUFFERED": "1: lines are printed at once",
}
PROGRAM_VARIABLES = {
    "JAX_COORDINATOR_ADDRESS": "host:port of process 0",
    "JAX_NUM_PROCESSES, WORLD_SIZE, OMPI_COMM_WORLD_SIZE": "hosts of the run: one process per host",
    "JAX_PROCESS_ID, RANK, NODE_RANK, OMPI_COMM_WORLD_RANK": "index of the process in the run, from 0",
    "JAX_LOCAL_DEVICE_IDS": "all devices of the host",
    "OMPI_MCA_orte_hnp_uri": "its name alone makes JAX read the variables of Open MPI",
    "MASTER_ADDR, MASTER_PORT": "host of process 0, and a port of PyTorch's own",
    "LOCAL_RANK, LOCAL_WORLD_SIZE": "0 and 1",
}
# variable: what the trainer takes from it, where it is set
OPTIONAL_VARIABLES = {
    "WANDB_API_KEY": "key of wandb; with it, log.wandb=auto is online (give it by --secret-env)",
    "CUDA_VISIBLE_DEVICES": "GPUs that `--slice local-gpu` counts",
}
TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}


def exit_codes() -> str:
    """Return the page of exit codes."""
    codes = contract.document()["exit_codes"]
    rows = ((str(row["code"]), name, row["meaning"], row["then"]) for name, row in codes.items())
    return "\n".join(
        [
            "# Exit codes\n",
            "## A pod of a run\n",
            "The JobSet's failure policy is written from this table. [What ends a "
            "pod](../explanations/failure-policy.md) has the cases. Any other code restarts the run, and the "
            "restart counts.\n",
            table(("code", "name", "meaning", "the run"), rows),
            "## A command of resnet-launch\n",
            table(("code", "meaning"), LAUNCHER_CODES),
        ]
    )


def events() -> str:
    """Return the page of events and log lines."""
    document = contract.document()
    parts = [
        "# Events and log lines\n",
        "The first host prints lines that a program can read: a kind, then `key=value` pairs. Fields marked "
        "optional may be missing. `resnet-launch status` reads these lines. `events.jsonl` in the [run "
        "directory](run-directory.md) has each event as an object with `name` and these fields, and "
        "`metrics.jsonl` has the progress and evaluation rows.\n",
        "## Events\n",
    ]
    for name, event in document["events"].items():
        parts += [f"### {name}\n", f"{event['help']}\n", fields(event["fields"])]
    parts.append("## Log lines\n")
    for kind, line in document["lines"].items():
        parts += [f"### {kind} line\n", f"{line['help']}\n".replace("``", "`"), fields(line["fields"])]
    return "\n".join(parts)


def fields(members: dict[str, Any]) -> str:
    rows = (
        (code(name), TYPES.get(row["type"], row["type"]), row.get("help", "") + optional(row))
        for name, row in members.items()
    )
    return table(("field", "type", "meaning"), rows)


def optional(row: dict[str, Any]) -> str:
    return "; optional" if row.get("optional") else ""


def environment() -> str:
    """Return the page of environment variables."""
    trainer = contract.document()["environment"].values()
    return "\n".join(
        [
            "# Environment variables\n",
            "## Read by resnet-launch\n",
            variables(LAUNCHER_VARIABLES.items()),
            "## Read by the trainer\n",
            "The manifest sets these in each pod, except `RESNET_PROGRAM` and `RESNET_CACHE`. Started by "
            "hand without them, the trainer trains alone.\n",
            variables((row["name"], row["help"]) for row in trainer),
            "## Also set in each pod\n",
            "`--env` and `--secret-env` come last and win.\n",
            variables(POD_VARIABLES.items()),
            "## Also set for a program of `--command` on GPUs and CPUs\n",
            "[Run any program](../guides/own-program.md) says how it joins by them.\n",
            table(
                ("variable", "meaning"),
                (
                    (", ".join(map(code, names.split(", "))), text)
                    for names, text in PROGRAM_VARIABLES.items()
                ),
            ),
            "## Read where they are set\n",
            variables(OPTIONAL_VARIABLES.items()),
        ]
    )


def variables(rows: Iterable[tuple[str, str]]) -> str:
    return table(("variable", "meaning"), ((code(name), text) for name, text in rows))
