"""Kueue's objects by the version of its API that a cluster serves: v1beta2, or v1beta1 of an older one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, Asked, Handler, Hook, failure, jobset
from commands_on_api import Commands

CONDITION = {"type": "Active", "status": "True", "reason": "Ready", "message": "can admit"}
FLAVOR = {"name": "tpu", "resources": [{"name": "google.com/tpu", "nominalQuota": "16"}]}
OBJECTS: dict[str, Any] = {
    "localqueues": [{"kind": "LocalQueue", "metadata": {"name": "team"}, "spec": {"clusterQueue": "all"}}],
    "clusterqueues": [
        {
            "kind": "ClusterQueue",
            "metadata": {"name": "all"},
            "spec": {"resourceGroups": [{"coveredResources": ["google.com/tpu"], "flavors": [FLAVOR]}]},
            "status": {"conditions": [CONDITION]},
        }
    ],
    "resourceflavors": [{"metadata": {"name": "tpu"}, "spec": {}}],
    "workloadpriorityclasses": [{"metadata": {"name": "high"}, "value": 100}],
}
NOT_FOUND = failure(404, "the server could not find the requested resource", "NotFound")


def serving(*versions: str) -> Hook:
    """Answer as a server that has Kueue's API in these versions only."""

    def hook(handler: Handler, asked: Asked) -> Any:
        words = asked.path.split("/")
        return NOT_FOUND if words[2] == "kueue.x-k8s.io" and words[3] not in versions else None

    return hook


def asked_of_kueue(server: ApiServer) -> list[str]:
    """Return VERSION/PLURAL of each request for an object of Kueue's, without repetitions."""
    requests = [asked for asked in server.asked if "kueue.x-k8s.io" in asked.path]
    return list(dict.fromkeys(f"{asked.path.split('/')[3]}/{asked.plural}" for asked in requests))


NEW, OLD, BOTH = ("v1beta2",), ("v1beta1",), ("v1beta1", "v1beta2")


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids="-".join)
def test_a_queue_is_looked_at_in_the_version_that_is_served(
    on_api: Commands, versions: tuple[str, ...]
) -> None:
    with ApiServer(serving(*versions), **OBJECTS) as server:
        result = on_api(
            server, "check --no-compile --slice v5e-16 --arch resnet18 --image r/i:1 --queue team"
        )
    assert "ok       queue: team: ClusterQueue all has room (tpu)" in result.out
    first = [name for name in asked_of_kueue(server) if name.startswith("v1beta1")]
    assert bool(first) == (versions == OLD)


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids="-".join)
@pytest.mark.parametrize(("queue", "code"), [("team", 0), ("taem", 2)])
def test_a_submission_finds_queue_and_priority_in_it(
    on_api: Commands, versions: tuple[str, ...], queue: str, code: int
) -> None:
    line = f"submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --name n --queue {queue} --priority high"
    with ApiServer(serving(*versions), **OBJECTS) as server:
        result = on_api(server, line)
    assert result.code == code, result.err
    if code:
        assert f"error: queue: must be a LocalQueue in namespace default, got '{queue}'" in result.err
        assert "hint: did you mean team?" in result.err
        return
    version = "v1beta1" if versions == OLD else "v1beta2"
    expected = {f"{version}/localqueues", f"{version}/workloadpriorityclasses"}
    assert expected <= set(asked_of_kueue(server))


def workload() -> Any:
    owner = {"kind": "JobSet", "name": "run", "uid": "uid-run"}
    metadata = {"name": "w", "namespace": "default", "uid": "uid-w", "ownerReferences": [owner]}
    metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return {"kind": "Workload", "metadata": metadata, "spec": {"queueName": "team", "active": True}}


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH], ids="-".join)
def test_a_run_of_a_queue_is_suspended_in_it(on_api: Commands, versions: tuple[str, ...]) -> None:
    run = jobset()
    run["metadata"]["labels"] |= {"kueue.x-k8s.io/queue-name": "team"}

    def hook(handler: Handler, asked: Asked) -> Any:
        if answer := serving(*versions)(handler, asked):
            return answer
        if asked.method == "PATCH":
            stored = {"jobsets": run, "workloads": workload()}[asked.plural]
            return 200, {}, stored | {"spec": {**stored["spec"], **asked.body.get("spec", {})}}
        return None

    with ApiServer(hook, jobsets=[run], workloads=[workload()], **OBJECTS) as server:
        result = on_api(server, "suspend run")
    assert result.code == 0, result.err
    patched = [asked.path.split("/")[3] for asked in server.asked if asked.method == "PATCH"]
    assert patched[0] == ("v1beta1" if versions == OLD else "v1beta2")


def forbidden(handler: Handler, asked: Asked) -> Any:
    if "kueue.x-k8s.io" not in asked.path:
        return None
    text = f'{asked.plural}.kueue.x-k8s.io is forbidden: User "u" cannot list resource "{asked.plural}" '
    return failure(403, text + 'in API group "kueue.x-k8s.io" in the namespace "default"', "Forbidden")


def broken(handler: Handler, asked: Asked) -> Any:
    return failure(500, "etcdserver: leader changed") if "kueue.x-k8s.io" in asked.path else None


@pytest.mark.parametrize("hook", [forbidden, broken])
def test_only_a_version_that_is_missing_leads_to_the_older_one(
    on_api: Commands, hook: Callable[..., Any]
) -> None:
    with ApiServer(hook, **OBJECTS) as server:
        on_api(server, "submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --name n --queue team")
    assert asked_of_kueue(server) == ["v1beta2/localqueues"]


def test_a_queue_without_its_cluster_queue_is_an_error(on_api: Commands) -> None:
    with ApiServer(serving("v1beta2"), **OBJECTS | {"clusterqueues": []}) as server:
        result = on_api(
            server, "check --no-compile --slice v5e-16 --arch resnet18 --image r/i:1 --queue team"
        )
    assert "error    queue: team: its ClusterQueue all does not exist" in result.out
    assert result.code == 1


@pytest.mark.parametrize("versions", [NEW, OLD, BOTH, ()], ids=lambda names: "-".join(names) or "none")
def test_init_installs_kueue_where_no_version_is_served(
    on_api: Commands, versions: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ApiServer(serving(*versions), **OBJECTS) as server:
        result = on_api(server, "init --yes --slice v5e-16 --queue team --namespace default")
    text = "\n".join([*result.out, *result.err])
    assert ("Kueue: is installed" in text) == bool(versions), text
    assert ("kubernetes-sigs/kueue/releases" in text) == (not versions)


@pytest.mark.parametrize("plural", ["workloadpriorityclasses", "localqueues"])
def test_what_may_not_be_listed_is_said_to_be_unchecked(on_api: Commands, plural: str) -> None:
    def hook(handler: Handler, asked: Asked) -> Any:
        message = f'User "jane" cannot list resource "{plural}" in API group "x" at the cluster scope'
        return failure(403, message, "Forbidden") if asked.plural == plural else None

    line = "submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --name n --queue team --priority hihg"
    with ApiServer(hook, **(OBJECTS if plural.startswith("work") else {**OBJECTS, plural: []})) as server:
        result = on_api(server, line)
    field = "priority hihg" if plural.startswith("work") else "queue team"
    assert f"warning: {field} could not be checked: jane may not list {plural}" in "\n".join(result.err)
