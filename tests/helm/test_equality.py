"""The chart renders the launcher's objects, for every slice and option, from both kinds of values."""

import base64
import hashlib
import io
import json
import random
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import TRAIN, Helm, Object

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError
from launcher.hardware import catalogue, slices
from launcher.rendering import helm_values
from launcher.request import sources

GKE_BLOCK = "cloud.google.com/gce-topology-block"
PROGRAM = {"arch": None, "command": "python train.py --lr 0.1 --out '/a b'", "name": "mine"}
ARCHIVE = b"\x1f\x8b<not unpacked here>&" * 9
CODE = {"digest": hashlib.sha256(ARCHIVE).hexdigest(), "archive": base64.b64encode(ARCHIVE).decode()}
# name: fields of a request that is tried alone and together with others
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two-slices": {"num_slices": 2},
    "unkept": {"bucket": None},
    "prefix": {"bucket": "gs://my-bucket/a/b/", "name": "a"},
    "run-dir": {"mount": ["pvc/runs:/runs"], "run_dir": "/runs/x/", "bucket": None},
    "trainer": {
        "recipe": "classic-90",
        "data": "gs://bucket/imagenet",
        "batch": 147456,
        "epochs": 1.5,
        "seed": 0,
    },
    "own-network": {"arch": "own.nets:Wide.b16", "data": "own.data:birds", "recipe": "own.recipes.fast"},
    "own-recipe": {"recipe": {"name": "mine.yaml", "optim": {"lr": 0.5}, "train.batch": 147456}},
    "own-by-set": {"set": ["model.arch=own.nets:net", "data.name=own.data:birds"]},
    "groups": {"arch": "vit-b16", "set": ["mesh.model=4"], "batch": 147456},
    "small-groups": {"slice": "v5e-16", "arch": "deit3-s16", "set": ["mesh.model=02"], "batch": 8},
    "left-as-it-is": {
        "arch": "vit-b16",
        "set": ["model.bn_group=00", "model.jacobian=0.00", "model.blur=off"],
    },
    "depth": {"arch": "cifar-preact164", "set": ["model.depth=01001"]},
    "own-settings": {"arch": "own.nets:net", "set": ["model.bn_group=8"]},
    "own-groups": {"arch": "own.nets:net", "set": ["mesh.model=3"]},
    "steps": {"steps": 1234567, "set": ["optim.lr=0.1", "model.dtype=float32", "data.flip=true"]},
    "arguments": {"args": ["--set=optim.lr=1", "--batch", "147456"]},
    "batch-by-set": {"batch": 100, "set": ["train.batch=100", "train.batch=147456"]},
    "batch-with-zeros": {"set": ["train.batch=0147456"]},
    "batch-by-set-alone": {"set": ["train.batch=147456"], "args": ["--batch", "100"]},
    "batch-after-dashes": {"batch": 100, "args": ["--batch", "10", "--batch", "147456"]},
    "batch-by-set-after-dashes": {"set": ["train.batch=100"], "args": ["--set", "train.batch=147456"]},
    "spot": {"spot": True},
    "spot-grace": {"spot": True, "grace": "0", "max_restarts": 0},
    "reservation": {"reservation": "my-capacity"},
    "flex": {"flex": "24h"},
    "flex-deadline": {"flex": "7d", "deadline": "1h"},
    "queued": {"queue": "team", "priority": "high", "flex": "24h"},
    "topology": {"queue": "team", "topology_required": GKE_BLOCK},
    "topology-slices": {"queue": "team", "topology_required": GKE_BLOCK, "num_slices": 3},
    "topology-preferred": {"queue": "team", "topology_preferred": GKE_BLOCK},
    "topology-kueue-0.12": {"queue": "team", "topology_required": GKE_BLOCK, "kueue_version": "v0.12.4"},
    "topology-kueue-0.13": {
        "queue": "team",
        "topology_required": GKE_BLOCK,
        "num_slices": 2,
        "kueue_version": "0.13",
    },
    "network": {"host_network": True},
    "isolated": {"network_policy": True, "label": {"team": "vision"}, "namespace": "vision"},
    "no-fabric": {"fabric": False, "num_slices": 2},
    "fabric": {"fabric": True, "num_slices": 2},
    "dranet": {"fabric": "dranet", "env": {"NCCL_DEBUG": "INFO"}},
    "dranet-topology": {
        "fabric": "dranet",
        "queue": "team",
        "topology_required": GKE_BLOCK,
        "namespace": "n",
    },
    "tuning": {"tuning": "published", "num_slices": 2},
    "tuning-and-own-arguments": {"tuning": "published", "num_slices": 2, "env": ["LIBTPU_INIT_ARGS=--x=1"]},
    "lifetime": {"ttl": "0", "deadline": "2d", "max_restarts": 1000},
    "namespace": {
        "namespace": "team",
        "service_account": "trainer",
        "image": "r/i@sha256:" + "0123456789abcdef" * 4,
    },
    "environment": {
        "env": ["B=1", "A=$(B) b: c\n- d", "B=2", "EMPTY=", "C=é☃ '\"{name}", "HOME=/x", "N=0x1F", "Y=yes"],
        "secret_env": ["WANDB_API_KEY=wandb/key", "A_SECRET=s/k"],
    },
    "notify": {"notify": "notify/url", "max_restarts": 3, "env": ["HOME=/x"]},
    "notify-default": {"notify": "a.b/K_1.x", "slice": "cpu-2x1", "secret_env": ["T=s/k"]},
    "libraries": {"env": {"LD_LIBRARY_PATH": "/x", "NCCL_ALGO": "Tree"}},
    "volumes": {
        "mount": [
            "pvc/imagenet:/data:ro",
            "gcs/my-data:/gcs:ro",
            "ssd:/fast",
            "pvc/a.b:/runs",
            "host/mnt/x:/y",
        ]
    },
    "labels": {
        "label": {"team": "vision", "app.kubernetes.io/part-of": "other", "empty": ""},
        "annotation": {"example.com/why": 'it\'s "quoted"\nand: {hosts}', "empty": "", "n": "1"},
    },
    "resources": {"cpu": "4", "memory": "16Gi"},
    "custom-tpu": {
        "slice": "custom",
        "custom_slice": "accelerator=tpu-v9-slice,topology=4x4,chips-per-host=4",
    },
    "custom-2x4": {
        "slice": "my-tpu",
        "custom_slice": {"accelerator": "t", "topology": "2x4", "chips-per-host": 8, "devices-per-chip": 2},
    },
    "custom-machine": {
        "slice": "custom",
        "custom_slice": "accelerator=t,topology=2x2x4,chips-per-host=4,machine=m-4t,hosts=4,arch=arm64",
        "num_slices": 2,
    },
    "custom-gpu": {"slice": "b400", "custom_slice": "accelerator=nvidia-b400,chips-per-host=8,hosts=3"},
    "custom-resource": {
        "slice": "custom",
        "custom_slice": "accelerator=mi400,chips-per-host=8,resource=amd.com/gpu,machine=m",
    },
    "limits": {
        "cpu": "500m",
        "cpu_limit": "1",
        "memory": "1Gi",
        "memory_limit": "1.5Gi",
        "ephemeral_storage": "10Gi",
        "shm": "1Gi",
    },
    "limits-alone": {"cpu_limit": "250m", "memory_limit": "2G"},
    "pull": {"image_pull_secret": ["registry", "b.c", "registry"], "image_pull_policy": "Always"},
    "scheduling": {"priority_class": "batch-low", "scheduler": "bin-packing"},
    "env-file": {"env_file": ["A=1\nB='x y'\n", {"A": "2", "C": ""}], "env": ["C=3"]},
    "affinity": {"node_affinity": ["topology.kubernetes.io/zone=us-a|us-b|us-a", "gen=1"]},
    "compute-class": {"compute_class": "reserved-first", "toleration": ["a"]},
    "spot-class": {"compute_class": "cheap", "spot": True},
    "reservation-block": {"reservation": "my-capacity/reservationBlocks/b-1"},
    "reservation-path": {
        "reservation": "projects/my-p/reservations/r.1/reservationBlocks/b/reservationSubBlocks/s-0"
    },
    "patches": {
        "patch": [
            {"spec": {"ttlSecondsAfterFinished": 5, "failurePolicy": None}},
            {"spec": {"ttlSecondsAfterFinished": None}, "metadata": {"labels": {"second": "yes"}}},
        ]
    },
    "nodes": {
        "node_selector": {"disk": "ssd", "cloud.google.com/gke-tpu-topology": "9x9"},
        "toleration": ["dedicated=training:NoSchedule", "other", "a=b", "c:NoExecute", "d="],
    },
    "program": {**PROGRAM, "workdir": "/app/"},
    "program-slices": {
        "arch": None,
        "command": ["python", "-c", "a 'b'\n\"$(X)\" $$ {hosts}"],
        "name": "p",
        "num_slices": 3,
    },
    "program-codes": {
        **PROGRAM,
        "exit_codes": "fatal=9,preempted=143,preempted=75,hung=1,fatal=100,finished=0",
    },
    "program-no-fatal": {**PROGRAM, "exit_codes": {"preempted": 1, "retry": [2, 3]}},
    "program-no-preempted": {**PROGRAM, "exit_codes": "fatal=255", "num_slices": 2},
    "program-jobset-0.5": {**PROGRAM, "exit_codes": "retry=4", "jobset_version": "0.5", "deadline": "1h"},
    "program-jobset-0.8": {**PROGRAM, "exit_codes": "preempted=4", "jobset_version": "0.8"},
    "program-jobset-0.9": {**PROGRAM, "exit_codes": "preempted=4,fatal=5", "jobset_version": "0.9"},
    "jobset-0.11": {"jobset_version": "v0.11.0"},
    "jobset-0.8": {"jobset_version": "0.8", "namespace": "team"},
    "jobset-0.6": {"jobset_version": "0.6", "deadline": "1h"},
    "jobset-0.5": {"jobset_version": "0.5"},
    "code": {"code": {"digest": "ab" * 32, "commit": "0" * 40, "dirty": True}},
    "code-in-a-configmap": {
        "code": CODE,
        "bucket": None,
        "env": ["PYTHONPATH=/mine", "A=1"],
        "memory": "4Gi",
    },
    "code-and-secrets": {"code": {"digest": "cd" * 32, "commit": "1" * 64}, "secret_env": ["T=s/k"]},
    "code-of-a-program": {
        **PROGRAM,
        "code": CODE,
        "exit_codes": "preempted=44,retry=3",
        "code_image": "r/i:2",
    },
    "code-in-a-workdir": {**PROGRAM, "code": CODE, "exit_codes": "retry=3", "workdir": "/code/d"},
    "code-of-an-old-jobset": {**PROGRAM, "code": CODE, "exit_codes": "retry=3", "jobset_version": "0.8"},
    "code-of-the-oldest-jobset": {"code": CODE, "jobset_version": "0.5"},
    "patch": {
        "patch": {
            "metadata": {"labels": {"patched": "yes", "kueue.x-k8s.io/queue-name": None}},
            "spec": {
                "network": {"$patch": "replace", "subdomain": "x", "none": None},
                "failurePolicy": {"rules": [{"name": "only", "action": "FailJobSet"}], "maxRestarts": None},
                "replicatedJobs": [
                    {
                        "name": "slice",
                        "template": {
                            "spec": {
                                "podFailurePolicy": {"$patch": "delete"},
                                "template": {
                                    "spec": {
                                        "tolerations": [{"key": "x", "operator": "Exists", "value": None}],
                                        "containers": [
                                            {
                                                "name": "trainer",
                                                "imagePullPolicy": "Always",
                                                "env": [
                                                    {"name": "HOME", "value": "/h"},
                                                    {"name": "RESNET_POD", "$patch": "delete"},
                                                    {"name": "NEW", "value": "1"},
                                                ],
                                                "volumeMounts": [{"mountPath": "/tmp", "subPath": "s"}],
                                            },
                                            {"name": "second", "image": "x", "args": ["a", None, 4194304]},
                                        ],
                                        "volumes": [{"name": "shm", "$patch": "delete"}],
                                    }
                                },
                            }
                        },
                    }
                ],
            },
        }
    },
}
SIZES = ["v4-8", "v4-32", "v5e-1", "v5e-8", "v5e-8-1", "v5p-12288", "tpu7x-64", "l4-1", "a100-16", "h100-16"]
SIZES += [
    "tpu7-16",
    "h100-nolssd-4",
    "gb200-nolssd-8",
    "rtx-pro6000-16",
    "h100-mega-16",
    "h200-24",
    "gb200-72",
    "cpu-1x1",
    "cpu-2x4",
    "v4:4x4x16",
    "v6e:2x4-1",
]
COMBINATIONS = 200
EFA = "vpc.amazonaws.com/efa"
ELSEWHERE: list[dict[str, Any]] = [
    {"fabric": "efa"},
    {"fabric": "efa", "fabric_resource": {EFA: 16}, "memory": "64Gi", "cpu": "8"},
    {"fabric": "efa", "fabric_resource": [f"{EFA}=4", "hugepages-2Mi=1Gi"], "num_slices": 2},
    {"fabric": "ib", "env": {"NCCL_IB_HCA": "mlx5"}, "host_network": True},
    {"fabric": "ib", "fabric_resource": ["rdma/hca_shared_devices_a=1"], "num_slices": 3, "namespace": "n"},
    {"fabric": "ib", "queue": "team", "topology_required": "nvidia.com/gpu.clique", "label": {"a": "b"}},
    {
        "fabric": "roce",
        "fabric_resource": {"nvidia.com/rdma": 8},
        "annotation": {"k8s.v1.cni.cncf.io/networks": "a"},
    },
    {"fabric": "none", "gpu_resource": "amd.com/gpu", "num_slices": 2},
    {"fabric": "ib", "gpu_resource": "amd.com/gpu", **PROGRAM},
    {"fabric": "ib", "node_affinity": ["zone=a|b"], "memory_limit": "8Gi", "cpu_limit": "4"},
    {"fabric": "efa", "fabric_resource": {EFA: 2}, "cpu_limit": "4"},
    {"fabric": "efa", "fabric_resource": {EFA: 2}, "memory_limit": "8Gi", "ephemeral_storage": "1Gi"},
]
GENERIC = {"platform": "generic", "gpu_resource": "amd.com/gpu"}


