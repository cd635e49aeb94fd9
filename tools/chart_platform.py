"""Generated files of the chart resnet-platform: flavors of Kueue, smoke job, schema, table of values."""

from __future__ import annotations

import re
from typing import Any

from chart_catalogue import as_template, pod_template
from chart_values import DNS, FLAG, FORMS, Json, many, text

from launcher import TrainingJob, render
from launcher.hardware import catalogue
from launcher.request import sources

# Two CPU pods that join and train. `helm test` waits for a Job but not for a JobSet.
SMOKE: dict[str, Any] = {
    "slice": "cpu-2x1",
    "arch": "resnet-tiny",
    "name": "probe-run",
    "image": "probe/image:1",
    "data": "digits",
    "steps": 3,
    "cpu": "100m",  # beside the control plane of a kind node of two cores
    "service_account": "probe-account",
    "set": ["model.width=8", "log.wandb=off"],
}


def flavors() -> Json:
    """Return flavors.json: TPU slice, GPU generation or cpu -> its resource and the labels of its nodes."""
    hardware: Json = {"cpu": {"resource": "cpu", "labels": {}}}
    for shape in catalogue.slices():
        name = shape.generation if shape.kind == "gpu" else shape.name
        hardware[name] = {"resource": shape.resource, "labels": shape.node_selector}
    return hardware


def smoke() -> list[Json]:
    """Return smoke.json: a headless Service and a Job with the launcher's pods for two hosts."""
    request = TrainingJob(**SMOKE)
    [jobset] = render(request)
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = pod_template(jobset)
    # These pods have no labels of a JobSet, so variables read from labels get fixed values.
    fixed = {
        "RESNET_RESTART": "0",
        "RESNET_SLICE_INDEX": "0",
        "RESNET_OWNER": "{name}",
        "RESNET_COORDINATOR": "{name}-0.{name}:8476",
    }
    for entry in pod["spec"]["containers"][0]["env"]:
        if entry["name"] in fixed:
            entry.pop("valueFrom", None)
            entry["value"] = fixed[entry["name"]]
    pod["spec"]["subdomain"] = "{name}"
    metadata = {"name": "{name}", "labels": pod["metadata"]["labels"]}
    spec = {key: value for key, value in job.items() if key != "podFailurePolicy"}
    service = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,  # hosts look for each other before they are ready
        "selector": {"batch.kubernetes.io/job-name": "{name}"},
    }
    objects = [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec},
    ]
    return as_template(objects, {request.image: "{image}", request.service_account: "{account}"})


def closed(properties: Json, required: list[str] | None = None) -> Json:
    """Return the schema of an object that holds these properties and no others."""
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


QUANTITIES: Json = {
    "type": "object",
    "additionalProperties": {
        "type": ["integer", "string"],
        "minimum": 0,
        "pattern": r"^[0-9]+(\.[0-9]+)?[A-Za-z]*$",
    },
}
OR_EMPTY = {"type": "string", "maxLength": 0}
SUBJECT = closed(
    {
        "kind": {"enum": ["User", "Group", "ServiceAccount"]},
        "name": {"type": "string", "minLength": 1},
        "namespace": text(DNS, 63),
    },
    ["kind", "name"],
)
IMAGE_PREFIX = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"
GOOGLE_ACCOUNT = text(r"^[a-z]([-a-z0-9]*[a-z0-9])?@[-a-z0-9.]+\.iam\.gserviceaccount\.com$")


def defaults() -> Json:
    """Return the schema of the ConfigMap's settings; the launcher refuses any other key."""
    names = sorted(sources.FIELDS.keys() - sources.NOT_SHARED - sources.NOT_FROM_A_CLUSTER - {"namespace"})
    forms = {name.replace("_", "-"): FORMS[name] for name in names}
    return closed(forms | {"patch": {"anyOf": [{"type": "object"}, many({"type": "object"})]}})


def values_schema() -> Json:
    """Return values.schema.json, closed so that Helm refuses a misspelled value."""
    kueue = {
        "enabled": FLAG,
        "apiVersion": {"enum": ["", "v1beta2", "v1beta1"]},
        "cluster": FLAG,
        "localQueue": text(DNS, 63),
        "clusterQueue": text(DNS, 63),
        "flavors": QUANTITIES,
        "preempt": FLAG,
        "priorities": {"type": "object", "additionalProperties": {"type": "integer"}},
        "topology": many({"type": "string", "minLength": 1}),
        "topologyFlavors": many({"type": "string"}),
    }
    smoke_test = {"image": FORMS["image"], "deadlineSeconds": {"type": "integer", "minimum": 1}}
    schema = closed(
        {
            "namespace": {"anyOf": [FORMS["namespace"], OR_EMPTY]},
            "createNamespace": FLAG,
            "podSecurity": {"enum": ["restricted", "baseline", "privileged"]},
            "serviceAccount": closed(
                {
                    "name": {"anyOf": [text(DNS), OR_EMPTY]},
                    "googleServiceAccount": {"anyOf": [GOOGLE_ACCOUNT, OR_EMPTY]},
                }
            ),
            "researchers": many(SUBJECT),
            "defaults": defaults(),
            "kueue": closed(kueue),
            "quota": QUANTITIES,
            "networkPolicy": closed({"enabled": FLAG, "perRun": FLAG, "egress": many({"type": "object"})}),
            "admission": closed(
                {
                    "enabled": FLAG,
                    "images": many(text(IMAGE_PREFIX, 255)),
                    "serviceAccounts": many(text(DNS)),
                    "secrets": many(text(DNS)),
                    "priorityClasses": many(text(DNS)),
                    "hostPaths": many(text(r"^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]/?$", 255)),
                    "hostAccess": FLAG,
                }
            ),
            "monitoring": closed(
                {
                    "enabled": FLAG,
                    "port": {"type": "integer", "minimum": 1024, "maximum": 65535},
                    "interval": text(r"^[0-9]+(s|m)$"),
                }
            ),
            "dashboard": closed({"enabled": FLAG, "instanceLabels": {"type": "object"}}),
            "smokeTest": closed(smoke_test),
            "global": {"type": "object"},
        }
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of resnet-platform",
        **schema,
    }


def table(values: str) -> str:
    """Return a Markdown table of the values, built from the `# --` comments of values.yaml."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    parent, meaning = "", ""
    for line in values.splitlines():
        if match := re.fullmatch(r"\s*# -- (.*)", line):
            meaning = match[1]
        elif match := re.fullmatch(r"( *)([A-Za-z]+):\s*(.*)", line):
            indent, key, default = match.groups()
            parent = parent if indent else key
            if meaning:
                name = f"{parent}.{key}" if indent else key
                lines.append(f"| `{name}` | `{default}` | {meaning} |")
            meaning = ""
    return "\n".join(lines) + "\n"
