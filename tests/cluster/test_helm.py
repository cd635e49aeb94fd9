"""Both charts on a real API server: install, upgrade, rollback, uninstall; the rights of a researcher."""

import json
from pathlib import Path

import pytest
from charts import PLATFORM, TRAIN, Helm
from commands import Command, Result
from releases import Release, kubeconfig_of
from testcluster import Cluster
from testcluster.api import Object, Refused
from testcluster.objects import eventually, queue

from launcher.cli import main
from launcher.cluster import api as launcher_cluster
from launcher.cluster.refusals import Refused as LauncherRefused

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "slice=cpu-2x1,arch=resnet18,data=digits,bucket=b-1,image=r/i:1"
JOBSET: Object = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet"}


@pytest.fixture
def release(helm: Helm, control_plane: Cluster, namespace: str) -> Release:
    return Release(helm, control_plane, namespace)


def jobset(cluster: Cluster, namespace: str, name: str) -> Object:
    return cluster.api.get({**JOBSET, "metadata": {"name": name, "namespace": namespace}})


KINDS = ["serviceaccounts", "configmaps", "secrets", "resourcequotas", "services", "pods"]
GROUPED = [
    "apis/rbac.authorization.k8s.io/v1/{}/roles",
    "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
    "apis/networking.k8s.io/v1/{}/networkpolicies",
    "apis/kueue.x-k8s.io/v1beta1/{}/localqueues",
    "apis/jobset.x-k8s.io/v1alpha2/{}/jobsets",
    "apis/batch/v1/{}/jobs",
]
CLUSTER_WIDE = ["resourceflavors", "clusterqueues", "topologies", "workloadpriorityclasses"]


def everything(cluster: Cluster, namespace: str) -> set[str]:
    """Return every object of the namespace and Kueue's cluster-wide objects, as KIND/NAME."""
    scope = f"namespaces/{namespace}"
    paths = [f"/api/v1/{scope}/{kind}" for kind in KINDS]
    paths += ["/" + path.format(scope) for path in GROUPED]
    paths += [f"/apis/kueue.x-k8s.io/v1beta1/{kind}" for kind in CLUSTER_WIDE]
    objects = {}
    for path in paths:
        for item in cluster.api.request("GET", path)["items"]:
            objects[f"{path.rpartition('/')[2]}/{item['metadata']['name']}"] = item
    return set(objects) - {"serviceaccounts/default", "configmaps/kube-root-ca.crt"}


def platform_values(namespace: str) -> str:
    name = f"queue-{namespace}"
    document = {
        "researchers": [{"kind": "ServiceAccount", "name": "researcher"}],
        "defaults": {"bucket": "team-runs", "image": "r/team:1", "data": "digits"},
        "kueue": {
            "enabled": True,
            "localQueue": "team",
            "clusterQueue": name,
            "flavors": {"v4-32": 64, "v6e-8": 8, "h100": 32, "cpu": "2500m"},
            "topology": ["cloud.google.com/gce-topology-block", "kubernetes.io/hostname"],
            "topologyFlavors": ["h100"],
        },
        "quota": {"requests.google.com/tpu": 64, "count/pods": "100"},
    }
    return json.dumps(document)


def test_the_platform_comes_changes_and_goes(
    control_plane: Cluster, namespace: str, release: Release
) -> None:
    before = everything(control_plane, namespace)
    values = platform_values(namespace)
    arguments = (str(PLATFORM), "-f", "-")
    release("install", "team", *arguments, "--dry-run=server", stdin=values)
    assert everything(control_plane, namespace) == before
    release("install", "team", *arguments, "--wait", "--timeout", "60s", stdin=values)
    added = everything(control_plane, namespace) - before
    assert {kind for kind in added if not kind.startswith("secrets/")} == {
        "serviceaccounts/trainer",
        "configmaps/resnet-launch-defaults",
        "resourcequotas/resnet-launch",
        "roles/resnet-launch-researcher",
        "rolebindings/resnet-launch-researcher",
        "networkpolicies/resnet-launch-runs",
        "localqueues/team",
        f"clusterqueues/queue-{namespace}",
        f"topologies/queue-{namespace}",
        *(f"resourceflavors/{name}" for name in ("v4-32", "v6e-8", "h100", "cpu")),
        *(f"workloadpriorityclasses/{name}" for name in ("low", "high")),
    }
    queue = f"/apis/kueue.x-k8s.io/v1beta1/clusterqueues/queue-{namespace}"

    def active() -> bool:
        conditions = control_plane.api.request("GET", queue).get("status", {}).get("conditions", [])
        return any(item["type"] == "Active" and item["status"] == "True" for item in conditions)

    assert eventually(active, 20), control_plane.api.request("GET", queue)
    release("upgrade", "team", *arguments, "--set", "kueue.flavors.v4-32=128", stdin=values)
    groups = control_plane.api.request("GET", queue)["spec"]["resourceGroups"]
    quotas = {f["name"]: f["resources"][0]["nominalQuota"] for g in groups for f in g["flavors"]}
    assert quotas == {"cpu": "2500m", "v4-32": "128", "v6e-8": "8", "h100": "32"}
    release("rollback", "team", "1")
    groups = control_plane.api.request("GET", queue)["spec"]["resourceGroups"]
    quotas = {f["name"]: f["resources"][0]["nominalQuota"] for g in groups for f in g["flavors"]}
    assert quotas["v4-32"] == "64"
    release.uninstall_platform("team")
    assert eventually(lambda: everything(control_plane, namespace) == before, 20)