def request(name: str, fields: dict[str, Any]) -> TrainingJob | None:
    """Return the request of a cell of the grid, or None where the launcher refuses it."""
    policy = {"placement_policy": "p-1"} if slices.parse(name).placement_policy else {}
    try:
        return TrainingJob(**{"slice": name, "arch": "resnet50", "bucket": "my-bucket", **policy, **fields})
    except RequestError:
        return None


def plain(objects: list[Object]) -> list[Object]:
    return json.loads(json.dumps(objects))  # tuples as lists


def is_jobset(manifest: Object) -> bool:
    return manifest["kind"] == "JobSet"


def compare(helm: Helm, folder: Path, jobs: list[TrainingJob]) -> None:
    rendered = helm.many([helm_values.values(job) for job in jobs], folder)
    for job, objects in zip(jobs, rendered, strict=True):
        # Helm creates kinds that it does not know in alphabetical order; pods wait for a claim's template.
        assert sorted(objects, key=is_jobset) == plain(render(job)), helm_values.values(job)


@pytest.mark.slow
def test_every_slice_of_the_catalogue(helm: Helm, tmp_path: Path) -> None:
    requests = [request(shape.name, {}) for shape in catalogue.slices()]
    jobs = [job for job in requests if job]
    assert len(jobs) == len(catalogue.slices()) > 300
    compare(helm, tmp_path / "all", jobs)


