"""What is rendered: the numbers that have to agree, the environment contract, security, failure policy."""

import pytest

from launcher import TrainingJob, contract, render
from launcher.hardware import catalogue
from launcher.rendering.manifest import to_yaml


def jobset(**fields):
    *_, rendered = render(TrainingJob(**{"slice": "v4-32", "arch": "resnet152", "bucket": "b-1", **fields}))
    return rendered


def pod(**fields):
    [group] = jobset(**fields)["spec"]["replicatedJobs"]
    return group["template"]["spec"]["template"]["spec"]


def container(**fields):
    [trainer] = pod(**fields)["containers"]
    return trainer


def env(**fields):
    entries = container(**fields)["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


LABEL = "metadata.labels['jobset.sigs.k8s.io/{}']"


def test_environment_on_tpu():
    assert env(num_slices=2) == {
        "JAX_PLATFORMS": "tpu,cpu",
        "RESNET_PLATFORM": "tpu",
        "RESNET_DEVICES": "32",
        "RESNET_HOSTS": "8",
        "RESNET_SLICES": "2",
        "RESNET_RESTART": {"fieldRef": {"fieldPath": LABEL.format("restart-attempt")}},
        "RESNET_OWNER": {"fieldRef": {"fieldPath": LABEL.format("jobset-uid")}},
        "RESNET_POD": {"fieldRef": {"fieldPath": "metadata.name"}},
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
    }


def test_environment_on_cpu():
    variables = env(slice="cpu-2x4", num_slices=3)
    assert variables["JAX_PLATFORMS"] == "cpu"
    assert variables["JAX_NUM_CPU_DEVICES"] == "4"
    assert variables["RESNET_COORDINATOR"] == "resnet152-cpu-2x4-slice-0-0.resnet152-cpu-2x4:8476"
    assert variables["RESNET_HOSTS_PER_SLICE"] == "2"
    assert variables["RESNET_SLICE_INDEX"] == {"fieldRef": {"fieldPath": LABEL.format("job-index")}}
    assert (variables["RESNET_SLICES"], variables["RESNET_HOSTS"], variables["RESNET_DEVICES"]) == (
        "3",
        "6",
        "24",
    )


def test_environment_on_gpu():
    variables = env(slice="a100-16")
    assert variables["JAX_PLATFORMS"] == "cuda,cpu"
    assert variables["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64"
    assert "LD_LIBRARY_PATH" not in env(slice="a100-16", platform="generic")
    assert (variables["RESNET_HOSTS"], variables["RESNET_DEVICES"]) == ("2", "16")


def test_tpu7x_has_two_devices_per_chip():
    trainer = container(slice="tpu7x-16", placement_policy="p-1")
    assert trainer["resources"]["limits"] == {"google.com/tpu": 4}
    assert env(slice="tpu7x-16", placement_policy="p-1")["RESNET_DEVICES"] == "16"


def test_command():
    command = container(
        recipe="classic-90",
        data="digits",
        batch=64,
        epochs="1.5",
        seed=0,
        set=["optim.lr=1"],
        args=["--steps=3"],
    )["command"]
    assert " ".join(command) == (
        "python -m trainer --name resnet152-v4-32 --run-dir gs://b-1/resnet152-v4-32 --arch resnet152 "
        "--recipe classic-90 --data digits --batch 64 --epochs 1.5 --seed 0 --set optim.lr=1 --steps 3"
    )


def test_a_run_that_is_not_kept_has_no_checkpoints_on_several_hosts():
    assert container(bucket=None)["command"][-2:] == ["--set", "checkpoint.enabled=false"]
    assert "--set" not in container(bucket=None, slice="v4-8")["command"]
    assert {"name": "scratch", "mountPath": "/scratch"} in container(bucket=None)["volumeMounts"]
    assert all(volume["name"] != "scratch" for volume in pod()["volumes"])


def test_policy_follows_the_exit_codes():
    job = jobset(max_restarts=3)["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["podFailurePolicy"]["rules"] == [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [42, 44]},
        },
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}},
    ]
    assert (job["backoffLimitPerIndex"], job["maxFailedIndexes"], "backoffLimit" in job) == (4, 0, False)
    policy = jobset(max_restarts=3)["spec"]["failurePolicy"]
    assert (policy["maxRestarts"], policy["restartStrategy"]) == (3, "BlockingRecreate")
    rules = [
        (rule["action"], *rule["onJobFailureReasons"], *rule.get("onJobFailureMessagePatterns", []))
        for rule in policy["rules"]
    ]
    assert rules == [
        ("FailJobSet", "PodFailurePolicy", ".*Container trainer for .*exit code 44 .*"),
        (
            "RestartJobSetAndIgnoreMaxRestarts",
            "PodFailurePolicy",
            ".*Container trainer for .*exit code 42 .*",
        ),
        ("RestartJobSetAndIgnoreMaxRestarts", "PodFailurePolicy", ".*DisruptionTarget.*"),
        ("RestartJobSetAndIgnoreMaxRestarts", "MaxFailedIndexesExceeded"),
    ]


def test_pauses_after_a_rejection_are_over_before_the_other_hosts_give_up_joining():
    job = jobset()["spec"]["replicatedJobs"][0]["template"]["spec"]
    pauses = sum(10 * 2**attempt for attempt in range(job["backoffLimitPerIndex"]))  # Job's, in seconds
    [setting] = [row for row in contract.document()["fields"] if row["field"] == "train.join_seconds"]
    assert pauses == 150
    assert pauses < setting["default"]


