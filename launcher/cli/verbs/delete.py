"""`resnet-launch delete NAME …`: delete runs and wait until their pods are gone."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from launcher import keys
from launcher.cli import options, target
from launcher.runs import objects

if TYPE_CHECKING:
    from launcher.cluster.api import JSON, Cluster


@click.command(
    "delete",
    cls=options.Command,
    params=[
        target.names(),
        target.yes_name(),
        target.timeout("15m"),
        *target.flags(),
        target.as_json(),
    ],
    example="resnet-launch delete resnet152-v4-32",
)
def command(
    names: tuple[str, ...],
    yes: str | None,
    timeout: int,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Delete runs and wait until their pods are gone. Run directories are not deleted.

    Nothing is deleted unless every NAME is a run that may be deleted. Asks for confirmation on a
    terminal; elsewhere --yes is required. Another person's run needs its name after --yes.
    """
    from launcher.runs import deletion, lookup, ownership

    runs, yes = target.names_and_yes(names, yes)
    cluster = target.cluster(context, kubeconfig, namespace)
    jobsets = [lookup.find(cluster, name) for name in runs]
    for jobset in jobsets:
        ownership.require_ours(jobset)
    _confirm(cluster, jobsets, yes)
    sent: list[str] = []
    with deletion.naming_sent(sent):
        for jobset in jobsets:
            lookup.delete(cluster, jobset, sent)
    replies = []
    for jobset in jobsets:
        with deletion.naming_sent(sent):
            deletion.until_gone(cluster, jobset, timeout)
        sent.remove(objects.name(jobset))
        run_dir = objects.text(objects.annotations_of(jobset), keys.RUN_DIR)
        replies.append({"name": objects.name(jobset), "deleted": True, "run_dir": run_dir})
        if not as_json:
            click.echo(f"{objects.name(jobset)} deleted")
            if run_dir.startswith("gs://"):
                print(f"its checkpoints and metrics stay in {run_dir}", file=sys.stderr)
    if as_json:
        click.echo(json.dumps(replies if len(replies) > 1 else replies[0], indent=2))


def _confirm(cluster: Cluster, jobsets: list[JSON], yes: str | None) -> None:
    """Ask before anything is deleted, unless --yes is given; other people's runs need their name."""
    from launcher.errors import Problem, RequestError
    from launcher.runs import diagnosis

    names = [objects.name(jobset) for jobset in jobsets]
    if yes is None and not sys.stdin.isatty():
        hint = f"resnet-launch delete {' '.join(names)} --yes"
        raise RequestError(Problem("yes", "must be given when stdin is not a terminal", hint))
    own = [jobset for jobset in jobsets if not target.require_own(cluster, jobset, yes, "delete")]
    if yes is None and own:
        runs = ", ".join(f"{objects.name(jobset)} ({diagnosis.hosts(jobset)} pods)" for jobset in own)
        click.confirm(f"delete run {runs} in {cluster.namespace}?", abort=True)