@pytest.mark.slow
def test_every_option_with_every_kind_of_slice(helm: Helm, tmp_path: Path) -> None:
    grid = {(name, o): request(name, fields) for name in SIZES for o, fields in OPTIONS.items()}
    jobs = {cell: job for cell, job in grid.items() if job}
    assert {option for _, option in jobs} == OPTIONS.keys()
    assert len(jobs) > 400
    generic = [request(name, {**GENERIC, **OPTIONS[o]}) for name in ("a100-16", "h100-8") for o in OPTIONS]
    compare(helm, tmp_path / "all", [*jobs.values(), *filter(None, generic)])


def test_fabrics_of_other_platforms(helm: Helm, tmp_path: Path) -> None:
    sizes = ["h100-8", "h100-16", "h100-4", "l4-1", "b200-16", "gb200-8", "gb200-72"]
    grid = {
        (name, index): request(name, {"platform": "generic", **fields})
        for name in sizes
        for index, fields in enumerate(ELSEWHERE)
    }
    jobs = {cell: job for cell, job in grid.items() if job}
    assert {index for _, index in jobs} == set(range(len(ELSEWHERE)))
    assert {name for name, _ in jobs} == set(sizes)
    compare(helm, tmp_path / "all", list(jobs.values()))


def test_options_together(helm: Helm, tmp_path: Path) -> None:
    """Three random options at a time; a fixed seed makes them the same in each run."""
    dice = random.Random(7)
    requests = []
    for _ in range(COMBINATIONS):
        fields: dict[str, Any] = {}
        for option in dice.sample(sorted(OPTIONS), 3):
            fields |= OPTIONS[option]
        requests.append(request(dice.choice(SIZES), fields))
    jobs = [job for job in requests if job]
    assert len(jobs) > COMBINATIONS // 2
    compare(helm, tmp_path / "all", jobs)


