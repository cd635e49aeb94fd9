"""Values that the chart refuses: with the launcher's messages, or with the schema's for a wrong form."""

import json
from typing import Any

import flag_values
import pytest
from charts import TRAIN, Helm, Object
from jsonschema import Draft202012Validator

from launcher import TrainingJob
from launcher.errors import RequestError
from launcher.rendering import helm_values
from launcher.request import sources

GOOD: Object = {"slice": "v5p-384", "arch": "resnet50", "bucket": "b-1"}
GENERIC = {"platform": "generic", "gpu_resource": "amd.com/gpu"}

PROGRAM = {"arch": None, "command": ["x"], "name": "mine"}

# Fields beside GOOD that the launcher refuses too, and the message of both.
MESSAGES: list[tuple[Object, str]] = [
    ({"slice": "v4-33"}, "slice: must be v4-32 (16 chips) or v4-64 (32 chips), got 'v4-33'"),
    ({"slice": "v4-9999"}, "slice: must be v4-6144 (3072 chips), got 'v4-9999'"),
    ({"slice": "tpu7x-1"}, "slice: must be tpu7x-2 (1 chips), got 'tpu7x-1'"),
    ({"slice": "v5e-24"}, "slice: must be v5e-16 (16 chips) or v5e-32 (32 chips), got 'v5e-24'"),
    ({"slice": "v6e:3x3"}, "slice: must have a topology of v6e (1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16)"),
    ({"slice": "v4:4x8x4"}, "or AxBxC with A<=B<=C, each a multiple of 4), got 'v4:4x8x4'"),
    ({"slice": "v5e-16-1"}, "slice: must be v5e-8-1, got 'v5e-16-1'"),
    ({"slice": "l4-8-1"}, "slice: must not end in a second number, got 'l4-8-1'"),
    ({"slice": "h100-9"}, "slice: must be h100-N, N 1, 2, 4 or a multiple of 8, got 'h100-9'"),
    ({"slice": "h100-0"}, "slice: must be h100-N, N 1, 2, 4 or a multiple of 8, got 'h100-0'"),
    ({"slice": "gb200-76"}, "slice: must be gb200-N, N a multiple of 4 up to 72, got 'gb200-76'"),
    ({"slice": "cpu-0x1"}, "slice: must be cpu-<hosts>x<devices per host>, got 'cpu-0x1'"),
    ({"slice": "cpu-2x2-1"}, "slice: must be cpu-<hosts>x<devices per host>, got 'cpu-2x2-1'"),
    ({"slice": "v9-8"}, "slice: must be a slice such as v4-32, v5e-16, v5p-128, v6e-8, tpu7x-64, h100-16,"),
    ({"slice": "toaster"}, "a100-8 or cpu-2x4, got 'toaster'"),
    ({"slice": "local-gpu-2"}, "slice: must be a slice of a cluster, got 'local-gpu-2'"),
    ({"name": "q" * 60}, "name: must be at most 46 characters for 1 x v5p-384, got 'qqq"),
    ({"slice": "v4-8", "num_slices": 2}, "num-slices: must be 1 for v4-8, got 2"),
    ({"batch": 100}, "batch: must be a multiple of the run's 192 devices, got 100"),
    ({"set": ["train.batch=100"]}, "batch: must be a multiple of the run's 192 devices, got 100"),
    ({"args": ["--batch", "1000"]}, "batch: must be a multiple of the run's 192 devices, got 1000"),
    (
        {"batch": 192, "args": ["--batch", "100"]},
        "batch: must be a multiple of the run's 192 devices, got 100",
    ),
    (
        {"set": ["train.batch=100"], "args": ["--batch", "192"]},
        "batch: must be a multiple of the run's 192 devices, got 100",
    ),
    (
        {"set": ["train.batch=192"], "args": ["--set", "train.batch=100"]},
        "batch: must be a multiple of the run's 192 devices, got 100",
    ),
    *(
        ({"arch": arch, "recipe": recipe, **more}, f"recipe: must be for {network}, got {got}")
        for arch, recipe, more, network, got in (
            ("vit-b16", "effnet-b0", {}, "vit-b16, a network of vit", "effnet-b0 for efficientnet"),
            ("resnet50", "nfnet-f0", {}, "resnet50, a network of resnet", "nfnet-f0 for nfnet"),
            (
                "mdeq-cifar",
                "classic-90",
                {"args": ["--recipe", "cifar-resnet"]},
                "mdeq-cifar, a network of deq",
                "cifar-resnet for cifar",
            ),
            (
                "vit-b16",
                "deit3-s",
                {"set": ["model.arch=convnext-t"]},
                "convnext-t, a network of convnext",
                "deit3-s for vit",
            ),
        )
    ),
    *(
        (
            {"arch": arch, **more},
            f"set: {path} must be left out for {arch}, which does not have it, got {got}",
        )
        for arch, more, path, got in (
            ("vit-b16", {"set": ["model.bn_group=32"]}, "model.bn_group", "32"),
            ("vit-b16", {"set": ["model.activation=gelu"]}, "model.activation", "'gelu'"),
            ("resnet50", {"args": ["--set", "model.jacobian=0.5"]}, "model.jacobian", "0.5"),
            ("convnext-t", {"set": ["model.representation=1"]}, "model.representation", "True"),
            ("cifar-plain20", {"set": ["model.stochastic_depth=0.2"]}, "model.stochastic_depth", "0.2"),
        )
    ),
    *(
        ({"arch": arch, "set": [f"model.depth={depth}"]}, f"set: model.depth must be {rule}, got {depth}")
        for arch, depth, rule in (
            ("cifar-resnet20", 23, "6n + 2 for cifar-resnet20, nearest 20 or 26"),
            ("cifar-plain56", 57, "6n + 2 for cifar-plain56, nearest 56"),
            ("cifar-preact164", 1000, "9n + 2 for cifar-preact164, nearest 1001"),
            ("cifar-preact1001", 3, "9n + 2 for cifar-preact1001, nearest 11"),
            ("cifar-resnet110", 7, "6n + 2 for cifar-resnet110, nearest 8"),
        )
    ),
    *(
        ({"arch": arch, "set": [f"mesh.model={size}"], **more}, text)
        for arch, size, more, text in (
            (
                "vit-b16",
                5,
                {},
                "12 heads, 3072 hidden units of vit-b16 and the 192 devices of a slice, got 5",
            ),
            ("vit-b16", "05", {}, "hidden units of vit-b16 and the 192 devices of a slice, got 5"),
            ("vit-l16", 24, {}, "the 16 heads, 4096 hidden units of vit-l16 and the 192 devices of a slice"),
            (
                "vit-ti16",
                2,
                {"slice": "v5e-4"},
                "768 hidden units of vit-ti16 and the 4 devices of a slice",
            ),
            ("own.nets:net", 7, {}, "set: mesh.model must divide the 192 devices of a slice, got 7"),
            ("resnet50", 2, {}, "set: mesh.model must be 1 for resnet50, whose layers cannot be divided"),
            ("vit-b16", 0, {}, "set: mesh.model must be a whole number of at least 1, got '0'"),
            ("vit-b16", "x", {}, "set: mesh.model must be a whole number, got 'x'"),
            ("vit-b16", 4, {"batch": 100}, "a multiple of the run's 48 groups of 4 devices, got 100"),
        )
    ),
    (
        {"label": {"app.kubernetes.io/name": "x"}},
        "label: must not set app.kubernetes.io/name: runs are found by it",
    ),
    (
        {"annotation": {"resnet-launch/run-dir": "gs://b/x"}},
        "annotation: must not set resnet-launch/run-dir: runs are found by it",
    ),
    ({"label": ["kueue.x-k8s.io/queue-name=q"]}, "label: must not set kueue.x-k8s.io/queue-name"),
    (
        {"code": {"digest": "e" * 64}, "bucket": None},
        "code: must have its archive where the run directory is",
    ),
    (
        {"code": {"digest": "e" * 64, "archive": "cXFx"}},
        "code: must have an archive whose SHA-256 is its digest",
    ),
    ({"code": {"digest": "e" * 64}, "mount": ["ssd:/code/x"]}, "mount: must not mount at /code/x"),
    ({"code": {"digest": "e" * 64}, "secret_env": ["PYTHONPATH=a/b"]}, "secret-env: must not set PYTHONPATH"),
    ({"code_image": "r/i:1"}, "code-image: must be used with --code"),
    ({"steps": 7, "epochs": 9}, "steps: must not be used together with epochs, got 7 and 9"),
    ({"run_dir": "/runs/x"}, "run-dir: must be gs://… or lie under a writable --mount, got '/runs/x'"),
    (
        {"mount": ["pvc/runs:/runs:ro"], "run_dir": "/runs/x"},
        "run-dir: must be gs://… or lie under a writable --mount, got '/runs/x'",
    ),
    ({"mount": ["pvc/a:/a", "ssd:/a"]}, "mount: must mount one source at each path, got several at /a"),
    ({"env": {"RESNET_X": "1"}}, "env: must not set RESNET_X: the launcher or the cluster sets it"),
    (
        {"secret_env": {"TPU_WORKER_ID": "s/k"}},
        "secret-env: must not set TPU_WORKER_ID: the launcher or the cluster sets it",
    ),
    (
        {"env": {"A": "1"}, "secret_env": {"A": "s/k"}},
        "secret-env: must not set A: --env sets it",
    ),
    ({"spot": True, "flex": "1h"}, "flex: must be the only kind of capacity, got spot and flex"),
    (
        {"spot": True, "reservation": "r", "flex": "1h"},
        "flex: must be the only kind of capacity, got spot and reservation and flex",
    ),
    (
        {**GENERIC, "slice": "h100-8", "reservation": "r"},
        "reservation: must be left out on platform generic: only GKE has such nodes",
    ),
    (
        {"slice": "cpu-1x1", "placement_policy": "p"},
        "placement-policy: must be left out for CPU slices: choose their nodes with --node-selector",
    ),
    ({"flex": "8d"}, "flex: must be above 0 and at most 7d, got 8d"),
    ({"flex": "200h"}, "flex: must be above 0 and at most 7d, got 200h"),
    ({"flex": 604801}, "flex: must be above 0 and at most 7d, got 604801s"),
    ({"flex": 0}, "flex: must be above 0 and at most 7d, got 0s"),
    ({"slice": "v4-8", "flex": "1h"}, "flex: must be left out for v4-8: GKE has no flex-start"),
    ({"slice": "tpu7x-64"}, "placement-policy: must be given for tpu7x-64: several hosts of this generation"),
    ({"platform": "generic"}, "platform: must be gke for v5p-384: TPU hosts join by variables that GKE sets"),
    ({"gpu_resource": "amd.com/gpu"}, "gpu-resource: must be used with a GPU slice and --platform generic"),
    ({"topology_required": "a"}, "topology-required: must be used with --queue: Kueue reads it"),
    (
        {"queue": "q", "topology_required": "a", "topology_preferred": "b"},
        "topology-preferred: must be left out with --topology-required",
    ),
    (
        {"queue": "q", "topology_preferred": "a.b/c", "num_slices": 3},
        "topology-preferred: must be left out for 3 slices, got 'a.b/c': Kueue has no preferred placement of",
    ),
    (
        {"queue": "q", "topology_required": "a", "num_slices": 2, "kueue_version": "v0.12.3"},
        "topology-required: must be used with Kueue 0.13 or newer for 2 slices, got 0.12",
    ),
    (
        {"queue": "q", "topology_required": "a", "num_slices": 2, "kueue_version": "0.08"},
        "topology-required: must be used with Kueue 0.13 or newer for 2 slices, got 0.8",
    ),
    (
        {"queue": "q", "topology_preferred": "a", "kueue_version": "v0.8.4"},
        "topology-preferred: must be used with Kueue 0.9 or newer, got 0.8",
    ),
    (
        {"queue": "q", "topology_required": "a", "kueue_version": "0.1"},
        "topology-required: must be used with Kueue 0.9 or newer, got 0.1",
    ),
    ({"set": ["optim.rate=1"]}, "set: must name a field of the trainer, got 'optim.rate'"),
    ({"set": ["optim"]}, "set: must be section.field=value, got 'optim'"),
    ({"set": ["optim.lr=x"]}, "set: optim.lr must be a number, got 'x'"),
    ({"set": ["data.flip=x"]}, "set: data.flip must be true or false, got 'x'"),
    ({"set": ["train.batch=1.5"]}, "set: train.batch must be a whole number, got '1.5'"),
    ({"set": ["model.dtype=f8"]}, "set: model.dtype must be one of auto, bfloat16, float32, got 'f8'"),
    (
        {"set": ["data.name=digis"]},
        "set: data.name must be one of digits, fashion-mnist, synthetic, got 'digis'",
    ),
    ({"set": ["data.name=a/b"]}, "set: data.name must be gs://BUCKET/… or an absolute path, got 'a/b'"),
    (
        {"set": ["data.name=/a/../b"]},
        "set: data.name must be gs://BUCKET/… or an absolute path, got '/a/../b'",
    ),
    ({"set": ["augment.erase=2"]}, "set: augment.erase must be a number of at most 1, got '2'"),
    ({"set": ["model.width=0"]}, "set: model.width must be a whole number of at least 1, got '0'"),
    ({"args": ["--nope"]}, "args: must be flags of the trainer after --, got '--nope'"),
    ({"args": ["--seed"]}, "args: must have a value after --seed, got '--seed'"),
    ({"command": ["x"]}, "command: must be left out with arch, got both (arch resnet50)"),
    ({**PROGRAM, "notify": "s/k"}, "notify: must be left out with command: only the trainer reads it"),
    ({**PROGRAM, "seed": 0}, "seed: must be left out with command: only the trainer reads it"),
    ({**PROGRAM, "set": ["optim.lr=1"]}, "set: must be left out with command: only the trainer reads it"),
    ({"workdir": "/a"}, "workdir: must be used with command"),
    ({"exit_codes": "fatal=1"}, "exit-codes: must be used with command"),
    (
        {**PROGRAM, "exit_codes": "retry=7,fatal=9,hung=7"},
        "exit-codes: must give each exit code one meaning, got 'retry=7,hung=7'",
    ),
    ({**PROGRAM, "slice": "cpu-1x1", "env": {"RANK": "1"}}, "env: must not set RANK: the launcher or the"),
    ({"arch": None}, "arch: must be given, or command in its place"),
    ({"env_file": "A=1\n\nB\n"}, "env-file: must hold NAME=VALUE lines, got a line without = (from line 3)"),
    ({"env_file": "# x\n1A=2"}, "got a name that no variable has (from line 2)"),
    ({"env_file": "RESNET_HOSTS=2"}, "env: must not set RESNET_HOSTS: the launcher or the cluster sets it"),
    (
        {"custom_slice": "accelerator=a,topology=4x4,chips-per-host=4"},
        "slice: must be custom, or a name of its own, with custom-slice, got 'v5p-384'",
    ),
    (
        {"slice": "custom", "custom_slice": "accelerator=a,topology=4x4,chips-per-host=4,hosts=8"},
        "custom-slice: hosts must be 4: 4x4 has 16 chips, 4 on each host, got 8",
    ),
    (
        {"slice": "custom", "custom_slice": "accelerator=a,topology=2x3,chips-per-host=4"},
        "custom-slice: chips-per-host must divide the 6 chips of 2x3, got 4",
    ),
    (
        {"slice": "custom", "custom_slice": "accelerator=a,chips-per-host=4,resource=google.com/tpu"},
        "custom-slice: topology must be given for TPUs, got 'none'",
    ),
    (
        {"slice": "x", "custom_slice": "accelerator=a,chips-per-host=4,topology=2x2,resource=amd.com/gpu"},
        "custom-slice: topology must be left out with resource amd.com/gpu, got '2x2'",
    ),
    ({"slice": "custom"}, "slice: must be described where it is custom"),
    ({"cpu": "2", "cpu_limit": "1500m"}, "cpu-limit: must be at least --cpu 2, got '1500m'"),
    ({"memory": "1Gi", "memory_limit": "1G"}, "memory-limit: must be at least --memory 1Gi, got '1G'"),
    ({"memory": "1Ti", "memory_limit": "999Gi"}, "memory-limit: must be at least --memory 1Ti, got '999Gi'"),
    (
        {"slice": "a100-8", "platform": "generic", "compute_class": "c"},
        "compute-class: must be left out on platform generic: only GKE has such nodes",
    ),
    (
        {"node_selector": ["zone=a"], "node_affinity": ["zone=a|b"]},
        "node-affinity: must not name zone: --node-selector sets it",
    ),
    ({"patch": {"kind": "Pod"}}, "patch: must hold only metadata and spec of the JobSet, got 'kind'"),
    ({"patch": {"metadata": {"name": "x"}}}, "patch: must not rename the run"),
]


