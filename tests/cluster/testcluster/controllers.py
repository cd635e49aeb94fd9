"""JobSet and Kueue: their managers as programs beside the API server, with the manifests of their modules.

Each manager has its own user, bound to the ClusterRole that its project ships, so it has the rights of a real
installation. Its webhooks are reached by URL, because no Service leads out of a cluster without nodes.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from testcluster.api import Object, Refused
from testcluster.build import binary, build
from testcluster.controlplane import ControlPlane, healthy

RBAC = "rbac.authorization.k8s.io"
KUEUE_METRICS_CERTIFICATE = Path("/etc/kueue/metrics/certs")  # a constant of Kueue


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Settings in which the two managers differ."""

    name: str
    crds: str
    manifests: str
    api: str
    webhook_port: int
    health_port: int
    webhooks: tuple[str, ...]
    flags: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


JOBSET = Controller(
    name="jobset",
    crds="components/crd/bases",
    manifests="components",
    api="config.jobset.x-k8s.io/v1alpha1",
    webhook_port=9443,
    health_port=8081,
    webhooks=("jobset", "pod"),
)
KUEUE = Controller(
    name="kueue",
    crds="crd/bases",
    manifests="",
    api="config.kueue.x-k8s.io/v1beta2",
    webhook_port=9444,
    health_port=8083,
    webhooks=("jobset", "clusterqueue", "resourceflavor", "workload", "cohort"),
    flags=("--feature-gates=VisibilityOnDemand=false,MultiKueue=false",),
    extra={"integrations": {"frameworks": ["jobset.x-k8s.io/jobset"]}},
)
# CRDs of Kueue that are stored in one version and served in two.
CONVERTED = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")


def begin(plane: ControlPlane) -> None:
    """Start both managers, wait until their webhooks listen, then register these."""
    for controller in (JOBSET, KUEUE):
        plane.api.apply(_definitions(plane, controller))
        plane.api.apply(_permissions(controller))
    for controller in (JOBSET, KUEUE):
        for crd in _definitions(plane, controller):
            plane.sandbox.wait("kube-apiserver", functools.partial(_served, plane, crd), errors=(Refused,))
        _start(plane, controller)
    for controller in (JOBSET, KUEUE):
        check = functools.partial(healthy, f"http://{plane.wire.node}:{controller.health_port}/readyz")
        plane.sandbox.wait(controller.name, check, errors=(OSError,))
        plane.api.apply(_webhooks(plane, controller))


def documents(*paths: Path) -> Iterator[Object]:
    for path in paths:
        yield from (document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document)


def _folder(controller: Controller) -> Path:
    return build(controller.name) / "manifests" / controller.manifests


def _definitions(plane: ControlPlane, controller: Controller) -> Iterator[Object]:
    for crd in documents(*sorted((build(controller.name) / "manifests" / controller.crds).glob("*.yaml"))):
        if controller is KUEUE and crd["spec"]["names"]["plural"] in CONVERTED:
            client = {
                "url": f"https://127.0.0.1:{controller.webhook_port}/convert",
                "caBundle": plane.authority.bundle(),
            }
            webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
            crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        yield crd


def _served(plane: ControlPlane, crd: Object) -> bool:
    """Return whether every served version of a definition is listed; a manager that starts earlier fails."""
    group = crd["spec"]["group"]
    served = [version["name"] for version in crd["spec"]["versions"] if version["served"]]
    lists = [plane.api.request("GET", f"/apis/{group}/{version}")["resources"] for version in served]
    return all(any(item["kind"] == crd["spec"]["names"]["kind"] for item in items) for items in lists)


def _permissions(controller: Controller) -> Iterable[Object]:
    roles = sorted((_folder(controller) / "rbac").glob("*role.yaml"))
    for role in documents(*roles):
        if role["kind"] == "ClusterRole":
            role["metadata"]["name"] = f"{controller.name}-{role['metadata']['name']}"
            yield role
    name = f"{controller.name}-manager-role"
    yield binding(name, _user(controller))


def binding(role: str, user: str) -> Object:
    """Return the binding of a user to a cluster role."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }


def _user(controller: Controller) -> str:
    return f"system:serviceaccount:{controller.name}-system:{controller.name}-controller-manager"


def _start(plane: ControlPlane, controller: Controller) -> None:
    pair = plane.authority.issue(f"{controller.name}-webhook", "webhook", hosts=["127.0.0.1"])
    config = {
        "apiVersion": controller.api,
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f":{controller.health_port}"},
        "metrics": {"bindAddress": "0"},  # none
        "webhook": {"port": controller.webhook_port, "host": "127.0.0.1", "certDir": str(pair.folder)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        **controller.extra,
    }
    path = pair.folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    if controller is KUEUE:
        plane.sandbox.run("mkdir", "-p", str(KUEUE_METRICS_CERTIFICATE.parent))
        plane.sandbox.run("ln", "-sfn", str(pair.folder), str(KUEUE_METRICS_CERTIFICATE))
    kubeconfig = plane.credentials(f"{controller.name}-manager", _user(controller))
    flags = (f"--config={path}", f"--kubeconfig={kubeconfig}", *controller.flags)
    plane.sandbox.start(controller.name, [binary(controller.name), *flags])


def _webhooks(plane: ControlPlane, controller: Controller) -> Iterator[Object]:
    for configuration in documents(_folder(controller) / "webhook" / "manifests.yaml"):
        wanted = {f"{letter}{kind}.kb.io" for kind in controller.webhooks for letter in "mv"}
        configuration["webhooks"] = [hook for hook in configuration["webhooks"] if hook["name"] in wanted]
        configuration["metadata"]["name"] = f"{controller.name}-{configuration['metadata']['name']}"
        for hook in configuration["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            url = f"https://127.0.0.1:{controller.webhook_port}{path}"
            hook["clientConfig"] = {"url": url, "caBundle": plane.authority.bundle()}
            if hook["name"].endswith(
                "pod.kb.io"
            ):  # as JobSet's own kustomization does: only pods of a JobSet
                expression = {"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}
                hook["objectSelector"] = {"matchExpressions": [expression]}
        yield configuration
