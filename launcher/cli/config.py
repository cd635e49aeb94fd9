"""`resnet-launch config`: each setting and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher import config, schema
from launcher.cli import options


@click.command(
    "config",
    cls=options.Command,
    params=[
        *options.flags(options.ALL),
        click.Option(
            ["--train"], is_flag=True, help="list the settings of the trainer (--set FIELD=VALUE) instead"
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="print JSON"),
    ],
    example="resnet-launch config --slice v4-32",
)
def command(train: bool, as_json: bool, **given: Any) -> None:
    """Show each setting, its value and where it comes from; change nothing.

    A value is taken from the first that has it: flag, environment (RESNET_LAUNCH_BUCKET=…), the nearest
    resnet-launch.yaml of this directory and those above, the ConfigMap resnet-launch-defaults of the
    namespace (read by the verbs that talk to the cluster), built-in. What may be repeated adds up.
    """
    rows = _trainer() if train else _launcher(given)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        width = max(len(row["field"]) for row in rows)
        for row in rows:
            click.echo(f"{row['field']:{width}}  {row['value']}  ({row['about']})")


def _launcher(given: dict[str, Any]) -> list[dict[str, Any]]:
    values, where = config.merge(*options.sources(given))
    rows = []
    for name, field in config.FIELDS.items():
        if name in values:
            value, about = values[name], where[name]
        elif field.default in (None, ()):
            continue  # nothing is set and nothing is built in
        else:
            value, about = field.default, "built-in"
        rows.append({"field": name.replace("_", "-"), "value": value, "about": about})
    return rows


def _trainer() -> list[dict[str, Any]]:
    return [
        {"field": path, "value": row["default"], "about": row["help"]}
        for path, row in schema.fields().items()
    ]
