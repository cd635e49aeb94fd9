"""`resnet-launch suspend NAME`: release the hardware and keep the run."""

from __future__ import annotations

import datetime
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target

if TYPE_CHECKING:
    from launcher.cluster.api import JSON, Cluster

PARAMS = [target.optional_name(), target.yes_name(), *target.flags(), target.as_json()]


@click.command("suspend", cls=options.Command, params=PARAMS, example="resnet-launch suspend resnet152-v4-32")
def command(
    name: str | None,
    yes: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Suspend a run: its pods save a checkpoint and end, and the run can be resumed."""
    set_suspended(name, yes, True, as_json, context, kubeconfig, namespace)


def set_suspended(
    name: str | None,
    yes: str | None,
    suspended: bool,
    as_json: bool,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Suspend or resume a run and print the result. Raises ActionError for a run that is over."""
    from launcher.errors import ActionError
    from launcher.runs import diagnosis, lookup

    name, yes = target.name_and_yes(name, yes)
    cluster = target.cluster(context, kubeconfig, namespace)
    jobset = lookup.find(cluster, name)
    ended = next((kind for kind in diagnosis.ENDED if diagnosis.condition(jobset, kind)), None)
    if ended:
        raise ActionError(
            f"run {name!r} is {ended.lower()}", f"resnet-launch delete {name}, then submit again"
        )
    target.require_own(cluster, jobset, yes, "suspend" if suspended else "resume")
    note = _note(cluster, name) if suspended else None
    changed = lookup.set_suspended(cluster, jobset, suspended, note)
    if as_json:
        click.echo(json.dumps({"name": name, "suspended": suspended, "changed": changed}, indent=2))
    elif changed:
        click.echo(f"{name} {'suspended' if suspended else 'resumed'}")
    else:
        click.echo(f"{name} was already suspended" if suspended else f"{name} was not suspended")
    if changed and not suspended and _queue(jobset):
        print(f"it waits in queue {_queue(jobset)} until there is room", file=sys.stderr)


def _note(cluster: Cluster, name: str) -> dict[str, Any]:
    """Return what to remember of a run while it has no pods: who suspended it, when, and how far it was."""
    from launcher.runs import lookup, ownership, progress

    log = progress.read(cluster, lookup.pods_of(cluster, name))
    line = {key: value for key, value in log.progress.items() if key in ("step", "steps", "loss")}
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    evaluations = {"evaluation": _brief(log.evaluate), "best": _brief(log.best)}
    return {"by": ownership.username(cluster), "at": moment, "progress": line, **evaluations}


def _brief(evaluation: Any) -> dict[str, Any]:
    return {key: evaluation[key] for key in ("step", "accuracy", "loss") if key in evaluation}


def _queue(jobset: JSON) -> str:
    from launcher import keys
    from launcher.runs import objects

    return objects.text(objects.labels_of(jobset), keys.QUEUE)
