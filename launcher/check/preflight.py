"""Questions to a cluster, a bucket and a registry: what they lack for a run, and what to do about it.

Nothing is changed. What could not be read, for lack of a permission, is reported and not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.check import bucket, image_registry, quota
from launcher.check.quota import Level
from launcher.cluster import controllers, kueue
from launcher.cluster.refusals import Refused
from launcher.errors import LauncherError
from launcher.rendering import placement
from launcher.rendering.jobset import render
from launcher.request import queue_topology
from launcher.runs import submission

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

GOOGLE_ACCOUNT = "iam.gke.io/gcp-service-account"  # Google account that a Kubernetes account acts as
NEWEST = (0, 10)  # oldest JobSet release with all fields that are rendered (rendering/failure_policy.py)
REGION = "topology.kubernetes.io/region"


@dataclass(frozen=True)
class Finding:
    """The result of one question: a level, the subject, a sentence, and what to do about it."""

    level: Level
    about: str
    text: str
    hint: str = ""

    def lines(self) -> list[str]:
        """Return the finding as one line, and the hint as another."""
        hint = [f"{'':8} hint: {self.hint}"] if self.hint else []
        return [f"{self.level:8} {self.about}: {self.text}", *hint]


Ask = Callable[["TrainingJob", "Cluster"], Iterator[Finding]]


def findings(job: TrainingJob, cluster: Cluster | None) -> Iterator[Finding]:
    """Yield the findings of all questions, in the order in which a run would meet the problems.

    Without a cluster only bucket, data and image are looked at.

    Raises:
      ActionError: the cluster does not answer at all.
    """
    if cluster:
        yield from _answers(job, cluster)
    yield from bucket_findings(job, cluster)
    yield from _data(job)
    yield from image_findings(job)


def _answers(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    for about, ask in QUESTIONS.items():
        try:
            yield from ask(job, cluster)
        except Refused as error:
            if error.about == "permission" or (error.status == 403 and not error.about):
                yield Finding("warning", about, f"cannot be read: {error}", "ask the cluster's team")
            else:
                yield Finding("error", about, str(error), error.hint)


def _name(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    existing = cluster.get("JobSet", job.name)
    if existing:
        problem = submission.name_in_use(job.name, existing)
        yield Finding("error", "name", problem.message, problem.hint)
    else:
        yield Finding("ok", "name", f"{job.name} is free in namespace {cluster.namespace}")


def _server(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    submission.dry_run(job, cluster)
    text = "the server accepts the run's objects and one of its pods: JobSet's fields, Pod Security, quota"
    yield Finding("ok", "server", text)


def _controllers(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    for name in ("JobSet", "Kueue") if job.queue else ("JobSet",):
        installed = controllers.version(cluster, name)
        if installed is None:
            yield Finding("warning", "controllers", f"no deployment shows the version of {name}")
            continue
        lacking = (_lacking_jobset if name == "JobSet" else _lacking_kueue)(job, *installed)
        yield lacking or Finding("ok", "controllers", f"{name} {installed[0]}")


def _lacking_jobset(job: TrainingJob, tag: str, version: tuple[int, int]) -> Finding | None:
    needed = min(job.jobset_version or NEWEST, NEWEST)
    if version >= needed:
        return None
    text = f"JobSet {tag} lacks fields of {needed[0]}.{needed[1]} that the run uses"
    return Finding("error", "controllers", text, f"--jobset-version {version[0]}.{version[1]} renders for it")


def _lacking_kueue(job: TrainingJob, tag: str, version: tuple[int, int]) -> Finding | None:
    for problem in queue_topology.too_old(job, job.kueue_version or version, tag):
        return Finding("error", "controllers", str(problem), problem.hint)
    return None


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
        text = f"{name} acts as no Google account: it needs a grant of its own to write to {job.run_dir}"
        yield Finding("warning", "service account", text, "docs/guides/install-gke.md, Bucket and account")


def _nodes(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    selector = placement.node_selector(job)
    label = ",".join(f"{key}={value}" for key, value in selector.items())
    nodes, _ = cluster.list("Node", "", **({"labelSelector": label} if label else {}))
    ready = [node for node in nodes if _is_ready(node)]
    if job.shape.kind == "cpu":
        yield _cpu_nodes(job, ready)
        return
    pools = sorted({node["metadata"]["labels"].get(keys.NODEPOOL, "") for node in ready} - {""})
    where = f" in {len(pools)} node pools" if len(pools) > 1 else f" in node pool {pools[0]}" if pools else ""
    text = f"{len(ready)} of {job.hosts} hosts exist and are ready{where}" + (f" ({label})" if label else "")
    if len(ready) >= job.hosts:
        yield Finding("ok", "nodes", text)
    else:
        hint = "the run waits for hosts, unless a node pool scales up when it is submitted"
        yield Finding("warning", "nodes", text, hint)


def _cpu_nodes(job: TrainingJob, ready: list[Any]) -> Finding:
    """Return how many CPU hosts the nodes have room for: several may share a node, other pods left aside."""
    template = render(job)[-1]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    requests = template["spec"]["containers"][0]["resources"]["requests"]
    shown = " and ".join(f"{amount} {name}" for name, amount in requests.items())
    fitting = 0
    for node in ready:
        room = node.get("status", {}).get("allocatable", {})
        shares = [
            quota.quantity(room.get(name, "0")) / quota.quantity(str(amount))
            for name, amount in requests.items()
        ]
        fitting += int(min([quota.quantity(room.get("pods", "0")), *shares]))
    nodes = "1 ready node has" if len(ready) == 1 else f"{len(ready)} ready nodes have"
    text = f"the run needs {job.hosts} hosts; {nodes} room for {fitting} if nothing else runs there"
    text += f" (each requests {shown})" if shown else ""
    if fitting >= job.hosts:
        return Finding("ok", "nodes", text)
    return Finding("warning", "nodes", text, "--cpu and --memory ask for less; or the run waits for nodes")


def _queue(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    if not job.queue:
        return
    queue = kueue.get(cluster, "LocalQueue", job.queue)
    if queue is None:
        _, queues = kueue.objects(cluster, "LocalQueue")
        names = ", ".join(entry["metadata"]["name"] for entry in queues)
        hint = f"--queue {names}" if names else "the cluster's team can create one: docs/guides/queues.md"
        yield Finding("error", "queue", f"{job.queue} does not exist in namespace {cluster.namespace}", hint)
        return
    name = queue["spec"]["clusterQueue"]
    cluster_queue = kueue.get(cluster, "ClusterQueue", name, "")
    if cluster_queue is None:
        text = f"{job.queue}: its ClusterQueue {name} does not exist"
        yield Finding("error", "queue", text, "ask the cluster's team")
        return
    flavors = {
        flavor["metadata"]["name"]: flavor["spec"].get("nodeLabels", {})
        for flavor in kueue.objects(cluster, "ResourceFlavor", "")[1]
    }
    requests = {job.shape.resource: job.num_slices * job.shape.chips} if job.shape.resource else {}
    level, text, hint = quota.room(cluster_queue, flavors, placement.node_selector(job), requests)
    yield Finding(level, "queue", f"{job.queue}: {text}", hint)


def bucket_findings(job: TrainingJob, cluster: Cluster | None) -> Iterator[Finding]:
    """Yield whether the run directory's bucket exists, what you may do with it, and where it is."""
    if not job.run_dir.startswith("gs://"):
        return
    access = bucket.look(job.run_dir.removeprefix("gs://").partition("/")[0])
    if access.problem:
        yield Finding("warning" if access.unknown else "error", "bucket", access.problem, access.hint)
        return
    if access.missing:
        hint = (
            "roles/storage.objectAdmin and roles/storage.legacyBucketReader on the bucket grant all of them"
        )
        yield Finding("error", "bucket", f"you lack {', '.join(access.missing)} on gs://{access.name}", hint)
    else:
        yield Finding("ok", "bucket", f"you have all permissions on gs://{access.name} that a run needs")
    regions = _regions(cluster) if cluster else set()
    location = access.location.lower()
    if regions and location and location not in regions | {region[:2] for region in regions}:
        text = f"gs://{access.name} is in {location}, the nodes are in {', '.join(sorted(regions))}"
        yield Finding("warning", "bucket", text, "traffic between regions is slower, and billed")


