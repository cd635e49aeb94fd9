"""A sweep on a real API server: how many runs are there at a time, going on, and what is refused."""

import pytest
from commands import Command
from testcluster import Cluster

from launcher.runs import sweeping

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

SWEEP = "sweep --name s --slice cpu-1x1 --arch resnet18 --data digits --bucket b-1 --image r/i:1"
GRID = "--grid train.seed=0..2"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets"


def stored(cluster: Cluster, namespace: str) -> dict[str, dict]:
    items = cluster.api.request("GET", JOBSETS.format(namespace))["items"]
    return {item["metadata"]["name"]: item for item in items}


def test_a_few_are_there_at_a_time_and_none_twice(
    control_plane: Cluster, namespace: str, launch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def one_ends(seconds: float) -> None:
        """In the place of waiting: the first run that is there ends, as by its deletion."""
        names = sorted(stored(control_plane, namespace))
        seen.append(names)
        control_plane.api.request("DELETE", f"{JOBSETS.format(namespace)}/{names[0]}")

    monkeypatch.setattr(sweeping.submit, "__defaults__", (one_ends,))
    result = launch(f"{SWEEP} {GRID} --parallel 2")
    assert result.code == 0, result.err
    assert seen == [["s-seed0", "s-seed1"]]
    assert sorted(stored(control_plane, namespace)) == ["s-seed1", "s-seed2"]
    lines = result.err.splitlines()
    assert lines[0].startswith("s: 3 runs, 2 at a time; context test-cluster")
    assert [line for line in lines if line.endswith("submitted")] == [
        f"s-seed{seed} submitted" for seed in range(3)
    ]
    before = {name: run["metadata"]["uid"] for name, run in stored(control_plane, namespace).items()}
    again = launch(f"{SWEEP} {GRID} --parallel 3")
    assert again.code == 0, again.err
    assert "2 runs were there already" in again.err.splitlines()
    after = {name: run["metadata"]["uid"] for name, run in stored(control_plane, namespace).items()}
    assert {name: after[name] for name in before} == before
    run = stored(control_plane, namespace)["s-seed2"]["metadata"]
    assert run["labels"]["sweep"] == "s"
    assert run["annotations"]["resnet-launch/run-dir"] == "gs://b-1/s/s-seed2"


def test_nothing_is_sent_where_one_run_is_wrong_or_has_other_settings(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    wrong = launch(f"{SWEEP} --grid train.batch=64,0,32,x")
    assert wrong.code == 2
    assert [line for line in wrong.err.splitlines() if line.startswith("error")] == [
        "error: batch: must be a whole number of at least 1, got 0",
        "error: batch: must be a whole number of at least 1, got 'x'",
    ]
    assert stored(control_plane, namespace) == {}
    assert launch(f"{SWEEP} {GRID} --parallel 3 --set optim.lr=0.5").code == 0
    other = launch(f"{SWEEP} --grid train.seed=0..5 --parallel 9")
    assert other.code == 2
    errors = [line for line in other.err.splitlines() if line.startswith("error")]
    assert errors == [
        f"error: name: must be new or as it was submitted, got 's-seed{seed}' with other settings"
        for seed in range(3)
    ]
    assert len(stored(control_plane, namespace)) == 3


def test_the_status_of_a_sweep(control_plane: Cluster, namespace: str, launch: Command) -> None:
    line = SWEEP.replace("--bucket b-1", "--run-dir /scratch/s")
    assert launch(f"{line} {GRID} --parallel 3").code == 0
    result = launch("sweep status s")
    assert result.code == 0, result.err
    rows = [line.split()[:1] for line in result.out.splitlines()]
    assert rows == [["name"], ["s-seed0"], ["s-seed1"], ["s-seed2"]]
    none = launch("sweep status other")
    assert none.code == 1
    assert none.err.splitlines()[0] == f"error: no runs of a sweep 'other' in namespace {namespace}"
