"""The commands that install what runs need on GKE, as docs/guides/install-gke.md has them. Pure.

A test compares the guide with them, so that neither says what the other does not.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from launcher.hardware.slices import Slice

JOBSET = "https://github.com/kubernetes-sigs/jobset/releases/download/v0.12.0/manifests.yaml"
KUEUE = "https://github.com/kubernetes-sigs/kueue/releases/download/v0.19.2/manifests.yaml"
ROLES = ("roles/storage.objectAdmin", "roles/storage.legacyBucketReader")
LEVELS = {True: "privileged", False: "restricted"}  # whether pods need the network of GPU hosts -> level


@dataclass(frozen=True, kw_only=True)
class Site:
    """The names that the commands hold; those in capitals are for a person to replace.

    Attributes:
      cluster: name of the GKE cluster.
      location: its zone or region.
      project: Google Cloud project.
      region: region of the bucket.
      namespace: of the runs.
      account: Kubernetes service account of the pods, and the name of the Google account it acts as.
      bucket: gs://BUCKET or gs://BUCKET/PREFIX.
      queue: local queue of Kueue; empty for none.
      image: image of the pods.
      shape: hardware of a run.
    """

    cluster: str = "train"
    location: str = "ZONE"
    project: str = "PROJECT"
    region: str = "REGION"
    namespace: str = "default"
    account: str = "trainer"
    bucket: str = "gs://BUCKET"
    queue: str = ""
    image: str = ""
    shape: Slice | None = None

    @property
    def google_account(self) -> str:
        """The Google service account that the pods act as."""
        return f"{self.account}@{self.project}.iam.gserviceaccount.com"


def cluster(site: Site) -> list[str]:
    """Return the commands that make a GKE cluster and its context."""
    where = f"{site.cluster} --location {site.location}"
    return [
        f"gcloud container clusters create {where} --workload-pool {site.project}.svc.id.goog --num-nodes 2",
        f"gcloud container clusters get-credentials {where}",
    ]


def node_pool(site: Site) -> list[str]:
    """Return the command that makes a node pool for the slice of a site; none for CPU hosts."""
    shape = site.shape
    if shape is None or not shape.machine:
        return []
    name = shape.name.replace(":", "-") if shape.kind == "tpu" else shape.generation
    lines = [
        f"gcloud container node-pools create {name} --cluster {site.cluster} --location {site.location}",
        f"--machine-type {shape.machine}",
    ]
    if shape.kind == "tpu":
        lines[1] += f" --tpu-topology {shape.topology}" if shape.hosts > 1 else ""
        lines[1] += f" --num-nodes {shape.hosts}"
        if shape.placement_policy:
            lines[1] += " --placement-policy POLICY"
    else:
        lines[1] += f" --num-nodes {shape.hosts}"
        accelerator = f"type={shape.accelerator},count={shape.chips_per_host},gpu-driver-version=latest"
        lines.append(f"--accelerator {accelerator}")
    return [" \\\n  ".join(lines)]


def jobset() -> list[str]:
    """Return the commands that install JobSet."""
    return _controller(JOBSET, "jobset")


def kueue() -> list[str]:
    """Return the commands that install Kueue."""
    return _controller(KUEUE, "kueue")


def _controller(manifests: str, name: str) -> list[str]:
    return [
        f"kubectl apply --server-side -f {manifests}",
        f"kubectl wait --namespace {name}-system --for condition=Available --timeout 5m "
        f"deployment/{name}-controller-manager",
    ]


def bucket(site: Site) -> list[str]:
    """Return the command that makes the bucket."""
    return [
        f"gcloud storage buckets create {_root(site)} --location {site.region} --uniform-bucket-level-access"
    ]


def rights(site: Site) -> list[str]:
    """Return the commands that make a Google account and let the pods act as it and use the bucket."""
    grants = "gcloud iam service-accounts add-iam-policy-binding"
    member = f"serviceAccount:{site.project}.svc.id.goog[{site.namespace}/{site.account}]"
    return [
        f"gcloud iam service-accounts create {site.account}",
        f"for role in {' '.join(ROLES)}; do\n"
        f"  gcloud storage buckets add-iam-policy-binding {_root(site)} --role $role \\\n"
        f"    --member serviceAccount:{site.google_account}\n"
        "done",
        f'{grants} {site.google_account} \\\n  --role roles/iam.workloadIdentityUser --member "{member}"',
    ]


def image(site: Site) -> list[str]:
    """Return the command that builds and pushes the image, in a checkout; its tag is VERSION-KIND."""
    kind = site.shape.kind if site.shape else "tpu"
    repository = shlex.quote(site.image.rpartition(":")[0] or site.image)
    processor = " --processor arm64" if site.shape and site.shape.arch == "arm64" else ""
    return [f"resnet-launch image build --target {kind}{processor} --push {repository}"]


def namespace(site: Site) -> list[str]:
    """Return the commands that make the namespace."""
    level = LEVELS[bool(site.shape and site.shape.fabric)]
    return [
        f"kubectl create namespace {site.namespace}",
        f"kubectl label namespace {site.namespace} pod-security.kubernetes.io/enforce={level}",
    ]


def platform(site: Site, bound: bool) -> list[str]:
    """Return the command that installs service account and queue by the chart, in a checkout.

    Args:
      bound: the account acts as a Google account.
    """
    flags = [f"--namespace {site.namespace} --set serviceAccount.name={site.account}"]
    if bound:
        flags.append(f"--set serviceAccount.googleServiceAccount={site.google_account}")
    if site.queue:
        chips = f"{site.shape.name}={site.shape.chips}" if site.shape else "SLICE=CHIPS"
        chips = f"cpu={site.shape.hosts}" if site.shape and site.shape.kind == "cpu" else chips
        chips = chips.replace(".", "\\.")
        flags.append(
            f"--set kueue.enabled=true --set kueue.localQueue={site.queue} --set kueue.flavors.{chips}"
        )
    return [" \\\n  ".join([f"helm upgrade --install {site.namespace} helm/resnet-platform", *flags])]


def of_context(context: str) -> dict[str, str]:
    """Return project, location and cluster of a context that gcloud named; empty for any other."""
    parts = context.split("_")
    if len(parts) != 4 or parts[0] != "gke" or not all(parts):
        return {}
    return {"project": parts[1], "location": parts[2], "cluster": parts[3]}


def _root(site: Site) -> str:
    return "gs://" + site.bucket.removeprefix("gs://").partition("/")[0]
