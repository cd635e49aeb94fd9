"""`resnet-launch config`: each setting and where it comes from."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from launcher import contract
from launcher.cli import options, target
from launcher.cluster.kubeconfig import is_configured
from launcher.errors import ActionError
from launcher.request import sources


@click.command(
    "config",
    cls=options.Command,
    params=[
        *options.flags(options.ALL),
        *target.flags(namespace=False),
        click.Option(
            ["--train"], is_flag=True, help="list the settings of the trainer (--set FIELD=VALUE) instead"
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="print JSON"),
    ],
    example="resnet-launch config --slice v4-32",
)
def command(train: bool, as_json: bool, context: str | None, kubeconfig: str | None, **given: Any) -> None:
    """Show each setting, its value and where it comes from; change nothing.

    A value is taken from the first that has it: flag, environment (RESNET_LAUNCH_BUCKET=…), the nearest
    resnet-launch.yaml of this directory and those above, the ConfigMap resnet-launch-defaults of the
    namespace (where a cluster is configured and answers), built-in. What may be repeated adds up.
    """
    rows = _trainer() if train else _launcher(given, context, kubeconfig)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        width = max(len(row["field"]) for row in rows)
        for row in rows:
            click.echo(f"{row['field']:{width}}  {row['value']}  ({row['about']})")


def _launcher(given: dict[str, Any], context: str | None, kubeconfig: str | None) -> list[dict[str, Any]]:
    values, where = sources.merge(*options.sources_of(given), *_team(given, context, kubeconfig))
    rows = []
    for name, field in sources.FIELDS.items():
        if name in values:
            value, about = values[name], where[name]
        elif field.default in (None, ()):
            continue  # nothing is set and nothing is built in
        else:
            value, about = field.default, "built-in"
        rows.append({"field": name.replace("_", "-"), "value": value, "about": about})
    return rows


def _team(given: dict[str, Any], context: str | None, kubeconfig: str | None) -> list[sources.Source]:
    """The ConfigMap of the namespace; a cluster that does not answer is a warning, since the rest holds."""
    if not (context or kubeconfig or is_configured(os.environ)):
        return []
    from launcher.runs import submission

    try:
        namespace = options.values(given).get("namespace")
        return [submission.defaults(target.cluster(context, kubeconfig, namespace))]
    except ActionError as error:
        print(f"warning: the defaults of the namespace are left out: {error}", file=sys.stderr)
        return []


def _trainer() -> list[dict[str, Any]]:
    return [
        {"field": path, "value": row["default"], "about": row["help"]}
        for path, row in contract.fields().items()
    ]
