"""words.json of the chart resnet-train: the launcher's errors, provoked, with {words} where values stood."""

from __future__ import annotations

from typing import Any

from launcher import TrainingJob
from launcher.errors import Problem, RequestError
from launcher.hardware import facts

GOOD: dict[str, Any] = {"slice": "v5p-384", "arch": "resnet50", "bucket": "b-1"}
GENERIC: dict[str, Any] = {"slice": "h100-24", "platform": "generic"}

# key: (what to ask for beside GOOD, {text of the error: the word that stands for it})
ERRORS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "slice-missing": ({"slice": None}, {}),
    "arch-missing": ({"arch": None}, {}),
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
    "reserved": ({"env": {"RESNET_QQQ": "1"}}, {"env:": "{field}:", "RESNET_QQQ": "name"}),
    "secret-env": ({"env": {"QQQ": "1"}, "secret_env": {"QQQ": "s/k"}}, {"QQQ": "name"}),
    "capacity": (
        {"spot": True, "reservation": "r"},
        {"reservation:": "{field}:", "spot and reservation": "given"},
    ),
    "not-gke": ({**GENERIC, "spot": True}, {"spot:": "{field}:"}),
    "not-cpu": ({"slice": "cpu-1x1", "spot": True}, {"spot:": "{field}:"}),
    "flex": ({"flex": 777777}, {"777777": "got"}),
    "no-flex": ({"slice": "v4-8", "flex": 60}, {"v4-8": "slice"}),
    "placement-policy": ({"slice": "tpu7x-64"}, {"tpu7x-64": "slice"}),
    "queue": ({"priority": "p"}, {"priority:": "{field}:"}),
    "topology": ({"queue": "q", "topology_required": "a", "topology_preferred": "b"}, {}),
    "patch-key": ({"patch": {"qqq": 1}}, {"'qqq'": "'{got}'"}),
    "patch-name": ({"patch": {"metadata": {"name": "n"}}}, {}),
    "patch-mapping": ({"patch": "qqq"}, {"'qqq'": "'{got}'"}),
    "batch": ({"batch": 1000}, {"960 or 1152": "near", "192": "devices", "1000": "got"}),
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
    """Every error that the chart can give, by its key."""
    found = {
        "not-installed": "cluster: this cluster has no {name} "
        "(docs/guides/install-gke.md says how to install it)"
    }
    found |= {key: _hollow(_problem(asked), holes) for key, (asked, holes) in ERRORS.items()}
    for name, row in facts.generations().items():
        found |= {f"slice-{key}-{name}": text for key, text in _of_generation(name, row)}
    return found


def _of_generation(name: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """(key, text) of the errors that tell the sizes of a generation."""
    single = f"{name}-7-1"
    found = [("single", _hollow(_problem({"slice": single}), {repr(single): "'{got}'"}))]
    if row["kind"] == "gpu":
        given = f"{name}-{2 * row['host'] + 1}"
        return [*found, ("gpu", _hollow(_problem({"slice": given}), {given: "got"}))]
    shape = f"{name}:7x7x7"
    found.append(("shape", _hollow(_problem({"slice": shape}), {shape: "got"})))
    for key, size in (("between", 33), ("above", 999999)):
        given = f"{name}-{size}"
        problem = _problem({"slice": given})
        near = problem.message.removeprefix("must be ").partition(", got ")[0]
        holes = {
            near: "near",
            f"{given} would be {size / row['cores_per_chip']:g}": f"{name}-{{size}} would be {{chips}}",
        }
        found.append((key, _hollow(problem, {**holes, repr(given): "'{got}'"})))
    return found


def _problem(asked: dict[str, Any]) -> Problem:
    """The one problem of a request. Raises ValueError where there is none, or more."""
    try:
        TrainingJob(**{**GOOD, **asked})
    except RequestError as error:
        [problem] = error.found
        return problem
    raise ValueError(f"must be refused: {asked}")


def _hollow(problem: Problem, holes: dict[str, str]) -> str:
    """`FIELD: MESSAGE (HINT)` with {word} for each text; a text that is not there would be a mistake here."""
    text = str(problem) + (f" ({problem.hint})" if problem.hint else "")
    for value, word in holes.items():
        if value not in text and " would be " not in value:
            raise ValueError(f"{value!r} must be in {text!r}")
        text = text.replace(value, word if "{" in word else f"{{{word}}}")
    return text
