"""`--jobset-version`: what is rendered for an older JobSet has no field that its definition lacks."""

import functools
import json
from typing import Any

import pytest
from testcluster import Cluster, older
from testcluster.api import Object, Refused
from testcluster.objects import eventually

from launcher import TrainingJob, render

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"slice": "v5e-16"},
    "slices": {"slice": "v5e-16", "num_slices": 4, "queue": "team", "topology_required": "a/b"},
    "queued": {"slice": "v5e-16", "queue": "team", "priority": "high", "flex": "24h"},
    "lifetime": {"slice": "cpu-2x1", "ttl": "7d", "deadline": "2d", "max_restarts": 0},
    "gpu": {"slice": "h100-16", "host_network": True},
}


@pytest.fixture(params=older.JOBSETS)
def release(control_plane: Cluster, request: pytest.FixtureRequest) -> str:
    """A release of JobSet whose definition the API server has."""
    control_plane.api.apply([older.definition(request.param)])
    path = f"/apis/{older.group(request.param)}/v1alpha2"
    assert eventually(lambda: served(control_plane, path), 20)
    return request.param


def served(cluster: Cluster, path: str) -> bool:
    try:
        kinds = {entry["kind"] for entry in cluster.api.request("GET", path)["resources"]}
    except Refused:
        return False
    return "JobSet" in kinds


def dry_run(cluster: Cluster, namespace: str, release: str, fields: dict[str, Any]) -> None:
    *_, jobset = render(TrainingJob(arch="resnet50", bucket="my-bucket", **fields))
    version = f"{older.group(release)}/v1alpha2"
    manifest: Object = json.loads(json.dumps(jobset)) | {"apiVersion": version}
    path = f"/apis/{version}/namespaces/{namespace}/jobsets?dryRun=All&fieldValidation=Strict"
    cluster.api.request("POST", path, manifest)


def test_an_older_jobset_knows_each_field(control_plane: Cluster, namespace: str, release: str) -> None:
    accept = functools.partial(dry_run, control_plane, namespace, release)
    for fields in REQUESTS.values():
        accept({**fields, "jobset_version": release})
    old = tuple(map(int, release.split("."))) < (0, 10)
    if not old:  # has all fields of the newest
        accept(REQUESTS["plain"])
        return
    with pytest.raises(Refused, match=r'unknown field "spec\.failurePolicy\.r'):
        accept(REQUESTS["plain"])
