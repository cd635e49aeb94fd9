"""`resnet-launch config`: show each setting and where its value comes from."""

from __future__ import annotations

import json
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
            ["--train"], is_flag=True, help="list the trainer's settings (--set FIELD=VALUE) instead"
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="print JSON"),
    ],
    example="resnet-launch config --slice v4-32",
)
def command(train: bool, as_json: bool, context: str | None, kubeconfig: str | None, **flags: Any) -> None:
    """Show each setting with its value and where the value comes from; change nothing.

    The first source that has a value wins: flag, environment (RESNET_LAUNCH_BUCKET=…), resnet-launch.yaml
    of this directory or the nearest one above, ConfigMap resnet-launch-defaults of the namespace, built-in
    default. Values of flags that may be repeated are collected from all sources.
    """
    rows = _trainer() if train else _launcher(flags, context, kubeconfig)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        width = max(len(row["field"]) for row in rows)
        for row in rows:
            click.echo(f"{row['field']:{width}}  {row['value']}  ({row['about']})")


def _launcher(flags: dict[str, Any], context: str | None, kubeconfig: str | None) -> list[dict[str, Any]]:
    values, where = sources.merge(*options.sources_of(flags), *_team(flags, context, kubeconfig))
    rows = []
    for name, field in sources.FIELDS.items():
        if name in values:
            value, about = values[name], where[name]
        elif field.default in (None, ()):
            continue  # no source has a value and there is no default
        else:
            value, about = field.default, "built-in"
        rows.append({"field": name.replace("_", "-"), "value": value, "about": about})
    return rows


def _team(flags: dict[str, Any], context: str | None, kubeconfig: str | None) -> list[sources.Source]:
    """Return the ConfigMap of the namespace, or print a warning where the cluster does not answer."""
    from launcher.runs import submission

    try:
        if not (context or kubeconfig or is_configured()):
            return []
        namespace = options.values(flags).get("namespace")
        return [submission.defaults(target.cluster(context, kubeconfig, namespace))]
    except ActionError as error:
        print(f"warning: the namespace's defaults are missing from this list: {error}", file=sys.stderr)
        return []


def _trainer() -> list[dict[str, Any]]:
    return [
        {"field": path, "value": row["default"], "about": row["help"]}
        for path, row in contract.fields().items()
    ]
