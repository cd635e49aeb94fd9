"""The request of a run is read back from its JobSet, or refused: nothing of it is lost."""

import json
from typing import Any

import pytest
from stored_runs import stored

from launcher import TrainingJob, render
from launcher.errors import ActionError
from launcher.runs import reconstruction

BASE: dict[str, Any] = {"slice": "v5p-64", "arch": "resnet50", "bucket": "b-1", "name": "run"}
BLOCK = "cloud.google.com/gce-topology-block"
PROGRAM = {"arch": None, "command": ["python", "train.py", "--lr", "0.1 2"]}
WHOLE: dict[str, dict[str, Any]] = {
    "plain": {},
    "settings": {"data": "gs://b-2/x", "batch": 4096, "epochs": 3.5, "seed": 2, "set": ["optim.lr=1"]},
    "recipe": {"arch": "nfnet-f0", "recipe": "nfnet-f0", "steps": 30},
    "arguments": {"set": ["optim.lr=1"], "args": ["--set", "optim.lr=2", "--batch", "512"]},
    "lifetime": {"ttl": 60, "deadline": "2d", "max_restarts": 3, "grace": 90},
    "variables": {"env": ["B=1", "A=$(B) b: c"], "secret_env": ["T=s/k"], "notify": "chat/url"},
    "pods": {"service_account": "sa", "image": "r/i:1", "image_pull_secret": ["p"], "priority_class": "low"},
    "amounts": {"cpu": "2", "cpu_limit": "4", "memory": "8Gi", "shm": "1Gi", "ephemeral_storage": "5Gi"},
    "mounts": {"mount": ["pvc/a:/a:ro", "gcs/b-1:/b", "host/mnt/x:/c"], "run_dir": "/b/run"},
    "labels": {"label": {"team": "vision"}, "annotation": {"why": "it's {hosts}"}},
    "nodes": {"node_selector": {"a": "b"}, "toleration": ["x", "y=z:NoSchedule"], "node_affinity": ["g=1|2"]},
    "queue": {
        "queue": "team",
        "priority": "high",
        "topology_required": "cloud.google.com/gce-topology-block",
    },
    "spot": {"spot": True, "compute_class": None},
    "reservation": {"reservation": "r-1"},
    "old-jobset": {"jobset_version": "0.9"},
    "oldest-jobset": {"jobset_version": "0.5"},
    "generic": {"slice": "h100-16", "platform": "generic", "fabric": "none"},
    "gpus": {"slice": "h100-16"},
    "tuned": {"tuning": "published"},
    "cpu": {"slice": "cpu-2x4"},
    "program": PROGRAM,
    "codes": {**PROGRAM, "exit_codes": "preempted=7,fatal=8", "slice": "cpu-2x1", "num_slices": 2},
    "code": {"code": {"digest": "cd" * 32, "commit": "1" * 40, "dirty": True}},
    "namespace": {"namespace": "team"},
    "policy": {"network_policy": True},
}


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("changes", WHOLE.values(), ids=WHOLE)
def test_what_is_read_back_renders_the_same_on_every_shape(changes: dict[str, Any], slices: int) -> None:
    fields = BASE | changes
    fields["num_slices"] = fields.get("num_slices", slices)
    live = stored(TrainingJob(**fields), fields.get("namespace", "default"))
    hidden = {name: fields.get(name) for name in ("tuning", "fabric")}
    policy = bool(fields.get("network_policy"))
    read = json.loads(json.dumps(reconstruction.fields_of(live, policy, hidden)))
    others = ["cpu-4x2"] if fields["slice"].startswith("cpu") else [fields["slice"]]
    for name in others:
        shape = {"slice": name, "num_slices": 4}
        again, asked = (render(TrainingJob(**values | shape)) for values in (read, fields))
        for manifest in (*again, *asked):
            manifest["metadata"].pop("namespace", None)  # of the request or of the context
        assert again == asked


def patched(live: dict[str, Any]) -> None:
    live["spec"]["network"] = {"subdomain": "x"}


def sidecar(live: dict[str, Any]) -> None:
    pod = live["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    pod["containers"].append({"name": "sidecar", "image": "r/s:1"})


def another_manager(live: dict[str, Any]) -> None:
    live["metadata"]["managedFields"][0]["manager"] = "helm"


def odd(live: dict[str, Any]) -> None:
    live["spec"]["replicatedJobs"] = "x"


def other_policy(live: dict[str, Any]) -> None:
    live["spec"]["failurePolicy"]["rules"] = []


@pytest.mark.parametrize("spoil", [patched, sidecar, another_manager, odd, other_policy])
def test_what_cannot_be_read_back_is_refused(spoil: Any) -> None:
    live = stored(TrainingJob(**BASE))
    spoil(live)
    with pytest.raises(
        ActionError, match="run 'run' cannot be rendered again from the cluster alone"
    ) as error:
        reconstruction.fields_of(live)
    assert error.value.hint == (
        "resnet-launch submit --replace --name run with the other flags of the run moves it"
    )
