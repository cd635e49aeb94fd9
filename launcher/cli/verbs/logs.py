"""`resnet-launch logs NAME`: the output of the hosts."""

from __future__ import annotations

import dataclasses
import json

import click

from launcher.cli import options, target
from launcher.request import readers

PARAMS = [
    target.name(),
    click.Option(["--follow", "-f"], is_flag=True, help="continue until the run is over, across restarts"),
    click.Option(["--host"], metavar="[SLICE-]HOST", help="print one host only, such as 0 or 1-3"),
    click.Option(
        ["--tail"], type=click.IntRange(min=0), metavar="N", help="print only the last N lines of each host"
    ),
    click.Option(
        ["--since"],
        type=options.Checked(readers.seconds),
        metavar="DURATION",
        help="print only lines of the last DURATION, such as 10m",
    ),
    *target.flags(),
    click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object per line"),
]


@click.command("logs", cls=options.Command, params=PARAMS, example="resnet-launch logs -f resnet152-v4-32")
def command(
    name: str,
    follow: bool,
    host: str | None,
    tail: int | None,
    since: int | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Print the output of the hosts, each line with its pod as prefix: slice-0-1 is slice 0, host 1.

    After restarts the prefix also has their number: slice-0-1.r2.
    """
    from launcher.runs import logs, lookup

    position = parse_host(host)
    cluster = target.cluster(context, kubeconfig, namespace)
    lookup.find(cluster, name)
    query = {"tailLines": tail, "sinceSeconds": None if since is None else max(since, 1)}
    query = {key: value for key, value in query.items() if value is not None}
    for line in (logs.Follower if follow else logs.snapshot)(cluster, name, position, **query):
        click.echo(json.dumps(dataclasses.asdict(line)) if as_json else str(line))


def parse_host(text: str | None) -> tuple[int, int] | None:
    """Return (slice, host): `3` -> (0, 3), `1-3` -> (1, 3)."""
    if text is None:
        return None
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise click.UsageError(f"--host: must be HOST or SLICE-HOST such as 0 or 1-3, got {text!r}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else (0, int(parts[0]))
