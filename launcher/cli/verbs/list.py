"""`resnet-launch list`: the runs of a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher.cli import options, table, target

COLUMNS = ("name", "phase", "slice", "arch", "hosts", "restarts", "age")
PARAMS = [
    click.Option(["--all-namespaces", "-A"], is_flag=True, help="list the runs of all namespaces"),
    *target.flags(),
    target.as_json(),
]


@click.command("list", cls=options.Command, params=PARAMS, example="resnet-launch list")
def command(
    all_namespaces: bool, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """List the runs of a namespace, newest first. Phases come from JobSet's status; no pods are read."""
    from launcher.runs import lookup

    cluster = target.cluster(context, kubeconfig, namespace)
    rows = [lookup.row(jobset) for jobset in lookup.list_runs(cluster, all_namespaces)]
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
    return row | {"slice": slices, "restarts": row["restarts"]["total"], "age": table.age(row["created"])}