def spelled(fields: Object) -> Object:
    """Return the chart's values for fields of a request."""
    patch = {"patch": json.dumps(fields["patch"])} if "patch" in fields else {}
    if isinstance(fields.get("custom_slice"), str):
        pairs = (pair.split("=") for pair in fields["custom_slice"].split(","))
        facts = {helm_values.key(name.replace("-", "_")): value for name, value in pairs}
        fields = {**fields, "custom_slice": facts}
    values = {helm_values.key(name): value for name, value in {**fields, **patch}.items()}
    return {key: value for key, value in values.items() if value is not None}


@pytest.mark.parametrize(("fields", "message"), MESSAGES, ids=[message[:60] for _, message in MESSAGES])
def test_the_launcher_s_messages(helm: Helm, fields: Object, message: str) -> None:
    request = {**GOOD, **fields}
    with pytest.raises(RequestError) as caught:
        TrainingJob(**request)
    assert message in str(caught.value)
    result = helm.template({"name": "run", **spelled(request)})
    assert (result.code, result.out) == (1, "")
    assert message in result.err


def test_all_problems_at_once(helm: Helm) -> None:
    result = helm.template({**GOOD, "batch": 100, "priority": "p", "spot": True, "flex": 60})
    problems = result.err.splitlines()[:3]
    assert [line.rpartition("4): ")[2].split(": ")[0] for line in problems] == ["batch", "flex", "priority"]


