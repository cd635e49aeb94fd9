"""Defaults that a cluster team sets for a namespace: shown by `config`, used by Python's `submit`."""

import json

import pytest
from testcluster import Cluster
from testcluster.objects import queue

import launcher
from launcher.cli import main


@pytest.fixture
def team(control_plane: Cluster, namespace: str) -> str:
    """A namespace with defaults."""
    data = {"bucket": "team-bucket/runs", "label": "team=vision,cost=42", "max-restarts": "3"}
    metadata = {"name": "resnet-launch-defaults", "namespace": namespace}
    control_plane.api.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
    return namespace


def test_config_shows_each_value_with_its_source(
    control_plane: Cluster, team: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["config", "--json", "--kubeconfig", str(control_plane.kubeconfig), "--namespace", team]
    assert main([*arguments, "--slice", "cpu-2x1", "--label", "mine=1"]) == 0
    fields = {row["field"]: (row["value"], row["about"]) for row in json.loads(capsys.readouterr().out)}
    where = f"ConfigMap resnet-launch-defaults of namespace {team}"
    assert fields["slice"] == ("cpu-2x1", "flag")
    assert fields["bucket"] == ("team-bucket/runs", where)
    assert fields["max-restarts"] == ("3", where)
    assert fields["label"] == (["team=vision", "cost=42", "mine=1"], f"{where}, flag")
    assert fields["platform"] == ("gke", "built-in")


def test_config_goes_on_without_a_cluster_that_answers(
    control_plane: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["config", "--kubeconfig", str(control_plane.kubeconfig), "--context", "nowhere"]
    assert main([*arguments, "--slice", "cpu-2x1"]) == 0
    out, err = capsys.readouterr()
    assert "slice" in out
    assert "warning: the namespace's defaults are missing from this list: context" in err


def test_a_run_is_submitted_from_python(control_plane: Cluster, namespace: str) -> None:
    control_plane.api.apply(queue(namespace, namespace, cpus=0))
    job = launcher.TrainingJob(
        slice="cpu-2x1", arch="resnet18", bucket="b-1", name="from-python", queue=namespace
    )
    cluster = launcher.Cluster(kubeconfig=str(control_plane.kubeconfig), namespace=namespace)
    stored = launcher.submit(job, cluster)
    assert stored["metadata"]["namespace"] == namespace
    assert stored["spec"]["suspend"] is True  # in a queue it waits for Kueue
    with pytest.raises(Exception, match="name: must be new, got 'from-python'"):
        launcher.submit(job, cluster)
