"""What the chart resnet-train is told of slices and of the JobSet, computed by the launcher itself.

`jobset.json` holds rendered JobSets in which numbers and names of a probing request are replaced by {words};
the chart puts those of its own request in, and adds what its options ask for.
"""

from __future__ import annotations

from typing import Any

from launcher import TrainingJob, render
from launcher.hardware import facts, slices, topology
from launcher.rendering import patch
from launcher.request import job, rules

# A request whose numbers and names stand nowhere else in what is rendered of it.
PROBE: dict[str, Any] = {
    "arch": "resnet50",
    "name": "probe-run",
    "run_dir": "gs://probe-bucket/probe-dir",
    "image": "probe/image:1",
    "num_slices": 7,
    "max_restarts": 977,
    "grace": 887,
    "fabric": False,
}
PROBED = {"tpu": "v5p-384", "gpu": "a100-24", "cpu": "cpu-3x5"}
NEWEST_MINOR = 40  # JobSets looked at for a change of what is rendered


def holes(request: TrainingJob) -> dict[Any, str]:
    """A probing request's own values -> the words that stand for them; text of a number is {…:text}."""
    numbers = {
        request.hosts: "{hosts}",
        request.devices: "{devices}",
        request.num_slices: "{numSlices}",
        request.shape.hosts: "{hostsPerSlice}",
        request.shape.chips_per_host: "{chipsPerHost}",
        request.max_restarts: "{maxRestarts}",
        request.grace: "{grace}",
    }
    texts = {str(number): word.replace("}", ":text}") for number, word in numbers.items()}
    names = {
        request.slice: "{slice}",
        request.arch: "{arch}",
        request.run_dir: "{runDir}",
        request.image: "{image}",
        request.shape.topology: "{topology}",
    }
    return {value: word for value, word in {**numbers, **texts, **names}.items() if value is not None}


def hollow(value: Any, words: dict[Any, str]) -> Any:
    """The same value with {words} in place of what a probing request put there."""
    if isinstance(value, dict):
        return {hollow(key, words): hollow(entry, words) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [hollow(entry, words) for entry in value]
    if value in words and not isinstance(value, bool):
        return words[value]
    return value.replace(PROBE["name"], "{name}") if isinstance(value, str) else value


def probe(name: str, **fields: Any) -> tuple[list[dict[str, Any]], dict[Any, str]]:
    """(objects, words) of a probing request for a slice."""
    request = TrainingJob(**{"slice": name, **PROBE, **fields})
    return render(request), holes(request)


def pod_of(jobset: dict[str, Any]) -> dict[str, Any]:
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]


def jobset() -> dict[str, Any]:
    """jobset.json: a JobSet of each kind of hardware, policies by JobSet version, defaults."""
    kinds = {}
    for kind, name in PROBED.items():
        [found], words = probe(name)
        for place in (pod_of(found)["spec"], found["metadata"]["annotations"]):
            for key in ("nodeSelector", "tolerations", "alpha.jobset.sigs.k8s.io/exclusive-topology"):
                place.pop(key, None)  # the chart puts in those of the slice and of the options
        kinds[kind] = hollow(found, words)
    defaults = {kind: TrainingJob(slice=name, arch="resnet50") for kind, name in PROBED.items()}
    return {
        "kinds": kinds,
        "policies": policies(),
        "images": {kind: request.image for kind, request in defaults.items()},
        "grace": job.GRACE,
        "spotGrace": job.SPOT_GRACE,
        "longestName": rules.LONGEST_NAME,
        "flexSeconds": rules.FLEX_SECONDS,
        "reserved": list(rules.RESERVED),
        "patchKeys": patch.KEYS,
    }


def policies() -> list[dict[str, Any]]:
    """What depends on the JobSet of the cluster, with the first version of 0.x that it is for."""
    found: list[dict[str, Any]] = []
    for minor in range(NEWEST_MINOR):
        [jobset], words = probe(PROBED["cpu"], jobset_version=(0, minor))
        [timed], _ = probe(PROBED["cpu"], jobset_version=(0, minor), deadline=1)
        [job] = jobset["spec"]["replicatedJobs"]
        env = pod_of(jobset)["spec"]["containers"][0]["env"]
        entry = {
            "jobset": jobset["spec"]["failurePolicy"],
            "jobsetWithDeadline": timed["spec"]["failurePolicy"],
            "job": job["template"]["spec"]["podFailurePolicy"],
            "owner": next(variable for variable in env if variable["name"] == "RESNET_OWNER"),
        }
        entry = hollow(entry, words)
        if not found or {**found[-1], "minor": 0} != {**entry, "minor": 0}:
            found.append({"minor": minor, **entry})
    return found


def generations() -> dict[str, Any]:
    """slices.json: each generation's sizes, nodes, and what its fast network adds to a pod."""
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
    unit = row["cores_per_chip"] if row["counts"] == "cores" else 1
    shape = next(shape for shape in row["shapes"] if topology.chips(shape) > row["host"] and shape != "2x4")
    found = slices.tpu(row, shape)
    return {
        "unit": unit,  # what a name counts, of each chip
        "sizes": {str(unit * count): topology.default(row, count) for count in topology.sizes(row)},
        "shapes": row["shapes"],
        "cubes": bool(row.get("cubes")),
        "maxChips": row["max_chips"],
        "singles": row.get("single_vm", []),
        "devicesPerChip": row["devices_per_chip"],
        "machines": {str(count): machine for count, machine in row["machines"].items()},
        "placementPolicy": found.placement_policy,
        "resource": found.resource,
        "selector": hollow(found.node_selector, {shape: "{topology}"}),
        "tolerations": found.tolerations,
    }


def gpu(row: dict[str, Any]) -> dict[str, Any]:
    found = slices.gpu(row, row["host"])
    assert found
    known: dict[str, Any] = {
        "machines": {str(count): machine for count, machine in row["machines"].items()},
        "singles": row.get("single_vm", []),
        "devicesPerChip": 1,
        "resource": found.resource,
        "selector": found.node_selector,
        "tolerations": found.tolerations,
    }
    if "max_chips" in row:
        known["maxChips"] = row["max_chips"]
    return known | ({"fabric": network(row)} if found.fabric else {})


def network(row: dict[str, Any]) -> dict[str, Any]:
    """What a pod has with its fast network and has not without: the difference of two renders."""
    name = f"{row['name']}-{3 * row['host']}"
    [plain], _ = probe(name)
    [*others, joined], words = probe(name, fabric=True)
    without, with_it = pod_of(plain), pod_of(joined)
    old, new = without["spec"]["containers"][0], with_it["spec"]["containers"][0]
    known = [entry for entry in old["env"] if entry["name"] != "LD_LIBRARY_PATH"]
    found = {
        "annotations": with_it["metadata"]["annotations"],
        "volumes": with_it["spec"]["volumes"][len(without["spec"]["volumes"]) :],
        "mounts": new["volumeMounts"][len(old["volumeMounts"]) :],
        "env": [entry for entry in new["env"] if entry not in known],
        "command": new["command"][: len(new["command"]) - len(old["command"])],
        "security": new["securityContext"],
        "objects": others,
    }
    for key in ("initContainers", "resourceClaims"):
        if key in with_it["spec"]:
            found[key] = with_it["spec"][key]
    if "claims" in new["resources"]:
        found["claims"] = new["resources"]["claims"]
    return hollow({key: value for key, value in found.items() if value}, words)
