"""Submitting to a real API server: success, and the message of each refusal."""

from typing import Any

import pytest
from commands import Command, command
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, pods

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --slice cpu-2x1 --arch resnet18 --data digits --bucket b-1 --image r/i:1 --name run"


def stored(cluster: Cluster, namespace: str, name: str = "run") -> Object:
    return cluster.api.request("GET", f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{namespace}/jobsets/{name}")


def test_the_name_is_data_and_the_rest_is_for_people(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    result = launch(RUN)
    flags = f"--kubeconfig {control_plane.kubeconfig} --namespace {namespace}"
    assert (result.code, result.out) == (0, "run\n")
    assert result.err.splitlines() == [
        "cpu-2x1 = 2 CPU devices on 2 hosts, 2 devices",
        "run directory gs://b-1/run",
        "image r/i:1",
        f"context test-cluster, namespace {namespace}",
        "next:",
        f"  resnet-launch status run {flags}",
        f"  resnet-launch logs -f run {flags}",
        f"  resnet-launch delete run {flags}",
    ]
    managers = stored(control_plane, namespace)["metadata"]["managedFields"]
    assert ("resnet-launch", "Apply") in [(m["manager"], m["operation"]) for m in managers]
    assert eventually(lambda: len(pods(control_plane.api, namespace)) == 2)


def test_json_names_the_run_and_where_it_is(control_plane: Cluster, namespace: str, launch: Command) -> None:
    result = launch(f"{RUN} --json").json
    assert result == {
        "name": "run",
        "namespace": namespace,
        "context": "test-cluster",
        "run_dir": "gs://b-1/run",
        "uid": stored(control_plane, namespace)["metadata"]["uid"],
    }


def test_a_name_in_use_says_what_can_be_done(launch: Command) -> None:
    launch(RUN)
    assert launch("suspend run").code == 0
    result = launch(RUN)
    assert result.code == 2
    assert result.err.splitlines() == [
        "error: name: must be new, got 'run', a run that is suspended",
        "hint: resnet-launch resume run, submit --replace, or another --name",
    ]


def test_replace_makes_a_new_run_of_the_name(control_plane: Cluster, namespace: str, launch: Command) -> None:
    launch(RUN)
    old = stored(control_plane, namespace)["metadata"]["uid"]
    assert launch(f"{RUN} --arch resnet50 --run-dir gs://b-1/another --replace").code == 0
    new = stored(control_plane, namespace)["metadata"]
    assert new["annotations"]["resnet-launch/arch"] == "resnet50"
    assert new["uid"] != old


def test_one_name_is_created_once_by_two_launchers_that_both_saw_it_free(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    """The second one is refused by the server and changes nothing, whatever it asked for."""
    from launcher import Cluster as Client
    from launcher.cluster.refusals import Refused
    from launcher.rendering.jobset import render
    from launcher.request.job import TrainingJob

    fields: dict[str, Any] = {"slice": "cpu-2x1", "data": "digits", "bucket": "b-1", "image": "r/i:1"}
    first, second = (
        render(TrainingJob(arch=arch, name="run", namespace=namespace, **fields))[-1]
        for arch in ("resnet18", "resnet50")
    )
    client = Client(namespace=namespace, kubeconfig=str(control_plane.kubeconfig))
    uid = client.apply(first, create=True)["metadata"]["uid"]
    with pytest.raises(Refused) as refused:
        client.apply(second, create=True)
    assert refused.value.status == 409
    metadata = stored(control_plane, namespace)["metadata"]
    assert (metadata["uid"], metadata["annotations"]["resnet-launch/arch"]) == (uid, "resnet18")
    with pytest.raises(Refused):
        client.delete("JobSet", "run", uid="another")
    assert stored(control_plane, namespace)["metadata"]["uid"] == uid
    client.delete("JobSet", "run", uid=uid)


def test_a_replacement_that_would_be_refused_leaves_the_run_alone(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    launch(RUN)
    old = stored(control_plane, namespace)["metadata"]["uid"]
    assert launch(f"{RUN} --replace --host-network").code == 1
    assert stored(control_plane, namespace)["metadata"]["uid"] == old


def test_pod_security_is_known_before_a_run_waits_for_pods_in_vain(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    result = launch(f"{RUN} --mount host/mnt:/data")
    assert result.code == 1
    assert result.err.splitlines()[0] == (
        "error: the namespace allows only pods of Pod Security level restricted:latest: restricted volume "
        'types (volume "mount-0" uses restricted volume type "hostPath")'
    )
    assert launch("list").out == ""


def test_a_quota_that_has_no_room(control_plane: Cluster, namespace: str, launch: Command) -> None:
    metadata = {"name": "q", "namespace": namespace}
    quota: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    control_plane.api.apply([{**quota, "spec": {"hard": {"count/pods": "0"}}}])
    assert eventually(lambda: "hard" in control_plane.api.get(quota)["status"]), "it is not enforced yet"
    assert launch(RUN).err.splitlines() == [
        "error: resource quota q has no room: requested count/pods=1, used count/pods=0, "
        "limited to count/pods=0",
        "hint: resnet-launch list shows what is running",
    ]
    assert launch("list").out == ""


def test_a_network_policy_comes_and_goes_with_its_run(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"

    def policies() -> list[str]:
        return [item["metadata"]["name"] for item in control_plane.api.request("GET", path)["items"]]

    assert launch(f"{RUN} --network-policy").code == 0
    assert policies() == ["run"]
    [policy] = control_plane.api.request("GET", path)["items"]
    assert (
        policy["metadata"]["ownerReferences"][0]["uid"] == stored(control_plane, namespace)["metadata"]["uid"]
    )
    assert launch(f"{RUN} --network-policy --replace").code == 0
    assert policies() == ["run"]
    assert launch("delete run --yes").code == 0
    assert policies() == []


def test_what_does_not_exist_is_named(control_plane: Cluster, launch: Command) -> None:
    assert launch(f"{RUN} --service-account nobody").err.splitlines()[0] == (
        "error: service-account: nobody does not exist in the namespace"
    )
    assert launch("list --context nowhere").err.splitlines()[0] == (
        "error: context: must be in the kubeconfig, got 'nowhere'"
    )


def test_a_namespace_that_does_not_exist(control_plane: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    result = command(control_plane, "no-such-place", capsys)(RUN)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "error: namespace: no-such-place does not exist",
        "hint: kubectl create namespace no-such-place, or another --namespace",
    ]


def test_a_kind_that_the_cluster_does_not_have(launch: Command) -> None:
    result = launch(
        "submit --slice gb200-72 --arch resnet50 --data digits --batch 72 --bucket b-1 --image r/i:1"
    )
    assert result.code == 1
    assert result.err.splitlines()[0] == "error: this cluster has no computedomains.resource.nvidia.com"


def test_the_team_s_defaults_are_read_from_the_namespace(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    data = {"bucket": "team-runs", "image": "r/team:1"}
    metadata = {"name": "resnet-launch-defaults", "namespace": namespace}
    control_plane.api.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
    result = launch("submit --slice cpu-2x1 --arch resnet18 --data digits --json")
    assert result.json["run_dir"] == "gs://team-runs/resnet18-cpu-2x1"


def test_nobody_answers(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
    )
    from launcher.cli import main

    assert main(["list", "--kubeconfig", str(config)]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: the cluster at http://127.0.0.1:1 cannot be reached: ")
    assert error.endswith("Connection refused")
    assert hint == "hint: is 'c' the right context, and can this machine reach its network?"