# Values of a wrong form, and the path at which the schema refuses them.
FORMS: list[tuple[Object, str]] = [
    ({"slices": "v4-32"}, "additional properties 'slices' not allowed"),
    ({"num_slices": 2}, "additional properties 'num_slices' not allowed"),
    ({"arch": "resnet51"}, "'/arch'"),
    ({"command": "python train.py"}, "'/command'"),
    ({"command": []}, "'/command'"),
    ({"workdir": "app"}, "'/workdir'"),
    ({"exitCodes": "saved=42"}, "'/exitCodes'"),
    ({"exitCodes": "fatal=256"}, "'/exitCodes'"),
    ({"exitCodes": "finished=1"}, "'/exitCodes'"),
    ({"recipe": "classic"}, "'/recipe'"),
    ({"data": "imagenet21k"}, "'/data'"),
    ({"numSlices": "two"}, "'/numSlices'"),
    ({"numSlices": 0}, "'/numSlices'"),
    ({"maxRestarts": -1}, "'/maxRestarts'"),
    ({"batch": 0}, "'/batch'"),
    ({"batch": 1.5}, "'/batch'"),
    ({"epochs": 0}, "'/epochs'"),
    ({"epochs": "0.0"}, "'/epochs'"),
    ({"seed": -1}, "'/seed'"),
    ({"set": "optim.lr=1"}, "'/set'"),
    ({"name": "Run"}, "'/name'"),
    ({"bucket": "b"}, "'/bucket'"),
    ({"bucket": "B-1"}, "'/bucket'"),
    ({"runDir": "runs/x"}, "'/runDir'"),
    ({"image": "a b"}, "'/image'"),
    ({"namespace": "a.b"}, "'/namespace'"),
    ({"serviceAccount": "A"}, "'/serviceAccount'"),
    ({"env": {"1A": "x"}}, "'/env'"),
    ({"env": {"A": True}}, "'/env'"),
    ({"env": ["A"]}, "'/env'"),
    ({"secretEnv": {"A": "secret"}}, "'/secretEnv'"),
    ({"notify": "https://hooks.slack.com/services/T0/B0/x"}, "'/notify'"),
    ({"mount": ["nfs/a:/a"]}, "'/mount/0'"),
    ({"mount": ["pvc/a"]}, "'/mount/0'"),
    ({"mount": ["pvc/a:/tmp/"]}, "'/mount/0'"),
    ({"mount": ["host/../etc:/a"]}, "'/mount/0'"),
    ({"runDir": "/a/../b"}, "'/runDir'"),
    ({"label": {"a": "b c"}}, "'/label'"),
    ({"cpu": "lots"}, "'/cpu'"),
    ({"memory": "1Q"}, "'/memory'"),
    ({"cpuLimit": "1x"}, "'/cpuLimit'"),
    ({"memoryLimit": "-1"}, "'/memoryLimit'"),
    ({"ephemeralStorage": "lots"}, "'/ephemeralStorage'"),
    ({"shm": "64 MiB"}, "'/shm'"),
    ({"imagePullPolicy": "always"}, "'/imagePullPolicy'"),
    ({"imagePullSecret": ["A"]}, "'/imagePullSecret/0'"),
    ({"priorityClass": "a b"}, "'/priorityClass'"),
    ({"scheduler": "A"}, "'/scheduler'"),
    ({"nodeAffinity": ["zone"]}, "'/nodeAffinity/0'"),
    ({"nodeAffinity": ["zone=a||b"]}, "'/nodeAffinity/0'"),
    ({"computeClass": "a/b"}, "'/computeClass'"),
    ({"reservation": "projects/p/r"}, "'/reservation'"),
    ({"reservation": "r/reservationSubBlocks/s"}, "'/reservation'"),
    ({"envFile": 1}, "'/envFile'"),
    ({"hostNetwork": "yes"}, "'/hostNetwork'"),
    ({"fabric": 1}, "'/fabric'"),
    ({"spot": "true"}, "'/spot'"),
    ({"grace": "soon"}, "'/grace'"),
    ({"flex": "1w"}, "'/flex'"),
    ({"platform": "eks"}, "'/platform'"),
    ({"platform": "local"}, "'/platform'"),
    ({"toleration": ["a:Never"]}, "'/toleration/0'"),
    ({"jobsetVersion": 0.11}, "'/jobsetVersion'"),
    ({"kueueVersion": 0.19}, "'/kueueVersion'"),
    ({"kueueVersion": "newest"}, "'/kueueVersion'"),
    ({"queue": "Q"}, "'/queue'"),
    ({"patch": {"spec": {}}}, "'/patch'"),
]


