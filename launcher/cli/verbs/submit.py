"""`resnet-launch submit`: submit a run to a cluster."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target
from launcher.errors import ActionError
from launcher.request import summary

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

REPLACE = click.Option(["--replace"], is_flag=True, help="first delete a run of the same name")
YES = click.Option(
    ["--yes"],
    metavar="NAME",
    default="",
    help="with --replace: the name of a run that somebody else submitted",
)
CHECK = click.Option(
    ["--check"], is_flag=True, help="run `resnet-launch check` first; do not submit if it finds an error"
)
PARAMS = [*options.flags(options.ALL), *target.flags(namespace=False), REPLACE, YES, CHECK, target.as_json()]


@click.command(
    "submit",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch submit --slice v4-32 --arch resnet152",
)
def command(
    context: str | None,
    kubeconfig: str | None,
    replace: bool,
    yes: str,
    check: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Submit a run: the server checks all of its objects before any of them is stored.

    Values without a flag come from the environment, resnet-launch.yaml and the ConfigMap
    resnet-launch-defaults of the namespace. Prints the run's name and refuses one that is in use.
    """
    from launcher.runs import submission

    values = options.values(flags)
    cluster = target.cluster(context, kubeconfig, values.get("namespace"))
    defaults = submission.defaults(cluster)
    job = options.job(flags, defaults)
    job = _checked(job, cluster, replace) if check else _with_kept_check(job)
    old_image = _age(job)
    stored = submission.submit(job, cluster, replace, yes)
    if as_json:
        reply = {"name": job.name, "namespace": cluster.namespace, "context": cluster.context}
        reply |= {"run_dir": job.run_dir, "uid": stored["metadata"]["uid"]}
        click.echo(json.dumps(reply, indent=2))
    else:
        click.echo(job.name)
    queue = f", queue {job.queue}" if job.queue else ""
    destination = f"context {cluster.context}, namespace {cluster.namespace}{queue}"
    origin = options.place("image", flags, defaults)
    image = f"image {job.image}" + (f" (from {origin})" if origin else "")
    print(*summary.lines(job), image, destination, sep="\n", file=sys.stderr)
    if text := old_image():
        print(f"warning: {text}", file=sys.stderr)
    cluster_flags = target.again(context, kubeconfig, values.get("namespace"))
    print("next:", file=sys.stderr)
    for verb in ("status", "logs -f", "delete"):
        print(f"  resnet-launch {verb} {job.name}{cluster_flags}", file=sys.stderr)


def _age(job: TrainingJob) -> Callable[[], str]:
    """Begin to ask the image's registry for its age; return a function that waits for the answer."""
    from launcher.check import image_registry
    from launcher.image import age

    if image_registry.parse(job.image) is None:
        return lambda: ""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(age.warning(job.image, job.shape.arch)), daemon=True).start()

    def wait() -> str:
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=age.SECONDS)
        return ""

    return wait


def _with_kept_check(job: TrainingJob) -> TrainingJob:
    """Return the job with what an earlier `check` of this very request has predicted, and say so on stderr.

    Nothing is computed and nobody is asked. Without such a check the job stays as it is, and its trainer
    estimates.
    """
    from launcher.check import assessment, report

    if (known := assessment.newest(job)) is None:
        return job
    result, computed = known
    print(report.kept(result, computed), file=sys.stderr)
    return assessment.with_prediction(job, result)


def _checked(job: TrainingJob, cluster: Cluster, replace: bool) -> TrainingJob:
    """Print the findings of a check and return the job, with the predicted throughput for its trainer.

    Raises RequestError or ActionError where the run would fail.
    """
    from launcher.check import assessment, preflight, report
    from launcher.check.prices import Prices
    from launcher.cli.spinner import Spinner
    from launcher.cli.verbs.check import compiled

    checked = job
    with Spinner() as spinner:
        lines = []
        if not job.command:  # of another program only the cluster can be checked
            result = compiled(job, False, False, spinner)[0]
            checked = assessment.with_prediction(job, result)
            lines = [*report.lines(result, Prices()), ""]
        spinner.show("checking the cluster")
        findings = [
            finding
            for finding in preflight.findings(job, cluster)
            if not (replace and finding.about == "name")
        ]
    lines += [line for finding in findings for line in finding.lines()]
    print(*lines, sep="\n", file=sys.stderr)
    if errors := [finding for finding in findings if finding.level == "error"]:
        subjects = ", ".join(finding.about for finding in errors)
        count = f"{len(errors)} error{'s' * (len(errors) != 1)}"
        raise ActionError(f"the check reports {count} ({subjects}): nothing was submitted")
    return checked