def test_a_run_comes_changes_and_goes(control_plane: Cluster, namespace: str, release: Release) -> None:
    before = everything(control_plane, namespace)
    arguments = (str(TRAIN), "--set", RUN)
    release("install", "run", *arguments, "--dry-run=server")
    assert everything(control_plane, namespace) == before
    printed = release("install", "run", *arguments, "--wait", "--timeout", "60s").out
    assert f"resnet-launch status run --namespace {namespace}" in printed
    stored = jobset(control_plane, namespace, "run")
    assert stored["metadata"]["labels"]["app.kubernetes.io/name"] == "resnet-launch"
    # Fields of the JobSet itself may change; its pod template may not.
    release("upgrade", "run", *arguments, "--set", "ttl=7d")
    assert jobset(control_plane, namespace, "run")["spec"]["ttlSecondsAfterFinished"] == 604800
    assert jobset(control_plane, namespace, "run")["metadata"]["uid"] == stored["metadata"]["uid"]
    release("rollback", "run", "1")
    assert "ttlSecondsAfterFinished" not in jobset(control_plane, namespace, "run")["spec"]
    assert eventually(lambda: "services/run" in everything(control_plane, namespace), 20)
    release("uninstall", "run", "--wait", "--timeout", "60s")
    assert eventually(lambda: everything(control_plane, namespace) == before, 30)


def test_a_run_that_waits_in_a_queue_is_suspended(
    control_plane: Cluster, namespace: str, release: Release
) -> None:
    release("install", "run", str(TRAIN), "--set", f"{RUN},queue=none", "--wait", "--timeout", "60s")
    assert jobset(control_plane, namespace, "run")["spec"]["suspend"] is True
    release("uninstall", "run")


def test_a_run_that_kueue_has_started_is_not_stopped_by_an_upgrade(
    control_plane: Cluster, namespace: str, release: Release
) -> None:
    control_plane.api.apply(queue(namespace, f"q-{namespace}", cpus=4))
    arguments = (str(TRAIN), "--set", f"{RUN},queue=q-{namespace}")
    release("install", "run", *arguments)
    assert eventually(lambda: jobset(control_plane, namespace, "run")["spec"]["suspend"] is False, 30)
    result = release("upgrade", "run", *arguments, "--set", "ttl=7d", fails=True)
    assert ".spec.suspend" in result.err
    assert jobset(control_plane, namespace, "run")["spec"]["suspend"] is False
    release("uninstall", "run", "--wait", "--timeout", "60s")


def test_another_run_under_the_name_is_refused(
    control_plane: Cluster, namespace: str, release: Release
) -> None:
    """A JobSet's pods cannot be changed: the server refuses, and the run continues."""
    release("install", "run", str(TRAIN), "--set", RUN)
    uid = jobset(control_plane, namespace, "run")["metadata"]["uid"]
    result = release("upgrade", "run", str(TRAIN), "--set", f"{RUN},arch=resnet50", fails=True)
    assert "immutable" in result.err
    stored = jobset(control_plane, namespace, "run")
    assert stored["metadata"]["uid"] == uid
    assert stored["metadata"]["annotations"]["resnet-launch/arch"] == "resnet18"
    release("uninstall", "run")


def test_a_kind_that_the_cluster_does_not_have(release: Release) -> None:
    result = release("install", "run", str(TRAIN), "--set", "slice=gb200-72,arch=resnet50", fails=True)
    assert "cluster: this cluster has no computedomains.resource.nvidia.com" in result.err


# ---- a researcher, with the rights of the chart and no others


