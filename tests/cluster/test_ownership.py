"""Whose run it is: what the launcher did not make, what somebody else submitted, and objects that changed."""

from pathlib import Path
from typing import Any

import pytest
from commands import Command
from people import Person
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, jobset, queue

from launcher.cluster.api import Cluster as Api
from launcher.errors import ActionError
from launcher.runs import deletion, lookup
from launcher.runs.watch import TimedOutError

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --slice cpu-2x1 --arch resnet18 --data digits --bucket b-1 --image r/i:1 --name run"
VERBS = ["get", "list", "watch", "create", "patch", "delete"]
JOBSETS: Object = {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": VERBS}
PODS: Object = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def stored(cluster: Cluster, namespace: str, name: str = "run") -> Object:
    return cluster.api.request("GET", f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{namespace}/jobsets/{name}")


@pytest.fixture
def api(control_plane: Cluster, namespace: str) -> Api:
    return Api(kubeconfig=str(control_plane.kubeconfig), namespace=namespace)


@pytest.mark.parametrize(
    "line", ["delete other --yes", "delete other --yes other", "suspend other", "resume other"]
)
def test_a_jobset_that_the_launcher_did_not_make_is_left_alone(
    control_plane: Cluster, namespace: str, launch: Command, line: str
) -> None:
    control_plane.api.apply([jobset(namespace, "other")])
    before = stored(control_plane, namespace, "other")["metadata"]
    result = launch(line)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: JobSet 'other' was not made by resnet-launch ")
    after = stored(control_plane, namespace, "other")["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    assert "deletionTimestamp" not in after


def test_replace_leaves_it_alone_too(control_plane: Cluster, namespace: str, launch: Command) -> None:
    control_plane.api.apply([jobset(namespace, "run")])
    result = launch(f"{RUN} --replace --yes run")
    assert result.code == 1
    assert "was not made by resnet-launch" in result.err
    assert "deletionTimestamp" not in stored(control_plane, namespace)["metadata"]


def test_another_person_s_run_needs_its_name(
    control_plane: Cluster, namespace: str, tmp_path: Path, launch: Command, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys, JOBSETS, PODS)
    assert jane(RUN).code == 0
    who = f"system:serviceaccount:{namespace}:jane"
    assert launch("status run --json").json["submitted_by"] == who
    assert f"  submitted by  {who}" in launch("status run").out.splitlines()
    for verb in ("delete", "suspend", "resume"):
        for line in (f"{verb} run --yes", f"{verb} --yes run", f"{verb} run --yes=rum"):
            refused = launch(line)
            assert (refused.code, refused.out) == (2, "")
            assert refused.err.startswith(
                f"error: yes: must be the run's name to {verb} the run of {who}, got "
            )
            assert f"hint: --yes run, if {who} agrees" in refused.err
    refused = launch(f"{RUN} --replace")
    assert refused.code == 2
    assert f"to replace the run of {who}" in refused.err
    assert launch("suspend run --yes run").out == "run suspended\n"
    assert launch("resume run --yes run").out == "run resumed\n"
    assert launch(f"{RUN} --replace --yes run").code == 0
    assert launch("status run --json").json["submitted_by"] != who
    assert jane("delete run --yes").code == 2  # it is not hers any more
    assert launch("delete --yes run").out == "run deleted\n"  # the name may stand behind --yes


def test_only_the_object_that_was_read_is_changed(api: Api, launch: Command) -> None:
    launch(RUN)
    old = lookup.find(api, "run")
    launch(f"{RUN} --replace")
    new = lookup.find(api, "run")
    with pytest.raises(ActionError, match="was deleted and made anew meanwhile"):
        lookup.delete(api, old)
    with pytest.raises(ActionError, match="was deleted and made anew meanwhile"):
        lookup.set_suspended(api, old, True)
    current = lookup.find(api, "run")
    assert current["metadata"]["uid"] == new["metadata"]["uid"]
    assert current["metadata"]["generation"] == new["metadata"]["generation"]
    assert "deletionTimestamp" not in current["metadata"]


def test_a_delete_that_hangs_names_the_finalizers(
    control_plane: Cluster, namespace: str, api: Api, launch: Command
) -> None:
    launch(RUN)
    path = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{namespace}/jobsets/run"
    keep: Object = {"metadata": {"finalizers": ["example.com/keep"]}}
    control_plane.api.request("PATCH", path, keep, "application/merge-patch+json")
    result = launch("delete run --yes --timeout 2s")
    assert (result.code, result.out) == (3, "")
    assert "its JobSet has the finalizers example.com/keep" in result.err
    status = launch("status run --json").json
    assert status["phase"] == "Deleting"
    assert "finalizers keep its JobSet: example.com/keep" in status["why"]
    control_plane.api.request(
        "PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json"
    )
    assert eventually(lambda: api.get("JobSet", "run") is None)


def test_a_pod_that_hangs_is_named_by_the_delete(
    control_plane: Cluster, namespace: str, api: Api, launch: Command
) -> None:
    launch(RUN)
    assert eventually(lambda: len(lookup.pods_of(api, "run")) == 2)
    pod = lookup.pods_of(api, "run")[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    kind = "application/merge-patch+json"
    control_plane.api.request("PATCH", path, {"metadata": {"finalizers": ["example.com/keep"]}}, kind)
    old = lookup.find(api, "run")
    lookup.delete(api, old)
    there = rf"pod {pod}( on node \S+)? is still there, with .*example.com/keep"
    with pytest.raises(TimedOutError, match=there):
        deletion.until_gone(api, old, 3)
    control_plane.api.request("PATCH", path, {"metadata": {"finalizers": None}}, kind)
    deletion.until_gone(api, old, 30)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ("--queue nowhere", "error: queue: must be a LocalQueue in namespace {}, got 'nowhere'"),
        (
            "--queue {} --priority hihg",
            "error: priority: must be a WorkloadPriorityClass of the cluster, got 'hihg'",
        ),
    ],
)
def test_a_queue_or_priority_that_does_not_exist_is_refused(
    control_plane: Cluster, namespace: str, launch: Command, flags: str, error: str
) -> None:
    control_plane.api.apply(queue(namespace, namespace, cpus=0))
    result = launch(f"{RUN} {flags.format(namespace)}")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == error.format(namespace)
    assert launch("list").out == ""


def test_a_queue_that_may_not_be_read_is_left_to_kueue(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    jane = Person(control_plane, namespace, tmp_path, capsys, JOBSETS, PODS)
    assert jane(f"{RUN} --queue nowhere").code == 0


def test_a_diff_does_not_count_who_submitted(launch: Command) -> None:
    launch(RUN)
    flags = RUN.removeprefix("submit ").removesuffix(" --name run")
    same = launch(f"diff run {flags}")
    assert (same.code, same.out) == (0, "")