@pytest.mark.parametrize(("values", "path"), FORMS, ids=[str(values) for values, _ in FORMS])
def test_a_value_of_the_wrong_form(helm: Helm, values: Object, path: str) -> None:
    result = helm.template({**GOOD, **values})
    assert (result.code, result.out) == (1, "")
    assert path in result.err
    assert "execution error" not in result.err


INSTALLED = ("v1/Pod", "jobset.x-k8s.io/v1alpha2/JobSet")


@pytest.mark.parametrize(
    ("served", "missing"),
    [
        (["kueue.x-k8s.io/v1beta2/Workload", "kueue.x-k8s.io/v1beta1/Workload"], ""),
        (["kueue.x-k8s.io/v1beta2/Workload"], ""),
        (["kueue.x-k8s.io/v1beta1/Workload"], ""),
        (["kueue.x-k8s.io/v1beta2/LocalQueue"], "workloads.kueue.x-k8s.io"),
        ([], "workloads.kueue.x-k8s.io"),
    ],
)
def test_a_queue_needs_kueue_in_one_of_its_versions(helm: Helm, served: list[str], missing: str) -> None:
    apis = [argument for api in (*INSTALLED, *served) for argument in ("--api-versions", api)]
    result = helm.template({**GOOD, "queue": "team"}, *apis)
    assert (result.code, f"cluster: this cluster has no {missing}" in result.err) == (int(bool(missing)),) * 2