@pytest.fixture
def researcher(control_plane: Cluster, namespace: str, release: Release, tmp_path: Path) -> Path:
    """The kubeconfig of a researcher in a namespace with the platform."""
    document = json.loads(platform_values(namespace))
    document["kueue"] = {"enabled": False}
    document["quota"] = {}
    release("install", "team", str(PLATFORM), "-f", "-", stdin=json.dumps(document))
    return kubeconfig_of(control_plane, namespace, "researcher", tmp_path / "researcher")


@pytest.fixture
def launch(researcher: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(line: str) -> Result:
        code = main([*line.split(), "--kubeconfig", str(researcher)])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def test_two_flags_submit_follow_and_delete(control_plane: Cluster, namespace: str, launch: Command) -> None:
    result = launch("--slice cpu-2x1 --arch resnet-tiny")
    assert (result.code, result.out) == (0, "resnet-tiny-cpu-2x1\n"), result.err
    stored = jobset(control_plane, namespace, "resnet-tiny-cpu-2x1")
    pod = stored["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["containers"][0]["image"] == "r/team:1"
    assert stored["metadata"]["annotations"]["resnet-launch/run-dir"] == "gs://team-runs/resnet-tiny-cpu-2x1"
    assert "resnet-tiny-cpu-2x1" in launch("list").out
    assert launch("status resnet-tiny-cpu-2x1").code == 0
    assert launch("suspend resnet-tiny-cpu-2x1").code == 0
    assert launch("resume resnet-tiny-cpu-2x1").code == 0
    assert launch("delete resnet-tiny-cpu-2x1 --yes").code == 0
    assert launch("list").out == ""


# (method, path, body) of requests that a researcher may not make; {} is the namespace
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}}
FORBIDDEN: list[tuple[str, str, Object | None]] = [
    ("GET", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets", None),
    ("GET", "/apis/jobset.x-k8s.io/v1alpha2/jobsets", None),
    ("POST", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets", JOBSET),
    ("GET", "/api/v1/namespaces/{}/secrets", None),
    ("GET", "/api/v1/namespaces/{}/secrets/wandb", None),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/namespaces", None),
    ("POST", "/api/v1/namespaces/{}/pods", POD),
    ("DELETE", "/api/v1/namespaces/{}/pods/x", None),
    ("POST", "/api/v1/namespaces/{}/pods/x/exec", None),
    ("GET", "/api/v1/namespaces/{}/configmaps", None),
    ("DELETE", "/api/v1/namespaces/{}/configmaps/resnet-launch-defaults", None),
    ("POST", "/api/v1/namespaces/{}/serviceaccounts/trainer/token", {}),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", None),
    ("DELETE", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets", None),
    ("DELETE", "/apis/kueue.x-k8s.io/v1beta1/namespaces/{}/workloads/x", None),
    ("GET", "/apis/kueue.x-k8s.io/v1beta1/clusterqueues", None),
    ("GET", "/apis/batch/v1/namespaces/{}/jobs", None),
]  # fmt: skip


def test_a_researcher_may_do_nothing_else(namespace: str, researcher: Path) -> None:
    api = launcher_cluster.Cluster(kubeconfig=str(researcher))
    assert api.get("ConfigMap", "resnet-launch-defaults") is not None
    for method, path, body in FORBIDDEN:
        with pytest.raises(LauncherRefused) as caught:
            api.request(method, path.format(namespace), body)
        assert (caught.value.status, caught.value.about) == (403, "permission"), (method, path)


def test_who_is_not_named_may_not_even_look(
    control_plane: Cluster, namespace: str, researcher: Path, tmp_path: Path
) -> None:
    stranger = kubeconfig_of(control_plane, namespace, "stranger", tmp_path / "stranger")
    api = launcher_cluster.Cluster(kubeconfig=str(stranger))
    with pytest.raises(LauncherRefused, match="may not list jobsets"):
        api.list("JobSet")
    assert researcher != stranger


def test_the_smoke_job_is_one_that_the_server_takes(
    control_plane: Cluster, namespace: str, helm: Helm
) -> None:
    """Pod Security `restricted` and strict decoding; it runs in test_helm_node.py."""
    result = helm("template", "a.b", str(PLATFORM), "--namespace", namespace)
    for manifest in result.objects:
        if manifest["kind"] in ("Service", "Job"):
            manifest["metadata"]["namespace"] = namespace
            path = control_plane.api.path(manifest).rpartition("/")[0]
            try:
                control_plane.api.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", manifest)
            except Refused as error:
                pytest.fail(str(error))
