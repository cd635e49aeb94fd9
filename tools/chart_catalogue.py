"""slices.json and jobset.json of the chart resnet-train, computed by the launcher itself.

jobset.json holds the rendered JobSets of probe requests, with placeholders such as {hosts} for their numbers
and names. The chart fills in those of its own request and adds what its options ask for.
"""

from __future__ import annotations

import re
from typing import Any

from launcher import TrainingJob, contract, keys, render
from launcher.hardware import fabrics, facts, slices, topology
from launcher.rendering import code, container, helm_values, patch
from launcher.request import job, packed_code, program, reservations, rules, tuning

# A request whose numbers and names appear nowhere else in its rendered manifest.
PROBE: dict[str, Any] = {
    "arch": "resnet50",
    "name": "probe-run",
    "run_dir": "gs://probe-bucket/probe-dir",
    "image": "probe/image:1",
    "num_slices": 7,
    "max_restarts": 977,
    "grace": 887,
    "fabric": "none",
}
PROBED = {"tpu": "v5p-384", "gpu": "a100-24", "cpu": "cpu-3x5"}
REPLACEMENTS = ("backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes")  # by JobSet version
NEWEST_MINOR = 40  # JobSet 0.0 to 0.39 are tried, to see in which versions the manifest changes


def placeholders(request: TrainingJob) -> dict[Any, str]:
    """Return value -> placeholder for a probe request; a number rendered as text becomes {NAME:text}."""
    numbers = {
        request.hosts: "{hosts}",
        request.devices: "{devices}",
        request.num_slices: "{numSlices}",
        request.shape.hosts: "{hostsPerSlice}",
        request.shape.chips_per_host: "{chipsPerHost}",
        request.max_restarts: "{maxRestarts}",
        request.grace: "{grace}",
    }
    texts = {str(number): placeholder.replace("}", ":text}") for number, placeholder in numbers.items()}
    names = {
        request.slice: "{slice}",
        request.arch: "{arch}",
        request.run_dir: "{runDir}",
        request.image: "{image}",
        request.shape.topology: "{topology}",
        ",".join(map(str, range(request.shape.devices_per_host))): "{localDevices}",
    }
    everything = {**numbers, **texts, **names}
    return {value: placeholder for value, placeholder in everything.items() if value is not None}


def as_template(value: Any, names: dict[Any, str]) -> Any:
    """Return a rendered value with placeholders in place of the probe's own values."""
    if isinstance(value, dict):
        return {as_template(key, names): as_template(entry, names) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_template(entry, names) for entry in value]
    if value in names and not isinstance(value, bool):
        return names[value]
    return value.replace(PROBE["name"], "{name}") if isinstance(value, str) else value


def probe(name: str, **fields: Any) -> tuple[list[dict[str, Any]], dict[Any, str]]:
    """Render a probe request for a slice; return its objects and its placeholders."""
    request = TrainingJob(**{"slice": name, **PROBE, **fields})
    return render(request), placeholders(request)


def pod_template(jobset: dict[str, Any]) -> dict[str, Any]:
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]


def jobset() -> dict[str, Any]:
    """Return jobset.json: a JobSet for each kind of hardware, policies by JobSet version, defaults."""
    kinds = {}
    for kind, name in PROBED.items():
        [rendered], names = probe(name)
        for mapping in (pod_template(rendered)["spec"], rendered["metadata"]["annotations"]):
            for key in ("nodeSelector", "tolerations", "alpha.jobset.sigs.k8s.io/exclusive-topology"):
                mapping.pop(key, None)  # these depend on the slice and the options, so the chart adds them
        for key in REPLACEMENTS:
            rendered["spec"]["replicatedJobs"][0]["template"]["spec"].pop(key, None)
        kinds[kind] = as_template(rendered, names)
    defaults = {kind: TrainingJob(slice=name, arch="resnet50") for kind, name in PROBED.items()}
    return {
        "kinds": kinds,
        "programs": {kind: programs(name) for kind, name in PROBED.items()},
        "ofTheTrainer": [helm_values.key(name) for name in program.OF_THE_TRAINER],
        "ofAProgram": {name.replace("_", "-"): helm_values.key(name) for name in program.OF_A_PROGRAM},
        "ends": [
            {"name": name, "then": end["then"]} for name, end in contract.document()["exit_codes"].items()
        ],
        "exitCodes": keys.EXIT_CODES,
        "policies": policies(),
        "images": {kind: request.image for kind, request in defaults.items()},
        "grace": job.GRACE,
        "spotGrace": job.SPOT_GRACE,
        "longestName": rules.LONGEST_NAME,
        "flexSeconds": rules.FLEX_SECONDS,
        "reserved": list(rules.RESERVED),
        "joining": list(rules.JOINING),
        "selecting": list(keys.SELECTING),
        "reservedKeys": list(keys.RESERVED),
        "queueLabels": [keys.QUEUE, keys.PRIORITY],
        "patchKeys": patch.KEYS,
        "reservation": reservation(),
        "code": code_facts(),
        "fabrics": {name: elsewhere(name) for name in fabrics.ELSEWHERE},
        "claimedFabrics": list(fabrics.BY_CLAIM),
        "domainLabels": {"gke": keys.SUBBLOCK, "generic": keys.CLIQUE, "slice": keys.JOB_KEY},
        "amd": container.AMD,
        "rocm": container.ROCM,
        "cpuRequest": container.CPU_REQUEST,
        "notify": {"url": contract.variable("notify"), "restarts": contract.variable("max_restarts")},
        "tuning": {
            "variable": tuning.LIBTPU,
            "arguments": {name: list(entry) for name, entry in tuning.ARGUMENTS.items()},
            "hostNetwork": list(tuning.HOST_NETWORK),
        },
    }


