"""What the platform's admission policy lets a run ask for: the real API server judges each JobSet."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from charts import PLATFORM, Helm
from releases import Release, kubeconfig_of
from testcluster import Cluster
from testcluster.api import Object, Refused
from testcluster.objects import eventually

from launcher import TrainingJob, render
from launcher.cluster import api
from launcher.errors import ActionError
from launcher.runs import lookup

VALUES: Object = {
    "defaults": {
        "image": "r.example/team/trainer:1",
        "secret-env": {"WANDB_API_KEY": "wandb/key"},
        "notify": "chat/url",
    },
    "admission": {
        "enabled": True,
        "images": ["r.example/team/", "r.example/base"],
        "serviceAccounts": ["reader"],
        "secrets": ["pull"],
        "hostPaths": ["/mnt/data"],
    },
    "researchers": [{"kind": "ServiceAccount", "name": "researcher"}],
    "networkPolicy": {"perRun": True},
    "kueue": {"enabled": True, "clusterQueue": "admission", "flavors": {"l4": 8}, "priorities": {}},
}


@pytest.fixture(scope="module")
def team(control_plane: Cluster, helm: Helm) -> Iterator[str]:
    """A namespace without Pod Security, in which only the admission policy can refuse a JobSet."""
    name = "team-admission"
    manifest: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    control_plane.api.apply([manifest])
    release = Release(helm, control_plane, name)
    release("install", "team", str(PLATFORM), "-f", "-", stdin=json.dumps(VALUES))
    assert eventually(lambda: refusal(control_plane, jobset(name, node_name)) != "")
    yield name
    release("uninstall", "team")
    control_plane.api.delete(manifest)


def jobset(namespace: str, *changes: Callable[[Any, Any], None]) -> Object:
    """Return a run's JobSet after each change was applied to the JobSet and its pod template."""
    fields: Any = {
        "bucket": "b-1",
        "image": "r.example/team/trainer:1",
        "service_account": "trainer",
        "secret_env": {"WANDB_API_KEY": "wandb/key"},
        "mount": ["gcs/data:/data", "pvc/claim:/claim"],
    }
    request = TrainingJob(slice="cpu-2x1", arch="resnet18", name="run", namespace=namespace, **fields)
    manifest: Any = copy.deepcopy(render(request)[-1])
    for change in changes:
        change(manifest, manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"])
    return manifest


def refusal(cluster: Cluster, manifest: Object) -> str:
    """Return the server's message where it refuses to create the JobSet (dry run), or an empty text."""
    path = cluster.api.path(manifest).rpartition("/")[0] + "?dryRun=All"
    try:
        cluster.api.request("POST", path, manifest)
    except Refused as error:
        return str(error)
    return ""


def node_name(manifest: Any, pod: Any) -> None:
    pod["spec"]["nodeName"] = "node-1"


def trainer(**fields: Any) -> Callable[[Any, Any], None]:
    """Return a change of the trainer's container."""
    return lambda manifest, pod: pod["spec"]["containers"][0].update(fields)


def beside(**fields: Any) -> Callable[[Any, Any], None]:
    """Return a change that adds an init container."""
    container = {"name": "first", "image": "r.example/base:1", **fields}
    return lambda manifest, pod: pod["spec"].update(initContainers=[container])


def pods(**fields: Any) -> Callable[[Any, Any], None]:
    """Return a change of the pods' spec."""
    return lambda manifest, pod: pod["spec"].update(fields)


def volume(**source: Any) -> Callable[[Any, Any], None]:
    """Return a change that adds a volume."""
    return lambda manifest, pod: pod["spec"].setdefault("volumes", []).append({"name": "more", **source})


def label(key: str) -> Callable[[Any, Any], None]:
    """Return a change that labels the pods."""
    return lambda manifest, pod: pod["metadata"].setdefault("labels", {}).update({key: "other"})


def subdomain(name: str) -> Callable[[Any, Any], None]:
    """Return a change of the JobSet's network."""
    return lambda manifest, pod: manifest["spec"].setdefault("network", {}).update(subdomain=name)


def secret_env(name: str) -> list[Object]:
    return [{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]


def with_code(manifest: Any, pod: Any) -> None:
    """Give the pods the init container and the volume of --code without a bucket."""
    fields: Any = {"image": "r.example/team/trainer:1", "code_image": "r.example/base:1"}
    code: Any = {"digest": hashlib.sha256(b"x").hexdigest(), "archive": "eA=="}
    job = TrainingJob(slice="cpu-2x1", arch="resnet18", name="run", code=code, **fields)
    rendered: Any = copy.deepcopy(render(job)[-1])
    spec = rendered["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert spec["initContainers"][0]["image"] == "r.example/base:1"
    pod["spec"] |= {key: spec[key] for key in ("initContainers", "volumes")}
    pod["spec"]["containers"] = spec["containers"]


ALLOWED = {
    "code of its own": with_code,
    "as rendered": pods(),
    "an image by digest": trainer(image=f"r.example/team/a/b@sha256:{'0' * 64}"),
    "an init container": beside(),
    "the namespace's own account": pods(serviceAccountName="default"),
    "an account of the values": pods(serviceAccountName="reader"),
    "a secret of the values": pods(imagePullSecrets=[{"name": "pull"}]),
    "the secret of the defaults": trainer(env=secret_env("wandb")),
    "the secret of the messages": trainer(env=secret_env("chat")),
    "a directory of the values": volume(hostPath={"path": "/mnt/data/imagenet"}),
    "a label of the team": label("example.com/cost"),
    "its own subdomain": subdomain("run"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_a_run_may_ask_for(control_plane: Cluster, team: str, case: str) -> None:
    assert refusal(control_plane, jobset(team, ALLOWED[case])) == ""


REFUSED = {
    "an image of another registry": (trainer(image="docker.io/x/miner:1"), "image:"),
    "an image of a name that only begins alike": (trainer(image="r.example/team-2/trainer:1"), "image:"),
    "a base image of a name that only begins alike": (beside(image="r.example/base-2:1"), "image:"),
    "an init container of another registry": (beside(image="x:1"), "image:"),
    "another account": (pods(serviceAccountName="admin"), "serviceAccountName:"),
    "another account by the old field": (
        lambda manifest, pod: (
            pod["spec"].pop("serviceAccountName"),
            pod["spec"].update(serviceAccount="admin"),
        ),
        "serviceAccountName:",
    ),
    "another secret": (trainer(env=secret_env("other")), "Secret:"),
    "another secret in an init container": (beside(env=secret_env("other")), "Secret:"),
    "a whole secret": (trainer(envFrom=[{"secretRef": {"name": "other"}}]), "Secret:"),
    "a secret as a volume": (volume(secret={"secretName": "other"}), "Secret:"),
    "a projected secret": (volume(projected={"sources": [{"secret": {"name": "other"}}]}), "Secret:"),
    "a secret to pull images": (pods(imagePullSecrets=[{"name": "other"}]), "Secret:"),
    "the node's root": (volume(hostPath={"path": "/"}), "volumes:"),
    "a directory that only begins alike": (volume(hostPath={"path": "/mnt/data-2"}), "volumes:"),
    "a directory above": (volume(hostPath={"path": "/mnt/data/../../etc"}), "volumes:"),
    "a disk by network": (volume(nfs={"server": "s", "path": "/"}), "volumes:"),
    "another storage driver": (volume(csi={"driver": "secrets-store.csi.k8s.io"}), "volumes:"),
    "the node's network": (pods(hostNetwork=True), "host access:"),
    "the node's processes": (pods(hostPID=True), "host access:"),
    "a port of the node": (trainer(ports=[{"containerPort": 1, "hostPort": 1}]), "host access:"),
    "a privileged container": (trainer(securityContext={"privileged": True}), "host access:"),
    "an added capability": (beside(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), "host access:"),
    "a port of a registry that is allowed": (trainer(image="r.example:5000/team/x"), "image:"),
    "a port of a base image's name": (beside(image="r.example/base:5000/x"), "image:"),
    "a priority that evicts others": (pods(priorityClassName="system-node-critical"), "priorityClassName:"),
    "a node": (node_name, "nodeName:"),
    "the label of another run": (label("jobset.sigs.k8s.io/jobset-name"), "labels of the pods:"),
    "the label of another job": (label("batch.kubernetes.io/job-name"), "labels of the pods:"),
    "another run's subdomain": (subdomain("other"), "network.subdomain:"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_run_may_not_ask_for(control_plane: Cluster, team: str, case: str) -> None:
    change, message = REFUSED[case]
    text = refusal(control_plane, jobset(team, change))
    assert "ValidatingAdmissionPolicy 'resnet-launch-team-admission'" in text
    assert f"denied request: {message}" in text


def test_a_second_replicated_job_is_judged_too(control_plane: Cluster, team: str) -> None:
    def twice(manifest: Any, pod: Any) -> None:
        second = copy.deepcopy(manifest["spec"]["replicatedJobs"][0]) | {"name": "second"}
        second["template"]["spec"]["template"]["spec"]["hostNetwork"] = True
        manifest["spec"]["replicatedJobs"].append(second)

    assert "host access:" in refusal(control_plane, jobset(team, twice))


@pytest.fixture(scope="module")
def researcher(control_plane: Cluster, team: str, tmp_path_factory: pytest.TempPathFactory) -> api.Cluster:
    """The launcher's client with the rights of a researcher of the namespace."""
    path = kubeconfig_of(control_plane, team, "researcher", tmp_path_factory.mktemp("researcher") / "config")
    return api.Cluster(kubeconfig=str(path))


def policy(namespace: str, **spec: Any) -> Any:
    """Return the NetworkPolicy that the launcher renders for a run, with other fields of its spec."""
    request = TrainingJob(
        slice="cpu-2x1", arch="resnet18", name="run", namespace=namespace, network_policy=True
    )
    manifest: Any = copy.deepcopy(render(request)[0])
    manifest["spec"].update(spec)
    return manifest


OWN = {"podSelector": {"matchLabels": {"jobset.sigs.k8s.io/jobset-name": "run"}}}
OTHER = {"podSelector": {"matchLabels": {"jobset.sigs.k8s.io/jobset-name": "other"}}}


def test_a_researcher_s_run_has_its_network_policy(researcher: api.Cluster, team: str) -> None:
    assert researcher.apply(policy(team), dry_run=True)["metadata"]["name"] == "run"


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {}},
        OTHER,
        {"ingress": [{}]},
        {"ingress": [{"from": [OWN, OTHER]}]},
        {"ingress": [{"from": [OWN | {"namespaceSelector": {}}]}]},
        {"policyTypes": ["Ingress", "Egress"], "egress": [{}]},
        {"policyTypes": ["Egress"]},
    ],
    ids=[
        "all pods",
        "another run",
        "from anywhere",
        "from others",
        "from elsewhere",
        "to anywhere",
        "nowhere",
    ],
)
def test_a_researcher_writes_no_other_network_policy(researcher: api.Cluster, team: str, spec: Any) -> None:
    with pytest.raises(ActionError, match="must admit the pods of the run of its name and nothing else"):
        researcher.apply(policy(team, **spec), dry_run=True)


def test_a_researcher_suspends_a_queued_run_and_changes_nothing_else(
    control_plane: Cluster, researcher: api.Cluster, team: str
) -> None:
    queued = jobset(team, lambda manifest, pod: manifest["metadata"].update(name="queued"))
    queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "resnet"
    queued["spec"]["suspend"] = True
    control_plane.api.apply([queued])
    assert eventually(lambda: bool(researcher.list("Workload")[0]))
    [workload] = researcher.list("Workload")[0]
    name = workload["metadata"]["name"]
    run = lookup.find(researcher, "queued")
    assert lookup.set_suspended(researcher, run, True, {"by": "jane"})
    assert eventually(lambda: researcher.list("Workload")[0][0]["spec"]["active"] is False)
    assert lookup.set_suspended(researcher, run, False)
    assert eventually(lambda: researcher.list("Workload")[0][0]["spec"]["active"] is True)
    for change in ({"priority": 10**6}, {"queueName": "other"}):
        with pytest.raises(ActionError, match=r"only spec\.active may change"):
            researcher.patch("Workload", name, {"spec": change})
    control_plane.api.delete(queued)


def test_other_namespaces_are_left_alone(control_plane: Cluster, team: str, namespace: str) -> None:
    assert refusal(control_plane, jobset(namespace, trainer(image="docker.io/x/y:1"))) == ""