@pytest.mark.parametrize("version", ["0.5", "0.6", "0.8"])
def test_an_older_jobset_restarts_at_the_first_rejected_pod(version):
    job = jobset(jobset_version=version)["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["backoffLimit"] == 0
    assert not job.keys() & {"backoffLimitPerIndex", "maxFailedIndexes"}


@pytest.mark.parametrize(
    ("version", "fields", "codes"),
    [
        ("0.5", {"maxRestarts": 10}, [44]),
        ("0.6", {"maxRestarts": 10, "rules": [None]}, [44]),
        ("0.8", {"maxRestarts": 10, "restartStrategy": "BlockingRecreate", "rules": [None]}, [44]),
        ("0.11", {"maxRestarts": 10, "restartStrategy": "BlockingRecreate", "rules": [None] * 4}, [42, 44]),
    ],
)
def test_older_jobsets_get_no_field_they_do_not_know(version, fields, codes):
    spec = jobset(jobset_version=version)["spec"]
    policy = spec["failurePolicy"]
    assert policy.keys() == fields.keys()
    assert len(policy.get("rules", [])) == len(fields.get("rules", []))
    told_apart = [rule for rule in policy.get("rules", []) if rule["name"] != "rejectedByNode"]
    patterns = [rule.get("onJobFailureMessagePatterns") for rule in told_apart]
    assert all(patterns) if version == "0.11" else not any(patterns)
    rule = spec["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"][0]
    assert rule["onExitCodes"]["values"] == codes
    owner = env(jobset_version=version, namespace="team")["RESNET_OWNER"]
    assert (owner == "team/resnet152-v4-32") == (version != "0.11")


def test_passes_pod_security_restricted():
    spec = pod()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert "hostNetwork" not in spec


def test_secrets_are_references():
    source = env(secret_env={"WANDB_API_KEY": "wandb/key"})["WANDB_API_KEY"]
    assert source == {"secretKeyRef": {"name": "wandb", "key": "key"}}


def test_the_url_of_messages_is_a_reference():
    assert "RESNET_NOTIFY_URL" not in env()
    assert "RESNET_MAX_RESTARTS" not in env()
    variables = env(notify="chat/url", max_restarts=4)
    assert variables["RESNET_NOTIFY_URL"] == {"secretKeyRef": {"name": "chat", "key": "url"}}
    assert variables["RESNET_MAX_RESTARTS"] == "4"


def test_the_request_wins_over_the_launcher():
    assert env(env={"JAX_PLATFORMS": "tpu"})["JAX_PLATFORMS"] == "tpu"
    spec = pod(node_selector={"cloud.google.com/gke-tpu-topology": "4x4x4"})
    assert spec["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "4x4x4"


def test_exclusive_placement_where_a_pool_is_a_slice():
    key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
    assert jobset()["metadata"]["annotations"][key] == "cloud.google.com/gke-nodepool"
    for name in ("v4-8", "v6e-8-1", "a100-16", "cpu-2x4"):
        assert key not in jobset(slice=name)["metadata"]["annotations"]


def test_generic_nodes_have_no_gke_labels():
    spec = pod(slice="a100-8", platform="generic", gpu_resource="amd.com/gpu", node_selector={"gpu": "a100"})
    assert spec["nodeSelector"] == {"gpu": "a100"}
    assert spec["containers"][0]["resources"]["limits"] == {"amd.com/gpu": 8}


def test_mounts():
    spec = pod(mount=["pvc/imagenet:/data:ro", "gcs/cache:/cache", "host/mnt/x:/x", "ssd:/fast"])
    assert spec["volumes"][2:] == [
        {"name": "mount-0", "persistentVolumeClaim": {"claimName": "imagenet", "readOnly": True}},
        {
            "name": "mount-1",
            "csi": {
                "driver": "gcsfuse.csi.storage.gke.io",
                "volumeAttributes": {"bucketName": "cache", "mountOptions": "implicit-dirs"},
            },
        },
        {"name": "mount-2", "hostPath": {"path": "/mnt/x", "type": "Directory"}},
        {"name": "mount-3", "emptyDir": {}},
    ]
    assert spec["containers"][0]["volumeMounts"][2] == {
        "name": "mount-0",
        "mountPath": "/data",
        "readOnly": True,
    }


@pytest.mark.parametrize("s", catalogue.slices(), ids=lambda s: s.name)
def test_numbers_agree(s):
    """parallelism, completions, resources, topology and environment of every slice, one and two of them."""
    for count in (1, 2) if s.hosts > 1 else (1,):
        policy = "p-1" if s.placement_policy else None
        rendered = jobset(slice=s.name, num_slices=count, placement_policy=policy)
        [group] = rendered["spec"]["replicatedJobs"]
        job = group["template"]["spec"]
        [trainer] = job["template"]["spec"]["containers"]
        variables = {entry["name"]: entry.get("value") for entry in trainer["env"]}
        resource = "google.com/tpu" if s.kind == "tpu" else "nvidia.com/gpu"
        chips = trainer["resources"]["limits"][resource]
        assert group["replicas"] == count
        assert job["parallelism"] == job["completions"] == s.hosts
        assert trainer["resources"]["requests"][resource] == chips
        assert s.hosts * chips == s.chips
        assert int(variables["RESNET_HOSTS"]) == count * s.hosts
        assert int(variables["RESNET_DEVICES"]) == count * s.chips * s.devices_per_chip
        if s.topology:
            sides = [int(side) for side in s.topology.split("x")]
            assert job["template"]["spec"]["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == s.topology
            product = 1
            for side in sides:
                product *= side
            assert product == s.hosts * chips


def test_the_same_request_gives_the_same_bytes():
    first, second = to_yaml([jobset(label={"a": "b"})]), to_yaml([jobset(label={"a": "b"})])
    assert first == second
    assert "&id" not in first
    assert "null" not in first
