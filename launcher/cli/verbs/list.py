"""`resnet-launch list`: the runs of a namespace."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher.cli import options, table, target

COLUMNS = ("name", "phase", "slice", "arch", "hosts", "restarts", "age")
PARAMS = [
    click.Option(["--all-namespaces", "-A", "everywhere"], is_flag=True, help="of every namespace"),
    *target.flags(),
    target.as_json(),
]


@click.command("list", cls=options.Command, params=PARAMS, example="resnet-launch list")
def command(
    everywhere: bool, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """List the runs of a namespace, newest first. Of their pods only JobSet's own count is read."""
    from launcher.runs import lookup

    cluster = target.cluster(context, kubeconfig, namespace)
    rows = [lookup.row(jobset) for jobset in lookup.list_runs(cluster, everywhere)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    shown = [_cells(row) for row in rows]
    columns = ("namespace", *COLUMNS) if everywhere else COLUMNS
    place = "any namespace" if everywhere else f"namespace {cluster.namespace}"
    click.echo("\n".join(table.lines(columns, shown)) if rows else f"no runs in {place}", err=not rows)


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    slices = f"{row['slices']} x {row['slice']}" if row["slices"] > 1 else row["slice"]
    return row | {"slice": slices, "restarts": row["restarts"]["total"], "age": table.age(row["created"])}
