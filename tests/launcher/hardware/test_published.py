"""fabrics.yaml against a recorded copy of what vendors publish (published.yaml), as it is rendered."""

import datetime
import json
from pathlib import Path

import pytest
import yaml

from launcher import TrainingJob, render
from launcher.hardware import fabrics
from launcher.request import tuning

PUBLISHED = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())
READ = PUBLISHED.pop("read")


def rendered(name, **fields):
    """Return the companions, the pods' annotations and spec of a run."""
    *others, jobset = render(TrainingJob(slice=name, arch="resnet50", bucket="b-1", **fields))
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    return others, template["metadata"].get("annotations", {}), template["spec"]


def variables(spec):
    return {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}


def test_every_fabric_is_recorded_with_its_source_and_date():
    assert PUBLISHED.keys() == fabrics.facts().keys()
    for name, entry in fabrics.facts().items():
        assert len(entry["source"]) > 20, name
        assert entry["read"] == READ == datetime.date.fromisoformat(tuning.READ), name
        assert PUBLISHED[name]["released"] <= entry["read"], name


@pytest.mark.parametrize(("fabric", "name"), [("tcpx", "h100-16"), ("tcpxo", "h100-mega-16")])
def test_daemon_and_variables(fabric, name):
    row = PUBLISHED[fabric]
    _, _, spec = rendered(name)
    [daemon] = spec["initContainers"]
    assert daemon["image"] == row["daemon"]
    assert row.get("arguments", "") in daemon["command"][-1]
    text = Path(fabrics.__file__).with_name("fabrics.yaml").read_text()
    assert f"installer {row['installer']}" in text  # the daemon is coupled with it
    plain = variables(rendered(name, fabric="none")[2])
    added = {key: value for key, value in variables(spec).items() if plain.get(key) != value}
    assert {key: value for key, value in added.items() if key not in row["ours"]} == row["env"]


def test_interfaces_of_rdma():
    for name, expected in PUBLISHED["rdma-gib"]["interfaces"].items():
        _, annotations, _ = rendered(name)
        interfaces = json.loads(annotations["networking.gke.io/interfaces"])
        assert [entry["interfaceName"] for entry in interfaces] == expected


def test_cards_by_claim():
    row = PUBLISHED["dranet"]
    for name, count in row["cards"].items():
        others, annotations, spec = rendered(name, fabric="dranet")
        template = others[-1]
        assert (template["apiVersion"], template["kind"]) == (row["api"], "ResourceClaimTemplate")
        [request] = template["spec"]["spec"]["devices"]["requests"]
        assert request["exactly"] == {
            "deviceClassName": row["class"],
            "allocationMode": "ExactCount",
            "count": count,
        }
        claim = {"name": "rdma", "resourceClaimTemplateName": template["metadata"]["name"]}
        assert claim in spec["resourceClaims"]
        assert {"name": "rdma"} in spec["containers"][0]["resources"]["claims"]
        assert "networking.gke.io/interfaces" not in annotations


@pytest.mark.parametrize("fabric", ["efa", "ib"])
def test_resources_of_other_platforms(fabric):
    row = PUBLISHED[fabric]
    _, _, spec = rendered("h100-16", platform="generic", fabric=fabric)
    limits = spec["containers"][0]["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": 8, **row["resources"]}
    assert row.get("env", {}).items() <= variables(spec).items()
    assert row.keys() >= fabrics.facts()[fabric].keys() & {"resources", "env"}


def test_a_stale_figure_is_seen(monkeypatch):
    """The comparison fails for a daemon of another version."""
    stale = {**fabrics.facts()["tcpx"]["daemon"], "image": "x/tcpgpudmarxd-dev:v2.0.11"}
    monkeypatch.setitem(fabrics.facts(), "tcpx", {**fabrics.facts()["tcpx"], "daemon": stale})
    with pytest.raises(AssertionError):
        test_daemon_and_variables("tcpx", "h100-16")
