"""What a cluster, a bucket and a registry lack for a first run, each with the commands that mend it.

Nothing is changed. What cannot be read is reported and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launcher.check import installation, preflight
from launcher.check.installation import Site
from launcher.check.preflight import Finding
from launcher.cluster.api import GROUPS
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

UNREAD = "ask the cluster's team"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was looked at: what was found, and the commands that are missing for it.

    Attributes:
      title: what the commands do, as a comment above them.
      commands: to be typed in this order; none where nothing is missing.
    """

    finding: Finding
    title: str = ""
    commands: tuple[str, ...] = ()


def steps(job: TrainingJob, site: Site, cluster: Cluster | None, asked: set[str]) -> Iterator[Step]:
    """Yield what a first run needs, in the order in which it has to be installed.

    Args:
      job: a run as it would be submitted.
      cluster: None where no context is configured.
      asked: fields of the request that the person has given.

    Raises:
      ActionError: the cluster does not answer at all.
    """
    if cluster is None:
        text = "no Kubernetes context is configured"
        yield _missing("cluster", text, "a cluster, and a context for it", installation.cluster(site))
    if site.shape and site.shape.machine:
        pool = installation.node_pool(site)
        yield from _asked("nodes", job, cluster, f"a node pool for {site.shape.name}", pool)
    yield _controller(cluster, "JobSet", ("JobSet",), installation.jobset())
    if site.queue:
        yield _controller(cluster, "Kueue", _kinds("localqueues"), installation.kueue())
    yield from outside(job, site, asked, cluster)
    yield from _account(job, site, cluster, asked)


def outside(job: TrainingJob, site: Site, asked: set[str], cluster: Cluster | None = None) -> Iterator[Step]:
    """Yield bucket and image, which need no cluster; arguments as for `steps`."""
    if "bucket" in asked:
        for finding in preflight.bucket_findings(job, cluster):
            absent = finding.level == "error" and "does not exist" in finding.text
            commands = installation.bucket(site) if absent or _unknown(finding) else []
            title = "the bucket" + ", if there is none yet" * _unknown(finding)
            yield Step(finding=finding, title=title, commands=tuple(commands))
    if "registry" in asked:
        for finding in preflight.image_findings(job):
            lacking = finding.level == "error" or _unknown(finding)
            title = "the image" + ", if it is not there yet" * _unknown(finding) + ", in a checkout"
            commands = installation.image(site) if lacking else []
            yield Step(finding=finding, title=title, commands=tuple(commands))


def _unknown(finding: Finding) -> bool:
    """Return whether nothing could be asked, for lack of credentials or of an answer."""
    texts = ("was not checked", "does not answer")
    return finding.level == "warning" and any(text in finding.text for text in texts)


def _account(job: TrainingJob, site: Site, cluster: Cluster | None, asked: set[str]) -> Iterator[Step]:
    """Yield namespace, rights, service account and queue."""
    exists = _namespace(cluster, site)
    if exists is not None:
        yield exists
    has_namespace = exists is None or exists.finding.level == "ok"
    named, bound = "service_account" in asked, "bucket" in asked
    if named or (cluster and has_namespace):
        account = [*_asked("service account", job, cluster if has_namespace else None, "", [])]
    else:
        account = [_unnamed(site)] if bound else []
    lacking = [step for step in account if named and step.finding.level != "ok"]
    yield from (Step(finding=step.finding) for step in account)
    if lacking and bound and not any("cannot be read" in step.finding.text for step in lacking):
        finding = Finding(
            "warning", "rights", f"{site.account} needs a Google account that may use {site.bucket}"
        )
        title = "rights of the pods on the bucket"
        yield Step(finding=finding, title=title, commands=tuple(installation.rights(site)))
    queues = [*_asked("queue", job, cluster if has_namespace else None, "", [])] if site.queue else []
    yield from (Step(finding=step.finding) for step in queues)
    queue_lacks = [step for step in queues if step.finding.level == "error"]
    if lacking or queue_lacks:
        names = [name for name, wanted in (("service account", lacking), ("queue", queue_lacks)) if wanted]
        finding = Finding("warning", "platform", f"the chart makes {' and '.join(names)}")
        title = f"{' and '.join(names)}, in a checkout"
        yield Step(finding=finding, title=title, commands=tuple(installation.platform(site, bound and named)))


def _unnamed(site: Site) -> Step:
    """Return what is known of the account of pods that name none, where no cluster can be asked about it."""
    text = f"none is named: pods run as default, which has no rights on {site.bucket}"
    return Step(
        finding=Finding("warning", "service account", text, "--service-account NAME adds their commands")
    )


def _kinds(plural: str) -> tuple[str, ...]:
    """Return the keys of all versions in which a cluster may serve a kind."""
    return tuple(kind for kind, (_, listed) in GROUPS.items() if listed == plural)


def _asked(
    about: str, job: TrainingJob, cluster: Cluster | None, title: str, commands: list[str]
) -> Iterator[Step]:
    """Yield the findings of one of preflight's questions; the commands belong to what is not ok."""
    if cluster is None:
        yield _missing(about, "not there yet", title, commands)
        return
    try:
        for finding in preflight.QUESTIONS[about](job, cluster):
            yield Step(
                finding=finding, title=title, commands=() if finding.level == "ok" else tuple(commands)
            )
    except Refused as error:
        if error.status == 404:
            yield _missing(about, str(error), title, commands)
        else:
            yield Step(finding=Finding("warning", about, f"cannot be read: {error}", UNREAD))


def _controller(cluster: Cluster | None, name: str, kinds: tuple[str, ...], commands: list[str]) -> Step:
    """Return whether a controller's kind is served, by any of its versions."""
    if cluster is None:
        return _missing(name, "not there yet", name, commands)
    for kind in kinds:
        try:
            cluster.request("GET", cluster.path(kind), limit=1)
        except Refused as error:
            if error.status == 404:
                continue
            if error.status != 403:
                raise
            return Step(finding=Finding("warning", name, f"cannot be read: {error}", UNREAD))
        return Step(finding=Finding("ok", name, "is installed"))
    return _missing(name, "is not installed", name, commands)


def _namespace(cluster: Cluster | None, site: Site) -> Step | None:
    """Return whether the namespace exists; None for `default`, which every cluster has."""
    if site.namespace == "default":
        return None
    commands = installation.namespace(site)
    title = f"the namespace {site.namespace}"
    if cluster is None:
        return _missing("namespace", "not there yet", title, commands)
    try:
        cluster.request("GET", f"/api/v1/namespaces/{site.namespace}")
    except Refused as error:
        if error.status == 404:
            return _missing("namespace", f"{site.namespace} does not exist", title, commands)
        return Step(finding=Finding("warning", "namespace", f"cannot be read: {error}", UNREAD))
    return Step(finding=Finding("ok", "namespace", f"{site.namespace} exists"))


def _missing(about: str, text: str, title: str, commands: list[str]) -> Step:
    return Step(finding=Finding("error", about, text), title=title, commands=tuple(commands))


def unreachable(error: ActionError) -> Step:
    """Return the step of a cluster that does not answer: what it lacks is not known."""
    return Step(finding=Finding("warning", "cluster", f"was not checked: {error}", error.hint))