def test_every_field_of_a_request_is_in_the_grid() -> None:
    used = {name for fields in [*OPTIONS.values(), *ELSEWHERE] for name in fields} | GENERIC.keys()
    assert sources.FIELDS.keys() - used == {"placement_policy"}


def rendered(flags: str) -> str:
    """Return what `resnet-launch render FLAGS` prints."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()) as stderr:
        assert main(["render", *shlex.split(flags)]) == 0, stderr.getvalue()
    return out.getvalue()


EQUIVALENT = [
    ("slice=v4-32,arch=resnet152", "--slice v4-32 --arch resnet152"),
    ("slice=trillium-8,arch=resnet50,bucket=b-1", "--slice trillium-8 --arch resnet50 --bucket b-1"),
    ("slice=V5litepod-16,arch=resnet50,spot=true", "--slice v5litepod-16 --arch resnet50 --spot"),
    ("slice=v4:2x2x4,arch=resnet18,numSlices=2", "--slice v4-32 --num-slices 2 --arch resnet18"),
    ("slice=h100-80gb-16,arch=resnet50,cpu=4", "--slice h100-16 --arch resnet50 --cpu 4"),
    ("slice=cpu-2x1,arch=resnet-tiny,epochs=0.5", "--slice cpu-2x1 --arch resnet-tiny --epochs 0.5"),
    ("slice=cpu-2x1,arch=resnet18,batch=1000000", "--slice cpu-2x1 --arch resnet18 --batch 1000000"),
    ("slice=cpu-2x1,command={python,1,a b}", "--slice cpu-2x1 --command \"python 1 'a b'\""),
    ("slice=a100-16,command={x},exitCodes=fatal=2", "--slice a100-16 --command x --exit-codes fatal=2"),
    ("slice=v5p-8,arch=resnet18,grace=90s", "--slice v5p-8 --arch resnet18 --grace 90s"),
    ("slice=v6e-16,arch=resnet50,flex=24h,ttl=7d", "--slice v6e-16 --arch resnet50 --flex 24h --ttl 7d"),
    ("slice=l4-2,arch=resnet18,env.A=1,label.a=b", "--slice l4-2 --arch resnet18 --env A=1 --label a=b"),
    ("slice=v4-8,arch=resnet18,jobsetVersion=0.08", "--slice v4-8 --arch resnet18 --jobset-version 0.08"),
    ("slice=l4-1,arch=resnet18,mount={pvc/a:/a/}", "--slice l4-1 --arch resnet18 --mount pvc/a:/a"),
]


@pytest.mark.parametrize(("values", "flags"), EQUIVALENT, ids=[values for values, _ in EQUIVALENT])
def test_values_of_helm_and_flags_of_the_launcher(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: str, flags: str
) -> None:
    """The chart installed with `helm --set` by someone who never runs the launcher."""
    monkeypatch.chdir(tmp_path)
    objects = helm("template", "rn152", str(TRAIN), "--set", values).objects
    assert objects == list(yaml.load_all(rendered(f"{flags} --name rn152"), yaml.CSafeLoader))


def test_an_old_jobset_tells_submissions_apart_by_the_release_s_namespace(helm: Helm) -> None:
    values = {"slice": "v4-8", "arch": "resnet18", "jobsetVersion": "0.8"}
    [jobset] = helm.template(values, "--namespace", "team").objects
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert {"name": "RESNET_OWNER", "value": "team/run"} in pod["containers"][0]["env"]


def test_the_values_of_render(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`resnet-launch render --format helm-values … | helm template … -f -`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patch.yaml").write_text("spec: {failurePolicy: {maxRestarts: null}}\n")
    flags = "--slice h100-16 --arch resnet50 --bucket b-1 --env A=1 --queue q --patch patch.yaml"
    values = rendered(f"{flags} --format helm-values")
    objects = helm("template", "other", str(TRAIN), "-f", "-", stdin=values).objects
    assert objects == list(yaml.load_all(rendered(f"{flags} --name other"), yaml.CSafeLoader))


@pytest.mark.parametrize(
    "named", ["--name mine", "--name mine --run-dir gs://b-1/mine", "--run-dir gs://b-1/x"]
)
def test_a_name_or_directory_of_the_request_stays_in_the_values(helm: Helm, named: str) -> None:
    flags = f"--slice v4-32 --arch resnet50 --bucket b-1 {named}"
    objects = helm(
        "template", "other", str(TRAIN), "-f", "-", stdin=rendered(f"{flags} --format helm-values")
    ).objects
    same_name = "" if "--name" in named else "--name other"
    assert objects == list(yaml.load_all(rendered(f"{flags} {same_name}"), yaml.CSafeLoader))
