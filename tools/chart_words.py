"""words.json of the chart resnet-train: the launcher's own error messages, with placeholders for values.

Each message comes from a request that the launcher refuses, so that both print the same text.
"""

from __future__ import annotations

from typing import Any

from launcher import TrainingJob, contract
from launcher.errors import Problem, RequestError
from launcher.hardware import facts
from launcher.request import packed_code

GOOD: dict[str, Any] = {"slice": "v5p-384", "arch": "resnet50", "bucket": "b-1"}
CODE: dict[str, Any] = {"code": {"digest": "e" * 64}}
GENERIC: dict[str, Any] = {"slice": "h100-24", "platform": "generic"}

PROGRAM: dict[str, Any] = {"arch": None, "command": ["qqq"], "name": "q"}

_SIZES_OF_192 = ", ".join(str(size) for size in range(1, 193) if 192 % size == 0)
_SETTINGS_OF_VIT = ", ".join(
    next(row["settings"] for row in contract.document()["network_settings"] if "vit-b16" in row["archs"])
)

# key: (fields that spoil GOOD, {text of the error: name of its placeholder})
ERRORS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "slice-missing": ({"slice": None}, {}),
    "arch-missing": ({"arch": None}, {}),
    "program-both": (
        {"command": ["qqq"], "name": "q"},
        {"resnet50": "arch"},
    ),
    "program-field": (
        {**PROGRAM, "seed": 1},
        {"seed:": "{field}:"},
    ),
    "program-lacks": ({"workdir": "/qqq"}, {"workdir:": "{field}:"}),
    "exit-codes": (
        {**PROGRAM, "exit_codes": "retry=77,fatal=77"},
        {"retry=77,fatal=77": "got"},
    ),
    "slice-custom": ({"slice": "custom"}, {}),
    "custom-listed": ({"custom_slice": "accelerator=a,topology=4x4,chips-per-host=4"}, {"v5p-384": "got"}),
    "custom-lacks": (
        {"slice": "custom", "custom_slice": "accelerator=a,chips-per-host=4,resource=google.com/tpu"},
        {},
    ),
    "custom-topology": (
        {"slice": "custom", "custom_slice": "accelerator=a,topology=7x9,chips-per-host=4,resource=qqq.com/x"},
        {"qqq.com/x": "resource", "7x9": "got"},
    ),
    "custom-chips": (
        {"slice": "custom", "custom_slice": "accelerator=a,topology=4x6,chips-per-host=7"},
        {
            "host=8; 1, 2, 4, 8 divide": "host={largest}; {divisors} divide",
            "the 24 chips of 4x6": "the {chips} chips of {topology}",
            "got 7": "got {perHost}",
        },
    ),
    "custom-hosts": (
        {"slice": "custom", "custom_slice": "accelerator=a,topology=6x6,chips-per-host=4,hosts=77"},
        {
            "77": "got",
            "hosts must be 9: 6x6": "hosts must be {hosts}: {topology}",
            "36 chips, 4 on": "{chips} chips, {perHost} on",
            "(hosts=9,": "(hosts={hosts},",
        },
    ),
    "slice-unknown": ({"slice": "zzqq-77"}, {"zzqq-77": "got"}),
    "slice-local": ({"slice": "local-gpu-99"}, {"local-gpu-99": "got"}),
    "slice-cpu": ({"slice": "cpu-0x1"}, {"cpu-0x1": "got"}),
    "name-form": ({"name": "Qq"}, {"Qq": "got"}),
    "name": (
        {"name": "q" * 60, "num_slices": 777},
        {"at most 44": "at most {room}", "777": "slices", "v5p-384": "slice", "q" * 60: "got"},
    ),
    "num-slices": ({"slice": "v4-8", "num_slices": 77}, {"v4-8": "slice", "77": "got"}),
    "platform": ({"platform": "generic"}, {"v5p-384": "slice"}),
    "gpu-resource": ({"gpu_resource": "amd.com/gpu"}, {}),
    "run-dir": ({"run_dir": "/qqq"}, {"'/qqq'": "'{got}'"}),
    "mount": ({"mount": ["pvc/a:/qqq", "pvc/b:/qqq"]}, {"/qqq": "path"}),
    "no-ssd": (
        {"slice": "gb200-nolssd-8", "mount": ["ssd:/qqq"]},
        {"gb200-nolssd-8": "slice"},
    ),
    "reserved": ({"env": {"RESNET_QQQ": "1"}}, {"env:": "{field}:", "RESNET_QQQ": "name"}),
    "selecting": (
        {"label": {"app.kubernetes.io/name": "qqq"}},
        {"label:": "{field}:", "app.kubernetes.io/name": "key"},
    ),
    "queue-label": (
        {"label": {"kueue.x-k8s.io/queue-name": "qqq"}},
        {"kueue.x-k8s.io/queue-name": "key"},
    ),
    "secret-env": ({"env": {"QQQ": "1"}, "secret_env": {"QQQ": "s/k"}}, {"QQQ": "name"}),
    "env-file": (
        {"env_file": "A=1\nqqq"},
        {"a line without =": "reason", "from line 2": "from line {line}"},
    ),
    "limit": (
        {"cpu": "777", "cpu_limit": "99"},
        {"cpu": "field", "777": "request", "99": "got"},
    ),
    "compute-class": ({**GENERIC, "compute_class": "qqq"}, {}),
    "node-affinity": (
        {"node_selector": {"qqq": "1"}, "node_affinity": ["qqq=1|2"]},
        {"qqq": "key"},
    ),
    "capacity": (
        {"spot": True, "reservation": "r"},
        {"reservation:": "{field}:", "spot and reservation": "options"},
    ),
    "not-gke": ({**GENERIC, "spot": True}, {"spot:": "{field}:"}),
    "not-cpu": ({"slice": "cpu-1x1", "spot": True}, {"spot:": "{field}:"}),
    "flex": ({"flex": 777777}, {"777777s": "got"}),
    "no-flex": ({"slice": "v4-8", "flex": 60}, {"v4-8": "slice"}),
    "placement-policy": ({"slice": "tpu7x-64"}, {"tpu7x-64": "slice"}),
    "fabric-resource": (
        {"slice": "h100-24", "fabric_resource": ["a.b/c=1"], "fabric": "none"},
        {"--fabric none": "--fabric {got}"},
    ),
    "fabric-no-gpu": ({"fabric": "roce"}, {"v5p-384": "slice", "'roce'": "'{got}'"}),
    "fabric-generic": ({**GENERIC, "fabric": "dranet"}, {}),
    "fabric-dranet": ({"slice": "h100-24", "fabric": "dranet"}, {"h100-24": "slice", "tcpx": "own"}),
    "fabric-gke": (
        {"slice": "h100-24", "fabric": "ib"},
        {"'ib'": "'{got}'", "--fabric ib": "--fabric {got}"},
    ),
    "fabric-number": (
        {**GENERIC, "slice": "b200-24", "fabric": "efa"},
        {"--fabric efa": "--fabric {got}", "b200-24": "slice", "vpc.amazonaws.com/efa": "resource"},
    ),
    "fabric-name": ({**GENERIC, "fabric": "roce"}, {"--fabric roce": "--fabric {got}"}),
    "queue": ({"priority": "p"}, {"priority:": "{field}:"}),
    "topology": ({"queue": "q", "topology_required": "a", "topology_preferred": "b"}, {}),
    "code-image": ({"code_image": "r/i:1"}, {}),
    "code-mount": ({**CODE, "mount": ["pvc/a:/code/qqq"]}, {"/code/qqq": "path"}),
    "code-secret": ({**CODE, "secret_env": {"PYTHONPATH": "s/k"}}, {}),
    "code-archive": ({**CODE, "bucket": None}, {}),
    "code-size": (
        {"bucket": None, "code": packed_code.PackedCode(digest="e" * 64, archive=bytes(7_777_000))},
        {"got 7777": "got {got}"},
    ),
    "code-digest": (
        {"code": {"digest": "e" * 64, "archive": "cXFx"}},
        {repr("e" * 64): "'{got}'"},
    ),
    "topology-slices": (
        {"queue": "q", "topology_preferred": "qqq/zzz", "num_slices": 777},
        {"777": "slices", "qqq/zzz": "label"},
    ),
    "kueue-topology": (
        {"queue": "q", "topology_preferred": "a", "kueue_version": "0.8"},
        {"topology-preferred": "flag", "got 0.8": "got {got}"},
    ),
    "kueue-slices": (
        {"queue": "q", "topology_required": "a", "num_slices": 777, "kueue_version": "0.12"},
        {"777": "slices", "got 0.12": "got {got}"},
    ),
    "patch-key": ({"patch": {"qqq": 1}}, {"'qqq'": "'{got}'"}),
    "patch-name": ({"patch": {"metadata": {"name": "n"}}}, {}),
    "patch-mapping": ({"patch": "qqq"}, {"'qqq'": "'{got}'"}),
    "batch": ({"batch": 1000}, {"960 or 1152": "near", "192": "devices", "1000": "got"}),
    "batch-groups": (
        {"arch": "vit-b16", "set": ["mesh.model=2"], "batch": 1000},
        {"960 or 1056": "near", "96 groups of 2": "{groups} groups of {size}", "1000": "got"},
    ),
    "recipe-family": (
        {"arch": "vit-b16", "recipe": "effnet-b0"},
        {
            "for vit-b16, a": "for {arch}, a",
            "of vit,": "of {family},",
            "effnet-b0": "got",
            "for efficientnet ": "for {published} ",
            "--recipe deit3-s;": "--recipe {first};",
            "for vit-b16: ": "for {arch}: ",
            "deit3-s, vit-digits, vit-s16-150, vit-s16-300, vit-s16-90, classic-90": "fitting",
        },
    ),
    "network-setting": (
        {"arch": "vit-b16", "set": ["model.bn_group=777"]},
        {"model.bn_group": "field", _SETTINGS_OF_VIT: "settings", "vit-b16": "arch", "777": "got"},
    ),
    "depth": (
        {"arch": "cifar-preact164", "set": ["model.depth=778"]},
        {
            "cifar-preact164": "arch",
            "be 9n": "be {step}n",
            "776": "near",
            "got 778": "got {got}",
            "depth={near}": "depth={most}",
        },
    ),
    "mesh-arch": ({"set": ["mesh.model=777"]}, {"resnet50": "arch", "777": "got"}),
    "mesh-devices": (
        {"arch": "qqq.nets:net", "set": ["mesh.model=777"]},
        {"192 devices": "{devices} devices", "777": "got", "=192; ": "={most}; ", _SIZES_OF_192: "sizes"},
    ),
    "mesh-model": (
        {"arch": "vit-b16", "set": ["mesh.model=777"]},
        {
            "12 heads, 3072 hidden units of vit-b16": "{heads} heads, {hidden} hidden units of {arch}",
            "192": "devices",
            "777": "got",
            "=12; ": "={most}; ",
            "1, 2, 3, 4, 6, 12": "sizes",
        },
    ),
    "steps": ({"steps": 777, "epochs": 99}, {"777": "steps", "99": "epochs"}),
    "args": ({"args": ["--qqq"]}, {"--qqq": "got"}),
    "args-value": ({"args": ["--seed"]}, {"--seed": "flag"}),
    "set-form": ({"set": ["qqq"]}, {"'qqq'": "'{got}'"}),
    "set-field": ({"set": ["qqq.zzz=1"]}, {"qqq.zzz": "field"}),
    "set-int": ({"set": ["train.batch=qqq"]}, {"train.batch": "field", "'qqq'": "'{got}'"}),
    "set-float": ({"set": ["optim.lr=qqq"]}, {"optim.lr": "field", "'qqq'": "'{got}'"}),
    "set-bool": ({"set": ["data.flip=qqq"]}, {"data.flip": "field", "'qqq'": "'{got}'"}),
    "set-choices": (
        {"set": ["model.dtype=qqq"]},
        {"model.dtype": "field", "auto, bfloat16, float32": "choices", "'qqq'": "'{got}'"},
    ),
    "set-path": ({"set": ["data.name=qqq/x"]}, {"data.name": "field", "'qqq/x'": "'{got}'"}),
    "set-minimum-int": (
        {"set": ["model.width=-7"]},
        {"model.width": "field", "least 1": "least {minimum}", "'-7'": "'{got}'"},
    ),
    "set-minimum-float": (
        {"set": ["model.bn_epsilon=-7"]},
        {"model.bn_epsilon": "field", "least 0": "least {minimum}", "'-7'": "'{got}'"},
    ),
    "set-maximum-float": (
        {"set": ["augment.erase=7"]},
        {"augment.erase": "field", "most 1": "most {maximum}", "'7'": "'{got}'"},
    ),
}


