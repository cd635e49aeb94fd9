"""`resnet-launch list`: the runs of a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher.cli import options, table, target

COLUMNS = ("name", "phase", "step", "slice", "arch", "hosts", "restarts", "age", "reason")
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
    step = f"{progress['step']}/{progress.get('steps', '?')}" if "step" in progress else ""
    age = "" if row["seconds"] is None else table.seconds(row["seconds"])
    return row | {
        "slice": slices,
        "step": step,
        "restarts": row["restarts"]["total"],
        "age": f"took {age}" if row["finished"] and age else age,
        "reason": reason if len(reason) <= REASON_WIDTH else f"{reason[: REASON_WIDTH - 1]}…",
    }
