"""What a cluster lacks for a run: one line a question, each with what to do. Nothing is changed.

Whoever may read little is told what could not be read; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.check import bucket, image_registry, quota
from launcher.check.quota import Level
from launcher.cluster import controllers
from launcher.cluster.refusals import Refused
from launcher.errors import LauncherError
from launcher.rendering import placement
from launcher.runs import submission

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

GOOGLE_ACCOUNT = "iam.gke.io/gcp-service-account"  # annotation of a Kubernetes account that acts as another
NEWEST = (0, 10)  # JobSet's release that has all that is rendered (rendering/failure_policy.py)
REGION = "topology.kubernetes.io/region"


@dataclass(frozen=True)
class Finding:
    """One line: how it stands, with what, and what to do where it does not."""

    level: Level
    about: str
    text: str
    hint: str = ""

    def lines(self) -> list[str]:
        hint = [f"{'':8} hint: {self.hint}"] if self.hint else []
        return [f"{self.level:8} {self.about}: {self.text}", *hint]


Ask = Callable[["TrainingJob", "Cluster"], Iterator[Finding]]


def findings(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    """The answers to all questions, in the order in which a run meets them.

    Raises ActionError where the cluster does not answer at all.
    """
    for about, ask in QUESTIONS.items():
        try:
            yield from ask(job, cluster)
        except Refused as error:
            if error.about == "permission" or (error.status == 403 and not error.about):
                yield Finding("warning", about, f"cannot be seen: {error}", "the cluster's team can look")
            else:
                yield Finding("error", about, str(error), error.hint)


def _name(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    before = cluster.get("JobSet", job.name)
    if before:
        problem = submission.name_in_use(job.name, before)
        yield Finding("error", "name", problem.message, problem.hint)
    else:
        yield Finding("ok", "name", f"{job.name} is free in namespace {cluster.namespace}")


def _server(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    submission.dry_run(job, cluster)
    text = "the server takes the run's objects and one of its pods: JobSet's fields, Pod Security, quota"
    yield Finding("ok", "server", text)


def _controllers(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    asked = min(job.jobset_version or NEWEST, NEWEST)
    for name, needed in [("JobSet", asked), *([("Kueue", (0, 0))] if job.queue else [])]:
        found = controllers.version(cluster, name)
        if found is None:
            yield Finding("warning", "controllers", f"no deployment tells the version of {name}")
        elif found[1] >= needed:
            yield Finding("ok", "controllers", f"{name} {found[0]}")
        else:
            text = f"{name} {found[0]} lacks what the run uses of {needed[0]}.{needed[1]}"
            hint = f"--jobset-version {found[1][0]}.{found[1][1]} renders for it"
            yield Finding("error", "controllers", text, hint)


def _account(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    name = job.service_account or "default"
    account = cluster.get("ServiceAccount", name)
    if account is None:
        hint = f"kubectl create serviceaccount {name}, or another --service-account"
        yield Finding("error", "service account", f"{name} does not exist", hint)
        return
    google = account["metadata"].get("annotations", {}).get(GOOGLE_ACCOUNT)
    if google or job.platform != "gke" or not job.run_dir.startswith("gs://"):
        yield Finding("ok", "service account", f"{name}" + (f" acts as {google}" if google else ""))
    else:
        text = f"{name} acts as no Google account: only a grant to itself lets it into {job.run_dir}"
        yield Finding("warning", "service account", text, "docs/guides/install-gke.md, Bucket and account")


def _nodes(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    wanted = placement.node_selector(job)
    label = ",".join(f"{key}={value}" for key, value in wanted.items())
    nodes, _ = cluster.list("Node", "", **({"labelSelector": label} if label else {}))
    ready = [node for node in nodes if _is_ready(node)]
    pools = sorted({node["metadata"]["labels"].get(keys.NODEPOOL, "") for node in ready} - {""})
    where = f" in {len(pools)} node pools" if len(pools) > 1 else f" in node pool {pools[0]}" if pools else ""
    text = f"{len(ready)} of {job.hosts} hosts are there and ready{where}" + (f" ({label})" if label else "")
    if len(ready) >= job.hosts:
        yield Finding("ok", "nodes", text)
    else:
        hint = "a node pool that scales up makes them when the run is submitted; else the run waits"
        yield Finding("warning", "nodes", text, hint)


def _queue(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    if not job.queue:
        return
    queue = cluster.get("LocalQueue", job.queue)
    if queue is None:
        found, _ = cluster.list("LocalQueue")
        names = ", ".join(entry["metadata"]["name"] for entry in found)
        hint = f"--queue {names}" if names else "the cluster's team makes one: docs/guides/queues.md"
        yield Finding("error", "queue", f"{job.queue} does not exist in namespace {cluster.namespace}", hint)
        return
    name = queue["spec"]["clusterQueue"]
    shared = cluster.request("GET", f"{cluster.path('ClusterQueue', '')}/{name}")
    flavors = {
        flavor["metadata"]["name"]: flavor["spec"].get("nodeLabels", {})
        for flavor in cluster.list("ResourceFlavor", "")[0]
    }
    wanted = {job.shape.resource: job.num_slices * job.shape.chips} if job.shape.resource else {}
    level, text, hint = quota.room(shared, flavors, placement.node_selector(job), wanted)
    yield Finding(level, "queue", f"{job.queue}: {text}", hint)


def _bucket(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    if not job.run_dir.startswith("gs://"):
        return
    found = bucket.look(job.run_dir.removeprefix("gs://").partition("/")[0])
    if found.problem:
        yield Finding("warning" if found.unknown else "error", "bucket", found.problem, found.hint)
        return
    if found.missing:
        hint = "roles/storage.objectAdmin and roles/storage.legacyBucketReader on the bucket give all of them"
        yield Finding("error", "bucket", f"you lack {', '.join(found.missing)} on gs://{found.name}", hint)
    else:
        yield Finding("ok", "bucket", f"you may do all on gs://{found.name} that a run does")
    regions = _regions(cluster)
    if regions and found.location and found.location.lower() not in regions | {r[:2] for r in regions}:
        nodes = ", ".join(sorted(regions))
        text = f"gs://{found.name} is in {found.location.lower()}, the nodes are in {nodes}"
        yield Finding("warning", "bucket", text, "reads and saves cross regions: slower, and billed")


def _image(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    image, name, look = image_registry.parse(job.image), job.image, f"docker manifest inspect {job.image}"
    if image is None:
        text = f"{name} names no registry: only nodes that have it can run it"
        hint = "--image REGISTRY/…"
        if "/" in name:
            text, hint = f"{name} was not asked for: it names no registry, nodes may know another", look
        yield Finding("warning", "image", text, hint)
        return
    try:
        found = image_registry.platforms(image)
    except image_registry.Closed as error:
        yield Finding("warning", "image", f"{name} was not seen: {error}", look)
        return
    wanted = f"linux/{job.shape.arch}"
    if found is None:
        hint = "push it there, or another --image"
        yield Finding("error", "image", f"{image.host} has no {image.repository} {image.version}", hint)
    elif found and wanted not in found:
        text = f"{name} is for {', '.join(found)}, the hosts are {wanted}"
        yield Finding("error", "image", text, f"docker buildx build --platform {wanted}")
    else:
        yield Finding("ok", "image", f"{name} is there" + (f" for {wanted}" if found else ""))


def _regions(cluster: Cluster) -> set[str]:
    try:
        nodes, _ = cluster.list("Node", "")
    except LauncherError:
        return set()
    return {node["metadata"]["labels"].get(REGION, "") for node in nodes} - {""}


def _is_ready(node: Any) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not node["spec"].get("unschedulable")


QUESTIONS: dict[str, Ask] = {
    "name": _name,
    "controllers": _controllers,
    "server": _server,
    "service account": _account,
    "queue": _queue,
    "nodes": _nodes,
    "bucket": _bucket,
    "image": _image,
}