def words() -> dict[str, str]:
    """Return key -> message for every error that the chart reports."""
    messages = {
        "not-installed": "cluster: this cluster has no {name} "
        "(docs/guides/install-gke.md says how to install it)",
        "policy-fixed": "name: must be new, or keep the failure policy that {name} was submitted with, got "
        "another one: of a newer chart, or another maxRestarts; nothing was changed "
        "(helm uninstall {release}, then helm install {release}: the run resumes from {runDir})",
    }
    messages |= {key: _template(_problem(fields), names) for key, (fields, names) in ERRORS.items()}
    for name, row in facts.generations().items():
        messages |= {f"slice-{key}-{name}": text for key, text in _size_errors(name, row)}
    return messages


def _size_errors(name: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, message) of the errors that list the sizes of a generation."""
    single = f"{name}-7-1"
    errors = [("single", _template(_problem({"slice": single}), {repr(single): "'{got}'"}))]
    if row["kind"] == "gpu":
        uneven = f"{name}-{2 * row['host'] + 1}"
        return [*errors, ("gpu", _template(_problem({"slice": uneven}), {uneven: "got"}))]
    shape = f"{name}:7x7x7"
    errors.append(("shape", _template(_problem({"slice": shape}), {shape: "got"})))
    for key, size in (("between", 33), ("above", 999999)):
        missing = f"{name}-{size}"
        problem = _problem({"slice": missing})
        near = problem.message.removeprefix("must be ").partition(", got ")[0]
        names = {
            near: "near",
            f"{missing} would be {size / row['cores_per_chip']:g}": f"{name}-{{size}} would be {{chips}}",
        }
        errors.append((key, _template(problem, {**names, repr(missing): "'{got}'"})))
    return errors


def _problem(fields: dict[str, Any]) -> Problem:
    """Return the one problem of a request; ValueError where it has none or several."""
    try:
        TrainingJob(**{**GOOD, **fields})
    except RequestError as error:
        [problem] = error.problems
        return problem
    raise ValueError(f"must be refused: {fields}")


def _template(problem: Problem, names: dict[str, str]) -> str:
    """Return `FIELD: MESSAGE (HINT)` with placeholders; ValueError where a text to replace is missing."""
    text = str(problem) + (f" ({problem.hint})" if problem.hint else "")
    for value, name in names.items():
        if value not in text and " would be " not in value:
            raise ValueError(f"{value!r} must be in {text!r}")
        text = text.replace(value, name if "{" in name else f"{{{name}}}")
    return text