def test_the_schema_is_one_and_closed(helm: Helm) -> None:
    schema = json.loads((TRAIN / "values.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert all("description" in entry for entry in schema["properties"].values())


def chart_value(name: str, text: str) -> Any:
    """Return a flag's text as a value of the chart."""
    if name in ("num_slices", "max_restarts"):
        return int(text)
    return [text] if sources.is_repeated(name) else text


def test_the_schema_takes_what_the_launcher_takes() -> None:
    """The schema accepts every good value of the fuzzing tests; a patch is a file there and text here."""
    schema = Draft202012Validator(json.loads((TRAIN / "values.schema.json").read_text()))
    wrong = [
        (name, text)
        for name, texts in flag_values.GOOD.items()
        for text in texts
        if name not in (*sources.FILES, "code", "custom_slice")
        and not schema.is_valid({helm_values.key(name): chart_value(name, text)})
    ]
    assert wrong == []


def test_text_that_is_no_patch(helm: Helm) -> None:
    result = helm.template({**GOOD, "patch": "a: [\n"})
    assert "patch: must be a mapping, got 'a: [" in result.err


def test_a_release_whose_name_is_too_long(helm: Helm) -> None:
    result = helm("template", "r" * 50, str(TRAIN), "--set", "slice=v5p-384,arch=resnet50")
    assert "name: must be at most 46 characters for 1 x v5p-384, got 'rrr" in result.err


@pytest.mark.parametrize(
    "values", ["", "slice=v4-32,arch=resnet152", "slice=cpu-2x1,arch=resnet-tiny,queue=q"]
)
def test_lint(helm: Helm, values: str) -> None:
    result = helm("lint", "--strict", str(TRAIN), *(["--set", values] if values else []))
    assert result.code == 0, result.out
    assert "0 chart(s) failed" in result.out