def code_facts() -> dict[str, Any]:
    """Return what a run with --code adds: the fixed part of its init container, and names."""
    request = TrainingJob(**{"slice": PROBED["tpu"], **PROBE, "code": {"digest": "e" * 64}})
    [rendered] = render(request)
    [job_template] = rendered["spec"]["replicatedJobs"]
    [container] = pod_template(rendered)["spec"]["initContainers"]
    fixed = ("name", "securityContext", "terminationMessagePolicy")
    return {
        "container": {key: container[key] for key in fixed},
        "failureRule": job_template["template"]["spec"]["podFailurePolicy"]["rules"][0],
        "program": code.PROGRAM,
        "directory": packed_code.DIRECTORY,
        "imagePath": code.IMAGE_PATH,
        "variable": contract.variable("code"),
        "shortDigest": code.SHORT_DIGEST,
        "largest": packed_code.LARGEST_IN_CONFIGMAP,
    }


def reservation() -> dict[str, Any]:
    """Return the form of a reservation's path, and the node label of each of its groups in their order."""
    groups = re.compile(reservations.PATH).groupindex
    labels = [reservations.LABELS[part] for part in sorted(groups, key=lambda part: groups[part])]
    return {"path": f"^{reservations.PATH}$", "labels": labels}


def programs(name: str) -> list[dict[str, Any]]:
    """Return what a program of the user's own adds to the container: on one slice, and on several."""
    added = []
    for count in (1, PROBE["num_slices"]):
        [plain], _ = probe(name, num_slices=count)
        [jobset], names = probe(name, num_slices=count, arch=None, command=["qqq"])
        before, after = (pod_template(rendered)["spec"]["containers"][0] for rendered in (plain, jobset))
        env = [entry for entry in after["env"] if entry not in before["env"]]
        parts = {"prefix": after["command"][:-1], "env": env, "ports": after.get("ports", [])}
        added.append(as_template(parts, names))
    return added


def policies() -> list[dict[str, Any]]:
    """Return what depends on the cluster's JobSet version; `minor` is the first 0.x that an entry is for."""
    entries: list[dict[str, Any]] = []
    for minor in range(NEWEST_MINOR):
        [jobset], names = probe(PROBED["cpu"], jobset_version=(0, minor))
        [timed], _ = probe(PROBED["cpu"], jobset_version=(0, minor), deadline=1)
        [coded], _ = probe(PROBED["cpu"], jobset_version=(0, minor), code={"digest": "e" * 64})
        [job] = jobset["spec"]["replicatedJobs"]
        env = pod_template(jobset)["spec"]["containers"][0]["env"]
        entry = {
            "jobset": jobset["spec"]["failurePolicy"],
            "jobsetWithDeadline": timed["spec"]["failurePolicy"],
            "job": job["template"]["spec"]["podFailurePolicy"],
            "replacements": {
                key: value for key, value in job["template"]["spec"].items() if key in REPLACEMENTS
            },
            "code": coded["spec"]["failurePolicy"].get("rules", [None])[0] if minor >= 6 else None,
            "matchesCodes": minor >= 10,  # JobSet tells exit codes apart by the Job's message
            "owner": next(variable for variable in env if variable["name"] == "RESNET_OWNER"),
        }
        entry = as_template(entry, names)
        if not entries or {**entries[-1], "minor": 0} != {**entry, "minor": 0}:
            entries.append({"minor": minor, **entry})
    return entries


