"""`resnet-launch logs NAME`: the output of the hosts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from typing import Any

import click

from launcher.cli import options, target
from launcher.errors import Problem, RequestError
from launcher.request import readers

PARAMS = [
    target.name(),
    click.Option(["--follow", "-f"], is_flag=True, help="continue until the run is over, across restarts"),
    click.Option(["--host"], metavar="[SLICE-]HOST", help="print one host only, such as 0 or 1-3"),
    click.Option(
        ["--tail"],
        type=options.Checked(readers.integer(0)),
        metavar="N",
        help="print only the last N lines of each host",
    ),
    click.Option(
        ["--since"],
        type=options.Checked(readers.seconds),
        metavar="DURATION",
        help="print only lines of the last DURATION, such as 10m",
    ),
    *target.flags(),
    click.Option(
        ["--raw"], is_flag=True, help="print lines as the hosts do, also on a terminal (default elsewhere)"
    ),
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
    raw: bool,
    as_json: bool,
) -> None:
    """Print the output of the hosts, each line with its pod as prefix: slice-0-1 is slice 0, host 1.

    After restarts the prefix also has their number: slice-0-1.r2. What is no line of a log goes to stderr.
    On a terminal, progress, evaluations and events are written for people; --raw shows what the hosts print.
    With --follow, what the run waits for is said too. Exit code 0: the run is over and its logs are complete,
    1: it cannot start until somebody changes something, 4: not known.
    """
    from launcher.errors import ActionError
    from launcher.runs import ending, logs, lookup, trainer_log, waiting, watch

    position = parse_host(host)
    cluster = target.cluster(context, kubeconfig, namespace)
    check_host(position, lookup.find(cluster, name))
    query = {"tailLines": tail, "sinceSeconds": None if since is None else max(since, 1)}
    query = {key: value for key, value in query.items() if value is not None}
    lines = (logs.Follower if follow else logs.snapshot)(cluster, name, position, cluster.warn, **query)
    shown = str if raw or as_json or not sys.stdout.isatty() else trainer_log.for_people
    with (
        watch.end_not_known(name, ActionError, lasting=(waiting.Stuck,))
        if follow
        else contextlib.nullcontext()
    ):
        for line in lines:
            plain = dataclasses.replace(line, text=shown(line.text))
            click.echo(json.dumps(dataclasses.asdict(line)) if as_json else str(plain))
    if follow:
        for text in ending.lines(cluster, name):
            click.echo(text, err=True)


def check_host(position: tuple[int, int] | None, jobset: dict[str, Any]) -> None:
    """Raise RequestError where a run has no such host."""
    from launcher.errors import Problem, RequestError

    groups = jobset["spec"]["replicatedJobs"]
    if position is None or not groups:
        return
    slices = max(group.get("replicas", 1) for group in groups)
    hosts = max(group["template"]["spec"]["parallelism"] for group in groups)
    if position[0] >= slices:
        problem = f"must be on slice 0 to {slices - 1}, got slice {position[0]}"
        raise RequestError(Problem("host", problem, "SLICE-HOST, such as 0-1"))
    if position[1] >= hosts:
        problem = f"must be 0 to {hosts - 1}, got {position[1]}"
        raise RequestError(Problem("host", problem, f"each slice of the run has {hosts} hosts"))


def parse_host(text: str | None) -> tuple[int, int] | None:
    """Return (slice, host): `3` -> (0, 3), `1-3` -> (1, 3)."""
    if text is None:
        return None
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise RequestError(
            Problem("host", f"must be HOST or SLICE-HOST such as 0 or 1-3, got {text!r}", "--host 0")
        )
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else (0, int(parts[0]))
