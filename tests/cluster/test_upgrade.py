"""Runs and releases of version 0.1.0 on a real API server, under the hands of this version.

`upgrade/` has what 0.1.0 rendered (`resnet-launch render --bucket b-1 --image r/i:1`) and both of its charts
as it packaged them.
"""

import json
from pathlib import Path

import pytest
import yaml
from charts import PLATFORM, TRAIN, Helm
from commands import Command
from releases import Release
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, pods

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

EARLIER = Path(__file__).parent / "upgrade"
EARLIER_TRAIN, EARLIER_PLATFORM = (
    str(EARLIER / f"{name}-0.1.0.tgz") for name in ("resnet-train", "resnet-platform")
)
# name of the run: flags of its request, number of pods
RUNS = {
    "plain": ("--slice cpu-2x1 --arch resnet-tiny --data digits", 2),
    "queued": ("--slice v5e-16 --num-slices 2 --arch resnet50 --queue team", 0),
    "gpu": ("--slice h100-16 --arch resnet50 --data digits --fabric none", 2),
}
RELEASE = "slice=cpu-2x1,arch=resnet18,data=digits,bucket=b-1,image=r/i:1"


@pytest.fixture
def release(helm: Helm, control_plane: Cluster, namespace: str) -> Release:
    return Release(helm, control_plane, namespace)


@pytest.fixture(params=RUNS)
def name(control_plane: Cluster, namespace: str, request: pytest.FixtureRequest) -> str:
    """The name of a run that 0.1.0 rendered and this API server runs."""
    jobset = yaml.safe_load((EARLIER / f"{request.param}.yaml").read_text())
    jobset["metadata"]["namespace"] = namespace
    control_plane.api.apply([jobset])
    count = RUNS[request.param][1]
    assert eventually(lambda: len(pods(control_plane.api, namespace)) == count)
    return request.param


def stored(cluster: Cluster, namespace: str, name: str) -> Object:
    return cluster.api.request("GET", f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{namespace}/jobsets/{name}")


def test_an_earlier_run_is_listed_steered_and_replaced(
    control_plane: Cluster, namespace: str, launch: Command, name: str
) -> None:
    flags = f"{RUNS[name][0]} --name {name} --bucket b-1 --image r/i:1"
    uid = stored(control_plane, namespace, name)["metadata"]["uid"]
    [row] = launch("list --json").json
    state = launch(f"status {name} --json").json
    for document in (row, state):
        phase = "Queued" if name == "queued" else "Pending"
        assert (document["name"], document["phase"]) == (name, phase)
        assert document["run_dir"] == f"gs://b-1/{name}"
        assert document["restarts"] == {"total": 0, "counted": 0, "max": 10}
    # What a newer version would do otherwise is shown, and does not change the run.
    changes = launch(f"diff {flags}")
    assert changes.code == 1
    assert "backoffLimitPerIndex" in changes.out
    refused = launch(f"submit {flags}")
    assert refused.code == 2
    assert f"name: must be new, got '{name}'" in refused.err
    assert stored(control_plane, namespace, name)["metadata"]["uid"] == uid
    if name != "queued":  # in a queue that this namespace lacks
        assert launch(f"suspend {name}").code == 0
        assert launch("list --json").json[0]["phase"] == "Suspended"
        assert launch(f"resume {name}").code == 0
        assert stored(control_plane, namespace, name)["spec"]["suspend"] is False
        assert launch(f"submit --replace {flags}").code == 0
        replaced = stored(control_plane, namespace, name)
        assert replaced["metadata"]["uid"] != uid
        assert replaced["spec"]["replicatedJobs"][0]["template"]["spec"]["backoffLimitPerIndex"] == 4
    assert launch(f"delete {name} --yes").code == 0
    assert launch("list --json").json == []


def test_an_earlier_release_of_a_run_is_refused_or_replaced(
    control_plane: Cluster, namespace: str, release: Release
) -> None:
    """The policies of a JobSet cannot change: the run continues, and Helm stores no failed revision."""
    release("install", "run", EARLIER_TRAIN, "--set", RELEASE)
    uid = stored(control_plane, namespace, "run")["metadata"]["uid"]
    result = release("upgrade", "run", str(TRAIN), "--set", RELEASE, fails=True)
    assert result.err.endswith(
        "name: must be new, or keep the failure policy that run was submitted with, got another one: of a "
        "newer chart, or another maxRestarts; nothing was changed (helm uninstall run, then helm install "
        "run: the run resumes from gs://b-1/run)\n"
    )
    assert stored(control_plane, namespace, "run")["metadata"]["uid"] == uid
    [revision] = json.loads(release("history", "run", "--output", "json").out)
    assert revision["status"] == "deployed"
    # The chart that it came from still changes what may change.
    release("upgrade", "run", EARLIER_TRAIN, "--set", f"{RELEASE},ttl=7d")
    release("uninstall", "run", "--wait", "--timeout", "60s")
    release("install", "run", str(TRAIN), "--set", RELEASE)
    container = pod_template(stored(control_plane, namespace, "run"))["containers"][0]
    assert "gs://b-1/run" in container["command"]
    other = release("upgrade", "run", str(TRAIN), "--set", f"{RELEASE},maxRestarts=3", fails=True)
    assert "got another one" in other.err
    release("upgrade", "run", str(TRAIN), "--set", f"{RELEASE},ttl=7d")


def pod_template(jobset: Object) -> Object:
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


def test_an_earlier_release_of_the_platform_is_upgraded_and_rolled_back(
    control_plane: Cluster, namespace: str, release: Release, launch: Command
) -> None:
    flavors = {"v4-32": 64, "v6e-8": 8, "h100": 32, "cpu": "2500m"}
    queues = {"enabled": True, "localQueue": "team", "clusterQueue": f"q-{namespace}", "flavors": flavors}
    document = {
        "researchers": [{"kind": "ServiceAccount", "name": "researcher"}],
        "defaults": {"bucket": "team-runs", "image": "r/team:1", "data": "digits"},
        "kueue": {**queues, "topology": ["kubernetes.io/hostname"], "topologyFlavors": ["h100"]},
        "quota": {"requests.google.com/tpu": 64, "count/pods": "100"},
    }
    values = json.dumps(document)
    wait = ("--wait", "--timeout", "60s")
    release("install", "team", EARLIER_PLATFORM, "-f", "-", *wait, stdin=values)
    assert launch("submit --slice cpu-2x1 --arch resnet18 --name run --queue team").code == 0
    uid = stored(control_plane, namespace, "run")["metadata"]["uid"]
    release("upgrade", "team", str(PLATFORM), "-f", "-", *wait, stdin=values)
    running = stored(control_plane, namespace, "run")
    assert running["metadata"]["uid"] == uid
    assert pod_template(running)["containers"][0]["image"] == "r/team:1"
    release("rollback", "team", "1", *wait)
    release("upgrade", "team", str(PLATFORM), "-f", "-", *wait, stdin=values)
    assert launch("delete run --yes").code == 0  # it holds quota of the release's queue
    release.uninstall_platform("team")