def generations() -> dict[str, Any]:
    """Return slices.json: the sizes and nodes of each generation, and what its fast network adds to a pod."""
    rows = {}
    for name, row in facts.generations().items():
        rows[name] = tpu(row) if row["kind"] == "tpu" else gpu(row)
        rows[name] |= {"kind": row["kind"], "host": row["host"], "flex": name not in rules.NO_FLEX}
    return {
        "generations": rows,
        "aliases": facts.aliases(facts.generations()),
        "maxHosts": slices.MAX_HOSTS,
        "maxCpuDevices": slices.MAX_CPU_DEVICES,
    }


def tpu(row: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a TPU generation, given its row in slices.yaml."""
    unit = row["cores_per_chip"] if row["counts"] == "cores" else 1
    shape = next(shape for shape in row["shapes"] if topology.chips(shape) > row["host"] and shape != "2x4")
    example = slices.tpu(row, shape)  # a slice of several hosts, whose selector holds for every topology
    return {
        "unit": unit,  # a name counts so many per chip
        "sizes": {str(unit * count): topology.default(row, count) for count in topology.sizes(row)},
        "shapes": row["shapes"],
        "cubes": bool(row.get("cubes")),
        "maxChips": row["max_chips"],
        "singles": row.get("single_vm", []),
        "devicesPerChip": row["devices_per_chip"],
        "machines": {str(count): machine for count, machine in row["machines"].items()},
        "placementPolicy": example.placement_policy,
        "resource": example.resource,
        "selector": as_template(example.node_selector, {shape: "{topology}"}),
        "tolerations": example.tolerations,
    }


def gpu(row: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a GPU generation, given its row in slices.yaml."""
    example = slices.gpu(row, row["host"])
    assert example
    entry: dict[str, Any] = {
        "machines": {str(count): machine for count, machine in row["machines"].items()},
        "singles": row.get("single_vm", []),
        "devicesPerChip": 1,
        "resource": example.resource,
        "selector": example.node_selector,
        "tolerations": example.tolerations,
    }
    if example.selects_machine:
        del entry["selector"][keys.INSTANCE_TYPE]  # it follows from the number of GPUs
        entry["selectsMachine"] = True
    if "max_chips" in row:
        entry["maxChips"] = row["max_chips"]
    if example.fabric:
        entry |= {"fabric": network(row, "auto"), "fabricName": example.fabric}
    if example.fabric in fabrics.BY_CLAIM:
        entry["claimed"] = network(row, fabrics.CLAIMED)
    if example.domain_hosts:
        entry["domain"] = domain(row)
    return entry


def elsewhere(name: str) -> dict[str, Any]:
    """Return what a fabric of other platforms than GKE adds to a pod, and the resources of each host."""
    entry = fabrics.facts()[name]
    row = facts.generations()["h100"]
    resource = {"fabric_resource": {"a.b/c": 1}}
    added = network(row, name, {"platform": "generic"}, resource)
    return {"network": added, "resources": entry.get("resources", {})}


def domain(row: dict[str, Any]) -> dict[str, Any]:
    """Return what an NVLink domain of several hosts adds to a run, whatever its fabric is."""
    parts = network(row, "ib", {"platform": "generic"})
    return {key: parts[key] for key in ("objects", "resourceClaims", "claims", "domain")}


def network(
    row: dict[str, Any], fabric: str, both: dict[str, Any] | None = None, one: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a fabric adds to a pod: the difference between two rendered JobSets.

    Args:
      both: more fields of both requests.
      one: more fields of the request with the fabric.
    """
    name = f"{row['name']}-{3 * row['host']}"
    [plain], _ = probe(name, **(both or {}))
    [*others, connected], names = probe(name, **{"fabric": fabric, **(both or {}), **(one or {})})
    before, after = pod_template(plain), pod_template(connected)
    old, new = before["spec"]["containers"][0], after["spec"]["containers"][0]
    shared = [entry for entry in old["env"] if entry["name"] != "LD_LIBRARY_PATH"]
    added = {
        "annotations": after["metadata"].get("annotations", {}),
        "volumes": after["spec"]["volumes"][len(before["spec"]["volumes"]) :],
        "mounts": new["volumeMounts"][len(old["volumeMounts"]) :],
        "env": [entry for entry in new["env"] if entry not in shared],
        "command": new["command"][: len(new["command"]) - len(old["command"])],
        "security": new["securityContext"] if new["securityContext"] != old["securityContext"] else {},
        "objects": others,
    }
    for key in ("initContainers", "resourceClaims"):
        if key in after["spec"]:
            added[key] = after["spec"][key]
    if "affinity" in after["spec"]:
        added["domain"] = True  # the chart keeps the hosts of each slice in one
    if "claims" in new["resources"]:
        added["claims"] = new["resources"]["claims"]
    return as_template({key: value for key, value in added.items() if value}, names)
