"""`resnet-launch list`: the runs of a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher.cli import options, table, target

COLUMNS = ("name", "phase", "step", "slice", "program", "hosts", "restarts", "age", "reason")
STEP_WIDTH = 24  # characters of a step and the number of steps, which any program may have printed
PROGRAM_WIDTH = 30  # characters of a network or a command
REASON_WIDTH = 60  # characters of a reason; `status` shows all of it
PARAMS = [
    click.Option(["--all-namespaces", "-A"], is_flag=True, help="list the runs of all namespaces"),
    *target.flags(),
    target.as_json(),
]


@click.command("list", cls=options.Command, params=PARAMS, example="resnet-launch list")
def command(
    all_namespaces: bool, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """List the runs of a namespace, newest first, with their step and a short reason.

    Steps and reasons are read for the newest 30 runs. The age of a run that is over is how long it took.
    """
    from launcher.runs import listing

    cluster = target.cluster(context, kubeconfig, namespace)
    rows = listing.rows(cluster, all_namespaces)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        scope = "any namespace" if all_namespaces else f"namespace {cluster.namespace}"
        click.echo(f"no runs in {scope}", err=True)
        return
    columns = ("namespace", *COLUMNS) if all_namespaces else COLUMNS
    click.echo("\n".join(table.lines(columns, [_cells(row) for row in rows])))


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    slices = f"{row['slices']} x {row['slice']}" if row["slices"] > 1 else row["slice"]
    progress, reason = row["progress"], " ".join(row["reason"].split())
    from launcher.runs import commands

    steps = f"/{progress['steps']}" if "steps" in progress else ""
    step = _short(f"{progress['step']}{steps}", STEP_WIDTH) if "step" in progress else ""
    age = "" if row["seconds"] is None else table.seconds(row["seconds"])
    return row | {
        "slice": slices,
        "program": _short(commands.program(row), PROGRAM_WIDTH),
        "step": step,
        "restarts": row["restarts"]["total"],
        "age": f"took {age}" if row["finished"] and age else age,
        "reason": _short(reason, REASON_WIDTH),
    }


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