def _data(job: TrainingJob) -> Iterator[Finding]:
    """Look for a dataset in a bucket; one on a path of the pods cannot be seen from here."""
    if job.command:
        return
    address = str(job.settings["data.name"])
    if not address.startswith("gs://"):
        return
    problem = bucket.find(address)
    if problem is None:
        yield Finding("ok", "data", f"{address} has objects")
    elif problem.unknown:
        yield Finding("warning", "data", problem.problem, problem.hint)
    else:
        yield Finding("error", "data", problem.problem, problem.hint)


def image_findings(job: TrainingJob) -> Iterator[Finding]:
    """Yield whether the image is in its registry, for the hosts' processors."""
    image, name = image_registry.parse(job.image), job.image
    inspect = f"docker manifest inspect {name}"
    if image is None:
        text, hint = f"{name} names no registry: only nodes that have it can run it", "--image REGISTRY/…"
        if "/" in name:
            text = f"{name} was not checked: it names no registry, and nodes may have one configured"
            hint = inspect
        yield Finding("warning", "image", text, hint)
        return
    try:
        platforms = image_registry.platforms(image)
    except image_registry.Closed as error:
        yield Finding("warning", "image", f"{name} was not checked: {error}", inspect)
        return
    needed = f"linux/{job.shape.arch}"
    if platforms is None:
        hint = "push it there, or choose another --image"
        yield Finding("error", "image", f"{image.host} has no {image.repository} {image.version}", hint)
    elif platforms and needed not in platforms:
        text = f"{name} is built for {', '.join(platforms)}, the hosts are {needed}"
        yield Finding("error", "image", text, f"docker buildx build --platform {needed}")
    else:
        yield Finding("ok", "image", f"{name} exists" + (f" for {needed}" if platforms else ""))


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
}
